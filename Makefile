PYTHON ?= python3
VENV := .venv
RUN := runs/demo

.PHONY: demo test lint clean

demo: $(VENV)/.installed
	$(VENV)/bin/python -m trainers.train --dataset=digits --method=mopoe --out=$(RUN) --resume
	$(VENV)/bin/python -m trainers.evaluate --run=$(RUN)

test: $(VENV)/.installed-test
	$(VENV)/bin/python -m pytest

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
