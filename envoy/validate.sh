#!/usr/bin/env bash
# Lets Envoy validate every configuration here, module included: the bootstrap in all its variants, and
# production.yaml as it is and with its options, and bedrock.yaml.
#
#     envoy/validate.sh ENVOY MODULE
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

envoy=$1
module=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HEADROOM_WORKSPACE_DIR=$work
# The settings of this machine's own Headroom must not have an effect here.
unset HEADROOM_MODE HEADROOM_ALLOWED_HOSTS HEADROOM_TOKEN HEADROOM_TOKEN_FILE HEADROOM_HOST HEADROOM_PORT HEADROOM_HTTP HEADROOM_GRPC HEADROOMD \
    ANTHROPIC_TARGET_API_URL OPENAI_TARGET_API_URL GEMINI_TARGET_API_URL
echo '{"tenant": "it'\''s \"quoted\" {{ and }} braced", "max_body_bytes": 1000000}' >"$work/filter.json"

# The tests have built it where HEADROOM_BUILT says so, with other features of its dependencies.
[ -n "${HEADROOM_BUILT:-}" ] || cargo build --quiet -p headroomctl
ctl=${CARGO_TARGET_DIR:-target}/debug/headroomctl

validate() {
    local name=$1 what=$2 answer
    if answer=$("$envoy" --mode validate --config-path "$work/$name.yaml" 2>&1) && ! grep -q 'Deprecated field' <<<"$answer"; then
        echo "ok    $name: $what"
    else
        echo "FAIL  $name: $what" >&2
        grep -v '\[info\]' <<<"$answer" >&2
        exit 1
    fi
}

check() {
    local name=$1
    shift
    # Validation does not start headroomd, but its search would fail without a path.
    "$ctl" bootstrap --module "$module" --envoy "$envoy" --headroomd "$envoy" "$@" >"$work/$name.yaml"
    validate "$name" "headroomctl bootstrap $*"
}

url() { echo "--anthropic-api-url=$1 --openai-api-url=$1 --gemini-api-url=$1"; }

for mode in strip hold; do
    # shellcheck disable=SC2046 # one word per option
    {
        check "$mode" --body-mode $mode
        check "$mode-prefix" --body-mode $mode $(url http://127.0.0.1:9000/some/prefix)
        check "$mode-name" --body-mode $mode $(url http://localhost:9000)
        check "$mode-tls" --body-mode $mode $(url https://provider.example:8443/v1)
        check "$mode-tls-address" --body-mode $mode $(url 'https://[::1]:8443/prefix')
        check "$mode-open" --body-mode $mode --host 0.0.0.0 --allow-host headroom.internal,other.example --port 0 --profile lossless --filter-config "$work/filter.json"
    }
done

# These files name paths in a container; here the files are elsewhere.
certificates=$(grep -o 'trusted_ca: { filename: "[^"]*"' "$work/strip.yaml" | head -1 | cut -d'"' -f2)
for name in production bedrock; do
    sed -e "s|/etc/headroom/filter.wasm|$module|" -e "s|/etc/ssl/certs/ca-certificates.crt|$certificates|" \
        -e "s|/run/headroom/admin.sock|$work/admin.sock|" \
        "envoy/$name.yaml" >"$work/$name.yaml"
done
sed -E 's/^( *)#\+/\1/' "$work/production.yaml" >"$work/options.yaml"
validate production envoy/production.yaml
validate bedrock envoy/bedrock.yaml
validate options "envoy/production.yaml with all of its options"
