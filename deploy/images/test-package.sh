#!/usr/bin/env bash
# test-package.sh PACKAGE.tar.gz: unpacks it in another folder and trains there, with an empty environment.
set -euo pipefail

package=$(realpath "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
tar -C "$folder" -xzf "$package"
cd "$folder"/tributary-*

# Nothing of this machine's libtorch is loaded.
loaded=$(env -i ldd bin/tributary-learner | grep -E 'libtorch|libc10|libgomp|libstdc')
if echo "$loaded" | grep -v "$PWD/"; then
  echo "test-package: libraries from elsewhere" >&2
  exit 1
fi
env -i "$PWD/bin/tributary" train examples/hypergrid.toml --actors 1 --run-dir "$folder/run" --set learner.time=20s --set learner.generated=1000000000 >"$folder/out" 2>&1 ||
  { cat "$folder/out" && exit 1; }
test -s "$folder/run/summary.json" && test -n "$(find "$folder/run/checkpoints" -type f | head -n1)"
env -i "$PWD/bin/tributary" sample "$folder/run" --count 3
echo "test-package: trained 20 s and sampled, unpacked in $folder"
