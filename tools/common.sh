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

# A list of folders and a command line would cut the path at these characters.
[[ $SPATE_CACHE = /* ]] || SPATE_CACHE=$PWD/$SPATE_CACHE
[[ $SPATE_CACHE != *[[:space:]:]* ]] ||
    die "SPATE_CACHE must name a folder without white space and ':', not '$SPATE_CACHE'"

# shellcheck source=tools/progress.sh
. "$(dirname "${BASH_SOURCE[0]}")/progress.sh"

is_debian() {
    command -v apt-get >/dev/null && command -v dpkg-query >/dev/null
}

# Prints what apt-get has done last, from its log.
apt_progress() {
    tail -n 1 "$APT_LOG" | cut -c 1-60
}

# quietly COMMAND...: runs apt-get or dpkg without questions.  The output is in $APT_LOG until the
# next call; APT_ERROR is the first error.
quietly() {
    local status=0
    APT_ERROR=
    : >"$APT_LOG"
    progress_begin "$1" apt_progress
    # A server that a package starts must keep neither the lock of deps.sh nor the progress open.
    DEBIAN_FRONTEND=noninteractive "$@" >"$APT_LOG" 2>&1 </dev/null 9>&- {progress_pipe}>&- ||
        status=$?
    progress_end
    if [ "$status" -ne 0 ]; then
        APT_ERROR=$(grep -m 1 '^E: ' "$APT_LOG" || grep -m 1 -A 1 '^dpkg: error' "$APT_LOG" |
            paste -s -d ' ' | grep . || tail -n 1 "$APT_LOG")
    fi
    return "$status"
}

# Runs apt-get, quietly.
apt_get() {
    quietly apt-get -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 "$@"
}

# system_has liburing|openssl: it is installed and new enough.
system_has() {
    pkg-config --atleast-version="${LEAST_VERSION[$1]}" "$1" 2>/dev/null
}

# The packages that would make it so, where this system has them, as far as apt knows.
offered_packages() {
    local name candidates candidate
    is_debian || return 0
    candidates=$(apt-cache policy "${DEV_PACKAGE[@]}" 2>/dev/null |
        sed -n -E '/^[^ ]/h; /^ *Candidate: [0-9]/ { G; s/^ *Candidate: (.*)\n(.*):$/\2 \1/p }')
    for name in "${!DEV_PACKAGE[@]}"; do
        ! system_has "$name" || continue
        candidate=$(sed -n "s/^${DEV_PACKAGE[$name]} //p" <<<"$candidates")
        if [ -n "$candidate" ] &&
            dpkg --compare-versions "$candidate" ge "${LEAST_VERSION[$name]}"; then
            echo "${DEV_PACKAGE[$name]}"
        fi
    done
}

# Prints "PACKAGE VERSION" for each file that the last apt-get found to be absent or wrong on the
# mirror.  A mirror that cannot be reached at all is another matter.
unfetched_packages() {
    grep -E '40[34] |Hash Sum|unexpected size|File not found' "$APT_LOG" | sed -n -E \
        's/^E: Failed to fetch [^ ]*\/([^_\/ ]+)_([^_\/ ]+)_[^_\/ ]+\.deb .*/\1 \2/p' |
        sed -e 's/%7[eE]/~/g' -e 's/%2[bB]/+/g' -e 's/%3[aA]/:/g' | sort -u
}

# Prints the source package of version $2, which may lack its epoch, of package $1.
source_of() {
    apt-cache show "$1" 2>/dev/null | awk -v package="$1" -v version="$2" '
        function tail_of(text) { return substr(text, length(text) - length(version) + 1) }
        /^Source: / { source = $2 }
        /^Version: / { found = tail_of($2) == version }
        /^$/ { if (found) exit; source = "" }
        END { print source == "" ? package : source }'
}

# apt_install PACKAGE-OR-OPTION...: runs apt-get install, and once more after it has finished what
# an interrupted run of dpkg has left: apt does nothing else before that.
apt_install() {
    local install=(install -y --no-install-recommends) options
    ! apt_get "${install[@]}" "$@" || return 0
    [[ $APT_ERROR =~ 'dpkg was interrupted'|'Unmet dependencies' ]] || return 1
    say "finishing what an interrupted dpkg has left"
    # With the options that apt gives to dpkg on this machine.  What depends on a package that is
    # not here yet stays unconfigured: that is apt's part.
    mapfile -t options < <(apt-config dump DPkg::Options |
        sed -n 's/^[^ ]*:: "\(.*\)";$/\1/p')
    quietly dpkg "${options[@]}" --configure -a || true
    apt_get "${install[@]}" --fix-broken || say "apt-get --fix-broken install: $APT_ERROR"
    apt_get "${install[@]}" "$@"
}

# install_packages PACKAGE...: installs them, or returns with APT_ERROR set.  The lists of the
# machine may be missing or old, and a mirror that is being updated may name files that it does
# not hold.  Such a version of a source package is excluded for this call, so that apt takes
# the next one that the lists name, for all packages that are built from it.
install_packages() {
    local pins machine_pins package version round first_error=
    APT_LOG=$(mktemp)
    ! apt_install "$@" || { rm -f "$APT_LOG"; return 0; }
    # A broken repository of another vendor must not stop the others.
    apt_get update || say "apt-get update: $APT_ERROR"
    pins=$(mktemp)
    machine_pins=$(apt-config shell file Dir::Etc::preferences/f)
    machine_pins=${machine_pins#*\'}
    cat "${machine_pins%\'*}" >"$pins" 2>/dev/null || true
    for round in 1 2 3 4 5 6; do
        if apt_install -o "Dir::Etc::preferences=$pins" "$@"; then
            rm -f "$pins" "$APT_LOG"
            return 0
        fi
        first_error=${first_error:-$APT_ERROR}
        [ -n "$(unfetched_packages)" ] || break
        while read -r package version; do
            say "the mirror does not deliver $package $version: trying another version ($round)"
            printf '\nPackage: src:%s\nPin: version *%s\nPin-Priority: -1\n' \
                "$(source_of "$package" "$version")" "$version"
        done < <(unfetched_packages) >>"$pins"
    done
    rm -f "$pins" "$APT_LOG"
    APT_ERROR=$first_error
    return 1
}

# Prints those of the packages $@ that are not installed.
missing_of() {
    local package installed
    # One line per architecture; nothing for a package that dpkg has never met.
    installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null) || true
    for package in "$@"; do
        grep -qxF "$package installed" <<<"$installed" || printf '%s\n' "$package"
    done
}

# need_packages PACKAGE...: installs those that are missing, or says how and exits.
# Where there is no apt the build itself will say what it does not find.
need_packages() {
    local missing hint=
    is_debian || return 0
    mapfile -t missing < <(missing_of "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        # shellcheck disable=SC2046 # one word a package
        mapfile -t missing < <(missing_of "$@" $(offered_packages) | awk '!seen[$0]++')
        die "missing packages; as root: apt-get update &&" \
            "apt-get install --no-install-recommends ${missing[*]}"
    fi
    say "installing ${missing[*]}"
    ! install_packages "${missing[@]}" || return 0
    [[ $APT_ERROR != *fetch* ]] || hint="; if the mirror is being updated, try again later, or \
with another mirror in /etc/apt/sources.list or /etc/apt/sources.list.d"
    die "apt-get cannot install ${missing[*]}: $APT_ERROR$hint"
}

# make_room DIR: empties build folder DIR if configure() has set it up.  "meson setup --wipe" would
# use the options of the first setup again.  What fuzz.sh has found stays.
make_room() {
    if [ -f "$1/.configured" ]; then
        find "$1/" -mindepth 1 -maxdepth 1 ! -name corpus ! -name findings ! -name .configured \
            -exec rm -rf {} +
    elif [ -d "$1" ] && [ -n "$(ls -A "$1")" ]; then
        die "$1 is not empty, and not a build folder of these scripts: name another one," \
            "or remove it"
    fi
}

# configure DIR OPTION...: makes DIR a meson build folder with these options and the
# dependencies that deps.sh finds.  Does nothing if it is one already.
configure() {
    local dir=$1 here deps wanted
    shift
    here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    need_packages "${BUILD_PACKAGES[@]}"
    deps=$("$here/deps.sh") || exit 1
    wanted="CC=${CC:-} PKG_CONFIG_PATH=$deps:${PKG_CONFIG_PATH:-} $*"
    if [ -f "$dir/build.ninja" ] && [ "$(cat "$dir/.configured" 2>/dev/null)" = "$wanted" ]; then
        return 0
    fi
    make_room "$dir"
    mkdir -p "$dir"
    echo 'being set up' >"$dir/.configured"
    PKG_CONFIG_PATH=$deps${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH} \
        meson setup "$@" "$dir" "$here/.." >&2 || die "meson cannot set up $dir"
    printf '%s\n' "$wanted" >"$dir/.configured"
}

# compile DIR [TARGET...]: builds everything in it, or only these; the compiler's words go to
# stderr.
compile() {
    ninja -j "$(nproc)" -C "$@" >&2 || die "the build in $1 fails"
}
