#!/usr/bin/env bash
# rootfs.sh FOLDER PROGRAM...: makes FOLDER/root the root of an image that holds the programs and what they load, and
# nothing else: no shell, no package. A static program needs only itself. FOLDER/state is what its user may write to.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

root="$1/root" state="$1/state"
shift
"$here/collect.sh" "$root" "$@"
mkdir -p "$root"/etc "$root"/tmp "$root"/var/lib "$state/tributary"
for program in "$@"; do
  { ldd "$program" 2>/dev/null || true; } | awk '$2 == "=>" && $3 { print $3 } $1 ~ /ld-linux/ { print $1 }' |
    while read -r library; do
      # The system's, at the places where its loader looks.
      [ -e "$root/lib/tributary/torch/lib/$(basename "$library")" ] || install -D -m 755 "$library" "$root$library"
    done
done
# CUDA's libraries ask for a few more of the C library.
for library in librt.so.1 libdl.so.2 libpthread.so.0 libutil.so.1; do
  path="/lib/x86_64-linux-gnu/$library"
  [ ! -d "$root/lib/tributary" ] || [ ! -e "$path" ] || install -D -m 755 "$path" "$root$path"
done
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
echo 'tributary:x:65532:65532:tributary:/tmp:/bin/false' >"$root/etc/passwd"
echo 'tributary:x:65532:' >"$root/etc/group"
chmod 1777 "$root/tmp"
