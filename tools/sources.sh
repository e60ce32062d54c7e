# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Finds, fetches and checks source packages for deps.sh, which sources this file and sets
# "work", a folder for this run, and "log".
#
# The packages come through the machine's own apt configuration (mirror, proxy, keys), but with
# source lists and a state of our own, so that nothing of the machine's apt changes.

: "${work:=}" "${log:=}"

# A mirror that is being updated may name a version before it holds the files, or after.  So each
# version that is new enough is a candidate.  Those of Debian 13 come first: OpenSSL 3.5 has
# long-term support.  Each group is looked up only when all before it have failed.
# shellcheck disable=SC2034 # for deps.sh
SUITE_GROUPS=('trixie trixie-updates trixie-security trixie-backports' 'forky sid')

# What arrived whole, with the checksums of the signed index beside it (NAME_VERSION.sha256).
downloads="$SPATE_CACHE/download"
# What a person put there.
# shellcheck disable=SC2034 # for deps.sh
sources="$SPATE_CACHE/sources"

tried=()  # one line per source of a library that failed, with the reason
unread=() # one line per suite that has no index, with the reason
# Sources that were whole and did not build in this run.
# shellcheck disable=SC2034 # for deps.sh
declare -A broken=()

# Reports that a source or a suite has failed, and why: $1.
report() {
    say "$1"
    echo "deps.sh: $1" >>"$log" || true
}

# Reports that a source of a library has failed, and why: $1.
failed() {
    tried+=("$1")
    report "$1"
}

# Remembers where the output of the next step begins in the log.
mark_log() {
    log_mark=$(stat -c %s "$log")
}

# Prints why apt has failed, from what is in the log since mark_log().
apt_reason() {
    local kind output
    output=$(tail -c "+$((log_mark + 1))" "$log")
    # A signature that cannot be verified explains the error that follows it.
    for kind in '^W: (GPG error|OpenPGP signature)' '^E: ' '^W: ' ': FAILED'; do
        grep -m 1 -E "$kind" <<<"$output" | sed -E 's/^[EW]: //; s/ +/ /g' | grep . && return 0
    done
    echo "no reason in $log"
}

# Prints "main URI ENTRY" or "security URI ENTRY" for each Debian mirror of this machine, as apt
# understands its own configuration (both forms of the list, any number of files).  ENTRY is
# FILE:NUMBER.  The lists of the machine may be missing.
mirrors() {
    local foreign release component uri entry
    # shellcheck disable=SC2016 # these are apt's variables
    foreign=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN)' 'Created-By: Packages' \
        2>/dev/null | grep -v -e ' Debian$' -e '[$](ORIGIN)$' | sort -u) || true
    # shellcheck disable=SC2016
    apt-get indextargets --no-release-info \
        --format '$(RELEASE) $(COMPONENT) $(REPO_URI) $(SOURCESENTRY)' 'Created-By: Packages' \
        2>/dev/null | sort -u | while read -r release component uri entry; do
        [ "$component" = main ] || continue
        ! grep -qF "$uri " <<<"$foreign" || continue
        case $release in
            bullseye | bookworm | trixie | forky | duke | sid) ;;
            oldstable | stable | testing | unstable) ;;
            bookworm-security | trixie-security | forky-security | *stable-security)
                echo "security ${uri%/} $entry"
                continue
                ;;
            *) continue ;;
        esac
        echo "main ${uri%/} $entry"
    done | sort -u -k 1,2
}

# Prints the Signed-By field, as in a deb822 list, of entry FILE:NUMBER: nothing if it has none.
signed_by() {
    local file=${1%:*} number=${1##*:} keys
    case $file in
        *.sources)
            # NUMBER is a paragraph's.  The key itself may be in the field, in many lines.
            awk -v wanted="$number" '
                /^#/ { next }
                /^[ \t]*$/ { inside = 0; field = 0; next }
                !inside { inside = 1; paragraph++ }
                /^[^ \t]/ { field = tolower($0) ~ /^signed-by:/ }
                field && paragraph == wanted { print }' "$file"
            ;;
        *)
            keys=$(sed -n -E "${number}s/.*[[ ]signed-by=([^] ]*).*/\1/p" "$file")
            [ -z "$keys" ] || echo "Signed-By: $keys"
            ;;
    esac
}

