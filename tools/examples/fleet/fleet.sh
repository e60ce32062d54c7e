#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Two servers behind a router, in network namespaces: see "Beyond one machine" in README.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

usage() {
    cat <<'END'
usage: fleet.sh [--hash] [--rotate] [--replace] BUILD [CLIENTS [ROUNDS]]

Makes four namespaces: clients, a router, two servers.  CLIENTS clients (default 1000) connect to
the address of the fleet; in each of ROUNDS rounds (default 5) their addresses and ports change, and
each asks for the server that it has.  Exits with 0 if no answer was lost and none came from another
server; with 77 if the system lacks something.

  --hash     the router knows no connection IDs: clients lose their servers
  --rotate   the servers get another configuration between two rounds
  --replace  both servers are replaced by new processes between two rounds, and as many clients come
             to those
END
}

hash=no
rotate=no
replace=no
while [[ ${1:-} == --* ]]; do
    case $1 in
        --hash) hash=yes ;;
        --rotate) rotate=yes ;;
        --replace) replace=yes ;;
        --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
[ "$#" -ge 1 ] || { usage >&2; exit 2; }
build=$1
clients=${2:-1000}
rounds=${3:-5}

skip() {
    echo "fleet.sh: skipped: $*" >&2
    exit 77
}
for tool in ip nft; do
    command -v "$tool" >/dev/null || skip "no $tool here"
done

id=spate-$$
pids=()
clean() {
    [ "${#pids[@]}" -eq 0 ] || kill -KILL "${pids[@]}" 2>/dev/null || true
    [ "${#pids[@]}" -eq 0 ] || wait "${pids[@]}" 2>/dev/null || true
    for name in clients router server1 server2; do
        ip netns delete "$id-$name" 2>/dev/null || true
    done
    rm -rf "$folder"
}
folder=$(mktemp -d)
trap clean EXIT

inside() {
    local name=$1
    shift
    ip netns exec "$id-$name" "$@"
}

# link NAME ADDRESS ROUTER-ADDRESS: connects a namespace to the router.
link() {
    ip link add "$1" netns "$id-router" type veth peer name eth0 netns "$id-$1"
    inside "$1" ip link set lo up
    inside "$1" ip address add "$2/24" dev eth0
    inside "$1" ip link set eth0 up
    inside "$1" ip route add default via "$3"
    inside router ip address add "$3/24" dev "$1"
    inside router ip link set "$1" up
}

for name in clients router server1 server2; do
    ip netns add "$id-$name" 2>/dev/null || skip "no network namespaces"
done
inside router sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
link clients 10.9.0.1 10.9.0.254
link server1 10.1.1.1 10.1.1.254
link server2 10.1.2.1 10.1.2.254
addresses=(10.9.0.1)
for i in {2..20}; do
    inside clients ip address add "10.9.0.$i/24" dev eth0
    addresses+=("10.9.0.$i")
done
inside router nft -f "$here/fleet.nft" 2>"$folder/nft" ||
    skip "nft cannot load the rules: $(head -n 1 "$folder/nft")"
if [ "$hash" = yes ]; then
    inside router nft flush chain ip fleet pick
    inside router nft add rule ip fleet pick ip daddr set jhash ip saddr . udp sport mod 2 \
        seed 0x5ba7e map '{ 0 : 10.1.1.1, 1 : 10.1.2.1 }'
fi

# await WORD FILE: until the file has the word.
await() {
    for _ in {1..600}; do
        grep -q "$1" "$folder/$2" && return
        sleep 0.1
    done
}

# serve GENERATION: starts both servers.
serve() {
    for i in 1 2; do
        ip netns exec "$id-server$i" "$build/tools/fleet_server" \
            "$folder/cert" "$folder/key" "10.1.$i.1" 4433 "3$i" \
            "$folder/next$i" >"$folder/server$i-$1" &
        pids+=($!)
    done
    await listens "server1-$1"
    await listens "server2-$1"
}

# come FILE: starts clients.
come() {
    inside clients "$build/tools/fleet_clients" 10.0.0.1 4433 "$clients" "$rounds" \
        "${addresses[@]}" >"$folder/$1" &
    run+=($!)
}

"$build/tools/spate" cert --cert-out "$folder/cert" --key-out "$folder/key" >"$folder/certs"
ulimit -n "$(ulimit -H -n)" # two sockets for each client
serve 1
run=()
come clients1
if [ "$rotate" = yes ]; then
    await connected clients1
    kill -HUP "${pids[@]}"
fi
if [ "$replace" = yes ]; then
    await connected clients1
    serve 2
    come clients2
fi
status=0
for one in "${run[@]}"; do
    wait "$one" || status=$?
done
kill "${pids[@]}"
wait "${pids[@]}" || true
pids=()
cat "$folder"/server* "$folder"/clients*
exit "$status"
