# Everything a developer or a curious visitor does here. `make` lists it.
#
# There is one profile, release, and one build cache, outside the clone, so that a second clone or a
# fresh one starts warm. RocksDB is compiled from its sources once per machine.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/flotilla
export CARGO_TARGET_DIR ?= $(CACHE)/target
export CCACHE_DIR ?= $(CACHE)/ccache
BINARY := $(CARGO_TARGET_DIR)/release/flotilla

# What the build needs beside Rust: a C++ compiler, and libclang to read RocksDB's header.
PACKAGES := build-essential ccache libclang-dev

# Looked up when a recipe starts, because `deps` may have just installed ccache. Changing compilers
# would compile RocksDB again.
ifeq ($(origin CC),default)
CARGO = $(if $(shell command -v ccache),env CC="ccache gcc" CXX="ccache g++") cargo
else
CARGO = cargo
endif

# History, report and what was done, of the last run.
CHAOS_OUT := $(CACHE)/chaos

CARGO_DENY_VERSION := 0.20.2
CARGO_DENY_ROOT := $(CACHE)/tools/cargo-deny-$(CARGO_DENY_VERSION)
CARGO_DENY := $(CARGO_DENY_ROOT)/bin/cargo-deny

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## Install what the build needs from Debian, unless it is there
	@.ci/deps $(PACKAGES)
	@.ci/claim

.PHONY: build
build: deps ## Build the binary `flotilla`
	@.ci/timed "build" $(CARGO) build --release --locked -p flotilla
	@echo "built $(BINARY)"

.PHONY: test
test: build ## Run every test
	@.ci/timed "tests" $(CARGO) test --release --locked --workspace --no-fail-fast | .ci/test-summary

.PHONY: demo
demo: deps ## Fill a cluster of three nodes, kill one half way, replay and compare everything
	@.ci/timed "build" $(CARGO) build --release --locked -p flotilla -p flotilla-tests --bin flotilla --bin demo
	@$(CARGO_TARGET_DIR)/release/demo $(DEMO_ARGS)

.PHONY: kills
kills: build ## Write 10,000,000 records through 20 killed leaders, and account for every one (RECORDS=, KILLS=)
	@FLOTILLA_KILLS_RECORDS=$(or $(RECORDS),10000000) FLOTILLA_KILLS=$(or $(KILLS),20) \
		$(CARGO) test --release --locked -p flotilla-tests --test it -- --nocapture killed_leaders_cost_no_record

.PHONY: chaos
chaos: deps ## Torment a cluster for 10 minutes, and judge what its clients saw (SECONDS=, CHAOS_ARGS="--seed 7"; power cuts need root)
	@.ci/deps e2fsprogs xfsprogs
	@.ci/timed "build" $(CARGO) build --release --locked -p flotilla -p flotilla-chaos --bin flotilla --bin chaos
	@FLOTILLA_BIN=$(BINARY) $(CARGO_TARGET_DIR)/release/chaos run --seconds $(or $(SECONDS),600) \
		--out $(CHAOS_OUT) $(CHAOS_ARGS)

.PHONY: chaos-long
chaos-long: ## The same for two hours
	@$(MAKE) chaos SECONDS=7200

.PHONY: bench
bench: deps ## Measure what Flotilla costs and how fast it is (BENCH_ARGS="all --quick": a short form)
	@.ci/timed "build" $(CARGO) build --release --locked -p flotilla -p flotilla-tests -p flotilla-benches --bins
	@$(CARGO_TARGET_DIR)/release/flotilla-benches $(or $(BENCH_ARGS),all)

.PHONY: compare
compare: deps ## Measure Flotilla beside NATS JetStream and RabbitMQ, in about 25 minutes (COMPARE_ARGS="--quick": 3)
	@benches/peers
	@.ci/timed "build" $(CARGO) build --release --locked -p flotilla -p flotilla-benches --bins
	@$(CARGO_TARGET_DIR)/release/flotilla-benches compare $(COMPARE_ARGS)

.PHONY: image
image: build ## Make the Docker image flotilla:latest (and its base image, where no registry can be reached)
	@cluster/image $(BINARY)

.PHONY: docker-demo
docker-demo: image ## The demo against three containers
	@.ci/timed "build" $(CARGO) build --release --locked -p flotilla -p flotilla-tests --bin flotilla --bin demo
	@cluster/demo $(CARGO_TARGET_DIR)/release/demo $(DEMO_ARGS)

.PHONY: format
format: ## Fail if a file is not formatted
	@cargo fmt --all --check

.PHONY: lint
lint: deps ## Run clippy, and fail on any warning
	@$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings

.PHONY: deny
deny: $(CARGO_DENY) ## Check the licences, sources and owners of what we depend on
	@.ci/deny $(CARGO_DENY)

.PHONY: advisories
advisories: $(CARGO_DENY) ## Fetch the RustSec database, and check what we depend on against it
	@$(CARGO_DENY) --locked check advisories

.PHONY: fix
fix: deps ## Format everything, and apply what clippy can mend
	@$(CARGO) clippy --release --workspace --all-targets --fix --allow-dirty --allow-staged
	@cargo fmt --all

.PHONY: verify
verify: ## What has to pass before a change lands
	@.ci/run

.PHONY: fuzz
fuzz: deps ## Feed damaged record batches, requests, lines and tokens to their parsers (SECONDS=60 each; needs a nightly Rust and cargo-fuzz)
	@.ci/fuzz $(or $(SECONDS),60)

.PHONY: clean
clean: ## Forget the build of our own crates; RocksDB stays
	@cargo clean --release --workspace

# Not by a prebuilt binary, and not into the target directory of the workspace, which it would lock.
$(CARGO_DENY):
	@.ci/timed "install cargo-deny $(CARGO_DENY_VERSION) (about 3 minutes on 2 cores, once)" \
		env -u CARGO_TARGET_DIR cargo install --debug --quiet --locked cargo-deny@$(CARGO_DENY_VERSION) --root $(CARGO_DENY_ROOT)
