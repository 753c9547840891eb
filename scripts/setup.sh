#!/usr/bin/env bash
# Checks the prerequisites, fetches libtorch once into a cache outside the sources, and tells cargo where it is.
#
# TORCH=cpu or TORCH=cuda chooses the form (default: the one chosen last, at first cpu); TRIBUTARY_CACHE moves
# the cache (default: ${XDG_CACHE_HOME:-~/.cache}/tributary). Safe to run again, at once from several places, and
# after a kill: a libtorch is unpacked beside its final name and renamed when it is complete.
set -euo pipefail
cd "$(dirname "$0")/.."

# tch 0.26 works with exactly this libtorch. PyPI's wheel of it is the CUDA 13.0 build, whose CPU library
# needs two small CUDA libraries even where no GPU is.
readonly LIBTORCH_VERSION=2.13.0
readonly CUDA_RUNTIME="nvidia-cuda-runtime==13.0.*"
readonly CUDA_PROFILER="nvidia-cuda-cupti==13.0.*"
readonly RUST_VERSION=1.95

chosen_last=cpu
grep -qs -- '-cuda/torch"' .cargo/local.toml && chosen_last=cuda
readonly TORCH="${TORCH:-$chosen_last}"
readonly CACHE="${TRIBUTARY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tributary}"

say() { printf 'setup: %s\n' "$*"; }

missing=0
lacks() {
  printf 'setup: missing: %s\n' "$*" >&2
  missing=1
}

check_prerequisites() {
  case "$TORCH" in cpu | cuda) ;; *) lacks "TORCH=$TORCH is not a form of libtorch; use TORCH=cpu or TORCH=cuda" ;; esac
  [ "$(uname -sm)" = "Linux x86_64" ] || lacks "Linux on x86_64 (this is $(uname -sm)); no other platform is supported"

  local rust
  if ! rust=$(cargo --version 2>/dev/null | cut -d' ' -f2) || [ -z "$rust" ]; then
    lacks "Rust >= $RUST_VERSION with cargo; install it from https://rustup.rs"
  elif [ "$(printf '%s\n' "$RUST_VERSION" "$rust" | sort -V | head -n1)" != "$RUST_VERSION" ]; then
    lacks "Rust >= $RUST_VERSION (cargo here is $rust); run 'rustup update stable'"
  fi

  local cxx="${CXX:-c++}"
  if ! printf '#include <filesystem>\n' | "$cxx" -std=c++17 -x c++ -fsyntax-only - 2>/dev/null; then
    lacks "a C++17 compiler ($cxx does not compile); Debian/Ubuntu: apt install g++, Fedora: dnf install gcc-c++"
  fi
  command -v cc >/dev/null || lacks "cc, which links programs; Debian/Ubuntu: apt install gcc, Fedora: dnf install gcc"
  command -v make >/dev/null || lacks "make; Debian/Ubuntu: apt install make, Fedora: dnf install make"
  command -v flock >/dev/null || lacks "flock; Debian/Ubuntu: apt install util-linux"

  if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    lacks "Python >= 3.10 as python3 (only to fetch libtorch); Debian/Ubuntu: apt install python3"
  elif ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    lacks "Python's pip and venv; Debian/Ubuntu: apt install python3-pip python3-venv"
  fi

  if [ "$missing" -ne 0 ]; then
    say "nothing was fetched; install what is missing and run it again" >&2
    exit 1
  fi
}

# pip_install FOLDER ARGUMENT...: installs wheels below FOLDER/wheels, which is on the cache's disk.
pip_install() {
  local folder="$1"
  shift
  python3 -m venv "$folder/venv"
  TMPDIR="$folder" "$folder/venv/bin/pip" install --disable-pip-version-check --no-cache-dir --no-compile \
    --only-binary=:all: --progress-bar=off --target "$folder/wheels" "$@"
}

# The CPU form keeps the headers and the six libraries that are used, 0.5 GB of 1.2.
fetch_cpu() {
  local folder="$1" library
  say "fetching libtorch $LIBTORCH_VERSION for CPU from PyPI (530 MB, once)"
  pip_install "$folder" --no-deps "torch==$LIBTORCH_VERSION" "$CUDA_RUNTIME" "$CUDA_PROFILER"
  say "unpacking"
  mkdir -p "$folder/libtorch/lib"
  mv "$folder/wheels/torch/include" "$folder/libtorch/include"
  for library in libtorch_cpu.so libc10.so libgomp.so.1 libcudart.so.13 libcupti.so.13; do
    find "$folder/wheels" -name "$library" -exec mv {} "$folder/libtorch/lib/" \; -quit
    if [ ! -e "$folder/libtorch/lib/$library" ]; then
      say "the wheels of torch $LIBTORCH_VERSION hold no $library; is PyPI's CUDA 13.0 build what pip installed?" >&2
      exit 1
    fi
  done
  ln -s libtorch_cpu.so "$folder/libtorch/lib/libtorch.so"
  ln -s libgomp.so.1 "$folder/libtorch/lib/libgomp.so"
}

# The CUDA form keeps the wheels as they are: their libraries find each other by relative paths.
fetch_cuda() {
  local folder="$1"
  say "fetching libtorch $LIBTORCH_VERSION with CUDA from PyPI (about 2.5 GB, once)"
  pip_install "$folder" "torch==$LIBTORCH_VERSION"
  mv "$folder/wheels" "$folder/libtorch"
  ln -s libgomp.so.1 "$folder/libtorch/torch/lib/libgomp.so"
}

# Sets `libtorch` to the folder with `include` and `lib`.
ensure_libtorch() {
  local home="$CACHE/libtorch-$LIBTORCH_VERSION-$TORCH" folder
  libtorch="$home"
  [ "$TORCH" = cuda ] && libtorch="$home/torch"
  [ -e "$libtorch/build-version" ] && return

  mkdir -p "$CACHE"
  exec 9>"$CACHE/lock"
  if ! flock --nonblock 9; then
    say "another set-up is at work in $CACHE; waiting for it"
    flock 9
  fi
  if [ ! -e "$libtorch/build-version" ]; then
    rm -rf "$CACHE"/unpack.* # left by a set-up that was killed; the lock says that none is at work
    folder=$(mktemp -d "$CACHE/unpack.XXXXXX")
    trap 'rm -rf "$folder"' EXIT
    "fetch_$TORCH" "$folder"
    printf '%s\n' "$LIBTORCH_VERSION" >"$folder/libtorch${libtorch#"$home"}/build-version"
    mv "$folder/libtorch" "$home"
    rm -rf "$folder"
    trap - EXIT
    say "libtorch $LIBTORCH_VERSION ($TORCH) is in $home ($(du -sh "$home" | cut -f1))"
  fi
  exec 9>&-
}

# `.cargo/config.toml` includes this file; its time changes only when its content does.
write_cargo_config() {
  local file=.cargo/local.toml draft
  draft=$(mktemp .cargo/local.toml.XXXXXX)
  cat >"$draft" <<TOML
# Written by scripts/setup.sh for this machine; not committed.
[env]
LIBTORCH = { value = "$libtorch", force = false }
TOML
  if cmp -s "$draft" "$file"; then
    rm "$draft"
  else
    chmod 644 "$draft"
    mv "$draft" "$file"
    say "wrote $file; plain cargo build, run and test work from here on"
  fi
}

check_prerequisites
ensure_libtorch
write_cargo_config
say "ready (libtorch $LIBTORCH_VERSION, $TORCH)"
