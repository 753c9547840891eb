#!/usr/bin/env bash
# Looks at real runs in a headless Chromium. On Debian: apt-get install --no-install-recommends chromium
# Where there is no browser (CHROMIUM=PATH names one) this says so and does well, unless CLUSTER=required.
# With a file name, it leaves screenshots there.
set -euo pipefail
cd "$(dirname "$0")/.."

found="${CHROMIUM:-}"
for program in chromium chromium-headless-shell google-chrome chromium-browser; do
  [ -n "$found" ] || found="$(command -v "$program" || true)"
done
if [ -z "$found" ]; then
  echo "test-dashboard: SKIPPED the tests in a browser: there is no chromium (Debian: apt-get install chromium)"
  [ "${CLUSTER:-}" != required ] || exit 1
  exit 0
fi

cargo build --locked --workspace
programs="${CARGO_TARGET_DIR:-target}/debug"
PYTHONDONTWRITEBYTECODE=1 CHROMIUM="$found" timeout 600 \
  python3 deploy/tests/dashboard/test.py "$(realpath "$programs/tributary")" "$(realpath "$programs/tributary-learner")" "$@"
