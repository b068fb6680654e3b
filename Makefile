PYTHON ?= python3
VENV := .venv
RUN := runs/demo
# Processes that share the tests. Each has TensorFlow in memory, 1 to 2 GB.
WORKERS := auto
PYTEST = $(VENV)/bin/python -m pytest -n $(WORKERS) --maxprocesses=8 --dist=loadfile

.PHONY: demo test slow lint clean

demo: $(VENV)/.installed
	$(VENV)/bin/python -m trainers.train --dataset=digits --method=mopoe --out=$(RUN) --resume
	$(VENV)/bin/python -m trainers.evaluate --run=$(RUN)

test: $(VENV)/.installed-test
	$(PYTEST)

slow: $(VENV)/.installed-test
	$(PYTEST) --slow -m slow

lint: $(VENV)/.installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.py $(VENV)/bin/python
	$(VENV)/bin/pip install --quiet -e .[train,eval]
	touch $@

$(VENV)/.installed-test: setup.py $(VENV)/.installed
	$(VENV)/bin/pip install --quiet -e .[train,eval,datasets,serving,edge,test]
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
