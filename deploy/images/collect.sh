#!/usr/bin/env bash
# collect.sh FOLDER PROGRAM...: puts programs into FOLDER/bin, and the libtorch that they load into
# FOLDER/lib/tributary, where they look first ($ORIGIN/../lib/tributary/torch/lib).
set -euo pipefail

folder="$1"
shift
mkdir -p "$folder/bin"
for program in "$@"; do
  install -m 755 "$program" "$folder/bin/"
  libtorch=$({ ldd "$program" 2>/dev/null || true; } | awk '$1 == "libc10.so" { print $3 }')
  [ -n "$libtorch" ] || continue
  libtorch=$(dirname "$(readlink -f "$libtorch")")
  mkdir -p "$folder/lib/tributary/torch/lib"
  find "$libtorch" -maxdepth 1 -name '*.so*' -exec cp -a -t "$folder/lib/tributary/torch/lib" {} +
  # libtorch with CUDA finds NVIDIA's libraries by their place beside it.
  beside="$libtorch/../../nvidia"
  [ ! -d "$beside" ] || (cd "$beside/.." && find nvidia -name '*.so*' -exec cp -a --parents -t "$folder/lib/tributary" {} +)
done
