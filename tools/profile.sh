#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Runs a scenario of spate-bench under perf, and makes pictures and tables of where its time goes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/common.sh
. "$here/common.sh"

usage() {
    cat <<'END'
usage: tools/profile.sh [--bench FILE] [--dir FOLDER] SCENARIO [OPTION...]

Runs "spate-bench SCENARIO OPTION..." and writes to FOLDER (profile/ where it is called):

  client.svg, server.svg   flame graphs of the CPU time, for a browser
  stages.md                the table of stages, as in bench/README.md
  waits.md                 the time off the CPU of each thread, of the scheduler's own count
  client.folded, server.folded, bench.txt   what they are made of

It needs perf and the symbols of the program; FILE is build/bench/load/spate-bench otherwise.
END
}

bench=$here/../build/bench/load/spate-bench
dir=profile
while [ "$#" -gt 0 ]; do
    case $1 in
        --bench | --dir) [ "$#" -ge 2 ] || { usage >&2; exit 2; } ;;&
        --bench) bench=$2; shift 2 ;;
        --dir) dir=$2; shift 2 ;;
        --help) usage; exit 0 ;;
        *) break ;;
    esac
done
case ${1:-} in
    '' | -*) usage >&2; exit 2 ;;
esac
[ -x "$bench" ] || die "there is no $bench: tools/build.sh makes it"
command -v perf >/dev/null || die "there is no perf: apt-get install linux-perf"
mkdir -p "$dir"

# cpu-clock: a machine that is virtual may have no counters.  A prime rate meets no period.
perf record -q -o "$dir/perf.data" -e cpu-clock -F 4999 -g -- "$bench" "$@" >"$dir/bench.txt" &
recorder=$!
# The scheduler counts what each thread has run and waited; the last look before the end counts.
python3 "$here/profile.py" watch "$recorder" "$dir/waits.md"
wait "$recorder" || die "perf cannot record: see kernel.perf_event_paranoid"
perf script -i "$dir/perf.data" -F comm,pid,ip,sym 2>/dev/null |
    python3 "$here/profile.py" draw "$dir"
rm -f "$dir/perf.data"
cat "$dir/stages.md" "$dir/waits.md"
