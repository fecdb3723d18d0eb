#!/usr/bin/env bash
# Prints the resident memory of an idle Envoy with production.yaml, without and with the filter, by workers:
# the constants of ../k8s/sizing.md.
#
#     envoy/memory.sh ENVOY MODULE
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

envoy=$1
module=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Free ports, so that it can run next to another Envoy.
sed -e 's/port_value: 8790/port_value: 0/' -e "s|/run/headroom/admin.sock|$work/admin.sock|" -e 's/address: 0.0.0.0, port_value: 8787/address: 127.0.0.1, port_value: 0/' \
    -e "s|/etc/headroom/filter.wasm|$module|" production.yaml >"$work/with.yaml"
# The filter's entry, up to the router's entry.
sed '/^          - name: headroom$/,/^          - name: envoy.filters.http.router$/{/envoy.filters.http.router/!d;}' \
    "$work/with.yaml" >"$work/without.yaml"

resident() {
    local admin=$work/admin pid state="" kilobytes
    rm -f "$admin"
    "$envoy" --config-path "$work/$1.yaml" --concurrency "$2" --disable-hot-restart --log-level error \
        --admin-address-path "$admin" >"$work/log" 2>&1 &
    pid=$!
    for _ in $(seq 300); do
        sleep 0.2
        [ ! -s "$admin" ] || state=$(curl --silent --unix-socket "$work/admin.sock" http://localhost/ready || true)
        [ "$state" != LIVE ] || break
    done
    kilobytes=$(sed -n 's/^VmRSS:\s*\([0-9]*\) kB$/\1/p' "/proc/$pid/status")
    kill "$pid"
    wait "$pid" 2>/dev/null || true
    [ "$state" = LIVE ] || { cat "$work/log" >&2; echo "Envoy was not ready" >&2; return 1; }
    echo $((kilobytes / 1024))
}

printf '%8s %15s %15s\n' workers 'without, MiB' 'with, MiB'
for workers in 1 2 4 8; do
    without=$(resident without $workers)
    with=$(resident with $workers)
    printf '%8d %15d %15d\n' $workers "$without" "$with"
done
