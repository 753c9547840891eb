#!/usr/bin/env bash
# Makes the virtual environment of a peer in the cache, outside the sources, and prints its Python.
#
# usage: setup.sh PEER      PEER has a file PEER-requirements.txt beside this script.
# TRIBUTARY_CACHE moves the cache (default: ${XDG_CACHE_HOME:-~/.cache}/tributary). Safe to run again: an environment
# that is complete for these requirements is left as it is.
set -euo pipefail

readonly PEER="${1:?usage: setup.sh PEER}"
requirements="$(cd "$(dirname "$0")" && pwd)/$PEER-requirements.txt"
readonly requirements
readonly CACHE="${TRIBUTARY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tributary}"
readonly HOME_OF_PEER="$CACHE/peers/$PEER"

if [ ! -e "$requirements" ]; then
  echo "setup: there is no peer \"$PEER\": no file $requirements" >&2
  exit 64
fi
if ! cmp -s "$requirements" "$HOME_OF_PEER/requirements.txt"; then
  echo "setup: installing $PEER from PyPI into $HOME_OF_PEER (once)" >&2
  rm -rf "$HOME_OF_PEER"
  python3 -m venv "$HOME_OF_PEER"
  "$HOME_OF_PEER/bin/pip" install --disable-pip-version-check --quiet -r "$requirements" >&2
  # Last: it says that all is there.
  cp "$requirements" "$HOME_OF_PEER/requirements.txt"
fi
echo "$HOME_OF_PEER/bin/python"
