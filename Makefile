# What people type. `make` alone says what there is.

# Where cargo puts what it builds.
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help run-all build test check clean

help:
	@echo 'make run-all                             build, then run the whole herd until Ctrl-C'
	@echo 'make run-all HERD=herds/report-003.json  the same with another herd file'
	@echo 'make build                               build $(TARGET)/release/herd'
	@echo 'make test                                run every test'
	@echo 'make check                               formatting and lints'
	@echo 'make clean                               remove what was built, not the logs and the keys'

# exec, so that Ctrl-C finds the herd itself and not a shell around it.
run-all: build
	@exec '$(TARGET)/release/herd' run-all $(if $(HERD),-c '$(HERD)')

build:
	@cargo build --release

test:
	cargo test

check:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

clean:
	cargo clean
