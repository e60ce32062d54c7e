#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# From a clean clone to a table of numbers: a real server and the load generator, two processes
# that exchange encrypted data over io_uring sockets on loopback.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/common.sh
. "$here/common.sh"

usage() {
    cat <<'END'
usage: tools/demo.sh [--seconds S] [--keep DIR] [--dir BUILD-DIR]

Gets what is missing (with apt-get as root; otherwise says what to install), makes a release
build in BUILD-DIR (default: build/), runs the load generator's scenarios, each for S seconds
(default: 5), and prints a table; then requests with different ways to wait, each for
at most 2 seconds, and a second table.  --keep leaves the JSON files in DIR.
END
}

seconds=5
keep=
build=$here/../build
while [ "$#" -gt 0 ]; do
    case $1 in
        --help) usage; exit 0 ;;
        --seconds | --keep | --dir) [ "$#" -ge 2 ] || { usage >&2; exit 2; } ;;&
        --seconds) seconds=$2 ;;
        --keep) keep=$2 ;;
        --dir) build=$2 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift 2
done
# As spate-bench does, but before the build.
if ! [[ $seconds =~ ^([0-9]+\.?[0-9]*|\.[0-9]+)$ ]] ||
    ! awk -v s="$seconds" 'BEGIN { exit !(s >= 0.01 && s <= 86400) }'; then
    die "--seconds must be a number from 0.01 to 86400, not '$seconds'"
fi

"$here/build.sh" "$build"
bench=$build/bench/load/spate-bench
[ -x "$bench" ] || die "the build has made no $bench"

results=${keep:-$(mktemp -d)}
[ -n "$keep" ] || trap 'rm -rf "$results"' EXIT
mkdir -p "$results"

# run NAME SECONDS ARGUMENT...: one scenario, its result into NAME.json, all its words into
# NAME.log.
run() {
    local name=$1 seconds=$2
    shift 2
    say "spate-bench $*"
    "$bench" "$@" --seconds "$seconds" --json "$results/$name.json" >"$results/$name.log" 2>&1 ||
        { cat "$results/$name.log" >&2; die "spate-bench $1 fails"; }
}

run bulk-down "$seconds" bulk --direction down
run bulk-up "$seconds" bulk --direction up
run rr-1 "$seconds" rr --inflight 1
run rr-100 "$seconds" rr --inflight 100
run handshake "$seconds" handshake

# In turns, so that a machine that becomes slower does so for all.
short=$(awk -v s="$seconds" 'BEGIN { print s < 2 ? s : 2 }')
for load in 1:64 10:1024 100:1024; do
    for wait in adaptive: sleep:'--spin 0' spin:--busy-poll; do
        # shellcheck disable=SC2086 # one word an option
        run "wait-${wait%%:*}-${load%:*}" "$short" rr --inflight "${load%:*}" \
            --response "${load#*:}" ${wait#*:}
    done
done
python3 "$here/demo_table.py" "$results"
