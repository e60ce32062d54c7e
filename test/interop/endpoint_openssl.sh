#!/bin/sh
# SPDX-License-Identifier: MIT
# "openssl s_client -quic" (3.5) as a client of the interop runner's cases, one file per connection:
# the environment of endpoint.sh, and OPENSSL, the program.  For hands: Debian 12 has an older one.
set -u
[ "$ROLE" = client ] || exit 127
set --
case $TESTCASE in
    handshake | retry | multiconnect | resumption) ;;
    chacha20) set -- -ciphersuites TLS_CHACHA20_POLY1305_SHA256 ;;
    *) exit 127 ;;
esac
kept=$(mktemp -d) || exit 1
trap 'rm -rf "$kept"' EXIT
for url in $REQUESTS; do
    where=${url#https://}
    path=/${where#*/}
    where=${where%%/*}
    session="-sess_out $kept/session"
    [ "$TESTCASE" != resumption ] || [ ! -f "$kept/session" ] || session="-sess_in $kept/session"
    # It does not end with its stream: what it waits for is the end of its input.
    # shellcheck disable=SC2086
    { printf 'GET %s\r\n' "$path" && sleep 2; } |
        timeout 10 ${OPENSSL:-openssl} s_client -quic -alpn hq-interop -quiet "$@" $session \
            -CAfile "$CERTS/ca.pem" -verify_return_error -servername localhost \
            -keylogfile "$SSLKEYLOGFILE" -connect "$where" >"$DOWNLOADS/${path##*/}"
    # 124: it was ended after the answer had come; cases.py compares the files.
    status=$?
    [ $status -eq 0 ] || [ $status -eq 124 ] || exit 1
done
