#!/usr/bin/env bash
# Builds the filter and packs it into an OCI image, without a container engine. The same commit gives the same
# digest on every machine: the module contains no path of the machine, and the machine's clock is not used.
#
#     envoy/image/build.sh
#
# The image's time is SOURCE_DATE_EPOCH if it is set, otherwise the commit's time.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
cargo=${CARGO:-cargo}

# A separate target folder: cargo builds everything again whenever the flags change, so builds with and
# without the flags below would invalidate each other.
build=$target/image/build
home=${CARGO_HOME:-$HOME/.cargo}
flags=("--remap-path-prefix=$home=/cargo" "--remap-path-prefix=$root=/headroom" "--remap-path-prefix=$build=/target")

# The name of the crates' folder depends on the registry or mirror, so the crates must be fetched before it
# is known. Later flags win over earlier ones.
"$cargo" fetch --locked --quiet
for sources in "$home"/registry/src/*/; do
    flags+=("--remap-path-prefix=${sources%/}=/crates")
done
quoted=$(printf ', "%s"' "${flags[@]}")
# Flags from the environment would replace those of .cargo/config.toml and these.
env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS "$cargo" rustc --locked -p headroom-filter --lib --crate-type cdylib \
    --target wasm32-wasip1 --profile wasm --target-dir "$build" --config "target.wasm32-wasip1.rustflags=[${quoted#, }]"
module=$build/wasm32-wasip1/wasm/headroom_filter.wasm

revision=unknown
if revision=$(git rev-parse HEAD 2>/dev/null); then
    git diff --quiet HEAD || revision=$revision-modified
    : "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}"
fi
[ -n "${SOURCE_DATE_EPOCH:-}" ] ||
    { echo "envoy/image/build.sh: this is no git repository: set SOURCE_DATE_EPOCH to the release's time" >&2; exit 1; }

"$cargo" build --locked --quiet -p headroom-image
exec "$target/debug/headroom-image" write --module "$module" --created "$SOURCE_DATE_EPOCH" --revision "$revision" \
    --foreign "$root" --foreign "$home" --out "$target/image/filter"
