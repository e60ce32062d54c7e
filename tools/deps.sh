#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Finds liburing >= 2.9 and OpenSSL >= 3.5.2, which older systems do not have.
#
# Prints what to put into PKG_CONFIG_PATH: an empty line if the system's libraries are new
# enough.  Otherwise the libraries are built once, static, from Debian's source packages, in a
# cache folder outside the tree.  sources.sh gets these; each that does not arrive whole, or does
# not build, is followed by the next.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/common.sh
. "$here/common.sh"
# shellcheck source=tools/sources.sh
. "$here/sources.sh"

# A change to how the libraries are built needs a new number: the old ones stay for old trees.
recipe=1
# What indices, sources and objects take at most, for a message.
BUILD_MB=500

usage() {
    cat <<END
usage: tools/deps.sh [--refresh]

Prints the PKG_CONFIG_PATH under which liburing >= 2.9 and OpenSSL >= 3.5.2 are found: an
empty line if the system's are new enough.  Builds what is too old, once, in
\${SPATE_CACHE:-\${XDG_CACHE_HOME:-~/.cache}/spate} (here: $SPATE_CACHE).

  --refresh   look for newer versions than the cache has, and build these.  Ends with a line for
              each library, and fails if the mirror was not read, or did not deliver what it
              names; what the cache has stays usable

$(by_hand)

Progress goes to stderr: one line that is rewritten on a terminal, elsewhere a line every
\${SPATE_PROGRESS_SECONDS:-15} seconds.
END
}

# Prints what a person can do without a mirror.
by_hand() {
    cat <<END
Without a mirror: put source packages (openssl_3.5.*.dsc, liburing_2.9*.dsc and the files that
each names) or upstream archives (openssl-3.5.*.tar.gz, liburing-2.9*.tar.gz) into
$SPATE_CACHE/sources
What is there comes before what the mirror has; with --refresh, the newer one wins.
END
}

refresh=no
for arg; do
    case $arg in
        --refresh) refresh=yes ;;
        --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done

cached_in() {
    printf '%s/r%s-%s/%s' "$SPATE_CACHE" "$recipe" "$(uname -m)" "$1"
}

# Prints the version of library $1 that the cache has, or nothing.
cached_version() {
    sed -E 's/^[a-z]+[_-]//; s/\.(dsc|tar\.[a-z0-9]+)$//' "$(cached_in "$1")/built-from" \
        2>/dev/null || true
}

# Returns whether version $2 of library $1 is to be built: any, or a newer one than the cache has.
is_wanted() {
    local have
    have=$(cached_version "$1")
    [ -z "$have" ] || ! at_least "$have" "${2#*:}"
}

# Returns whether version $2 of library $1 is of the series that Debian 13 has: it stays there.
is_main_series() {
    [[ $2 =~ ^[0-9]+\.[0-9]+ ]] && [[ ${LEAST_VERSION[$1]}. = "${BASH_REMATCH[0]}".* ]]
}

# Unpacks the source $1 into folder $2; a source package gets Debian's patches with it.
unpack() {
    case $1 in
        *.dsc) dpkg-source -x "$1" "$2" ;;
        *) mkdir -p "$2" && tar -x -f "$1" -C "$2" --strip-components=1 ;;
    esac
}

# Both builders run in the unpacked source and install under $2, for use from $1.
build_openssl() {
    # TLS 1.3 and QUIC with X25519, P-256/384, RSA, Ed25519, ML-KEM, AES-GCM and ChaCha20 stay.
    ./config --prefix="$1" --libdir=lib --openssldir=/etc/ssl \
        no-shared no-tests no-docs no-apps no-module no-legacy no-engine no-comp \
        no-ssl3 no-tls1 no-tls1_1 no-dtls no-srp no-sctp no-srtp \
        no-aria no-bf no-camellia no-cast no-idea no-md2 no-md4 no-mdc2 no-rc2 no-rc4 no-rc5 \
        no-rmd160 no-seed no-siv no-sm2 no-sm3 no-sm4 no-whirlpool no-gost no-dsa no-ec2m \
        no-cmp no-cms no-ct no-ts no-rfc3779 no-ocb no-slh-dsa &&
        make -j"$(nproc)" build_libs &&
        make DESTDIR="$2" install_dev
}

