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
	@echo "make race-table   every actor at every testpoint of every other, into docs/explanation/race-table.md"
	@echo "make mutations   weaken each memory order in turn, into docs/explanation/memory-model.md (minutes)"
	@echo "make test-aarch64 test-musl   the core on aarch64 (under qemu), and with musl"
	@echo "make test-aarch64-python   the wheel for aarch64 and the Python tests, with Debian's Python under qemu"
	@echo "make test-musl-python   the wheel for musl and the Python tests, with a CPython built with musl"
	@echo "make test-systemd   the service of examples under a booted systemd (root)"
	@echo "make asan-python ubsan-python   the Python tests with an extension built under a sanitizer"
	@echo "make lint      ruff, mypy, stubtest, clang-format, -Werror builds, docs"
	@echo "make format    ruff format and clang-format, in place"
	@echo "make bench [RUNS=1]   the numbers, in ten minutes a run; make bench-full: in an hour"
	@echo "make bench-docs plots   tables and pictures of the documents, made of benchmarks/results"
	@echo "make regression BASE=COMMIT   instructions of the write path, here and there (valgrind)"
	@echo "make docs      the documentation as a site, in build/site"
	@echo "make help-docs man picture   docs/cli and build/man, made of the help; the picture of rchan top"
	@echo "make abi       the layout of the shared memory: picture and tables in docs, of core/layout.h"
	@echo "make storm T=60 [SEED=1]   processes killed, stopped and moved at random; every record checked"
	@echo "make world        10,000 channels, a CPU that goes offline, and all of the world's other tests"
	@echo "make fuzz T=60 [SEED=1]   coverage-guided fuzzing of the core (clang)"
	@echo "make dist      sdist and wheel of the last commit, looked at and used in an empty venv"
	@echo "make wheels [TAGS=...]   the wheels of a release, for both kinds of machine and C library, into dist"
	@echo "make venv      build and install into $(VENV)"
	@echo "make clean     remove everything that was built"

# ---- build and install ----

BUILD_TOOLS := $(VENV)/.build-tools
TOOLS := $(VENV)/.tools
WHEEL := build/.wheel
WHEELS := build/wheels
INSTALLED := $(VENV)/.installed
REQUIREMENTS := build/.requirements

.PHONY: venv
venv: $(INSTALLED) $(TOOLS)

# What building takes; what tests and linting take besides. They are installed anew if they have
# changed, not whenever pyproject.toml has.
$(REQUIREMENTS)-%: pyproject.toml tools/requirements
	@tools/interpreters >/dev/null
	@mkdir -p build
	@new=$@.$$$$; $(PYTHON) tools/requirements $(subst -, ,$*) >$$new && \
		if cmp -s $$new $@; then rm $$new; else mv $$new $@; fi

$(BUILD_TOOLS): $(REQUIREMENTS)-build tools/make-venv
	@echo "== $(VENV), with what it takes to build"
	@tools/make-venv $(PYTHON) $(VENV)
	@$(PIP) install --quiet --requirement $<
	@touch $@

$(TOOLS): $(REQUIREMENTS)-test-dev $(BUILD_TOOLS)
	@echo "== what it takes to test and lint"
	@$(PIP) install --quiet --requirement $<
	@touch $@

# One wheel for all interpreters; meson builds only what has changed.
$(WHEEL): $(BUILD_TOOLS) $(SOURCES)
	@echo "== build"
	@rm -rf $(WHEELS)
	@$(IN_VENV) $(PIP) wheel --quiet --no-build-isolation --no-deps --wheel-dir $(WHEELS) \
		--config-settings=build-dir=build/wheel .
	@touch $@

$(INSTALLED): $(WHEEL)
	@echo "== install into $(VENV)"
	@$(PIP) install --quiet --force-reinstall --no-deps $(WHEELS)/rchan-*.whl
	@touch $@

# What is released: an sdist of the last commit, and a wheel that is built of the sdist. Looked at as a
# user would: installed alone into a venv of its own.
.PHONY: dist
dist: $(TOOLS)
	@rm -rf dist
	@mkdir -p build
	@echo "== sdist, and a wheel of it"
	@$(IN_VENV) $(BIN)/python -m build --no-isolation --skip-dependency-check --outdir dist . \
		>build/dist.log 2>&1 || { tail -n 40 build/dist.log >&2; exit 1; }
	@tools/check-dist dist

