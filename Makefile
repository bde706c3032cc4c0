# One command each. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# For meson, which looks for ninja, and for pip, which looks for meson.
IN_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"

export PYTHON

COMPILERS := gcc $(shell command -v clang >/dev/null 2>&1 && echo clang)
# ThreadSanitizer wants a layout of memory that full randomization may take away.
NO_RANDOM := $(shell setarch -R true 2>/dev/null && echo --wrapper=\'setarch -R\')
C_FILES := $(wildcard core/*.[ch] binding/*.[ch] tests/*/*.[ch])
SOURCES := $(shell find core binding src -type f -not -name '*.pyc') \
	meson.build meson.options pyproject.toml LICENSE $(wildcard README.md)

.PHONY: help
help:
	@echo "make demo      the whole thing at work on real input"
	@echo "make test      core tests (also under sanitizers), then Python tests with every interpreter"
	@echo "make test-core test-python asan ubsan tsan   parts of it"
	@echo "make race-table   every actor at every testpoint of every other, into docs/race-table.md"
	@echo "make mutations   weaken each memory order in turn, into docs/memory-model.md (minutes)"
	@echo "make asan-python ubsan-python   the Python tests with an extension built under a sanitizer"
	@echo "make lint      ruff, mypy, stubtest, clang-format, -Werror builds"
	@echo "make format    ruff format and clang-format, in place"
	@echo "make bench     the numbers"
	@echo "make help-docs man picture   docs/cli and build/man, made of the help; the picture of rchan top"
	@echo "make storm T=60 [SEED=1]   processes killed, stopped and moved at random; every record checked"
	@echo "make world        10,000 channels, a CPU that goes offline, and all of the world's other tests"
	@echo "make fuzz T=60    coverage-guided fuzzing of the core (clang)"
	@echo "make venv      build and install into $(VENV)"
	@echo "make clean     remove everything that was built"

# ---- build and install ----

TOOLS := $(VENV)/.tools
WHEEL := build/.wheel
INSTALLED := $(VENV)/.installed

.PHONY: venv
venv: $(INSTALLED)

$(TOOLS): pyproject.toml tools/make-venv tools/requirements
	tools/interpreters >/dev/null
	tools/make-venv $(PYTHON) $(VENV)
	$(BIN)/python tools/requirements build test dev | $(PIP) install --quiet --requirement /dev/stdin
	touch $@

# One wheel for all interpreters; meson builds only what has changed.
$(WHEEL): $(TOOLS) $(SOURCES)
	rm -rf dist
	$(IN_VENV) $(PIP) wheel --quiet --no-build-isolation --no-deps --wheel-dir dist \
		--config-settings=build-dir=build/wheel .
	touch $@

$(INSTALLED): $(WHEEL)
	$(PIP) install --quiet --force-reinstall --no-deps dist/rchan-*.whl
	touch $@

# ---- run ----

.PHONY: demo bench
demo: $(INSTALLED)
	$(BIN)/python demo/tokenize_stdlib.py

bench: $(INSTALLED)
	$(BIN)/python benchmarks/run.py

# ---- made documents ----

.PHONY: help-docs man picture
help-docs: $(INSTALLED)
	$(BIN)/python tools/help-docs

man: $(INSTALLED)
	$(BIN)/python tools/help-docs build/man

picture: $(INSTALLED)
	$(BIN)/python tools/top-picture docs/pictures/top.png

# ---- test ----

.PHONY: test test-core test-python asan ubsan tsan
test: test-core asan ubsan tsan asan-python-short test-python

# $(call core,build directory,CC,meson options): build the core without Python and run its tests.
define core
	test -f $(1)/build.ninja || CC=$(2) $(IN_VENV) meson setup $(1) \
		-Dpython=disabled -Dtestpoints=true $(3) >/dev/null
	$(if $(filter build/core-gcc,$(1)),,RCHAN_RACE=short) $(IN_VENV) meson test -C $(1) --print-errorlogs $(4)
endef

test-core: $(COMPILERS:%=test-core-%)
.PHONY: $(COMPILERS:%=test-core-%)
$(COMPILERS:%=test-core-%): test-core-%: $(TOOLS)
	$(call core,build/core-$*,$*)

# Every actor at every testpoint of every other: what came out, as the docs show it.
.PHONY: race-table
race-table: $(TOOLS)
	test -f build/core-gcc/build.ninja || CC=gcc $(IN_VENV) meson setup build/core-gcc \
		-Dpython=disabled -Dtestpoints=true >/dev/null
	$(IN_VENV) ninja -C build/core-gcc --quiet tests/core/test_race
	RCHAN_RACE_TABLE=$(CURDIR)/docs/race-table.md build/core-gcc/tests/core/test_race
	cat docs/race-table.md

# Weaken each acquire, release and fence of the core in turn: what catches it? Minutes.
.PHONY: mutations
mutations: $(TOOLS)
	$(BIN)/python tools/mutations

SANITIZE := -Db_lundef=false -Dc_args=-fno-sanitize-recover=all

asan: $(TOOLS)
	$(call core,build/asan,gcc,-Db_sanitize=address $(SANITIZE))

ubsan: $(TOOLS)
	$(call core,build/ubsan,gcc,-Db_sanitize=undefined $(SANITIZE))

tsan: $(TOOLS)
	$(call core,build/tsan,gcc,-Db_sanitize=thread $(SANITIZE),$(NO_RANDOM))

# The Python tests with an extension under a sanitizer; the preloaded library has to come before Python.
PYTHON_TESTS := tests/python
PYTHON_SHORT := $(addprefix tests/python/test_,bad_input.py binding.py binding_errors.py file.py mount_polls.py \
	snapshot.py tap.py)

# (The sanitizer keeps freed memory for a while: what a test measures of it says nothing there.)
# $(call sanitized,build directory,sanitizer,environment,tests)
define sanitized
	test -f $(1)/build.ninja || CC=gcc $(IN_VENV) meson setup $(1) -Dcore_tests=false \
		--prefix=/ -Dpython.purelibdir=/python -Dpython.platlibdir=/python \
		-Db_sanitize=$(2) $(SANITIZE) >/dev/null
	$(IN_VENV) meson install -C $(1) --quiet --destdir $(CURDIR)/$(1)/root
	$(3) PYTHONMALLOC=malloc PYTHONPATH=$(CURDIR)/$(1)/root/python \
		$(BIN)/python -m pytest -q -p no:cacheprovider -k "not costs_no_memory" $(4)
endef
ASAN_PRELOAD = LD_PRELOAD="$$(gcc -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0

.PHONY: asan-python asan-python-short ubsan-python
asan-python: $(INSTALLED)
	$(call sanitized,build/asan-python,address,$(ASAN_PRELOAD),$(PYTHON_TESTS))

asan-python-short: $(INSTALLED)
	$(call sanitized,build/asan-python,address,$(ASAN_PRELOAD),$(PYTHON_SHORT))

ubsan-python: $(INSTALLED)
	$(call sanitized,build/ubsan-python,undefined,,$(PYTHON_TESTS))

test-python: $(INSTALLED)
	tools/test-python dist/rchan-*.whl

# ---- prove ----

T ?= 60
.PHONY: storm
storm: $(INSTALLED)
	test -f build/storm/build.ninja || $(IN_VENV) meson setup build/storm \
		--buildtype=release -Dpython=disabled -Dtestpoints=true >/dev/null
	$(IN_VENV) ninja -C build/storm --quiet
	build/storm/tests/storm/storm --seconds $(T) --seed $(or $(SEED),1)
	$(BIN)/python tests/storm/python_storm.py --seconds $(T) --seed $(or $(SEED),1)

# The world around, as large as it gets; switches a CPU off for a moment (root).
.PHONY: world
world: $(INSTALLED)
	RCHAN_TEST_CHANNELS=10000 RCHAN_TEST_CPUS=1 RCHAN_TEST_HUNG=1 $(BIN)/python -m pytest \
		tests/python/test_world_*.py tests/python/test_security.py

# Coverage-guided fuzzing. It needs clang with libFuzzer.
FUZZ_CC ?= clang
.PHONY: fuzz
fuzz: $(TOOLS)
	@if ! echo 'int LLVMFuzzerTestOneInput(const char *d, long n) { return !d && n; }' | \
		$(FUZZ_CC) -fsanitize=fuzzer,address -x c - -o /dev/null 2>/dev/null; then \
		echo "fuzz: skipped, $(FUZZ_CC) has no -fsanitize=fuzzer (Debian: apt-get install clang)"; \
	else \
		$(MAKE) --no-print-directory run-fuzz; \
	fi

.PHONY: run-fuzz
run-fuzz: $(INSTALLED)
	-$(BIN)/python tools/requirements fuzz | $(PIP) install --quiet --requirement /dev/stdin
	test -f build/fuzz/build.ninja || CC=$(FUZZ_CC) $(IN_VENV) meson setup build/fuzz \
		--buildtype=release -Dpython=disabled -Dtestpoints=true -Dfuzz=true -Db_lundef=false >/dev/null
	$(IN_VENV) ninja -C build/fuzz --quiet
	$(BIN)/python tests/fuzz/campaign.py $(T)

# ---- lint ----

.PHONY: lint format $(COMPILERS:%=lint-%)
lint: $(INSTALLED) $(COMPILERS:%=lint-%)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest rchan._core \
		--allowlist tools/stubtest-allowlist --ignore-unused-allowlist
	$(BIN)/clang-format --dry-run --Werror $(C_FILES)

# Everything, the tests too, as in a release and with warnings as errors.
$(COMPILERS:%=lint-%): lint-%: $(TOOLS)
	test -f build/lint-$*/build.ninja || \
		CC=$* $(IN_VENV) meson setup build/lint-$* --buildtype=release -Dwerror=true >/dev/null
	$(IN_VENV) ninja -C build/lint-$* --quiet

format: $(TOOLS)
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(C_FILES)

.PHONY: clean
clean:
	rm -rf build dist $(VENV) .venvs .mypy_cache .pytest_cache .ruff_cache .hypothesis
