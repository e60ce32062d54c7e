#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Formats all C of the tree as .clang-format says, or checks that it is.  Two versions of
# clang-format do not agree about everything: Debian 12 and 13 both have this one.
set -euo pipefail
cd "$(dirname "$0")/.."

program=${CLANG_FORMAT:-clang-format-19}
case ${1:-} in
    '') options=(-i) ;;
    --check) options=(--dry-run --Werror) ;;
    --help) echo "usage: tools/format.sh [--check]"; exit 0 ;;
    *) echo "usage: tools/format.sh [--check]" >&2; exit 2 ;;
esac
command -v "$program" >/dev/null || {
    echo "format.sh: there is no $program: apt-get install clang-format-19" >&2
    exit 1
}
find . -path './build*' -prune -o -path ./.git -prune -o \
    \( -name '*.[ch]' -o -name '*.cc' \) -print0 |
    xargs -0 "$program" "${options[@]}"
