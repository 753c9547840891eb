#!/usr/bin/env bash
# package.sh images: builds the images tributary-actor and tributary-learner, with podman or docker (or CONTAINER=...).
# package.sh dist:   makes target/tributary-VERSION-FORM-x86_64-linux.tar.gz, which runs where it is unpacked.
#
# BUILD=dev takes the programs of `make build` instead of building releases. `make setup TORCH=cuda` before makes both
# for CUDA. VERSION names them.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly BUILD="${BUILD:-release}"
readonly TARGET="${CARGO_TARGET_DIR:-$PWD/target}"
readonly VERSION="${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n1)}"
readonly STAGE="$TARGET/package"
form=cpu
grep -qs -- '-cuda/torch"' .cargo/local.toml && form=cuda

# Sets `tributary` and `learner`, the programs. As a release the first is static: it runs on any Linux.
build() {
  if [ "$BUILD" = dev ]; then
    cargo build --locked --workspace
    tributary="$TARGET/debug/tributary" learner="$TARGET/debug/tributary-learner"
    return
  fi
  cargo build --locked --release --workspace
  RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release -p tributary-deploy \
    --target x86_64-unknown-linux-gnu --target-dir "$TARGET/static"
  tributary="$TARGET/static/x86_64-unknown-linux-gnu/release/tributary" learner="$TARGET/release/tributary-learner"
}

images() {
  local container="${CONTAINER:-}" tag="$VERSION"
  [ -n "$container" ] || container=$(command -v podman || command -v docker) || {
    echo "package: there is no podman and no docker (Debian: apt-get install podman)" >&2
    exit 1
  }
  [ "$form" = cpu ] || tag="$VERSION-$form"
  build
  rm -rf "$STAGE"
  deploy/images/rootfs.sh "$STAGE/actor" "$tributary"
  deploy/images/rootfs.sh "$STAGE/learner" "$learner" "$tributary"
  "$container" build -q -t "tributary-actor:$VERSION" -f deploy/images/actor.Containerfile "$STAGE/actor"
  "$container" build -q -t "tributary-learner:$tag" -f deploy/images/learner.Containerfile "$STAGE/learner"
  rm -rf "$STAGE"
  echo "package: tributary-actor:$VERSION and tributary-learner:$tag"
}

dist() {
  local name="tributary-$VERSION-$form-x86_64-linux" library
  build
  rm -rf "$STAGE"
  deploy/images/collect.sh "$STAGE/$name" "$tributary" "$learner"
  # What minimal systems lack of what libtorch loads.
  for library in libstdc++.so.6 libgcc_s.so.1; do
    cp -L "$(ldd "$learner" | awk -v name="$library" '$1 == name { print $3 }')" "$STAGE/$name/lib/tributary/torch/lib/"
  done
  mkdir "$STAGE/$name/examples"
  cp -a examples/*.toml examples/*.tsv "$STAGE/$name/examples/"
  cp -a README.md LICENSE CHANGELOG.md "$STAGE/$name/"
  tar -C "$STAGE" --owner=0 --group=0 -cf - "$name" | gzip "-${LEVEL:-6}" >"$TARGET/$name.tar.gz.new"
  mv "$TARGET/$name.tar.gz.new" "$TARGET/$name.tar.gz"
  rm -rf "$STAGE"
  echo "package: $TARGET/$name.tar.gz ($(du -h "$TARGET/$name.tar.gz" | cut -f1))"
}

case "${1:-}" in
  images | dist) "$1" ;;
  *) sed -n '2,6s/^# //p' "$0" >&2 && exit 64 ;;
esac