apt_options_common=()
# Sets the options of apt for all states.  A mirror that does not answer must end some time, unless
# the machine's configuration says when.
set_common_apt_options() {
    apt_options_common=(-q -o APT::Update::Error-Mode=any -o "APT::Sandbox::User=$(id -un)")
    [ -n "$(apt-config dump Acquire::http::Timeout)" ] ||
        apt_options_common+=(-o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15)
    [ -n "$(apt-config dump Acquire::Retries)" ] ||
        apt_options_common+=(-o Acquire::Retries=1)
}

# Sets "apt_options" to use the state in folder $1, which has its own list of one suite.
set_apt_options() {
    [ "${#apt_options_common[@]}" -gt 0 ] || set_common_apt_options
    apt_options=("${apt_options_common[@]}"
        -o "Dir::Etc::sourcelist=$1/list.sources" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
        -o "Dir::State::lists=$1/lists" -o "Dir::Cache=$1/cache")
}

# Makes folder $1 with one state for each mirror and each suite of the rest.
make_states() {
    local group=$1 kind uri entry suite state count=0
    shift
    mkdir -p "$group"
    mirrors >"$work/mirrors"
    while read -r kind uri entry; do
        for suite; do
            case $kind,$suite in
                security,*-security) ;;
                security,* | main,*-security) continue ;;
            esac
            count=$((count + 1))
            state=$group/$(printf '%02d' "$count")
            mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
            printf '%s\n' "$suite" >"$state/suite"
            printf '%s\n' "$uri" >"$state/uri"
            {
                printf 'Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$suite"
                signed_by "$entry"
            } >"$state/list.sources"
        done
    done <"$work/mirrors"
}

# Prints the states in folder $1.
states() {
    find "$1" -mindepth 1 -maxdepth 1 | sort
}

# Fetches the indices of states $@, all at once: a mirror that hangs costs its time once.
update_states() {
    local state
    for state; do
        set_apt_options "$state"
        { apt-get "${apt_options[@]}" update >"$state/log" 2>&1 && touch "$state/updated"; } &
    done
    wait
}

# Makes the states of suites $2 in folder $1, and reports those that have no index.
look_up() {
    local state suites states
    read -r -a suites <<<"$2"
    make_states "$1" "${suites[@]}"
    mapfile -t states < <(states "$1")
    [ "${#states[@]}" -gt 0 ] || return 0
    set_common_apt_options # here, not in each process below
    watched "$log" "reading the indices of the mirror" : update_states "${states[@]}" || true
    for state in "${states[@]}"; do
        mark_log
        cat "$state/log" >>"$log"
        if [ ! -f "$state/updated" ]; then
            unread+=("$(<"$state/suite") at $(<"$state/uri"): $(apt_reason)")
            report "${unread[-1]}"
        fi
    done
}

# Returns whether an index of suite $1 of Debian 13 was read.
was_read() {
    local state
    for state in "$work"/apt/0/*/; do
        [ ! -f "$state/updated" ] || [ "$(<"$state/suite")" != "$1" ] || return 0
    done
    return 1
}

# Returns whether version $1 is $2 or newer.  Without dpkg only upstream archives are compared,
# for which the order of sort will do.
at_least() {
    if command -v dpkg >/dev/null; then
        dpkg --compare-versions "$1" ge "$2"
    else
        [ "$(printf '%s\n' "$1" "$2" | sort -V | tail -n 1)" = "$1" ]
    fi
}

# Sorts lines that begin with a version, the newest first.
newest_first() {
    local lines=() line i
    while read -r line; do
        for ((i = 0; i < ${#lines[@]}; i++)); do
            at_least "${lines[i]%% *}" "${line%% *}" || break
        done
        lines=("${lines[@]:0:i}" "$line" "${lines[@]:i}")
    done
    [ "${#lines[@]}" -eq 0 ] || printf '%s\n' "${lines[@]}"
}

# Returns whether version $2 of library $1 will do.
new_enough() {
    at_least "$2" "${LEAST_VERSION[$1]}"
}

# Prints "VERSION SUITE STATE" for each version of $1 that the indices of the states in folder $2
# name and that is new enough.  The file of one version at one mirror is the same in each suite:
# it is named once.
candidates() {
    local name=$1 state version
    states "$2" | while read -r state; do
        [ -f "$state/updated" ] || continue
        set_apt_options "$state"
        apt-cache "${apt_options[@]}" madison "$name" 2>/dev/null | sed -E 's/ *\| */ /g' |
            while read -r _ version _; do
                ! new_enough "$name" "$version" ||
                    echo "$version $(<"$state/suite") $state $(<"$state/uri")"
            done
    done | awk '!seen[$1, $4]++ { print $1, $2, $3 }' | newest_first
}

