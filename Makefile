# Thin names over cargo and envoy/. `make help` lists them.

CARGO ?= cargo
# Without make's own limit of jobs, which counts recipes here: cargo would build with as few.
build_beside := MAKEFLAGS= $(CARGO)
PYTHON ?= python3
# make builds whole crates without lines for a debugger, which takes half of the disk. Cargo by itself builds in increments.
export CARGO_INCREMENTAL ?= 0
export CARGO_PROFILE_DEV_DEBUG ?= 0
target := $(or $(CARGO_TARGET_DIR),target)
module := $(target)/wasm32-wasip1/wasm/headroom_filter.wasm

.DEFAULT_GOAL := help
.PHONY: help up programs tests-built answers install place uninstall dist build announce module image check test slowest forms tokens proto test-matrix demo bench clients test-clients lint fmt deny papers prices validate manifests toolchain chaos fuzz

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do printf '  make %-13s %s\n' "$$name" "$$text"; done

# What compiles soonest: the module without optimization across crates; the programs without what few use (embedding models),
# and with an engine, which there only `/v1/compress` and `headroomctl compress` run, and an SQLite that are not optimized. The
# rest is as the tests have it, so `make test` need not compile that again. `install` builds all of it, optimized.
up: takes := 3 to 7 minutes on two cores and fills 1.3 GB
up: module_as := --config profile.wasm.lto=false --config profile.wasm.codegen-units=16
up: announce toolchain ## build everything, then run Envoy and headroomd until Ctrl-C; options: make up ARGS="--port 0"
	@$(MAKE) --no-print-directory -j 2 module programs module_as="$(module_as)"
	@envoy=$$(envoy/install.sh) && exec "$(target)/debug/headroomctl" up --envoy "$$envoy" $(ARGS)

# Beside the module.
programs:
	$(build_beside) build -p headroomd -p headroomctl --no-default-features \
		$(foreach crate,headroom-compress headroom-providers aho-corasick libsqlite3-sys,--config profile.dev.package.$(crate).opt-level=0)

# All but what no test runs: examples, benches, and programs once more as tests of their own, which they have none of (`lint`).
with_tests := --workspace --exclude headroom-benches --lib --test '*'

tests-built:
	$(build_beside) test $(with_tests) --no-run --quiet

# The engine as a command, from the crates that the module has compiled.
answers: module
	$(build_beside) build --quiet -p headroom-answers --target wasm32-wasip1 --profile wasm

# Where `install` puts bin/ and lib/headroom/.
PREFIX ?= $(HOME)/.local
# What `build` has made.
built = $(target)/release

install: build ## build, and install headroomctl, headroomd, the filter and Envoy under PREFIX (~/.local)
	@$(MAKE) --no-print-directory place

# The copying alone. A program that runs may be replaced: `install` makes a new file.
place:
	@envoy=$$(envoy/install.sh) && set -e && \
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/lib/headroom" && \
	install -m 755 "$(built)/headroomctl" "$(built)/headroomd" "$(DESTDIR)$(PREFIX)/bin/" && \
	install -m 644 "$(module)" "$(DESTDIR)$(PREFIX)/lib/headroom/headroom_filter.wasm" && \
	install -m 755 "$$envoy" "$(DESTDIR)$(PREFIX)/lib/headroom/envoy" && \
	echo "installed: $(DESTDIR)$(PREFIX)/bin/headroomctl" && \
	case ":$$PATH:" in *":$(PREFIX)/bin:"*) ;; *) \
	echo "$(PREFIX)/bin is not on your PATH; put it there:  export PATH=\"$(PREFIX)/bin:\$$PATH\"" ;; esac

uninstall: ## remove what `make install` has put under PREFIX
	rm -f "$(DESTDIR)$(PREFIX)/bin/headroomctl" "$(DESTDIR)$(PREFIX)/bin/headroomd"
	rm -rf "$(DESTDIR)$(PREFIX)/lib/headroom"

dist: build ## make a release archive for this kind of machine: target/dist/headroom-VERSION-HOST.tar.gz and its checksum
	@.ci/dist "$(built)" "$(module)"

build: takes := 10 to 25 minutes on two cores and fills 3 GB
build: announce module ## build the filter module and the two programs, optimized
	$(CARGO) build --release -p headroomd -p headroomctl

# What a newcomer waits for.
announce:
	@[ -e "$(built)/headroomctl" ] || [ -e "$(target)/debug/headroomctl" ] || echo "The first build takes $(takes) in $(target)/; later ones take seconds."

# As a module alone: where a crate is a library as well, cargo leaves out the optimization across crates.
module: toolchain ## build the filter module: target/wasm32-wasip1/wasm/headroom_filter.wasm
	$(build_beside) rustc -p headroom-filter --lib --crate-type cdylib --target wasm32-wasip1 --profile wasm $(module_as)

image: toolchain ## make the OCI image of the filter, for Istio and Envoy Gateway: target/image/filter and filter.tar
	@envoy/image/build.sh

check: toolchain ## check format, lints and unit tests of every crate, only with cargo
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) test --workspace --exclude headroom-e2e --exclude headroom-benches --lib
	$(CARGO) test -p headroom-api --test generated

