# make book    install, execute every chapter, render the result
# make html    render the outputs that are stored in book/
# make test    install with the test extras and run every check
# make test-instructions   the tests that rounding could tip, with every instruction set there is
# make bench   install the same and measure; the records are those of chapter 17
# make gpu     check and measure on a GPU in eight minutes, with nothing to install
#
# In a conda environment: make book VENV=$CONDA_PREFIX

PYTHON    ?= python3
VENV      ?= .venv
PRESET    ?= smoke
CORPUS    ?=
PROCESSES ?= 1
WORKERS   ?= 2
ARGS      ?=

BIN     := $(VENV)/bin
EXECUTE := @$(BIN)/python book/execute.py --preset $(PRESET) --processes $(PROCESSES) \
    $(if $(CORPUS),--corpus "$(CORPUS)") --output _run/book

# Renders a book, below the folder given second; what it says is shown if it fails.
define render
	@mkdir -p _run
	@$(BIN)/jupyter-book build $(1) --config _config.yml --path-output $(2) -W -n --keep-going -q \
	    > _run/render.log 2>&1 || { cat _run/render.log; exit 1; }
endef

.PHONY: book chapter html test test-instructions bench gpu clean

book: $(VENV)/.installed-book
	$(EXECUTE) $(ARGS)
	$(call render,_run/book,_run)
	@echo "Executed at preset $(PRESET). Open _run/_build/html/index.html"

chapter: $(VENV)/.installed-book
	@test -n "$(N)" || { echo 'Which chapter? make chapter N=05 ARGS="-p seed 2"'; exit 2; }
	$(EXECUTE) --chapters $(N) $(ARGS)
	$(call render,_run/book,_run)
	@echo "Executed chapter $(N) at preset $(PRESET). Open _run/_build/html/index.html"

html: $(VENV)/.installed-book
	$(call render,book,.)
	@echo "Open _build/html/index.html"

# A file of tests, or a chapter, goes to one of the workers as a whole; make test WORKERS=0 is
# one after the other. One thread each: kernels and second processes share the cores with them.
# A home of its own: a chapter shows a run of this machine before its record, so with the reader's
# runs the pages would rightly differ from those that are stored. Kernels are those of VENV only.
test: export OMP_NUM_THREADS = 1
test: export SSPS_HOME = $(CURDIR)/_run/test-home
test: export JUPYTER_PATH =
test: $(VENV)/.installed-test
	@rm -rf _run/test-home
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder \
	    --nbval-lax --nbval-current-env --nbval-cell-timeout 900 \
	    --nbval-sanitize-with tests/nbval.cfg \
	    ssps_lib book tests $(ARGS)

# A quarter of an hour: seven runs of the marked tests, and two on processors that are simulated.
test-instructions: export SSPS_HOME = $(CURDIR)/_run/test-home
test-instructions: $(VENV)/.installed-test
	$(BIN)/python tests/instructions.py $(ARGS)

# On an idle machine; faiss-cpu and torchmetrics are compared with where they are installed.
bench: $(VENV)/.installed-test
	$(BIN)/python tests/benchmarks/run.py --folder book/records $(ARGS)

# With the environment of VENV if there is one, else with any Python that has PyTorch.
gpu:
	$(firstword $(wildcard $(BIN)/python) $(PYTHON)) tests/benchmarks/gpu.py $(ARGS)

clean:
	rm -rf _build _run .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The stamps make the installation happen once, and again only when pyproject.toml changes.
$(VENV)/.installed-book: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[book]"
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	@touch $@ $(VENV)/.installed-book
