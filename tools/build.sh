#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Gets the dependencies and makes a release build: without tests, so that it needs little.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/common.sh
. "$here/common.sh"

usage() {
    cat <<'END'
usage: tools/build.sh [DIR [MESON-OPTION...]]

Makes a release build in DIR (default: build/ in the tree).  Further arguments go to
"meson setup", for example --prefix=/opt/spate; then "meson install -C DIR" installs it,
and "ldconfig" makes a library in /usr/local known to programs.
END
}

for arg; do
    [ "$arg" != --help ] || { usage; exit 0; }
done
case ${1:-} in
    -*) usage >&2; exit 2 ;;
esac
dir=${1:-$here/../build}
[ "$#" -eq 0 ] || shift
# Small functions in many files: the linker puts them together.  clang would need its own tools.
lto=true
[ "${CC:-}" != clang ] || lto=false
configure "$dir" --buildtype=release -Db_lto=$lto -Ddebug_checks=false -Dtests=disabled \
    -Dinterop=disabled -Dpeers=disabled -Dwerror=false "$@"
compile "$dir"

# The version and what is inside, as the program says it.
spate=$dir/tools/spate
[ -x "$spate" ] || die "the build in $dir made no tools/spate: OpenSSL or liburing was not found"
inside=$("$spate" caps | sed -n -E 's/^(OpenSSL|liburing): /\1 /p' | paste -s -d ';')
say "$("$spate" version) is built in $dir: ${inside/;/; }"
say "as root, to install it: meson install -C $dir && ldconfig"
