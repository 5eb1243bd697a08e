# `make` alone lists the targets.

# The folder of cargo's output.
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help run-all build test test-map measure-map map-pictures check simulate planted-faults measure-faults soak fuzz
.PHONY: bench bench-quick bench-programs bench-setup bench-check bench-instructions clean

help:
	@echo 'make run-all                             build, then run the whole herd until Ctrl-C'
	@echo 'make run-all HERD=herds/report-003.json  the same with another herd file'
	@echo 'make build                               build $(TARGET)/release/herd'
	@echo 'make test                                run every test'
	@echo 'make test-map                            the live map: its modules in node, and the page in Chromium'
	@echo 'make measure-map MINUTES=5               the live map with 5,000 clients that move'
	@echo 'make check                               formatting and lints'
	@echo 'make simulate SEEDS=10000 FIRST=1        simulated herds, each seed with its own faults'
	@echo 'make planted-faults                      plants mistakes; the simulator must find each'
	@echo 'make soak MINUTES=10                     a real herd under load; leaves a plot'
	@echo 'make fuzz SECONDS_EACH=60                the fuzz targets (see tests/fuzz/README.md)'
	@echo 'make measure-faults                      the cost of slow clients, neighbours and Places for others'
	@echo 'make bench                               measurements beside other programs (make bench-setup first)'
	@echo 'make clean                               remove the build output; logs and keys stay'

# exec, so that Ctrl-C reaches the herd itself, not a shell around it.
run-all: build
	@exec '$(TARGET)/release/herd' run-all $(if $(HERD),-c '$(HERD)')

build:
	@cargo build --release

test:
	cargo test

# Debian: apt-get install nodejs chromium
test-map:
	node --test tests/map/
	cargo test --test browser -- --ignored --skip five_thousand --skip pictures

measure-map: build
	@HERD_BIN='$(abspath $(TARGET))/release/herd' MINUTES=$(MINUTES) \
		cargo test --test browser five_thousand -- --ignored --nocapture

map-pictures:
	cargo test --test browser pictures -- --ignored

check:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

SEEDS ?= 10000
FIRST ?= 1
simulate:
	@SEEDS=$(SEEDS) FIRST=$(FIRST) cargo test --release --quiet --test simulation many -- --ignored --nocapture

planted-faults:
	@python3 tests/simulation/planted_faults.py -j 2

MINUTES ?= 10
soak:
	@MINUTES=$(MINUTES) cargo test --release --test soak -- --ignored --nocapture

SECONDS_EACH ?= 60
FUZZ_TARGETS := line client_stream peer_stream http_response places_answer herd_file request
fuzz:
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p '$(TARGET)'/fuzz/$$target && \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz $$target \
			'$(TARGET)'/fuzz/$$target tests/fuzz/corpus/$$target -- -max_total_time=$(SECONDS_EACH) || exit 1; \
	done

# A release build of the herd only: the tests themselves need no optimization.
measure-faults: build
	HERD_BIN='$(abspath $(TARGET))/release/herd' cargo test --test herd -- --ignored --nocapture --test-threads 1

HERD_PROGRAM := $(abspath $(TARGET)/release/herd)
bench: build bench-programs
	cd bench && HERD_BIN='$(HERD_PROGRAM)' cargo run --release --features engines -- all

bench-quick: build bench-programs
	cd bench && HERD_BIN='$(HERD_PROGRAM)' cargo run --release --features engines -- quick

# With the storage engines of workload (u).
bench-programs:
	cd bench && cargo build --release --features engines

# RUNLEVEL=1: the packages must not start their servers.
bench-setup:
	apt-get update
	RUNLEVEL=1 apt-get install -y --no-install-recommends redis-server nats-server memcached nodejs python3 \
		openjdk-17-jdk-headless nginx valgrind

bench-check: build
	cd bench && cargo build --release
	python3 bench/competitors/same_replies.py '$(HERD_PROGRAM)' "$${CARGO_TARGET_DIR:-bench/target}/release/herd-bench"

bench-instructions:
	bench/instructions.sh 2835

clean:
	cargo clean
	cargo clean --manifest-path bench/Cargo.toml
	cargo clean --manifest-path tests/fuzz/Cargo.toml
