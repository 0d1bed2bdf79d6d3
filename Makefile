# make demo     install what is missing, open the demo on http://127.0.0.1:7860
# make test     install what is missing, run the tests
# make torture  what takes too long for make test: bit flips, properties, fuzzing, ten minutes of visitors
# make bench    tables and plots of speed and memory into out/bench (under 15 minutes on 2 idle cores)
# make check    ruff and mypy
# make lock     write requirements.lock anew from requirements.txt

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
TORCH_ARGS ?=
RUN := .venv/bin/python
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test torture bench check lock picture clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

install:
	@test -n "$(PYTHON)" || { echo "install: no Python found: install Python 3.11 (Debian: apt-get install python3 python3-venv python3-dev)"; exit 1; }
	@$(PYTHON) tools/install.py --torch-args="$(TORCH_ARGS)"

demo: install
	@$(RUN) -m pipeline demo $(ARGS)

test: install
	@$(RUN) -m pytest $(ARGS)

torture: install
	@$(RUN) -m pip install --quiet atheris || echo "atheris could not be installed: no fuzzing"
	@$(RUN) -m pytest -m torture $(ARGS)
	@$(RUN) -m benchmarks.load --minutes 10 --out out/load

bench: install
	@$(RUN) -m benchmarks $(ARGS)

check: install
	@$(RUN) -m ruff check . && $(RUN) -m ruff format --check . && $(RUN) -m mypy

lock: install
	@$(RUN) tools/lock.py

picture: install
	@$(RUN) -m tools.draw_readme_picture

clean:
	rm -rf .venv build dist *.egg-info
