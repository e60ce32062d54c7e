#!/bin/sh
# SPDX-License-Identifier: MIT
# ngtcp2 as an endpoint of the interop runner's cases: the environment of endpoint.sh, and
# HQ_NGTCP2, the program.
set -u
case $TESTCASE in
    handshake | transfer | multiconnect | ecn | ipv6) ;;
    chacha20) set -- --cipher chacha20-poly1305 ;;
    resumption) ;;
    zerortt) set -- --early ;;
    retry) [ "$ROLE" = client ] || set -- --retry ;;
    rebind-port | rebind-addr) [ "$ROLE" = client ] || exit 127 ;;
    connectionmigration) [ "$ROLE" = client ] || set -- --prefer "$PREFERRED" ;;
    versionnegotiation) [ "$ROLE" = server ] || exit 127 ;; # it has version 1 alone
    *)
        echo "endpoint_ngtcp2.sh: $ROLE does not support the case $TESTCASE" >&2
        exit 127
        ;;
esac

if [ "$ROLE" = server ]; then
    exec "$HQ_NGTCP2" server --listen "${ADDRESS:-127.0.0.1}:$PORT" --cert "$CERTS/cert.pem" \
        --key "$CERTS/priv.key" --alpn hq-interop --conns 0 --seconds 300 \
        --keylog "$SSLKEYLOGFILE" "$@"
fi

# fetch URL...: over one connection
fetch() {
    where=${1#https://}
    REQUESTS=$* "$HQ_NGTCP2" client --connect "${where%%/*}" --sni localhost --ca "$CERTS/ca.pem" \
        --alpn hq-interop --streams $# --seconds 60 --keylog "$SSLKEYLOGFILE" $options
}

options=$*
if [ "$TESTCASE" = resumption ] || [ "$TESTCASE" = zerortt ]; then
    # The first file over a connection, the others over one that is resumed.
    kept=$(mktemp -d) || exit 1
    trap 'rm -rf "$kept"' EXIT
    options="$options --session $kept/session"
    # shellcheck disable=SC2086
    set -- $REQUESTS
    fetch "$1" || exit 1
    shift
    fetch "$@"
    exit
fi
if [ "$TESTCASE" != multiconnect ]; then
    # shellcheck disable=SC2086 # URLs, with blanks between them
    fetch $REQUESTS
    exit
fi
pids=
for url in $REQUESTS; do
    fetch "$url" &
    pids="$pids $!"
done
status=0
for pid in $pids; do
    wait "$pid" || status=1
done
exit $status
