#!/usr/bin/env bash
# Runs the tests that need a real Slurm, with one of its own on this machine: munged, slurmctld and four slurmd on
# 127.0.0.1. On Debian: apt-get install --no-install-recommends slurm-wlm munge
# Where Slurm is missing this says so and does well, unless CLUSTER=required.
set -euo pipefail
cd "$(dirname "$0")/.."

PATH="$PATH:/usr/sbin:/usr/local/sbin"
missing=()
for program in munged slurmctld slurmd sbatch squeue scancel scontrol sinfo; do
  command -v "$program" >/dev/null || missing+=("$program")
done
if [ "${#missing[@]}" -gt 0 ]; then
  echo "test-cluster: SKIPPED the tests on Slurm: there is no ${missing[*]} (Debian: apt-get install slurm-wlm munge)"
  [ "${CLUSTER:-}" != required ] || exit 1
  exit 0
fi

cargo build --locked --workspace
cargo test --locked --workspace --test cluster -- --ignored --nocapture
