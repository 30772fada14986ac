# What people do here. Every target installs or checks what it needs. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-library test-monitor slow-library slow-monitor soak \
    sweep shapes pauses fuzz bench lint build-sets doc sets

# Where cmake is put when no package manager can install it.
TOOLS := $(CURDIR)/target/tools
# A fresh rustup is on the PATH of the next shell only.
export PATH := $(HOME)/.cargo/bin:$(PATH):$(TOOLS)/cmake/data/bin

CARGO ?= cargo
# More arguments for each `cargo test`, such as --no-fail-fast.
TEST_FLAGS ?=
# Features of the monitor crate. The tests of `desktop` run without a desktop: alerts must go on.
MONITOR_FEATURES := cli,ollama,dashboard,desktop
# What the library is checked with. The features of GPUs need their makers' toolkits.
LIBRARY_SETS := "" "--no-default-features" "--no-default-features --features download" \
    "--no-default-features --features whisper"
MONITOR_SETS := "" "--features cli" "--features ollama" "--features dashboard" "--all-features"
# Slow tests stand in a module `slow` at the end of their file, and are ignored by default.
SLOW := -- --ignored slow::

TRANSCRIBE := $(CARGO) run --quiet --release -p steadyscribe --example transcribe --
REPORT := target/demo-report.json
PYTHON ?= python3
# Further scenes of speech, so that nothing is tuned to those in fixtures/.
SET_SEEDS := 101 102 103

help: ## Lists the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)$$/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: ## Checks for Rust, a C++ compiler and cmake; installs cmake if it is missing
	@.ci/setup "$(TOOLS)"

demo: setup ## Transcribes a minute of speech; prints the memory plan, the text and the report
	$(CARGO) build --release -p steadyscribe --example transcribe
	@echo; echo "The memory it will take, before anything is loaded (--plan):"; echo
	@$(TRANSCRIBE) --quiet --plan
	@echo; echo "One minute of synthetic speech (fixtures/standup.opus):"; echo
	@mkdir -p $(dir $(REPORT))
	@$(TRANSCRIBE) --report $(REPORT) fixtures/standup.opus
	@echo; echo "What it took (--report):"; echo
	@cat $(REPORT)

test: test-library test-monitor ## Runs the quick tests (minutes)

test-all: test-library slow-library test-monitor slow-monitor ## Runs all tests, the slow ones too

test-library: setup
	$(CARGO) test -p steadyscribe $(TEST_FLAGS)

slow-library: setup
	$(CARGO) test -p steadyscribe --lib --test it $(TEST_FLAGS) $(SLOW)

test-monitor: setup
	$(CARGO) test -p steadyscribe-monitor --features $(MONITOR_FEATURES) $(TEST_FLAGS)

slow-monitor: setup
	$(CARGO) test -p steadyscribe-monitor --features $(MONITOR_FEATURES) --lib --tests \
	    $(TEST_FLAGS) $(SLOW)

sweep: setup ## Decodes every format and scene cut at 20 places and with 200 bytes changed (minutes)
	$(CARGO) test -p steadyscribe --no-default-features --test it sweep \
	    -- --include-ignored --nocapture

soak: setup ## Runs files, live inputs, cancels and errors for minutes; memory must not grow
	$(CARGO) test --release -p steadyscribe --test it \
	    -- --ignored --exact endurance::soak --nocapture

shapes: setup ## Compares plan and memory for models of every published size (an hour, 5 GB)
	$(CARGO) test --release -p steadyscribe --test it \
	    -- --ignored published_shapes --nocapture

pauses: setup ## Measures words and delays of live speech by window length and pause (minutes)
	$(CARGO) test --release -p steadyscribe --test it \
	    -- --ignored --exact live::text::pauses --nocapture

fuzz: setup ## Fuzzes each target for a minute with cargo-fuzz (see fuzz/README.md)
	@fuzz/run

bench: setup ## Measures speed and memory (half an hour, 3 GB of memory, 1 GB of disk)
	$(CARGO) bench -p steadyscribe
	$(CARGO) bench -p steadyscribe-memory-bench
	$(CARGO) bench -p steadyscribe-monitor --features $(MONITOR_FEATURES)

lint: setup ## Checks format and lints in every set of features
	$(CARGO) fmt --all --check
	@set -e; for set in $(LIBRARY_SETS); do \
	    echo "clippy -p steadyscribe $$set"; \
	    $(CARGO) clippy --quiet -p steadyscribe --all-targets $$set -- -D warnings; \
	done
	@set -e; for set in $(MONITOR_SETS); do \
	    echo "clippy -p steadyscribe-monitor $$set"; \
	    $(CARGO) clippy --quiet -p steadyscribe-monitor --all-targets $$set -- -D warnings; \
	done
	$(CARGO) clippy --quiet -p steadyscribe-memory-bench --all-targets -- -D warnings

build-sets: setup ## Builds library, examples and benches in every set of features
	@set -e; for set in $(LIBRARY_SETS); do \
	    echo "build -p steadyscribe $$set"; \
	    $(CARGO) build --quiet -p steadyscribe --lib --examples --benches $$set; \
	done

doc: setup ## Builds the reference into target/doc
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps -p steadyscribe
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps -p steadyscribe-monitor --all-features

sets: ## Makes three more sets of speech in target/sets (espeak-ng, flite, Python: numpy, scipy)
	@for program in espeak-ng flite $(PYTHON); do \
	    command -v $$program >/dev/null || { echo "missing: $$program" >&2; exit 1; }; \
	done
	@$(PYTHON) -c 'import numpy, scipy' || { \
	    echo "missing: $(PYTHON) -m pip install numpy scipy" >&2; exit 1; \
	}
	@set -e; for seed in $(SET_SEEDS); do \
	    $(PYTHON) -B fixtures/model/make.py target/sets/$$seed --seed $$seed; \
	done
