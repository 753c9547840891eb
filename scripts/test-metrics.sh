#!/usr/bin/env bash
# Reads the metrics of a real run with what they are for: promtool and a Prometheus (Debian: apt-get install
# --no-install-recommends prometheus), and TensorBoard's reader, from PyPI into the cache folder.
# What is missing is said and does well, unless CLUSTER=required.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly TENSORBOARD=("tensorboard==2.20.0" "setuptools<81")
venv="${TRIBUTARY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tributary}/tensorboard-venv"

skip() {
  echo "test-metrics: SKIPPED the tests with Prometheus and TensorBoard: $*"
  [ "${CLUSTER:-}" != required ] || exit 1
  exit 0
}

for program in prometheus promtool; do
  command -v "$program" >/dev/null || skip "there is no $program (Debian: apt-get install prometheus)"
done
readonly READER="from tensorboard.backend.event_processing import event_accumulator"
if ! "$venv/bin/python" -c "$READER" 2>/dev/null; then
  python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check "${TENSORBOARD[@]}" ||
    skip "tensorboard cannot be installed by pip"
fi

cargo build --locked --workspace
programs="${CARGO_TARGET_DIR:-target}/debug"
PYTHONDONTWRITEBYTECODE=1 timeout 300 \
  "$venv/bin/python" deploy/tests/metrics/test.py "$(realpath "$programs/tributary")" "$(realpath "$programs/tributary-learner")"
