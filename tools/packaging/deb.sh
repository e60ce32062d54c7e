#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Builds the Debian packages from this tree, in a folder of its own.
set -euo pipefail
tools=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tools/common.sh
. "$tools/common.sh"

usage() {
    cat <<'END'
usage: tools/packaging/deb.sh DIR

Builds libspate0, libspate-dev and spate-tools, and puts them into DIR, which is made.  Then
"apt install DIR/*.deb" installs them.  Where the system's OpenSSL or liburing is too old, the
ones of tools/deps.sh go into the library, and no update of the system changes them.
END
}

case ${1:-} in
    --help) usage; exit 0 ;;
    '' | -*) usage >&2; exit 2 ;;
esac
[ "$#" -eq 1 ] || { usage >&2; exit 2; }
need_packages "${BUILD_PACKAGES[@]}" debhelper dpkg-dev fakeroot libnghttp3-dev
mkdir -p "$1"
dir=$(cd "$1" && pwd)
work=$(mktemp -d "$dir/build.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Without build folders and history; what is not committed yet comes along.
source=$work/spate
mkdir "$source"
tar -C "$tools/.." --exclude='./build*' --exclude=./.git --exclude='*.pyc' -c . |
    tar -C "$source" -x
cp -r "$source/tools/packaging/debian" "$source/debian"

PKG_CONFIG_PATH=$("$tools/deps.sh") # installs the system's where they are new enough
export PKG_CONFIG_PATH
options=(-b -us -uc)
# The recipe names packages that this system has too old.
[ -z "$PKG_CONFIG_PATH" ] || options+=(-d)
(cd "$source" && dpkg-buildpackage "${options[@]}") >"$dir/build.log" 2>&1 ||
    die "dpkg-buildpackage has failed: see $dir/build.log"
mv "$work"/*.deb "$work"/*.buildinfo "$work"/*.changes "$dir"
say "$(find "$dir" -maxdepth 1 -name '*.deb' | wc -l) packages are in $dir"
