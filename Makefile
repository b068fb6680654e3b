PYTHON ?= python3
VENV := .venv
RUN := runs/demo
VERSIONS := .versions
# Processes that share the tests. Each has TensorFlow in memory, 1 to 2 GB.
WORKERS := auto
PYTEST = $(VENV)/bin/python -m pytest -n $(WORKERS) --maxprocesses=8 --dist=loadfile

.PHONY: demo test test-lowest test-newest test-nightly slow lint clean

demo: $(VENV)/.installed
	$(VENV)/bin/python -m trainers.train --dataset=digits --method=mopoe_plus_infonce --out=$(RUN) --resume
	$(VENV)/bin/python -m trainers.evaluate --run=$(RUN)

test: $(VENV)/.installed-test
	$(PYTEST)

slow: $(VENV)/.installed-test
	$(PYTEST) --slow -m slow

# The suite with other versions, each in a new environment (BUILD.md, "Versions").
test-lowest: PYTHON = python3.11
test-lowest:
	rm -rf $(VERSIONS)/lowest
	$(MAKE) test PYTHON=$(PYTHON) VENV=$(VERSIONS)/lowest PIP_CONSTRAINT=$(CURDIR)/tests/lowest.txt

test-newest:
	rm -rf $(VERSIONS)/newest
	$(MAKE) test VENV=$(VERSIONS)/newest

test-nightly:
	rm -rf $(VERSIONS)/nightly
	$(MAKE) $(VERSIONS)/nightly/.installed-test VENV=$(VERSIONS)/nightly
	$(VERSIONS)/nightly/bin/pip uninstall --quiet --yes tensorflow-probability
	$(VERSIONS)/nightly/bin/pip install --quiet --pre tfp-nightly
	$(MAKE) test VENV=$(VERSIONS)/nightly

lint: $(VENV)/.installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.py $(VENV)/bin/python
	$(VENV)/bin/pip install --quiet -e .[train,eval]
	touch $@

$(VENV)/.installed-test: setup.py $(VENV)/.installed
	$(VENV)/bin/pip install --quiet -e .[train,eval,datasets,serving,edge,tables,test]
	touch $@

clean:
	rm -rf $(VENV) $(VERSIONS) build dist *.egg-info
