# Every target sets up what it needs: Python 3.11 and make are enough.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
PIP := $(BIN)/pip install -qq --disable-pip-version-check

# One thread per process: two single-threaded workers beat one process with two threads.
export OMP_NUM_THREADS ?= 1
# mkdocs announces its own future on every call.
export NO_MKDOCS_2_WARNING := 1
export DISABLE_MKDOCS_2_WARNING := true

.PHONY: setup run test test-all lint bench bench-compare bench-history site site-zensical serve baselines index golden mutations agreement rehearse-submission fuzz worst-case lock dist clean
.DEFAULT_GOAL := run

setup: $(READY)  ## the pinned environment, under .venv

run: $(READY)  ## score a ResNet on the five default tasks, three seeds
	$(BIN)/lebench run --model resnet --seeds 3

test: $(READY)  ## the quick tests
	$(BIN)/pytest -n 2 -m "not slow" --benchmark-disable

test-all: $(READY)  ## all tests
	$(BIN)/pytest -n 2 -m "" --benchmark-disable

lint: $(READY)  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## the speed that is promised, as ratios of CPU seconds
	@set -e; for script in benchmarks/*_bench.py; do echo "$$script"; $(BIN)/python $$script; done

bench-compare: $(READY)  ## kernels against their peers, by pytest-benchmark, kept in bench-compare.json
	$(BIN)/pytest -n 0 -q benchmarks --benchmark-timer=time.process_time --benchmark-json=bench-compare.json

bench-history: $(READY)  ## what a user waits for without a model, kept by commit under .asv
	cd benchmarks && ../$(BIN)/asv machine --yes && ../$(BIN)/asv run --python=same --set-commit-hash $$(git rev-parse HEAD)

site: $(READY)  ## the documentation and the leaderboard, under site/
	$(BIN)/lebench site build
	$(BIN)/mkdocs build --strict --quiet

site-zensical: $(READY)  ## the same pages by Zensical, the successor of mkdocs-material
	$(BIN)/lebench site build
	$(BIN)/zensical build --clean --strict

serve: $(READY)  ## the same at http://127.0.0.1:8000
	$(BIN)/lebench site build
	$(BIN)/mkdocs serve --strict --dev-addr 127.0.0.1:8000

baselines: $(READY)  ## run what has changed of the baselines and write their entries
	$(BIN)/lebench baselines

index: $(READY)  ## write the index of registered names anew
	$(BIN)/python -c "from lebench.registry import write_index; write_index()"

golden: $(READY)  ## write the values of tiny runs anew, where versions were raised (CASES=kernel for some)
	PYTHONPATH=tests $(BIN)/python -m golden $(CASES)

mutations: $(READY)  ## change formulas, which the golden values must notice, and refactor, which they must not
	$(BIN)/python tests/mutations.py

agreement: $(READY)  ## measure anew how far the implementations are apart, for the site
	$(BIN)/lebench agree --json > agreement.tmp && mv agreement.tmp lebench/agree/measured.json

rehearse-submission: $(READY)  ## send good entries and attacks through the checks of a pull request
	$(BIN)/python .ci/rehearse

# Ten minutes; inputs that reach new code are kept under .fuzz for the next time.
fuzz: $(READY)  ## coverage-guided fuzzing of what reads a submission (Linux)
	@$(BIN)/python -c "import atheris" 2>/dev/null \
	  || $(BIN)/pip install -qq --disable-pip-version-check --only-binary atheris -c constraints.txt -e '.[fuzz]' \
	  || { echo "atheris cannot be installed: it is built for Linux and few versions of Python; try Python 3.11"; exit 1; }
	@mkdir -p .fuzz/corpus
	$(BIN)/python tests/fuzz/fuzz_entry.py -max_total_time=600 -artifact_prefix=.fuzz/ .fuzz/corpus

worst-case: $(READY)  ## what the dearest submissions cost that fit into the size limits (Linux)
	$(BIN)/python tests/fuzz/worst_case.py

lock: $(READY)  ## write .ci/requirements.txt anew: what the workflows install, by checksum (Linux, Python 3.11)
	$(BIN)/python .ci/lock

dist: $(READY)  ## the wheel and the source distribution, under dist/
	@$(PIP) -c constraints.txt build hatchling
	$(BIN)/python -m build --no-isolation --outdir dist

clean:  ## remove what was generated, but not the results
	rm -rf .venv site docs/gallery docs/leaderboard docs/reference .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .benchmarks .fuzz

# torch is pinned in the command that installs whatever needs it: an open range would bring the CUDA build along.
# neural-tangents declares TensorFlow, which only its experimental part needs: hence without its dependencies.
# LOCKED=1 takes the files that .ci/requirements.txt names by checksum and no others (Linux, Python 3.11).
# -qq leaves out pip's warnings about search locations; errors are still shown.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "lebench needs Python 3.11 or newer on the PATH (or: make PYTHON=/path/to/python)"; exit 1; }
	@echo "Installing the pinned environment into .venv (about two minutes, once)"
	@$(PYTHON) -m venv .venv
ifdef LOCKED
	@$(PIP) --require-hashes --no-deps -r .ci/requirements.txt
	@$(PIP) --no-deps --no-build-isolation -e .
else
	@$(PIP) -c constraints.txt torch==2.13.0 -e '.[dev]'
	@$(PIP) --no-deps neural-tangents==0.6.5
endif
	@touch $@
