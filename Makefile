# Tributary's commands; `make` alone lists them.
#
# PROFILE=release builds `make train` for speed; TORCH=cuda sets libtorch up with CUDA.
# ARGS="..." is handed to `tributary train`, for instance ARGS="--actors 4 --seed 2".

PROFILE ?= dev
ARGS ?=
SECONDS ?= 30
FUZZ ?=
# Of what is drawn at random: another one for each commit.
SEED ?= $(shell printf '%d' 0x$$(git rev-parse --short=7 HEAD 2>/dev/null || echo 1))
RUN ?= examples/tfbind8.toml
TARGET := $(or $(CARGO_TARGET_DIR),target)
PROGRAMS := $(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))

EXPERIMENT := cargo run --locked --release -p tributary-bench --

.DEFAULT_GOAL := help
.PHONY: help setup setup-rna build train rna test test-cluster images dist verify verify-licenses fix docs bench bench-learning \
	bench-lag bench-objectives fuzz bench-curves bench-atlas bench-connections bench-rewards bench-bitseq bench-modes bench-rna bench-quality bench-crowd \
	bench-peers bench-parts bench-start bench-hot bench-swarm bench-fan-out bench-overhead \
	soak soak-flat soak-share clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

setup: ## check the prerequisites and fetch libtorch, once
	@scripts/setup.sh

build: setup ## build the programs `tributary` and `tributary-learner`
	cargo build --locked --profile $(PROFILE)

train: build ## set up, build, and train on measured data (RUN=examples/tfbind8.toml)
	$(PROGRAMS)/tributary train $(RUN) $(ARGS)

setup-rna: ## install ViennaRNA into examples/rna-venv, for examples/rna.toml
	@scripts/setup-rna.sh

rna: setup setup-rna ## set up, build, and design RNA that folds into a structure (9 minutes)
	cargo build --locked --release --workspace
	$(TARGET)/release/tributary train examples/rna.toml $(ARGS)

test: setup ## set up, build, and pass the tests
	cargo build --locked --workspace
	cargo test --locked --workspace

test-cluster: setup ## test on a Slurm that it starts, the dashboard in a browser, the Helm chart, images and package, Prometheus and TensorBoard; skipped where tools are missing (15 minutes)
	@scripts/test-cluster.sh
	@scripts/test-dashboard.sh
	@scripts/test-kubernetes.sh
	@scripts/test-metrics.sh

images: setup ## build the images tributary-actor and tributary-learner, with podman or docker
	@scripts/package.sh images

dist: setup ## make a package that runs where it is unpacked: target/tributary-VERSION-cpu-x86_64-linux.tar.gz
	@scripts/package.sh dist

verify: setup verify-licenses ## what CI checks besides the tests; changes no source file
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --lib

verify-licenses:
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny --locked --offline check bans licenses sources; \
	else \
		echo "verify: SKIPPED bans, licenses and sources: there is no cargo-deny (cargo install cargo-deny --locked)"; \
	fi

fuzz: ## run the fuzz targets, SECONDS=30 each, or the one of FUZZ=wire
	@scripts/fuzz.sh $(SECONDS) $(FUZZ)

fix: setup ## format, apply what clippy can repair, write what is generated
	cargo clippy --locked --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all
	$(MAKE) docs

docs: ## write docs/run-file.md, the reference of the run file's keys, from the code
	cargo build --locked -p tributary-deploy
	$(TARGET)/debug/tributary keys --markdown > docs/run-file.md.new
	mv docs/run-file.md.new docs/run-file.md

bench: setup ## time training on three hypergrids (3 minutes)
	cargo build --locked --release --workspace
	cargo run --locked --release -p tributary-bench -- speed --json $(TARGET)/bench.json $(ARGS)

bench-parts: setup ## time the hot parts, each against what the machine allows, for docs/performance.md (3 minutes)
	$(EXPERIMENT) parts --json $(TARGET)/parts.json --page docs/performance.md $(ARGS)

bench-start: setup ## how soon a run and an actor are at work, for docs/performance.md (1 minute)
	cargo build --locked --release --workspace
	$(TARGET)/release/tributary-bench start --page docs/performance.md $(ARGS)

bench-hot: setup ## micro-benchmarks of the hot parts (4 minutes)
	cargo bench --locked -p tributary-bench --bench hot -- $(ARGS)

bench-learning: setup ## train the examples with three seeds and compare with the bars (10 minutes)
	cargo build --locked --workspace
	cargo run --locked -p tributary-bench -- learning --json $(TARGET)/learning.json $(ARGS)

bench-connections: setup ## connect 300 actors with mutual TLS, in quiet and in a crowd, for docs/security.md (2 minutes)
	cargo build --locked --workspace
	cargo run --locked -p tributary-bench -- connections --json $(TARGET)/connections.json --page docs/security.md $(ARGS)

bench-rewards: setup ## rewards that sleep, with up to 64 actors or workers, for docs/rewards/command.md (10 minutes)
	cargo build --locked --release --workspace
	$(TARGET)/release/tributary-bench rewards --json $(TARGET)/rewards.json --page docs/rewards/command.md \
		--figure docs/figures/rewards.svg $(ARGS)

