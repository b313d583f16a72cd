# What people run. `make demo` and `make test` set up everything they need; `make check` is what CI runs.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

OPENGPU := target/debug/opengpu
TRACER := target/path-tracer/debug/path-tracer
FORGE := cd contracts && ../node_modules/.bin/forge
# Tests that need root, Docker, a registry or a browser say "SKIPPED:" where they cannot run; `make check` fails on one.

.PHONY: help build demo test check generate fmt lint bench-gas invariants slither symbolic mutate coverage contracts-test badge-test rust-test clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

build: node_modules/.package-lock.json ## set up the machine and build the binary and the demo's job
	tools/setup build
	cargo build --locked
	cargo rustc --locked --manifest-path demo/path-tracer/Cargo.toml --target-dir target/path-tracer -- -C target-feature=+crt-static -C relocation-model=static
	$(OPENGPU) __pack-image --binary $(TRACER) --out target/debug/demo/path-tracer
	mkdir -p target/debug/demo/scenes && cp demo/scenes/*.json target/debug/demo/scenes/

demo: build ## the main job: a paid job from order to verified receipt on a network of its own
	$(OPENGPU) demo

test: build contracts-test badge-test rust-test ## every test: contracts, Rust, end to end

check: lint test ## what CI runs: generated files, formats, lints, dependencies, every test
	tools/no-diff

contracts-test: node_modules/.package-lock.json ## contracts: formats, warnings, unit, fuzz, invariants, static, symbolic, mutation, gas
	tools/setup test
	tools/contracts test

badge-test: node_modules/.package-lock.json ## contracts: the picture of a node's NFT in a real browser
	tools/setup test
	$(FORGE) build src
	tools/badge-test

rust-test: build ## Rust: unit, integration and end-to-end tests
	tools/setup test
	tools/rust-test

generate: node_modules/.package-lock.json ## rebuild every generated file: ABIs with bytecode, shared vectors, gas table
	tools/contracts generate

bench-gas: node_modules/.package-lock.json ## gas of whole transactions beside goals and peers
	$(FORGE) build src && ../node_modules/.bin/forge test --match-contract GasTest
	tools/bench-gas

invariants: node_modules/.package-lock.json ## contracts: CALLS=n calls of every actor against every invariant
	$(FORGE) build src
	tools/invariants $(or $(CALLS),1000000)

slither: node_modules/.package-lock.json ## contracts: static analysis
	tools/setup test
	tools/slither

symbolic: node_modules/.package-lock.json ## contracts: symbolic checks
	tools/setup test
	tools/symbolic

mutate: node_modules/.package-lock.json ## contracts: N=n changed places that tests must notice, drawn by SEED=text
	tools/mutate $(or $(N),20) $(SEED)

coverage: node_modules/.package-lock.json ## contracts: branch coverage, at least 95 %
	tools/coverage

lint: build ## formats, clippy, dependency rules
	cargo fmt --all --check
	cargo fmt --check --manifest-path demo/path-tracer/Cargo.toml
	cargo clippy --locked --workspace --all-targets -- -D warnings
	tools/deny

fmt: node_modules/.package-lock.json ## format all sources
	cargo fmt --all
	cargo fmt --manifest-path demo/path-tracer/Cargo.toml
	$(FORGE) fmt

clean: ## remove what builds made
	rm -rf target node_modules contracts/out contracts/cache

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund
	@touch $@
