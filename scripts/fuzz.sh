#!/usr/bin/env bash
# Runs the fuzz targets: scripts/fuzz.sh SECONDS [TARGET]
#
# Each target runs for SECONDS, two at a time, starting from its committed seeds in fuzz/seeds. What a target finds
# interesting is kept beside the build; what breaks it is written to fuzz/findings, and the script fails.
# Coverage guides libFuzzer: the flags below are LLVM's, stable Rust takes them, no sanitizer is involved.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${1:?usage: scripts/fuzz.sh SECONDS [TARGET]}"
target="${2:-}"
names=(wire session run_file table checkpoint weights)
if [[ -n "$target" ]]; then
    [[ " ${names[*]} " == *" $target "* ]] || { echo "fuzz: there is no target $target; there are: ${names[*]}" >&2; exit 64; }
    names=("$target")
fi

built="${CARGO_TARGET_DIR:-$PWD/target}/fuzz"
host="$(rustc -vV | sed -n 's/^host: //p')"
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
coverage+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
# With --target the flags reach neither build scripts nor macros.
RUSTFLAGS="$coverage" cargo build --locked --release --manifest-path fuzz/Cargo.toml \
    --target "$host" --target-dir "$built"

run() {
    local name="$1" corpus="$built/corpus/$1" log="$built/$1.log" limits=(-max_len=4096)
    case "$name" in
        run_file) limits=(-max_len=4096 -only_ascii=1 -dict=fuzz/run_file.dict) ;;
        session) limits=(-max_len=512) ;;
    esac
    mkdir -p "$corpus" fuzz/findings
    if ! "$built/$host/release/$name" "${limits[@]}" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="fuzz/findings/$name-" "$corpus" "fuzz/seeds/$name" >"$log" 2>&1; then
        tail -n 40 "$log"
        echo "fuzz: $name FAILED; the input is in fuzz/findings, the whole log is $log"
        return 1
    fi
    local executions coverage
    executions="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
    coverage="$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)"
    echo "fuzz: $name: $executions executions in $seconds s, $coverage edges covered, nothing found"
}

failed=0 pids=()
for name in "${names[@]}"; do
    if ((${#pids[@]} == 2)); then
        wait "${pids[0]}" || failed=1
        pids=("${pids[1]}")
    fi
    run "$name" &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
exit "$failed"
