# make demo     install what is missing, open the demo on http://127.0.0.1:7860
# make test     install what is missing, run the tests
# make torture  what takes too long for make test; each part by itself, with its bounds:
# make torture-files       bit flips and damaged metadata, TORTURE=60 seconds at most for each kind of file
# make torture-properties  edits, masks, crops, determinism, TORTURE=60 seconds for each group
# make torture-kills       a batch killed KILLS=50 times
# make torture-fuzz        coverage-guided fuzzing of reading and writing photos, FUZZ=300 seconds
# make torture-load        visitors of the demo, MINUTES=10
# make bench    tables and plots of speed and memory into out/bench (about 15 minutes on 2 idle cores)
# make check    ruff and mypy
# make lock     write requirements.lock anew from requirements.txt

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
TORCH_ARGS ?=
RUN := .venv/bin/python
ARGS ?=
TORTURE ?= 60
KILLS ?= 50
FUZZ ?= 300
MINUTES ?= 10

.DEFAULT_GOAL := help
TORTURES := torture-files torture-properties torture-kills torture-fuzz torture-load
.PHONY: help install demo test torture $(TORTURES) bench check lock picture clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

install:
	@test -n "$(PYTHON)" || { echo "install: no Python found: install Python 3.11 (Debian: apt-get install python3 python3-venv python3-dev)"; exit 1; }
	@$(PYTHON) tools/install.py --torch-args="$(TORCH_ARGS)"

demo: install
	@$(RUN) -m pipeline demo $(ARGS)

test: install
	@$(RUN) -m pytest $(ARGS)

# One after the other, whatever comes of those before, and not all at once under make -j.
torture: install
	@failed=; for part in $(TORTURES); do $(MAKE) --no-print-directory $$part || failed="$$failed $$part"; done; \
	test -z "$$failed" || { echo "torture: failed:$$failed"; exit 1; }

torture-files: install
	@CLICKAWAY_TORTURE_SECONDS=$(TORTURE) $(RUN) -m pytest -m torture tests/files $(ARGS)

torture-properties: install
	@CLICKAWAY_TORTURE_SECONDS=$(TORTURE) $(RUN) -m pytest -m torture --ignore tests/files --ignore tests/fuzz $(ARGS)

torture-kills: install
	@CLICKAWAY_KILLS=$(KILLS) $(RUN) -m pytest tests/pipeline/test_kill.py $(ARGS)

torture-fuzz: install
	@$(RUN) -m pip install --quiet atheris || echo "atheris could not be installed: no fuzzing"
	@CLICKAWAY_FUZZ_SECONDS=$(FUZZ) $(RUN) -m pytest -m torture tests/fuzz $(ARGS)

torture-load: install
	@$(RUN) -m benchmarks.load --minutes $(MINUTES) --out out/load

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
