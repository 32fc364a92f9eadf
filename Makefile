.DEFAULT_GOAL := help
.PHONY: help experiments tools book pdf figures live test test-coursework test-book notebooks equations \
	first-cells assignments gradescope demo lint lock bench bench-gpu clean

PYTHON ?= python3
TORCH ?= gpu
LOCK ?= constraints.txt
CPU_INDEX := https://download.pytorch.org/whl/cpu
FOR_GPU := pip took the PyTorch that wants the GPU libraries, from a place that its settings name: \
	see pip config list, take that place out, make clean, and try again
BIN := .venv/bin
READY := .venv/.installed
EXTRAS := book,dev,teaching
UV := $(shell command -v uv)
LOCKED := $(addprefix --constraint ,$(LOCK))
ifdef UV
INSTALL := $(UV) pip install --quiet --python $(BIN)/python $(LOCKED) \
	$(if $(filter cpu,$(TORCH)),--torch-backend cpu)
else
INSTALL := $(BIN)/python -m pip install --quiet $(LOCKED)
endif
NOTEBOOKS := $(wildcard book/*.ipynb)
ALONE := _build/alone
FIRST_LINES := awk 'FNR == 1 {gsub(/"""/, ""); printf "%-30s  %s\n", FILENAME, $$0}'

help:  ## List what make can do.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

experiments:  ## List the programs that measure the figures of the book, one for each results file.
	@$(FIRST_LINES) experiments/[a-z]*.py

tools:  ## List the programs that make or check the rest.
	@$(FIRST_LINES) tools/*.py

# Installed anew whenever the dependencies change: by uv where it is there, or else by pip. For pip,
# with TORCH=cpu, PyTorch comes first, from its own index, which lacks most versions of other packages;
# what follows finds it there. That index is named as the extra one too, in the place of those in pip's
# settings: where the same version is offered twice, pip would take the one for GPUs. With LOCK=
# (nothing), the newest versions are taken.
$(READY): pyproject.toml $(LOCK)
ifdef UV
	@$(UV) run --quiet --no-project --python $(PYTHON) tools/check_python.py $(TORCH)
	$(UV) venv --quiet --seed --allow-existing --python $(PYTHON) .venv
else
	@command -v $(PYTHON) >/dev/null || \
		{ echo "there is no $(PYTHON) here: name one that is, as in make book PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) tools/check_python.py $(TORCH)
	$(PYTHON) -m venv .venv
ifeq ($(TORCH),cpu)
	PIP_EXTRA_INDEX_URL=$(CPU_INDEX) \
		$(INSTALL) --no-deps --index-url $(CPU_INDEX) torch torchvision
	@! grep -q "^cuda.*= '" .venv/lib/python3.*/site-packages/torch/version.py || \
		{ echo "$(FOR_GPU)" >&2; exit 1; }
endif
endif
	$(INSTALL) --editable ".[$(EXTRAS)]"
	@touch $(READY)

# All of it: of pages that did not change, Sphinx would forget what the search knows of them.
book: $(READY)  ## Build the book as HTML and print where it is.
	$(BIN)/jupyter-book build book --config _config.yml --all --quiet $(BOOKFLAGS)
	@echo "The book: $(CURDIR)/_build/html/index.html"

pdf: book  ## Print the whole book as one PDF, with Chromium or Chrome, and print where it is.
	$(BIN)/python tools/make_pdf.py

figures: $(READY)  ## Write every figure of the chapters as SVG and PDF, for slides.
	$(BIN)/python tools/export_figures.py

live:  ## Build the live views of the book again, with Node and npm.
	cd book/_live && npm ci --no-audit --no-fund && npm run build

# The notebooks side by side, each on one thread: two at a time are done before one after the other.
# Each is a copy in a folder of its own, with the package as pip installs it, and not with this clone.
# Tests are dealt out file by file: what one prepares for all of its own, a graded class say, or a visit
# to every page of the book, is done once.
test: $(READY)  ## Run the unit tests, break every equation on purpose, grade wrong answers, run every notebook.
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile
	$(BIN)/python tools/perturb_equations.py
	$(BIN)/python tools/grade_variants.py
	rm -rf $(ALONE)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --target $(ALONE)/installed .
	for path in $(NOTEBOOKS); do \
		folder=$(ALONE)/$$(basename $$path .ipynb) && mkdir -p $$folder && cp $$path $$folder || exit 1; \
	done
	PYTHONPATH=$(CURDIR)/$(ALONE)/installed OMP_NUM_THREADS=1 \
		$(BIN)/python -m pytest --numprocesses auto --dist loadscope \
		--nbval --nbval-sanitize-with tests/nbval.cfg $(ALONE)/*/*.ipynb

test-coursework: $(READY)  ## Grade solution and untouched file of every assignment, as an instructor would.
	$(BIN)/python -m pytest --numprocesses auto tests/coursework/whole_course.py

test-book: book  ## Open every page of the built book in a browser, as a phone, a tablet and a wide screen.
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(addprefix tests/built_book/,api.py folds.py live.py live_complete.py live_digit.py live_race.py live_student.py navigation.py pages.py paper.py pdf.py search.py)

first-cells: $(READY)  ## Write the first cell of each notebook, after the address in _config.yml.
	$(BIN)/python tools/write_first_cells.py
	$(BIN)/python tools/make_assignments.py

assignments: $(READY)  ## Make the students' and the solution versions; with VARIANT=NAME, other ones for a class.
	$(BIN)/python tools/make_assignments.py $(if $(VARIANT),--variant $(VARIANT))

notebooks: $(READY)  ## Run every notebook again and keep the new outputs.
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace \
		--ExecutePreprocessor.record_timing=False $(NOTEBOOKS)
	$(BIN)/jupyter nbconvert --to notebook --inplace --coalesce-streams \
		--TagRemovePreprocessor.enabled=True \
		--TagRemovePreprocessor.remove_all_outputs_tags=remove-output $(NOTEBOOKS)

equations: $(READY)  ## Measure the checks of the equations anew and write the page that lists them.
	$(BIN)/python -m pytest -q tests/equations --measure
	$(BIN)/python tools/write_equations_page.py

gradescope: $(READY)  ## Write an autograder for Gradescope for each assignment; VARIANT=NAME as above.
	$(BIN)/python tools/make_gradescope.py $(if $(VARIANT),--variant $(VARIANT))

demo: $(READY)  ## Train for five minutes, then draw 100 digits.
	mkdir -p runs
	$(BIN)/ddpm-tutorial train --out runs/demo --minutes 5 --resume
	$(BIN)/ddpm-tutorial sample --checkpoint runs/demo/model.safetensors --out runs/demo/digits.png

lint: $(READY)  ## Check style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock:  ## Choose the newest version of every dependency for constraints.txt, with uv.
	uv pip compile --quiet --universal --python-version 3.11 --prerelease disallow --upgrade \
		--no-annotate --custom-compile-command "make lock" --extra book --extra dev \
		--extra teaching --extra bench pyproject.toml --output-file constraints.txt

bench: $(READY)  ## Measure this package beside its peers on this machine: an hour and three quarters.
	$(INSTALL) --editable ".[$(EXTRAS),bench]"
	$(BIN)/python benchmarks/run.py

bench-gpu: $(READY)  ## Measure this package on a GPU: eight minutes.
	$(BIN)/python benchmarks/gpu.py

clean:  ## Remove the environment and everything built; trained models in runs/ stay.
	rm -rf .venv _build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