# Wheels as they are released, each for its kind of machine (tools/cross), in dist with the sdist that they
# are built of. No container, but a compiler from PyPI. TAGS=...: these alone.
WHEEL_TAGS := $(patsubst tools/cross/%.ini,%,$(wildcard tools/cross/*linux_*.ini))
TAGS ?= $(WHEEL_TAGS)
WHEEL_TOOLS := $(VENV)/.wheel-tools

$(WHEEL_TOOLS): $(REQUIREMENTS)-wheels $(TOOLS)
	@echo "== what it takes to build wheels"
	@$(PIP) install --quiet --requirement $<
	@touch $@

.PHONY: wheels
wheels: $(WHEEL_TOOLS)
	@rm -rf dist
	@$(IN_VENV) $(BIN)/python -m build --no-isolation --skip-dependency-check --sdist --outdir dist . >/dev/null
	@tools/make-wheels dist/rchan-*.tar.gz dist $(TAGS)
	@! ls dist/*manylinux*_$$(uname -m).whl >/dev/null 2>&1 || tools/check-installed dist/*manylinux*_$$(uname -m).whl

# ---- run ----

.PHONY: demo bench bench-full bench-docs plots regression
demo: $(INSTALLED)
	@$(BIN)/python demo/tokenize_stdlib.py

# RESULTS=benchmarks/results RUNS=5: on the reference machine, for the documents.
RESULTS ?= build/bench
RUNS ?= 1
bench: $(INSTALLED)
	$(BIN)/python benchmarks/run.py --runs $(RUNS) --results $(RESULTS)

bench-full: $(INSTALLED)
	$(BIN)/python benchmarks/run.py --full --runs $(RUNS) --results $(RESULTS)

bench-docs: $(TOOLS)
	$(BIN)/python benchmarks/tables.py

plots: $(TOOLS)
	$(BIN)/python tools/requirements plot | $(PIP) install --quiet --requirement /dev/stdin
	$(BIN)/python benchmarks/plots.py

BASE ?= HEAD
regression: $(TOOLS)
	$(BIN)/python benchmarks/regression.py --base $(BASE)

# ---- documents ----

# The site: every page, the API from the docstrings; a warning, such as a link to nowhere, fails.
SITE_TOOLS := $(VENV)/.site-tools

$(SITE_TOOLS): $(TOOLS) pyproject.toml
	$(BIN)/python tools/requirements docs | $(PIP) install --quiet --requirement /dev/stdin
	touch $@

.PHONY: docs help-docs man picture abi
docs: $(INSTALLED) $(SITE_TOOLS)
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --jobs auto \
		--doctree-dir build/.doctrees docs build/site
	@echo "build/site/index.html"

help-docs: $(INSTALLED)
	$(BIN)/python tools/help-docs

man: $(INSTALLED)
	$(BIN)/python tools/help-docs build/man

# The layout of the shared memory: a picture, and tables, of core/layout.h.
abi:
	tools/abi-picture

picture: $(INSTALLED) $(TOOLS)
	$(BIN)/python tools/top-picture docs/pictures/top.png

# ---- test ----

.PHONY: test test-core test-python asan ubsan tsan
test: $(INSTALLED) $(TOOLS)
	@exec $(PYTHON) tools/test-all $(WHEELS)/rchan-*.whl python tsan $(COMPILERS:%=test-core-%) asan-python-short asan ubsan

# $(call core,build directory,CC,meson options): build the core without Python and run its tests.
define core
	test -f $(1)/build.ninja || CC=$(2) $(IN_VENV) meson setup $(1) \
		-Dpython=disabled -Dtestpoints=true $(3) >/dev/null
	$(if $(filter build/core-gcc,$(1)),,RCHAN_RACE=short) $(IN_VENV) meson test -C $(1) --print-errorlogs $(4)
endef

test-core: $(COMPILERS:%=test-core-%)
.PHONY: $(COMPILERS:%=test-core-%)
$(COMPILERS:%=test-core-%): test-core-%: $(BUILD_TOOLS)
	$(call core,build/core-$*,$*)

# Every actor at every testpoint of every other: what came out, as the docs show it.
.PHONY: race-table
race-table: $(BUILD_TOOLS)
	test -f build/core-gcc/build.ninja || CC=gcc $(IN_VENV) meson setup build/core-gcc \
		-Dpython=disabled -Dtestpoints=true >/dev/null
	$(IN_VENV) ninja -C build/core-gcc --quiet tests/core/test_race
	RCHAN_RACE_TABLE=$(CURDIR)/docs/explanation/race-table.md build/core-gcc/tests/core/test_race
	cat docs/explanation/race-table.md

# Weaken each acquire, release and fence of the core in turn: what catches it? Minutes.
.PHONY: mutations
mutations: $(TOOLS)
	$(BIN)/python tools/mutations

SANITIZE := -Db_lundef=false -Dc_args=-fno-sanitize-recover=all

asan: $(BUILD_TOOLS)
	$(call core,build/asan,gcc,-Db_sanitize=address $(SANITIZE))

ubsan: $(BUILD_TOOLS)
	$(call core,build/ubsan,gcc,-Db_sanitize=undefined $(SANITIZE))

tsan: $(BUILD_TOOLS)
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
asan-python: $(INSTALLED) $(TOOLS)
	$(call sanitized,build/asan-python,address,$(ASAN_PRELOAD),$(PYTHON_TESTS))

asan-python-short: $(INSTALLED) $(TOOLS)
	$(call sanitized,build/asan-python,address,$(ASAN_PRELOAD),$(PYTHON_SHORT))

ubsan-python: $(INSTALLED) $(TOOLS)
	$(call sanitized,build/ubsan-python,undefined,,$(PYTHON_TESTS))

test-python: $(INSTALLED) $(TOOLS)
	@exec $(PYTHON) tools/test-all $(WHEELS)/rchan-*.whl python

# The core on other machines: aarch64 under qemu, and with another C library. On Debian:
# apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static musl-tools
.PHONY: test-aarch64 test-musl
test-aarch64: $(BUILD_TOOLS)
	@tools/cross/needed aarch64-linux-gnu-gcc qemu-aarch64-static
	test -f build/aarch64/build.ninja || $(IN_VENV) meson setup build/aarch64 \
		--cross-file tools/cross/aarch64.ini -Dpython=disabled -Dtestpoints=true -Dwerror=true >/dev/null
	RCHAN_RACE=short $(IN_VENV) meson test -C build/aarch64 --print-errorlogs --timeout-multiplier 5

test-musl: $(BUILD_TOOLS)
	@tools/cross/needed musl-gcc
	$(call core,build/musl,musl-gcc,-Dwerror=true)

# The wheel for aarch64 under a Python for aarch64, that of Debian, in build/aarch64-system. Besides:
# apt-get install mmdebstrap; Linux 6.7. AARCH64_TESTS: these, with pytest's options.
AARCH64_TESTS ?= $(addprefix tests/python/test_,binding.py channel.py cli_read.py cli_write.py events.py processes.py \
	reader.py recorder.py snapshot.py stats.py tap.py)
AARCH64_WHEEL := build/manylinux_2_17_aarch64/.wheel
MUSL_WHEEL := build/musllinux_1_2_x86_64/.wheel

$(AARCH64_WHEEL) $(MUSL_WHEEL): build/%/.wheel: $(WHEEL_TOOLS) $(SOURCES) tools/make-wheels tools/cross/%.ini
	@rm -rf $(@D)
	@tools/make-wheels . $(@D) $*
	@touch $@

.PHONY: test-aarch64-python
test-aarch64-python: $(AARCH64_WHEEL) $(REQUIREMENTS)-test
	@tools/cross/needed mmdebstrap qemu-aarch64-static unshare
	@tools/cross/aarch64-system build/aarch64-system $(REQUIREMENTS)-test $(dir $(AARCH64_WHEEL))rchan-*.whl
	tools/cross/aarch64-run build/aarch64-system env PYTHONPATH=/opt/tests \
		/opt/venv/bin/python -m pytest -q -p no:cacheprovider $(AARCH64_TESTS)

# The wheel for x86-64 and musl under a CPython that is built with musl-gcc, in build/musl-python. Besides:
# apt-get install dpkg-dev; the sources are Debian's. Without numpy and pyarrow, whose wheels want a newer musl.
MUSL_TESTS ?= $(addprefix tests/python/test_,binding.py channel.py cli_read.py cli_record.py cli_write.py events.py \
	events_ctf.py processes.py reader.py recorder.py snapshot.py stats.py tap.py)

.PHONY: test-musl-python
test-musl-python: $(MUSL_WHEEL) $(REQUIREMENTS)-test
	@tools/cross/needed musl-gcc dpkg-source
	@tools/cross/musl-python build/musl-python $(REQUIREMENTS)-test $(dir $(MUSL_WHEEL))rchan-*.whl
	PYTHONPATH=build/musl-python/tests build/musl-python/venv/bin/python -m pytest -q -p no:cacheprovider $(MUSL_TESTS)

# examples/rchan-record.service under a systemd of its own, that of Debian, in build/systemd-system. Besides:
# apt-get install mmdebstrap; root, and a mounted cgroup2.
.PHONY: test-systemd
test-systemd: $(INSTALLED)
	@tools/cross/needed mmdebstrap unshare
	@tools/systemd/system build/systemd-system $(WHEELS)/rchan-*.whl
	tools/systemd/boot build/systemd-system

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
world: $(INSTALLED) $(TOOLS)
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
	$(BIN)/python tests/fuzz/campaign.py $(T) $(if $(SEED),--seed $(SEED))

# ---- lint ----

.PHONY: lint format $(COMPILERS:%=lint-%)
lint: $(INSTALLED) $(TOOLS) $(COMPILERS:%=lint-%) docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest rchan._core \
		--allowlist tools/stubtest-allowlist --ignore-unused-allowlist
	$(BIN)/clang-format --dry-run --Werror $(C_FILES)

# Everything, the tests too, as in a release and with warnings as errors.
$(COMPILERS:%=lint-%): lint-%: $(BUILD_TOOLS)
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
