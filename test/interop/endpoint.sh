#!/bin/sh
# SPDX-License-Identifier: MIT
# Spate as an endpoint of the QUIC interop runner.  The runner sets:
#
#   ROLE            server or client
#   TESTCASE        what to do; 127 is the exit code for what is not supported
#   REQUESTS        client: the URLs, with blanks between them
#   SERVER_PARAMS   more options for "spate serve", CLIENT_PARAMS: for "spate get"
#   SSLKEYLOGFILE   where secrets go
#   QLOGDIR         where qlog files would go; there are none yet
#
# and mounts /www, /downloads and /certs.  For tests without a container the same things can be
# elsewhere: WWW, DOWNLOADS, CERTS, PORT, and SPATE, the program.
set -u
spate=${SPATE:-spate}
www=${WWW:-/www}
downloads=${DOWNLOADS:-/downloads}
certs=${CERTS:-/certs}
port=${PORT:-443}
testcase=${TESTCASE:-}

unsupported() {
    echo "endpoint.sh: $ROLE does not support the case $testcase" >&2
    exit 127
}

# The options that a case asks for, on both sides.
case $testcase in
    handshake | transfer | longrtt | multiplexing | amplificationlimit | blackhole | ecn | ipv6) ;;
    rebind-port | rebind-addr) ;;
    # The runner's server has an address of each family on its interface; tests name one.
    connectionmigration)
        if [ "$ROLE" = server ]; then
            for address in ${PREFERRED:-$(hostname -I)}; do
                case $address in
                    *]*:* | *.*:*) set -- "$@" --prefer "$address" ;; # with a port
                    *:*) set -- "$@" --prefer "[$address]:$((port + 1))" ;;
                    *) set -- "$@" --prefer "$address:$((port + 1))" ;;
                esac
            done
        fi
        ;;
    handshakeloss | transferloss | handshakecorruption | transfercorruption | multiconnect) ;;
    chacha20) set -- "$@" --cipher chacha20-poly1305 ;;
    resumption) [ "$ROLE" = server ] || set -- "$@" --no-early ;;
    zerortt) [ "$ROLE" = client ] || set -- "$@" --early ;;
    retry) [ "$ROLE" = client ] || set -- "$@" --retry ;;
    keyupdate) [ "$ROLE" = server ] || set -- "$@" --update-keys ;;
    v2) set -- "$@" --quic prefer-2 ;; # begins with version 1
    versionnegotiation)
        # The client begins with a version that the server does not have.
        if [ "$ROLE" = server ]; then
            set -- "$@" --quic only-1
        else
            set -- "$@" --quic only-2
        fi
        ;;
    *) unsupported ;;
esac

# Gives up a handshake when the client does: "amplificationlimit" lets the 8th datagram of a client
# through, after 12 s of doubled PTOs where a round trip takes 0.12 s.
serve() {
    # shellcheck disable=SC2086 # options, with blanks between them
    exec "$spate" serve --listen "[::]:$port" --root "$www" --cert "$certs/cert.pem" \
        --key "$certs/priv.key" --handshake-timeout 60 --verbose "$@" ${SERVER_PARAMS:-}
}

# get URL... with the options of the case in $options
get() {
    trust=--insecure
    [ ! -f "$certs/ca.pem" ] || trust="--ca $certs/ca.pem"
    # shellcheck disable=SC2086
    "$spate" get $trust $options -o "$downloads" --timeout 60 ${CLIENT_PARAMS:-} "$@"
}

request() {
    options=$*
    case $testcase in
        transfer | transferloss | transfercorruption | blackhole)
            options="$options --window 64Ki" ;; # flow control must have something to do
        multiconnect | handshakeloss | handshakecorruption)
            options="$options --separate" ;;
        resumption | zerortt)
            get_twice
            return
            ;;
    esac
    # shellcheck disable=SC2086
    get ${REQUESTS:-}
}

# The first file over a connection, the others over one that is resumed.
get_twice() {
    kept=$(mktemp -d) || return 1
    options="$options --verbose --tickets $kept/tickets"
    # shellcheck disable=SC2086
    set -- ${REQUESTS:-}
    get "$1"
    status=$?
    shift
    [ $status -ne 0 ] || get "$@" || status=$?
    rm -rf "$kept"
    return $status
}

# In the runner's container the network comes up after the endpoints.
[ ! -x /setup.sh ] || /setup.sh
case $ROLE in
    server) serve "$@" ;;
    client)
        [ ! -x /wait-for-it.sh ] || /wait-for-it.sh sim:57832 -s -t 30
        request "$@"
        ;;
    *)
        echo "endpoint.sh: ROLE must be server or client, not $ROLE" >&2
        exit 2
        ;;
esac
