#!/usr/bin/env bash
# Installs ViennaRNA, the reward of examples/rna.toml, from PyPI (14 MB) into examples/rna-venv, once.
#
# Safe to run again: an installation that works is left as it is, any other one is made anew.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PACKAGE="ViennaRNA==2.8.0"
readonly FOLDER=examples/rna-venv

say() { printf 'setup-rna: %s\n' "$*"; }

works() { "$FOLDER/bin/python" -c 'import RNA; assert RNA.__version__ == "2.8.0"' 2>/dev/null; }

if ! works; then
  say "installing $PACKAGE from PyPI into $FOLDER"
  python3 -m venv --clear "$FOLDER"
  "$FOLDER/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir --only-binary=:all: "$PACKAGE"
  works || { say "$PACKAGE is installed and does not work: $FOLDER/bin/python -c 'import RNA'" >&2; exit 1; }
fi
say "ready ($PACKAGE)"
