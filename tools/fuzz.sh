#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Builds all fuzz targets with clang, libFuzzer, ASan and UBSan, and runs each for a while.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/common.sh
. "$here/common.sh"

usage() {
    cat <<'END'
usage: tools/fuzz.sh [--dir DIR] SECONDS [TARGET...]

Runs each target of test/fuzz/meson.build (or those that are named: frame, header, ...) for
SECONDS.  Builds in DIR, or in build-fuzz/.  New inputs are kept in DIR/corpus/TARGET/ and used
again the next time.  An input that fails is written to DIR/findings/; the exit status is then
1, and the last line for that target says how to run it again.
END
}

build=$here/../build-fuzz
case ${1-} in
    --dir) [ $# -ge 2 ] || { usage >&2; exit 2; }; build=$2; shift 2 ;;
esac
case ${1-} in
    --help) usage; exit 0 ;;
    '' | *[!0-9]*) usage >&2; exit 2 ;;
esac
seconds=$1
shift

need_packages clang llvm libclang-rt-dev libcmocka-dev
CC=clang
export CC
configure "$build" -Dfuzz=true -Dsanitize=address,undefined -Db_lundef=false \
    -Dinterop=disabled -Dtests=enabled
build=$(cd "$build" && pwd)
compile "$build" fuzzers

if [ $# -eq 0 ]; then
    for program in "$build"/test/fuzz/fuzz_*; do
        [ -f "$program" ] && [ -x "$program" ] && set -- "$@" "${program##*/fuzz_}"
    done
fi
mkdir -p "$build/findings"
failed=0
for target; do
    program=$build/test/fuzz/fuzz_$target
    [ -x "$program" ] || die "no such target: $target"
    mkdir -p "$build/corpus/$target"
    log=$build/findings/$target.log
    if "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 \
        -print_final_stats=1 -artifact_prefix="$build/findings/$target-" \
        "$build/corpus/$target" "$here/../test/fuzz/corpus/$target" >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        echo "$target: $runs runs in $seconds s, nothing found"
    else
        failed=1
        tail -n 40 "$log"
        finding=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        echo "$target: FAILED; again with: $program ${finding:-(see $log)}"
    fi
done
exit "$failed"
