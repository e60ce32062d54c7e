#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Finds liburing >= 2.9 and OpenSSL >= 3.5.2, which older systems do not have.
#
# Prints what to put into PKG_CONFIG_PATH: an empty line if the system's libraries are new
# enough.  Otherwise the libraries are built once, static, from Debian 13's source packages,
# in a cache folder outside the tree.  The packages come through the machine's own apt
# configuration (mirror, proxy, keys), but with a source list and a state of our own, so that
# nothing of the machine's apt changes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/common.sh
. "$here/common.sh"

# A change to how the libraries are built needs a new number: the old ones stay for old trees.
recipe=1

usage() {
    cat <<END
usage: tools/deps.sh [--refresh]

Prints the PKG_CONFIG_PATH under which liburing >= 2.9 and OpenSSL >= 3.5.2 are found: an
empty line if the system's are new enough.  Builds what is too old, once, in
\${SPATE_CACHE:-\${XDG_CACHE_HOME:-~/.cache}/spate} (here: $SPATE_CACHE).

  --refresh   build again, from the newest source packages of Debian 13

Without a network: put the source packages (openssl_3.5.*.dsc, liburing_2.*.dsc and the files
that they name) or the upstream archives (openssl-3.5.*.tar.gz, liburing-2.*.tar.gz) into
$SPATE_CACHE/sources
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

# Prints the name of the best source in folder $2 for library $1: a .dsc, else an archive.
source_of() {
    find "$2" -maxdepth 1 -name "$1_*.dsc" 2>/dev/null | sort -V | tail -n 1 | grep . ||
        find "$2" -maxdepth 1 -name "$1-[0-9]*.tar.*" ! -name '*.asc' 2>/dev/null |
        sort -V | tail -n 1 | grep .
}

# Prints a source list for Debian 13 that uses the machine's own mirrors, as apt understands
# its own configuration (both forms of the list, any number of files).  With $1 = stable
# without the security updates.
source_list() {
    local release uri entry key suites
    # shellcheck disable=SC2016 # these are apt's variables
    apt-get indextargets --no-release-info \
        --format '$(RELEASE) $(REPO_URI) $(SOURCESENTRY)' 'Created-By: Packages' 2>/dev/null |
        sort -u | while read -r release uri entry; do
        case $1,$release,$uri in
            all,*-security,*/debian-security/) suites=trixie-security ;;
            *,*-*,*) continue ;;
            *,*/debian/) suites='trixie trixie-updates' ;;
            *) continue ;;
        esac
        key=$(sed -n -E 's/.*[Ss]igned-[Bb]y[:=] *(\/[^] ,]*).*/\1/p' "${entry%:*}" | head -n 1)
        [ -n "$key" ] || key=/usr/share/keyrings/debian-archive-keyring.gpg
        printf 'Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$suites"
        [ ! -f "$key" ] || printf 'Signed-By: %s\n' "$key"
        echo
    done
}

# Downloads the source packages $2... into folder $1.  A mirror may list a security update that
# it does not hold (any more): then the stable release's own version has to do.
download() {
    local into=$1 apt="$work/apt" options suites
    shift
    options=(-qq
        -o "Dir::Etc::sourcelist=$apt/debian13.sources" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
        -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache"
        -o APT::Update::Error-Mode=any -o "APT::Sandbox::User=$(id -un)")
    for suites in all stable; do
        rm -rf "$apt" "$into"
        mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$into"
        source_list "$suites" >"$apt/debian13.sources"
        if [ -s "$apt/debian13.sources" ] &&
            apt-get "${options[@]}" update >>"$log" 2>&1 &&
            (cd "$into" && apt-get "${options[@]}" source --download-only "$@") >>"$log" 2>&1; then
            return 0
        fi
    done
    return 1
}

# Unpacks the source $1 into folder $2; a source package gets Debian's patches with it.
unpack() {
    case $1 in
        *.dsc) dpkg-source --no-check -x "$1" "$2" ;;
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

# Builds library $1 from source $2 and puts it into the cache in one step.
build() {
    local name=$1 from=$2 prefix stage="$work/stage-$1"
    prefix=$(cached_in "$name")
    say "building ${from##*/} (once; log in $log)"
    if ! (
        unpack "$from" "$work/$name" &&
            cd "$work/$name" &&
            "build_$name" "$prefix" "$stage" &&
            echo "${from##*/}" >"$stage$prefix/built-from"
    ) >>"$log" 2>&1 </dev/null; then
        die "${from##*/} does not build; the end of $log says why"
    fi
    mkdir -p "${prefix%/*}"
    rm -rf "$prefix"
    mv "$stage$prefix" "$prefix"
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

print_result() {
    local name path=
    for name in $(too_old); do
        path=${path:+$path:}$(cached_in "$name")/lib/pkgconfig
    done
    echo "$path"
}

command -v pkg-config >/dev/null || need_packages pkgconf
if [ "$refresh" = no ] && [ -z "$(still_missing)" ]; then
    print_result
    exit 0
fi

# From here on something must be installed or built: one at a time.
mkdir -p "$SPATE_CACHE"
exec 9>"$SPATE_CACHE/lock"
flock 9

# shellcheck disable=SC2046 # one word a package
[ -z "$(still_missing)" ] || need_packages $(offered_packages)

names=$(if [ "$refresh" = yes ]; then too_old; else still_missing; fi)
if [ -n "$names" ]; then
    need_packages "${BUILD_PACKAGES[@]}"
    log="$SPATE_CACHE/build.log"
    : >"$log"
    rm -rf "$SPATE_CACHE"/work.* # of a run that was killed; nobody else holds the lock
    work=$(mktemp -d "$SPATE_CACHE/work.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    sources="$SPATE_CACHE/sources"
    absent=()
    for name in $names; do
        if [ "$refresh" = yes ] || ! source_of "$name" "$sources" >/dev/null; then
            absent+=("$name")
        fi
    done
    if [ "${#absent[@]}" -gt 0 ]; then
        if ! is_debian || ! download "$work/sources" "${absent[@]}"; then
            die "cannot fetch the sources of ${absent[*]} (see $log): put Debian 13's source" \
                "packages of them (.dsc and its files) or the upstream archives into $sources"
        fi
        mkdir -p "$sources"
        for name in "${absent[@]}"; do
            rm -f "$sources/$name"[_-]*
        done
        mv "$work"/sources/* "$sources/"
    fi
    for name in $names; do
        build "$name" "$(source_of "$name" "$sources")"
    done
fi
print_result