bench-lag: setup ## compare the exact distance with and without lag, for docs/objectives/lag.md (10 minutes)
	$(EXPERIMENT) lag --json $(TARGET)/lag.json --page docs/objectives/lag.md $(ARGS)

bench-objectives: setup ## train every objective on every environment, for docs/results.md (25 minutes)
	$(EXPERIMENT) objectives --json $(TARGET)/objectives.json --page docs/results.md $(ARGS)

bench-curves: setup ## draw how long trajectories are learned, for docs/results.md (20 minutes)
	$(EXPERIMENT) curves --json $(TARGET)/curves.json --page docs/results.md --figure docs/figures/curves.svg $(ARGS)

bench-atlas: setup ## hold every combination to its exact distribution, for docs/atlas.md (10 minutes)
	$(EXPERIMENT) atlas --json $(TARGET)/atlas.json --page docs/atlas.md --figures docs/figures $(ARGS)

bench-bitseq: setup ## train on bit sequences beside gfnx, which it installs, for docs/results.md (an hour)
	$(EXPERIMENT) bitseq compare --json $(TARGET)/bitseq.json --page docs/results.md $(ARGS)

bench-modes: setup ## count the modes found on bit sequences, for docs/results.md (20 minutes)
	$(EXPERIMENT) bitseq modes --json $(TARGET)/modes.json --page docs/results.md --figure docs/figures/modes.svg $(ARGS)

bench-rna: setup setup-rna ## design RNA and compare with 100,000 random sequences (15 minutes)
	cargo build --locked --release --workspace
	rm -rf runs/bench-rna
	$(TARGET)/release/tributary train examples/rna.toml --run-dir runs/bench-rna $(ARGS)
	examples/rna-venv/bin/python bench/rna.py $(TARGET)/release/tributary runs/bench-rna

bench-quality: setup setup-rna ## quality for each object paid for, beside torchgfn and other searches, for docs/results.md (2 hours)
	@mkdir -p target
	examples/rna-venv/bin/python bench/rna_words.py target/rna-words.tsv
	$(EXPERIMENT) quality --keep $(TARGET)/quality.jsonl --json $(TARGET)/quality.json --page docs/results.md --figure docs/figures/quality.svg $(ARGS)

bench-crowd: setup ## whether more actors buy speed with waste, for docs/results.md (30 minutes)
	cargo build --locked --release --workspace
	$(TARGET)/release/tributary-bench crowd --json $(TARGET)/crowd.json --page docs/results.md $(ARGS)

bench-peers: setup ## time training beside gfnx and torchgfn, which it installs, for docs/performance.md (4 hours)
	cargo build --locked --release --workspace
	$(TARGET)/release/tributary-bench peers --keep $(TARGET)/peers.jsonl --json $(TARGET)/peers.json --page docs/performance.md $(ARGS)

bench-swarm: setup ## what one learner takes from up to 1,000 sessions at once, for docs/scale.md (10 minutes)
	cargo build --locked --release --workspace
	$(TARGET)/release/tributary-bench swarm --json $(TARGET)/swarm.json --page docs/scale.md $(ARGS)

bench-fan-out: setup ## how long weights of 10 MB take to 256 subscribers, for docs/scale.md (4 minutes)
	cargo build --locked --release --workspace
	$(TARGET)/release/tributary-bench fan-out --json $(TARGET)/fan-out.json --page docs/scale.md $(ARGS)

bench-overhead: setup ## what it costs a run to be watched, for docs/operations.md (8 minutes)
	cargo build --locked --release --workspace
	$(TARGET)/release/tributary-bench overhead --json $(TARGET)/overhead.json --page docs/operations.md $(ARGS)

soak: setup ## the long proofs of reliability: simulated networks, real processes killed, stopped and slowed down (45 minutes)
	cargo build --locked --release --workspace
	TRIBUTARY_SOAK=full cargo test --locked -p tributary-common --lib ledger -- --nocapture
	TRIBUTARY_SOAK=full cargo test --locked -p tributary-learner --lib mutations -- --nocapture
	TRIBUTARY_SOAK=full cargo test --locked -p tributary-bench --bin tributary-bench lockstep -- --nocapture
	TRIBUTARY_SOAK=full cargo test --locked -p tributary-bench --test simulation -- --nocapture
	$(EXPERIMENT) soak kill
	$(EXPERIMENT) soak sync
	$(EXPERIMENT) soak stop
	$(EXPERIMENT) soak slow
	$(EXPERIMENT) soak straggler
	$(EXPERIMENT) soak restart

soak-flat: setup ## memory of an hour at full speed, for docs/memory.md (65 minutes)
	cargo build --locked --release --workspace
	$(TARGET)/release/tributary-bench soak flat $(ARGS)

soak-share: setup ## a fifth of the kills, with a seed from the commit, and the order of sync and ack (3 minutes)
	cargo build --locked --workspace
	cargo run --locked -p tributary-bench -- soak kill --kills 40 --seed $(SEED)
	cargo run --locked -p tributary-bench -- soak sync --seed $(SEED)

clean: ## remove what was built (the fetched libtorch stays in its cache)
	cargo clean