build_liburing() {
    ./configure --prefix="$1" --libdir="$1/lib" --includedir="$1/include" &&
        make -j"$(nproc)" -C src ENABLE_SHARED=0 CFLAGS='-O2 -g -fPIC' &&
        make ENABLE_SHARED=0 DESTDIR="$2" install &&
        rm -rf "$2$1/man"
}

# Unpacks, builds and installs library $1 from source $2 below $4, for use from $3.
build_in_stage() {
    rm -rf "${work:?}/$1" "$4" &&
        unpack "$2" "$work/$1" &&
        cd "$work/$1" &&
        "build_$1" "$3" "$4" &&
        PKG_CONFIG_LIBDIR="$4$3/lib/pkgconfig" \
            pkg-config --print-errors --atleast-version="${LEAST_VERSION[$1]}" "$1" &&
        echo "${2##*/}" >"$4$3/built-from"
}

# Prints how many files of library $1 are compiled, and of how many if its makefile names them.
build_progress() {
    local built total
    built=$(find "$work/$1" -name '*.o' -o -name '*.ol' | wc -l)
    total=$(grep -c '^[^[:space:]:]*\.o:' "$work/$1/Makefile") || total=0
    if [ "$total" -gt 0 ]; then
        echo "$built of about $total files"
    elif [ "$built" -gt 0 ]; then
        echo "$built files"
    else
        echo 'unpacking and configuring'
    fi
}

# Prints why the last build failed, from the log.
build_reason() {
    local output
    output=$(tail -c "+$((log_mark + 1))" "$log")
    grep -m 1 -E '(^|[ :])error: |No space left' <<<"$output" ||
        grep -E 'Error [0-9]|[Cc]annot |not found' <<<"$output" | tail -n 1 | grep . ||
        tail -n 1 <<<"$output"
}

# Builds library $1 from source $2 and puts it into the cache in one step.  An interrupted build
# begins again: an object file that a killed compiler has left half-written looks finished.
build() {
    local name=$1 from=$2 prefix stage="$work/stage-$1"
    prefix=$(cached_in "$name")
    mark_log
    say "building ${from##*/} (once; log in $log)"
    broken[$from]=yes # until it is built
    if ! watched "$log" "building $(basename "$from" .dsc)" "build_progress $name" \
        build_in_stage "$name" "$from" "$prefix" "$stage"; then
        failed "${from##*/} does not build: $(build_reason)"
        return 1
    fi
    if ! { mkdir -p "${prefix%/*}" && rm -rf "$prefix" && mv "$stage$prefix" "$prefix"; }; then
        failed "${from##*/} cannot be put into $prefix"
        return 1
    fi
}

# Builds library $1 from what a person has put into the sources folder.
build_placed() {
    local name=$1 version path wrong
    while read -r version path; do
        mark_log
        if ! new_enough "$name" "$version"; then
            failed "$path is older than ${LEAST_VERSION[$name]}"
        elif ! is_wanted "$name" "$version"; then
            continue
        elif [[ $path = *.dsc ]] && ! wrong=$(check_placed "$path"); then
            failed "$path: $wrong"
        elif build "$name" "$path"; then
            return 0
        fi
    done < <(find "$sources" -maxdepth 1 \( -name "${name}_[0-9]*.dsc" -o \
        -name "$name-[0-9]*.tar.*" \) 2>/dev/null |
        sed -n -E 's/^(.*\/[a-z]+[_-]([^/]*)(\.dsc|\.tar\.[a-z0-9]+))$/\2 \1/p' | newest_first)
    return 1
}

# Builds library $1 from what an earlier run has downloaded.
build_downloaded() {
    local name=$1 version list
    while read -r version list; do
        mark_log
        if ! (cd "$downloads" && sha256sum --check --quiet "$list") >>"$log" 2>&1; then
            failed "$name $version in $downloads is damaged, and removed"
            (cd "$downloads" && sed 's/^[^ ]*  //' "$list" | xargs -d '\n' rm -f "$list")
        elif new_enough "$name" "$version" && is_wanted "$name" "$version" &&
            build "$name" "$downloads/${name}_${version#*:}.dsc"; then
            return 0
        fi
    done < <(find "$downloads" -maxdepth 1 -name "${name}_*.sha256" 2>/dev/null |
        sed -E 's/^(.*_([^_]*)\.sha256)$/\2 \1/' | newest_first)
    return 1
}

