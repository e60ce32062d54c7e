#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Sets everything up, makes a checked build and runs all tests.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/common.sh
. "$here/common.sh"

usage() {
    cat <<'END'
usage: tools/test.sh [OPTION...] [TEST...]

Gets what is missing (with apt-get as root; otherwise says what to install), builds with all
checks and runs the tests, or only those that are named.  Ends with "N passed, N failed".

  --suite NAME       only this suite (may be given more than once); --list shows them
  --sanitize LIST    build with -fsanitize=LIST, for example address,undefined or thread
  --clang            build with clang
  --fuzz SECONDS     run tools/fuzz.sh SECONDS instead of the tests
  --no-skip          a skipped test is a failure
  --repeat N         run each test N times
  --list             show the tests and run none
  --dir DIR          build there; otherwise in build-test/, build-test-clang/ and so on
  --help             this text
END
}

suffix=
sanitize=
fuzz=0
list=no
dir=
options=()
test_args=()
report_args=()
reports=
while [ "$#" -gt 0 ]; do
    case $1 in
        --suite | --sanitize | --fuzz | --repeat | --dir)
            [ "$#" -ge 2 ] || { usage >&2; exit 2; }
            ;;&
        --suite) test_args+=(--suite "$2"); shift ;;
        --sanitize) sanitize=$2; shift ;;
        --clang) CC=clang ;;
        --fuzz) fuzz=$2; shift ;;
        --no-skip) report_args+=(--no-skip) ;;
        --repeat) test_args+=(--repeat "$2"); shift ;;
        --list) list=yes ;;
        --dir) dir=$2; shift ;;
        --help) usage; exit 0 ;;
        -*) usage >&2; exit 2 ;;
        *) test_args+=("$1") ;;
    esac
    shift
done
case $fuzz in
    *[!0-9]*) usage >&2; exit 2 ;;
    0) ;;
    *) exec "$here/fuzz.sh" ${dir:+--dir "$dir"} "$fuzz" ;;
esac

need_packages "${BUILD_PACKAGES[@]}" libcmocka-dev openssl iproute2 apt-utils gpg gpg-agent \
    libngtcp2-dev libngtcp2-crypto-gnutls-dev libgnutls28-dev tshark clang-format-19 \
    libuv1-dev libevent-dev libglib2.0-dev nftables libnghttp3-dev ngtcp2-client
if [ "${CC:-}" = clang ]; then
    need_packages clang llvm libclang-rt-dev
    export CC
    suffix=-clang
fi
if [ -n "$sanitize" ]; then
    # The runtime is in the program: a shared library cannot be linked without open ends.
    options+=("-Dsanitize=$sanitize" -Db_lundef=false)
    suffix+=-${sanitize//,/-}
    # They are several times slower.
    test_args+=(--timeout-multiplier 6)
else
    test_args+=(--timeout-multiplier 3) # for a slow or busy machine
fi
[ -n "$dir" ] || dir=$here/../build-test$suffix

configure "$dir" --buildtype=debugoptimized -Ddebug_checks=true -Dwerror=true \
    -Dtests=enabled -Dinterop=enabled -Dexamples=enabled -Dhttp3=enabled "${options[@]}"
compile "$dir"
if [ -n "$sanitize" ]; then
    # A report in a process whose test looks at neither its status nor its output counts as well.
    reports=$(cd "$dir" && pwd)/sanitizer-report
    export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1:log_path=$reports}
    export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=1:log_path=$reports}
    unseen=$here/../test/support/tsan.txt
    export TSAN_OPTIONS=${TSAN_OPTIONS:-log_path=$reports:suppressions=$unseen}
    report_args+=(--sanitizer-reports "$reports")
fi

if [ "$list" = yes ]; then
    exec meson test -C "$dir" --no-rebuild --list
fi
rm -f "$dir/meson-logs/testlog.json" ${reports:+"$reports".*}
meson test -C "$dir" --no-rebuild --num-processes "$(nproc)" "${test_args[@]}" >&2 || true
exec python3 "$here/test_report.py" "${report_args[@]}" "$dir/meson-logs/testlog.json"
