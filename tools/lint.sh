#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Looks at the library with gcc -fanalyzer, clang-tidy and cppcheck.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/common.sh
. "$here/common.sh"

usage() {
    cat <<'END'
usage: tools/lint.sh [--dir DIR] [gcc|clang-tidy|cppcheck]...

Runs these checkers (all three) over proto/, engine/, uring/ and crypto/.  Builds in DIR, or in
build-lint/.  Prints one line for each finding that tools/lint_exceptions.txt does not explain; the
exit status is then 1.  .clang-tidy has the checks of clang-tidy.
END
}

build=$here/../build-lint
checkers=()
while [ "$#" -gt 0 ]; do
    case $1 in
        --dir) [ "$#" -ge 2 ] || { usage >&2; exit 2; }; build=$2; shift ;;
        --help) usage; exit 0 ;;
        gcc | clang-tidy | cppcheck) checkers+=("$1") ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
[ "${#checkers[@]}" -gt 0 ] || checkers=(gcc clang-tidy cppcheck)

need_packages gcc clang-tidy cppcheck
CC=gcc
export CC
configure "$build" --buildtype=debugoptimized -Dwerror=false -Dtests=disabled -Dinterop=disabled \
    -Dc_args=-fanalyzer
build=$(cd "$build" && pwd)
cd "$here/.."

library_sources() {
    find proto engine uring crypto -name '*.c' | sort
}

# Objects that are there already would not be compiled, and nothing said about them.
run_gcc() {
    local targets
    mapfile -t targets < <(ninja -C "$build" -t targets all |
        sed -n -E 's/^((proto|engine|uring|crypto)\/lib[^:]*\.a): .*/\1/p')
    ninja -C "$build" -t clean >/dev/null
    ninja -j "$(nproc)" -C "$build" "${targets[@]}" 2>&1
}

# Some of our warnings are gcc's alone.
run_clang_tidy() {
    library_sources | xargs -P "$(nproc)" -n 8 "${CLANG_TIDY:-clang-tidy}" -p "$build" --quiet \
        --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-ignored-optimization-argument \
        --extra-arg=-Wno-unused-command-line-argument 2>&1
}

run_cppcheck() {
    cppcheck --quiet -j "$(nproc)" --std=c11 --enable=warning,portability,performance \
        --inline-suppr -I. -Iengine/include -D_GNU_SOURCE -DSC_WITH_FUSED=1 \
        --template='{file}:{line}:{column}: {severity}: {message} [{id}]' \
        proto engine uring crypto 2>&1
}

found=0
for checker in "${checkers[@]}"; do
    log=$build/$checker.log
    SECONDS=0
    # How it ends says less than what it prints.
    "run_${checker/-/_}" >"$log" || true
    [ -s "$log" ] || [ "$checker" = cppcheck ] || die "$checker has not run: see $log"
    python3 "$here/lint_findings.py" "$here/lint_exceptions.txt" <"$log" >"$log.findings"
    sed "s/\$/ ($checker)/" "$log.findings"
    count=$(wc -l <"$log.findings")
    echo "$checker: $count findings in $SECONDS s"
    found=$((found + count))
done
[ "$found" -eq 0 ]
