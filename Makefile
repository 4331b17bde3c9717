# The maintainer's recipes; students and researchers need only start.py. Each recipe has one line of help.
PYTHON := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help setup test check-slow demo lab notebooks check-notebooks instructors cards samples bench bench-rivals bench-verdicts dip-table bench-imaging bench-analysis which-features picture lint format lock site site-links wheel clean

help: ## list the recipes
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv and install into it
	@python3 start.py setup

test: ## run every check and test, as CI does
	@python3 start.py test

check-slow: setup ## run the tests that take minutes, which `make test` leaves out
	$(PYTHON) -m pytest -m slow tests

demo: ## embed, cluster and report on the mammograms that come with the course
	@python3 start.py demo

lab: ## open JupyterLab on the first lesson
	@python3 start.py lab

notebooks: setup ## write and execute the notebooks, and write their instructors' pages; ask three cohorts about lesson 10
	$(PYTHON) tools/notebooks.py build
	$(PYTHON) tools/instructors.py build
	$(PYTHON) -m pytest -q -m slow tests/test_lesson_10_claims.py

check-notebooks: setup ## compare the notebooks with their sources, without executing them
	$(PYTHON) tools/notebooks.py check
	$(PYTHON) tools/instructors.py check

instructors: setup ## write docs/instructors from the lessons and from one plan for each
	$(PYTHON) tools/instructors.py build

cards: setup ## measure what each lesson needs, for docs/resource-cards.md (10 minutes; leave the machine alone)
	$(PYTHON) tools/cards.py

samples: setup ## draw the synthetic mammograms in data_samples again
	$(PYTHON) tools/samples.py

bench: setup ## time mammograms to embeddings beside other libraries (35 minutes; leave the machine alone)
	-$(PYTHON) -m pip install --quiet -e ".[bench,fast]"  # what is not available is named on the page
	$(PYTHON) tools/bench.py

bench-rivals: .venv-thingsvision/installed ## give thingsvision, which needs old versions, an environment for bench

.venv-thingsvision/installed:
	python3 -m venv .venv-thingsvision
	.venv-thingsvision/bin/python -m pip install --quiet thingsvision "numpy<2" pydicom python-gdcm pyjpegls \
	  pylibjpeg pylibjpeg-openjpeg
	touch $@

bench-imaging: setup ## time reading in each transfer syntax (3 minutes; leave the machine alone)
	$(PYTHON) tools/bench_imaging.py

bench-analysis: setup ## time clustering, and maps beside plain calls (20 minutes; leave the machine alone)
	$(PYTHON) tools/bench_analysis.py

bench-verdicts: setup ## count false alarms, and clusters found, for docs/benchmarks (30 minutes)
	$(PYTHON) tools/false_alarms.py

dip-table: setup ## draw the chances of the dip again (10 minutes)
	$(PYTHON) tools/dip_table.py

which-features: setup ## probe networks, layers and poolings, for docs/which-features.md (10 minutes)
	$(PYTHON) tools/which_features.py

picture: demo ## take the screenshots in README.md (needs Chromium)
	$(PYTHON) tools/pictures.py

lint: setup ## ruff, mypy, and the direction of the imports
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"

format: setup ## let ruff fix and format the code
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

lock: setup ## write the newest versions that install together, for every Python, into requirements.lock
	$(PYTHON) -m pip install --quiet uv
	$(PYTHON) tools/lock.py

site: setup ## build the site into build/site/html
	$(PYTHON) tools/website.py

site-links: setup ## ask whether the pages of others that the site links to are there (needs the network)
	$(PYTHON) tools/website.py --links

wheel: setup ## build a wheel, and try it outside of the repository (downloads PyTorch)
	rm -rf dist
	$(PYTHON) -m pip install --quiet build
	$(PYTHON) -m build
	$(PYTHON) tools/release.py try dist/*.whl

clean: ## delete caches and results; .venv stays
	rm -rf build dist results .pytest_cache .mypy_cache .ruff_cache .import_linter_cache *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
