# `make` says what there is.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
SPARK_VENV ?= .venv-spark
COMPILE = uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-header --quiet
SOAK ?= 5
ORDERS ?= 333000

help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.locked  ## run the pipeline on data/source
	$(BIN)/python run_pipeline.py

browse: $(VENV)/.locked  ## show databases, reports and data docs on http://127.0.0.1:8001, until Ctrl-C
	$(BIN)/python run_pipeline.py browse

test: $(VENV)/.locked  ## run all tests
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n 3 --dist worksteal

test-spark: $(SPARK_VENV)/.locked  ## run the tests of the Spark engine, on a cluster of their own; needs Java 17
	$(SPARK_VENV)/bin/python -m pytest tests/spark

soak: $(VENV)/.locked  ## run SOAK times as many random histories and kills, and print one line of figures
	SOAK=$(SOAK) $(BIN)/python -m pytest tests/test_histories.py tests/test_resilience.py

bench: $(VENV)/.locked  ## time the pipeline, beside dbt and pandas when PEERS names their environment (ORDERS="333000 3330000")
	$(BIN)/python benchmarks/run.py --orders $(ORDERS)

sample: $(VENV)/.locked  ## write the sample in data/source anew
	$(BIN)/python data/generate.py data/source

lock:  ## resolve pyproject.toml into requirements.txt and requirements-spark.txt, with hashes and without index URLs
	$(COMPILE) --extra browse --extra test --output-file requirements.txt
	$(COMPILE) --extra browse --extra test --extra spark --constraint requirements.txt --output-file requirements-spark.txt

clean:  ## delete the environment, the warehouse and the reports
	rm -rf $(VENV) $(SPARK_VENV) data/warehouse reports

$(VENV)/.locked: requirements.txt
$(SPARK_VENV)/.locked: requirements-spark.txt
%/.locked:
	$(PYTHON) -m venv $*
	$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

.PHONY: help run browse test test-spark soak bench sample lock clean
.DEFAULT_GOAL := help
