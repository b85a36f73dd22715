# The commands of this project. Each does its own set-up; one profile (release) serves them all, so that
# RocksDB's C++ is compiled once.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

CARGO ?= cargo
FLAGS := --release --workspace --locked
# nextest runs the tests of all files side by side; without it cargo's own runner does, one file after another.
TEST_RUN = $(if $(shell command -v cargo-nextest),nextest run $(FLAGS) --no-fail-fast,test $(FLAGS) --no-fail-fast)
SEED_START ?= 0

# One job after the other: they share the target folder and the processors.
.NOTPARALLEL:
.PHONY: help setup setup-test build demo test check fmt lint sim bench deb

help:           ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup:          ## installs the Debian packages that the build needs
	scripts/setup.sh build

setup-test:     ## installs what the tests need beside: Docker Engine, qemu, a kernel for the test machine
	scripts/setup.sh test

build: setup    ## compiles both programs
	$(CARGO) build $(FLAGS)

demo: setup     ## from a kernel counter to a bill on this machine; DEMO_EXIT=1 ends after the first bill
	scripts/demo.sh

test: setup-test  ## every test
	$(CARGO) build $(FLAGS) --bins
	scripts/docker-up.sh run $(CARGO) $(TEST_RUN)

check: setup-test fmt lint test  ## format, clippy with warnings denied, tidy and every other test

fmt:
	$(CARGO) fmt --all --check

lint: setup-test
	$(CARGO) clippy $(FLAGS) --all-targets -- -D warnings

sim: setup      ## deterministic simulation: SEEDS=n [SEED_START=s] runs n of them, SEED=s replays one with its trace
	@test -n "$(SEED)$(SEEDS)" || { echo "say make sim SEEDS=n [SEED_START=s], or SEED=s" >&2; exit 2; }
	$(CARGO) run --release --locked -p tallyman-tests --bin sim -- \
	  $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --seed-start $(SEED_START))

bench: setup    ## the figures of docs/BENCH.md on this machine
	$(CARGO) run --release --locked -p tallyman-tests --bin bench

deb: setup-test ## target/debian/*.deb of both programs
	scripts/deb.sh