# Twice as many tests at once as there are processors: most of them wait for the programs that they have started. The unit tests
# as WASM run beside them, on one processor for a minute.
test: toolchain ## run all tests; with cargo-nextest if it is installed
	@echo "The tests take 7 to 11 minutes on two cores, and a first build before them 6 to 11; $(target)/ then has 5 GB."
	@$(MAKE) --no-print-directory -j 2 answers tests-built
	@set -e; envoy=$$(envoy/install.sh); export ENVOY="$$envoy" HEADROOM_BUILT=1; \
	log="$(target)/wasm-tests.log"; .ci/wasm-tests >"$$log" 2>&1 & wasm=$$!; \
	trap 'kill $$wasm 2>/dev/null || true' EXIT; \
	set -x; \
	if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) test --workspace --doc --quiet; \
		$(CARGO) nextest run $(with_tests) --test-threads "$$(( $$(getconf _NPROCESSORS_ONLN) * 2 ))"; \
	else \
		$(CARGO) test $(with_tests); \
		$(CARGO) test --workspace --doc --quiet; \
	fi; \
	{ set +x; } 2>/dev/null; \
	wait $$wasm || { cat "$$log"; echo "the unit tests as WASM failed: $$log"; exit 1; }; \
	grep SKIPPED "$$log" || true

slowest: ## list the slowest tests of the last `make test` with cargo-nextest
	@.ci/slowest

forms: ## after a change of the forms, write the new digest of all fixtures (filter/compress/tests/engine/forms.rs)
	WRITE_FORMS=1 $(CARGO) test -p headroom-compress --test engine forms

tokens: ## after an update of tiktoken-rs or regex-syntax, write the tokenizers' tables again (filter/compress/tests/engine/tables.rs)
	WRITE_TOKENS=1 $(CARGO) test -p headroom-compress --test engine tables

proto: ## after a change of control-plane/api/proto, write its Rust again (control-plane/api/tests/generated.rs)
	WRITE_PROTO=1 $(CARGO) test -p headroom-api --test generated

# The oldest and the newest that is supported, and two between.
test-matrix: module ## run the end-to-end tests with each supported version of Envoy; VERSIONS="1.37.0" for others
	@envoy/matrix.sh $(or $(VERSIONS),1.36.4 1.37.0 1.39.3 1.40.0)

demo: module ## replay recorded conversations through Envoy and show what they cost; CORPUS=DIR for your own
	$(CARGO) run --release -p headroom-e2e --bin headroom-demo

clients: module ## run the tests with the providers' SDKs; `make test` runs them as well
	$(CARGO) test -p headroom-e2e --test clients

test-clients: module ## run these, and tests with coding agents from npm (1.2 GB): Claude Code, Codex, Gemini CLI and others
	$(CARGO) test -p headroom-e2e --no-fail-fast --test clients --test gateways --test agents --test wrap -- --include-ignored --nocapture

chaos: module ## send many requests while headroomd and Envoy fail, and count losses; options: make chaos ARGS="--requests 2000"
	@envoy=$$(envoy/install.sh) && export ENVOY="$$envoy" && $(CARGO) run --release -p headroom-e2e --bin headroom-chaos -- $(ARGS)

# libFuzzer needs a nightly compiler and cargo-fuzz; `make test` runs the same targets over fixed mutations without.
fuzz: ## run the engine's fuzz targets, each for SECONDS (60), with cargo-fuzz and a nightly Rust
	@trap 'exit 130' INT; failed=0; cd filter/compress && for name in body output conversation; do \
		$(CARGO) +nightly fuzz run "$$name" -- -max_total_time=$(or $(SECONDS),60) -timeout=30 || failed=1; done && exit $$failed

bench: module ## measure the engine, the module in V8, requests through Envoy and memory; options: make bench ARGS="--seconds 2"
	$(CARGO) bench -p headroom-benches
	$(CARGO) run --release -p headroom-benches --bin headroom-bench -- $(ARGS)

lint: toolchain ## run clippy, native and for the module; find crates that the module has twice, and circles of imports
	@.ci/circles
	@! git grep -nE '#\[(tokio::)?test(\(|])' -- '*/main.rs' '*/src/bin/*' ':!*/tests/*/main.rs' || { echo "a test in a program, which make does not run: put it into the library"; exit 1; }
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy -p headroom-filter --target wasm32-wasip1 -- -D warnings
	$(CARGO) clippy -p headroom-compress -p headroom-providers --target wasm32-unknown-unknown -- -D warnings
	@twice=$$($(CARGO) tree --quiet --duplicates --edges normal,no-proc-macro -p headroom-filter --target wasm32-wasip1 2>/dev/null) && \
	if [ -n "$$twice" ]; then echo "the module contains more than one version of a crate:"; echo "$$twice"; exit 1; fi

fmt: toolchain ## format the code
	$(CARGO) fmt --all

deny: toolchain ## check licences, sources and advisories of the dependencies, and find unused ones
	.ci/deny
	.ci/unused

papers: ## rewrite copied tables; check links, paths and commands of the documentation, and the workflows
	@.ci/papers --write

# The version that control-plane/prices/prices.py pins; nothing of the package runs.
prices: ## make the table of prices again from LiteLLM's and from overrides.toml, and test it
	@version=$$(sed -n 's/^VERSION = "\(.*\)"/\1/p' control-plane/prices/prices.py) && set -e && \
	$(PYTHON) -m pip download --quiet --no-deps --only-binary :all: --dest "$(target)/litellm-$$version" "litellm==$$version" && \
	wheel=$$(ls "$$PWD/$(target)/litellm-$$version"/*.whl 2>/dev/null || ls "$(target)/litellm-$$version"/*.whl) && \
	$(PYTHON) control-plane/prices/prices.py "$$wheel" && \
	HEADROOM_LITELLM_WHEEL="$$wheel" $(CARGO) test -p headroom-prices

validate: module ## check papers, workflows, and every Envoy configuration with the real Envoy
	@.ci/papers
	@envoy=$$(envoy/install.sh) && envoy/validate.sh "$$envoy" "$(module)"

manifests: module ## check Kubernetes manifests against their schemas, Envoy fragments with the real Envoy, containers' files
	@envoy=$$(envoy/install.sh) && k8s/check/run.sh "$$envoy" "$(module)"

toolchain:
	@.ci/toolchain
