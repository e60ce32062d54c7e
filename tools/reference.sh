#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Makes the HTML reference of the public headers, with doxygen.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/common.sh
. "$here/common.sh"

usage() {
    cat <<'END'
usage: tools/reference.sh DIR

Writes the reference of the public headers into DIR, which is made: open DIR/index.html.  A
warning of doxygen is a failure.
END
}

case ${1:-} in
    --help) usage; exit 0 ;;
    '' | -*) usage >&2; exit 2 ;;
esac
[ "$#" -eq 1 ] || { usage >&2; exit 2; }
need_packages doxygen python3
command -v doxygen >/dev/null || die 'there is no doxygen'
mkdir -p "$1"
SPATE_OUT=$(cd "$1" && pwd)
cd "$here/.."
SPATE_VERSION=$(sed -n "s/^ *version: '\(.*\)',/\1/p" meson.build)
export SPATE_OUT SPATE_VERSION PYTHONDONTWRITEBYTECODE=1
cat >"$SPATE_OUT/README.md" <<'END'
# The reference of libspate

Every function says what it takes, in which units, who owns what afterwards, every error with its
cause, and the threads that may call it. Begin with spate_engine_create() and engine.h; the
[files](files.html) are the parts of the library.
END
doxygen tools/man/Doxyfile || die 'doxygen has warned: see above'
rm "$SPATE_OUT/README.md"
say "open $SPATE_OUT/index.html"
