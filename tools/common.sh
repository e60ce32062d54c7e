# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the scripts in this folder share.  Source it; it does nothing by itself.

export LC_ALL=C.UTF-8 # the words of apt and pkg-config are read

SPATE_CACHE=${SPATE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/spate}

# What every build needs; perl and xz for what deps.sh may have to build.
BUILD_PACKAGES=(build-essential meson ninja-build pkgconf python3 perl xz-utils)

# The libraries that Debian 12 has too old: the least version, and the package that has it.
declare -A LEAST_VERSION=([liburing]=2.9 [openssl]=3.5.2)
declare -A DEV_PACKAGE=([liburing]=liburing-dev [openssl]=libssl-dev)

# Progress goes to stderr: the stdout of a script is its result.
say() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
    say "$*"
    exit 1
}

# shellcheck source=tools/progress.sh
. "$(dirname "${BASH_SOURCE[0]}")/progress.sh"

is_debian() {
    command -v apt-get >/dev/null && command -v dpkg-query >/dev/null
}

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Runs apt-get without questions, quietly unless it fails.
apt_get() {
    local log status=0
    log=$(mktemp)
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        APT_ERROR=$(grep -E '^[EW]: ' "$log" | head -n 1)
    fi
    rm -f "$log"
    return "$status"
}

# system_has liburing|openssl: it is installed and new enough.
system_has() {
    pkg-config --atleast-version="${LEAST_VERSION[$1]}" "$1" 2>/dev/null
}

# The packages that would make it so, where this system has them, as far as apt knows.
offered_packages() {
    local name candidate
    is_debian || return 0
    for name in "${!DEV_PACKAGE[@]}"; do
        ! system_has "$name" || continue
        candidate=$(apt-cache policy "${DEV_PACKAGE[$name]}" 2>/dev/null |
            sed -n 's/^ *Candidate: \([0-9].*\)/\1/p')
        if [ -n "$candidate" ] &&
            dpkg --compare-versions "$candidate" ge "${LEAST_VERSION[$name]}"; then
            echo "${DEV_PACKAGE[$name]}"
        fi
    done
}

# need_packages PACKAGE...: installs those that are missing, or says how and exits.
# Where there is no apt the build itself will say what it does not find.
need_packages() {
    local package missing=()
    is_debian || return 0
    for package in "$@"; do
        installed "$package" || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        die "missing packages; as root: apt-get install --no-install-recommends ${missing[*]}"
    fi
    say "installing ${missing[*]}"
    # First with the lists as they are: a fresh container has none, an old one has stale ones.
    apt_get install -y --no-install-recommends "${missing[@]}" ||
        { apt_get update && apt_get install -y --no-install-recommends "${missing[@]}"; } ||
        die "apt-get cannot install ${missing[*]}: ${APT_ERROR:-no reason given}"
}

# configure DIR OPTION...: makes DIR a meson build folder with these options and the
# dependencies that deps.sh finds.  Does nothing if it is one already.
configure() {
    local dir=$1 here deps wanted
    shift
    here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    # shellcheck disable=SC2046 # one word a package
    need_packages "${BUILD_PACKAGES[@]}" $(offered_packages)
    deps=$("$here/deps.sh") || exit 1
    wanted="CC=${CC:-} PKG_CONFIG_PATH=$deps:${PKG_CONFIG_PATH:-} $*"
    if [ -f "$dir/build.ninja" ] && [ "$(cat "$dir/.configured" 2>/dev/null)" = "$wanted" ]; then
        return 0
    fi
    [ ! -f "$dir/build.ninja" ] || set -- --wipe "$@"
    PKG_CONFIG_PATH=$deps${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH} \
        meson setup "$@" "$dir" "$here/.." >&2 || die "meson cannot set up $dir"
    printf '%s\n' "$wanted" >"$dir/.configured"
}

# compile DIR [TARGET...]: builds everything in it, or only these; the compiler's words go to
# stderr.
compile() {
    ninja -j "$(nproc)" -C "$@" >&2 || die "the build in $1 fails"
}