# Prints the files of $1 = $2 as "SHA256  FILE" and their sizes into $work/sizes, from the signed
# index of the current state.
files_of() {
    local empty="$work/empty"
    mkdir -p "$empty" # apt does not name what the folder has
    (cd "$empty" && apt-get "${apt_options[@]}" -o Acquire::ForceHash=SHA256 source \
        --only-source --print-uris --download-only "$1=$2") 2>>"$log" |
        sed -n -E "s/^'.*' ([^ /]+) ([0-9]+) SHA256:([0-9a-f]{64})\$/\3  \1 \2/p" |
        tee "$work/sizes" | sed -E 's/ [0-9]+$//'
}

# Prints how much of what $work/sizes lists has arrived.
download_progress() {
    local size file total=0 got=0 have
    while read -r _ file size; do
        total=$((total + size))
        have=$(stat -L -c %s "$downloads/$file" 2>/dev/null) || have=0
        got=$((got + have))
    done <"$work/sizes"
    printf '%d of %d MB' "$((got / 1000000))" "$(((total + 999999) / 1000000))"
}

# Removes those of the files of checksum list $1 that do not fit.  With $2 = partial an
# incomplete file may stay, for apt to go on at its end; then "resumed" is set to yes.
remove_unfit() {
    local sum file size have
    while read -r sum file; do
        [ -e "$downloads/$file" ] || [ -L "$downloads/$file" ] || continue
        size=$(awk -v file="$file" '$2 == file { print $3 }' "$work/sizes")
        have=$(stat -L -c %s "$downloads/$file" 2>/dev/null) || have=$size
        if [ "${2:-}" = partial ] && [ "$have" -lt "$size" ] && [ ! -L "$downloads/$file" ]; then
            resumed=yes
            continue
        fi
        echo "$sum  $downloads/$file" | sha256sum --check --status 2>/dev/null ||
            rm -f "$downloads/$file"
    done <"$1"
}

# Downloads what checksum list $2 names of source package $1, NAME=VERSION, and verifies again
# what apt has verified, where it lies.
download() {
    local file
    cd "$downloads" &&
        apt-get "${apt_options[@]}" source --only-source --download-only "$1" || return 1
    while read -r _ file; do
        # Of a mirror that is a folder on this machine, apt makes links only.
        [ ! -L "$file" ] || { cp -L "$file" "$work/copy" && mv "$work/copy" "$file"; } || return 1
    done <"$2"
    sha256sum --check --quiet "$2"
}

# Puts source package $1 = $2 of suite $3, by the apt state $4, into the downloads.  Only a whole
# one gets its checksum list there.
fetch() {
    local name=$1 version=$2 list="$work/wanted" resumed
    set_apt_options "$4"
    mark_log
    echo "deps.sh: fetching $name $version ($3)" >>"$log"
    files_of "$name" "$version" >"$list"
    grep -q '\.dsc$' "$list" || return 1
    mkdir -p "$downloads"
    # What an interrupted run has left may be wrong: then once more without it.
    for _ in 1 2; do
        resumed=no
        remove_unfit "$list" partial
        if watched "$log" "fetching $name $version" download_progress \
            download "$name=$version" "$list"; then
            cp "$list" "$work/whole"
            mv "$work/whole" "$downloads/${name}_$version.sha256"
            return 0
        fi
        remove_unfit "$list"
        [ "$resumed" = yes ] || return 1
    done
    return 1
}

# Removes the downloads of library $1, except those of checksum list $2.
keep_only() {
    local file
    find "$downloads" -maxdepth 1 -name "$1_*" ! -path "$2" | while read -r file; do
        grep -qF "  ${file##*/}" "$2" || rm -f "$file"
    done
}

# Checks the files that source package $1, a .dsc that a person has put there, names.  Prints
# what is wrong.
check_placed() {
    local list="$work/placed" wrong
    awk '/^[^ ]/ { inside = /^Checksums-Sha256:/ } inside && /^ / { print $1 "  " $3 }' "$1" \
        >"$list"
    if ! grep -q . "$list" || grep -q '  .*/' "$list"; then
        echo 'it lists no checksums of its files'
        return 1
    fi
    wrong=$(cd "${1%/*}" && sha256sum --check --quiet "$list" 2>/dev/null | sed 's/:.*//')
    [ -n "$wrong" ] || return 0
    echo "missing, incomplete or wrong beside it: ${wrong//$'\n'/ }"
    return 1
}
