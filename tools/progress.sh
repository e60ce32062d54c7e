# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Shows that a long step moves, and ends the step when the script ends.  Sourced by common.sh.

# On a terminal one line is rewritten.  Elsewhere, as in the log of a CI job, a plain line comes
# every so many seconds.
PROGRESS_SECONDS=${SPATE_PROGRESS_SECONDS:-15}
case $PROGRESS_SECONDS in
    '' | 0 | *[!0-9]*) die "SPATE_PROGRESS_SECONDS must be a number from 1" ;;
esac

progress_watcher= # the process that prints, while a step runs
progress_group=   # the process group that a step runs in, if it has its own

# Prints seconds $1 as m:ss.
clock_of() {
    printf '%d:%02d' "$(($1 / 60))" "$(($1 % 60))"
}

# Prints one line of progress: $1 is the step, $2 the command that measures it, $3 when it began.
progress_line() {
    local measured line width
    measured=$($2 2>/dev/null) || measured=
    line="${0##*/}: $1${measured:+: $measured}, $(clock_of "$((SECONDS - $3))")"
    if [ -t 2 ]; then
        width=$(stty size <&2 2>/dev/null) || width=
        width=${width##* }
        case $width in '' | 0 | *[!0-9]*) width=80 ;; esac
        printf '\r\033[K%s' "${line:0:width-1}" >&2
    else
        printf '%s\n' "$line" >&2
    fi
}

# Prints progress until a line can be read from stdin.  If stdin ends without one, the script was
# killed: then this ends process group $3, so that no compiler stays.
watch_step() {
    local what=$1 measure=$2 group=$3 begin=$SECONDS last=$SECONDS status
    trap '' INT TERM HUP # the script decides, and ends stdin
    while :; do
        status=0
        read -r -t 1 || status=$?
        if [ "$status" -eq 0 ]; then
            break
        elif [ "$status" -le 128 ]; then
            [ -z "$group" ] || kill -KILL -- "-$group" 2>/dev/null
            break
        elif [ -t 2 ] || [ "$((SECONDS - last))" -ge "$PROGRESS_SECONDS" ]; then
            progress_line "$what" "$measure" "$begin"
            last=$SECONDS
        fi
    done
    [ ! -t 2 ] || printf '\r\033[K' >&2
}

# progress_begin WHAT MEASURE [GROUP]: starts to print progress of step WHAT.  MEASURE is a
# command that prints how far it is, or nothing.
progress_begin() {
    local folder reader
    folder=$(mktemp -d)
    mkfifo -m 600 "$folder/fifo"
    # shellcheck disable=SC2094 # both ends of a pipe
    exec {progress_pipe}<>"$folder/fifo" {reader}<"$folder/fifo"
    rm -r "$folder"
    # In a group of its own, it outlives a SIGKILL of the script's group and can clean up.  The
    # lock of deps.sh is closed in it.
    set -m
    watch_step "$1" "$2" "${3:-}" <&"$reader" >&2 {progress_pipe}>&- {reader}<&- 9>&- &
    set +m
    progress_watcher=$!
    exec {reader}<&-
}

# Ends what progress_begin() has started.
progress_end() {
    [ -n "$progress_watcher" ] || return 0
    echo >&"$progress_pipe"
    exec {progress_pipe}>&-
    wait "$progress_watcher" || true
    progress_watcher=
}

# watched LOG WHAT MEASURE COMMAND...: runs COMMAND, a function or a program, in a process group
# of its own with its output appended to LOG, and shows progress.  Returns its status.
watched() {
    local log=$1 what=$2 measure=$3 status=0
    shift 3
    set -m
    # A command that survives this script must not keep the lock of deps.sh.
    ("$@") >>"$log" 2>&1 </dev/null 9>&- &
    set +m
    progress_group=$!
    progress_begin "$what" "$measure" "$progress_group"
    wait "$progress_group" || status=$?
    progress_group=
    progress_end
    return "$status"
}

# Ends the running step, for a trap.
stop_watched() {
    if [ -n "$progress_group" ]; then
        kill -KILL -- "-$progress_group" 2>/dev/null || true
        wait "$progress_group" 2>/dev/null || true
        progress_group=
    fi
    progress_end
}
