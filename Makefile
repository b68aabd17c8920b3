# `make` lists what there is to do.
PYTHON ?= python3
VENV ?= .venv
SPARK_VENV ?= .venv-spark
BIN = $(VENV)/bin
SOAK ?= 5
EACH ?= 2
ORDERS ?= 333000
COMPILE = uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-header --annotation-style line --quiet

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.requirements  ## run the pipeline on data/source; the sample as of the morning after its last day
	@$(BIN)/python run_pipeline.py --now "$$($(BIN)/python data/morning.py data/source)"

browse: $(VENV)/.requirements-browse  ## open databases, reports and data docs in your browser, until Ctrl-C
	$(BIN)/python run_pipeline.py browse

# JUPYTER_PREFER_ENV_PATH: a kernel of the same name in the user's home would lack the project's packages.
lab: $(VENV)/.requirements-lab  ## open the notebooks in JupyterLab, with the project's packages, until Ctrl-C
	JUPYTER_PREFER_ENV_PATH=1 $(BIN)/python -m jupyterlab notebooks --ip 127.0.0.1

check: lint  ## lint, and run the tests that need no whole run: the quick loop
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not whole_run"

test: lint  ## lint, and run all tests but Spark's
	$(BIN)/python -m pytest -n 3 --dist worksteal

lint: $(VENV)/.requirements-test  ## check the code's style, and that lib's folders import in one direction
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo --no-cache

test-spark: $(SPARK_VENV)/.requirements-spark  ## run the tests of the Spark engine, on a cluster of their own; needs Java 17
	$(SPARK_VENV)/bin/python -m pytest tests/spark

soak: $(VENV)/.requirements-test  ## run SOAK times as many random histories and kills, and print one line of figures
	SOAK=$(SOAK) $(BIN)/python -m pytest tests/step/test_histories.py tests/runner/test_resilience.py

mutants: $(VENV)/.requirements-test  ## break each file with promises EACH times, and list the slips that no test notices
	$(BIN)/python tests/mutants/run.py --each $(EACH)

bench: $(VENV)/.requirements  ## time the pipeline, beside dbt and pandas when PEERS names their environment (ORDERS="333000 3330000")
	$(BIN)/python benchmarks/run.py --orders $(ORDERS)

sample: $(VENV)/.requirements  ## write the sample in data/source again
	$(BIN)/python data/generate.py data/source

# The tests' environment holds all others except Spark's, so it is resolved first and the others follow its versions.
lock:  ## resolve pyproject.toml into the requirements files, with hashes and without index URLs; needs uv
	$(COMPILE) --extra browse --extra lab --extra test --output-file requirements-test.txt
	$(COMPILE) --constraint requirements-test.txt --output-file requirements.txt
	$(COMPILE) --constraint requirements-test.txt --extra browse --output-file requirements-browse.txt
	$(COMPILE) --constraint requirements-test.txt --extra lab --output-file requirements-lab.txt
	$(COMPILE) --constraint requirements-test.txt --extra test --extra spark --output-file requirements-spark.txt

clean:  ## delete the environments, the warehouse and the reports
	rm -rf $(VENV) $(SPARK_VENV) data/warehouse reports

# An environment has a stamp for each requirements file that was installed; none removes what another one needs.
define install
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@
endef

$(VENV)/.requirements: requirements.txt
	$(install)

$(VENV)/.requirements-%: requirements-%.txt
	$(install)

$(SPARK_VENV)/.requirements-%: requirements-%.txt
	$(install)

.PHONY: help run browse lab check test lint test-spark soak mutants bench sample lock clean
.DEFAULT_GOAL := help
