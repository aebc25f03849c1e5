# The developer's door. Needs Python 3.11+, make and a package registry; nothing else.
PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_OFFLINE := 1
# As `strata` sets it: else threads that wait take the cores from tests beside them.
export OMP_WAIT_POLICY := passive
# Bytecode is written, or every process that a test starts compiles the library anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: install demo test lint docs bench cards newcomer clean
# READY= skips the set-up, for those who name an environment of their own with BIN.
READY ?= .venv/.ready
install: $(READY)

DEMO ?= demo
# So many super-classes of products; all where it is blank.
SUPERS ?=
demo: $(READY)
	$(BIN)/strata build gldv2-h $(DEMO)/gldv2-h --metadata hierarchies/sample \
	  --entities hierarchies/sample/entities.jsonl --encoder registry --prefect || test $$? -eq 3
	$(BIN)/python -m strata_labels.sources $(DEMO)/products $(SUPERS)
	$(BIN)/strata build sop-h $(DEMO)/sop-h --metadata $(DEMO)/products --levels deep \
	  --encoder registry || test $$? -eq 3
	$(BIN)/strata train $(DEMO)/sop-h --images $(DEMO)/products --recipe happier \
	  --encoder registry --synthetic --out $(DEMO)/training
	@echo "Open $(DEMO)/gldv2-h/tree.html, $(DEMO)/sop-h/tree.html and, for a training on synthetic"
	@echo "products, $(DEMO)/training/report.html"

test: $(READY)
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile \
	  --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, in build/docs; open build/docs/index.html.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "Open build/docs/index.html"

# Figures of benchmarks/README.md; SHARED names the folder with the real data.
SHARED ?= ../shared
bench: $(READY)
	$(BIN)/python -m benchmarks --shared $(SHARED)/data

# The data cards, and the pages of recipes and tables in docs.
cards: $(READY)
	$(BIN)/python -m benchmarks.cards
	$(BIN)/python -m benchmarks.recipes
	$(BIN)/python -m benchmarks.tables_page

# A stranger's first ten minutes, from README and the start page, in a clean clone.
newcomer: $(READY)
	$(BIN)/python tests/newcomer.py

clean:
	rm -rf .venv demo build *.egg-info

# uv hard-links from its cache, so that a second environment costs few megabytes. Compiled once here,
# or every command compiles 1,500 modules anew where Python may write no bytecode; files that are not
# of this Python's version are left out. `venv` alone installs pip, and uv compiles, without a word;
# uv shows bars on a terminal, and elsewhere little.
.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Strata needs Python 3.11 or newer; name one with PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv --without-pip .venv
	$(BIN)/python -m ensurepip --default-pip
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt uv
	@(test -t 1 || while sleep 3; do echo "still downloading and installing"; done) & \
	  trap "kill $$! 2> /dev/null" EXIT; \
	  $(BIN)/uv pip install --python $(BIN)/python -c constraints.txt -e '.[offline,dev]'
	@$(BIN)/python -u -m compileall -j 0 .venv/lib 2> /dev/null \
	  | awk '/^Compiling/ && ++n % 250 == 0 { print n " modules compiled"; fflush() }'
	@touch $@