declare -A missed=() # the newest version of a library that the mirror names and that failed

# Builds library $1 from the first version of the mirrors that arrives whole and builds.
build_fetched() {
    local name=$1 version suite state group dsc have
    have=$(cached_version "$name")
    for group in "${!SUITE_GROUPS[@]}"; do
        [ -d "$work/apt/$group" ] || look_up "$work/apt/$group" "${SUITE_GROUPS[group]}"
        while read -r version suite state; do
            # A later Debian's gives way to Debian 13's, which has the fixes for longer.
            if ! is_wanted "$name" "$version" &&
                { [ "$group" -gt 0 ] || is_main_series "$name" "$have"; }; then
                return 0
            fi
            dsc=$downloads/${name}_${version#*:}.dsc
            [ -z "${broken[$dsc]:-}" ] || continue
            if ! fetch "$name" "$version" "$suite" "$state"; then
                failed "$name $version ($suite): $(apt_reason)"
            elif build "$name" "$dsc"; then
                keep_only "$name" "$downloads/${name}_$version.sha256"
                return 0
            fi
            : "${missed[$name]:=$version}"
        done < <(candidates "$name" "$work/apt/$group")
        # A failure of the mirror is no reason to leave Debian 13's.
        [ -z "$have" ] || ! is_main_series "$name" "$have" || return 1
    done
    [ -s "$work/mirrors" ] || failed "$name: no Debian mirror in apt's lists on this machine"
    return 1
}

# Returns whether a build fits into the cache folder; otherwise sets "no_room" to the message.
has_room() {
    local free_mb
    free_mb=$(df --output=avail -m "$SPATE_CACHE" | tail -n 1)
    no_room="only $((free_mb)) MB are free in $SPATE_CACHE: a build needs $BUILD_MB MB"
    [ "$free_mb" -ge "$BUILD_MB" ]
}

# build_from NAME WAY...: builds a library from the first source that there is, or dies with all
# that was tried.
build_from() {
    local name=$1 way
    shift
    tried=()
    for way; do
        if [ "$way" = fetched ] && ! is_debian; then
            failed "$name: there is no apt on this machine"
        elif "build_$way" "$name"; then
            return 0
        fi
    done
    say "cannot get $name >= ${LEAST_VERSION[$name]}.  Tried:"
    printf '  %s\n' "${tried[@]}" "${unread[@]}" >&2
    has_room || say "$no_room"
    by_hand >&2
    die "or try again later: a mirror that is being updated is whole again soon.  Log: $log"
}

# Prints why it is not known that the cache has Debian 13's newest version of library $1, or
# nothing.
refresh_trouble() {
    if [ ! -s "$work/mirrors" ]; then
        echo "no mirror was read: apt's lists on this machine name none of Debian"
    elif ! was_read trixie && ! was_read trixie-security; then
        echo 'no mirror was read'
    elif ! was_read trixie; then
        echo 'trixie was not read'
    elif grep -q '^security ' "$work/mirrors" && ! was_read trixie-security; then
        echo 'trixie-security was not read'
    elif [ -n "${missed[$1]:-}" ]; then
        echo "${missed[$1]} is named but not delivered, or does not build: run again later"
    fi
}

# Builds library $1 again if there is a newer version than the cache has, which is used otherwise.
# Reports what came of it; fails if a newer version may have been missed.
refresh() {
    local name=$1 was is trouble line
    was=$(cached_version "$name")
    if [ -z "$was" ]; then
        build_from "$name" fetched placed downloaded
    else
        # What the mirror has must be newer than what a person has put there.
        build_placed "$name" || true
        ! is_debian || build_fetched "$name" || true
    fi
    is=$(cached_version "$name")
    line="$name: unchanged, $is"
    [ "$was" = "$is" ] || line="$name: was ${was:-missing}, is now $is"
    trouble=$(refresh_trouble "$name")
    report "$line${trouble:+; $trouble}"
    [ -z "$trouble" ]
}

# Refreshes libraries $@, and fails if one of them may have a newer version.
refresh_all() {
    local name status=0
    [ "$#" -gt 0 ] || say "the system's libraries are used: the system's updates reach them"
    for name; do
        touch "$work/mirrors" # empty if there is no apt
        refresh "$name" || status=1
    done
    if [ "$#" -gt 0 ] && [ -s "$work/mirrors" ] && ! grep -q '^security ' "$work/mirrors"; then
        say "no security archive in apt's lists: trixie-security was not looked at"
    fi
    return "$status"
}

# What of the two the system does not have new enough.
too_old() {
    local name
    for name in liburing openssl; do
        system_has "$name" || echo "$name"
    done
}

# What of that is not in the cache.
still_missing() {
    local name
    for name in $(too_old); do
        [ -f "$(cached_in "$name")/built-from" ] || echo "$name"
    done
}

# Installs the system's own libraries where they are new enough.  If the mirror does not deliver
# them, they are built.
want_packages() {
    local packages
    # shellcheck disable=SC2046 # one word a package
    mapfile -t packages < <(missing_of $(offered_packages))
    if [ "${#packages[@]}" -eq 0 ]; then
        return 0
    elif [ "$(id -u)" -ne 0 ] && [ -z "$(still_missing)" ]; then
        say "${packages[*]} would be new enough, and get the system's updates; until root" \
            "installs them, what is in $SPATE_CACHE is used"
        return 0
    elif [ "$(id -u)" -ne 0 ]; then
        need_packages "${packages[@]}" # says what to do
    fi
    say "installing ${packages[*]}"
    install_packages "${packages[@]}" || say "cannot install ${packages[*]}: $APT_ERROR"
}

# Returns whether the system offers none of the packages.  That answer is kept for this release of
# Debian and these lists of apt: to ask takes longer than all else when the cache is full.
offers_nothing() {
    local kept="$SPATE_CACHE/not-offered" system
    is_debian && [ -n "$(too_old)" ] || return 0
    system=$({ cat /etc/debian_version; stat -c %Y /var/lib/apt/lists; } 2>&1) || true
    [ "$(cat "$kept" 2>/dev/null)" != "$system" ] || return 0
    [ -z "$(offered_packages)" ] || return 1
    { printf '%s\n' "$system" >"$kept"; } 2>/dev/null || true
}

print_result() {
    local name path=
    for name in $(too_old); do
        path=${path:+$path:}$(cached_in "$name")/lib/pkgconfig
    done
    echo "$path"
}

command -v pkg-config >/dev/null || need_packages pkgconf
if [ "$refresh" = no ] && [ -z "$(still_missing)" ] && offers_nothing; then
    print_result
    exit 0
fi

# From here on something must be installed or built: one at a time.
{ mkdir -p "$SPATE_CACHE" && : >>"$SPATE_CACHE/lock"; } 2>/dev/null ||
    die "cannot write to $SPATE_CACHE: set SPATE_CACHE to a folder of yours"
exec 9>>"$SPATE_CACHE/lock"
if ! flock --nonblock 9; then
    say "waiting for another run that builds in $SPATE_CACHE"
    flock 9
fi

# Ends the running step and removes what only this run needs.
finish() {
    stop_watched
    [ -z "${work:-}" ] || rm -rf "$work"
}
trap finish EXIT # which bash runs for SIGINT, SIGTERM and SIGHUP too

want_packages
names=$(if [ "$refresh" = yes ]; then too_old; else still_missing; fi)
status=0
if [ -n "$names" ]; then
    need_packages "${BUILD_PACKAGES[@]}"
    rm -rf "$SPATE_CACHE"/work.* # of a run that was killed; nobody else holds the lock
    has_room || die "$no_room"
    log="$SPATE_CACHE/build.log"
    : >"$log"
    mark_log
    work=$(mktemp -d "$SPATE_CACHE/work.XXXXXX")
fi
if [ "$refresh" = yes ]; then
    # shellcheck disable=SC2086 # one word a library
    refresh_all $names || status=1
else
    for name in $names; do
        build_from "$name" placed downloaded fetched
    done
fi
print_result
[ "$status" -eq 0 ]
