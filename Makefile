# Nine words: demo, test, check, coverage, bench-quick, campaign, format, docs, clean. Each sets up what it needs in .venv.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test check coverage bench-quick campaign format docs clean

demo: $(READY)          ## train two experiments on handwritten digits and write their journal page
	$(BIN)/zhurnal demo

test: $(READY)          ## everything that a machine without a GPU can test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(READY)         ## format, lint, types and the fast tests: under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

coverage: $(READY)      ## do tests take 95 of 100 branches of what keeps data? Half a minute
	$(BIN)/python benchmarks/branches.py

bench-quick: $(READY)   ## has anything grown slower? Ratios of two minutes, against those that were stored
	$(BIN)/python benchmarks/guard.py

campaign: $(READY)      ## what is promised about data, tried many times over: under an hour; FLAGS="--rows torn,flips --scale 0.1"
	$(BIN)/python -m campaign $(FLAGS)

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)          ## write the references of commands and settings from the code
	$(BIN)/python docs/generate.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

# torch first and alone: the pinned version has a CPU build, a range would bring gigabytes of CUDA.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
