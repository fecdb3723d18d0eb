#!/usr/bin/env bash
# Prints the path of a Chromium; unpacks one under target/ if there is none. Fails if none is available.
#
# The order: $CHROMIUM, one on PATH, one from an earlier run, the npm package @sparticuz/chromium,
# which holds the browser itself.
set -euo pipefail

version=147.0.0
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
folder=$target/chromium/$version

fail() { echo "chromium.sh: $*" >&2; exit 1; }

for candidate in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
    [ -n "${candidate// /}" ] || continue
    if path=$(command -v "$candidate"); then
        echo "$path"
        exit 0
    fi
done

if [ ! -x "$folder/chromium" ]; then
    command -v npm >/dev/null && command -v node >/dev/null ||
        fail "no browser: install Chromium (Debian: apt-get install chromium), or Node.js with npm, or set CHROMIUM"
    mkdir -p "$target/chromium"
    # In a temporary folder first, so that a second run at the same time sees all of it or nothing.
    new=$(mktemp -d "$target/chromium/new.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    (cd "$new" && npm pack --silent "@sparticuz/chromium@$version" >/dev/null) || fail "npm could not get @sparticuz/chromium@$version"
    tar -xzf "$new"/*.tgz -C "$new"
    node -e '
        const { brotliDecompressSync } = require("node:zlib");
        const { readFileSync, writeFileSync } = require("node:fs");
        for (const [from, to] of [["chromium.br", "chromium"], ["al2023.tar.br", "libraries.tar"], ["swiftshader.tar.br", "swiftshader.tar"]])
            writeFileSync(`${process.argv[1]}/${to}`, brotliDecompressSync(readFileSync(`${process.argv[1]}/package/bin/${from}`)));
    ' "$new"
    for archive in libraries swiftshader; do tar -xf "$new/$archive.tar" -C "$new" && rm "$new/$archive.tar"; done
    rm -rf "$new/package" "$new"/*.tgz
    chmod +x "$new/chromium"
    rm -rf "$folder"
    mv "$new" "$folder" 2>/dev/null || [ -x "$folder/chromium" ]
fi
echo "$folder/chromium"
