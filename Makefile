# hasten: set up, build, test. Needs python3 with its headers, gcc and make; the rest is fetched into .venv/<version>.
#
#   make demo                 sets everything up, then fetches many pages: one after the other, then concurrently
#   make test                 sets everything up, then runs all tests
#   make test T=tests/core/test_timers.py PYTHON=python3.13       one file, on another interpreter
#   make quick                what to run after each change: the tests of the modules by themselves, in less than a minute
#   make dev                  builds what changed, for use through .venv/<version>/bin/python
#   make bench                compares with asyncio and uvloop
#   make lint                 ruff and mypy
#   make docs                 the documentation as a site, in build/site, with every link checked
#   make package              the sdist and a wheel in dist/, checked as docs/release.md says
#   make sanitize             the compiled core's tests with AddressSanitizer and UndefinedBehaviorSanitizer
#   make anyio                anyio's own tests, once on asyncio's loop and twice on hasten's
#   make hostile              random programs whose destructors, callbacks and signal handlers do harm; ARGS="1 100": seeds
#   make interrupts           a signal handler raises at each point where the interpreter lets one in
#   make faults               system calls fail on purpose, each with each error it can have; needs strace
#   make soak                 five million requests, datagrams, children: nothing may grow
#   make million              a million tasks, cancelled at random points: memory may not grow
#   make conformance          CPython's own asyncio tests, as tables
#   make suites               the own tests of tornado, websockets, psycopg and aiohttp, on both loops
#   make types                are the types true at run time; what mypy and pyright say of programs under asyncio, and
#                             under hasten; ARGS="--all"
#   make users                programs that use databases, browsers, terminals, HTTP/3, workers…, on both loops
#   make recipes              each framework of docs/how-to, as its page says, with traffic; ARGS=--write: the table there
#   make clean                removes builds; make distclean removes the environments too
#
# ARGS=... goes to the program that is run (demo, bench, hostile, faults, conformance, suites, users…) or to pytest.

PYTHON ?= python3
T ?= tests
ARGS ?=
DIST ?= dist

found := $(shell tools/find-python $(PYTHON))
ifeq ($(found),)
$(error no usable Python: see the line above)
endif
INTERPRETER := $(word 1,$(found))
VENV := .venv/$(word 2,$(found))
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet

# A single file runs faster without worker processes. A process more than cores, since many tests wait.
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
JOBS ?= $(if $(filter %.py,$(firstword $(subst ::, ,$(T)))),0,$(shell expr $(CORES) + 1))

# What `make quick` runs. It leaves out the tests that are marked slow, and the folders that run whole programs or other
# projects' tests: cli, cpython, faults, hostile, programs, properties, real, sanitize, typing.
QUICK := $(addprefix tests/,architecture core poll primitives net loop aio)

# Bytecode is kept, whatever the environment says: the tests start hundreds of interpreters.
unexport PYTHONDONTWRITEBYTECODE

# What is compiled: leaves (.pyx), modules with a .pxd beside them, headers.
pxd := $(shell find src -name '*.pxd')
compiled := setup.py $(pxd) $(wildcard $(pxd:.pxd=.py)) $(shell find src -name '*.pyx' -o -name '*.h')

.PHONY: dev demo test quick bench docs lint format sanitize anyio hostile interrupts faults soak million conformance suites users clean distclean package recipes types
.DELETE_ON_ERROR:

dev: $(VENV)/.built

demo: $(VENV)/.built $(VENV)/.has-demo
	$(PY) -m hasten run examples/fetch.py $(ARGS)

test: $(VENV)/.built $(VENV)/.has-test
ifeq ($(T),tests)
	@echo "All tests, some ten thousand: about five minutes on two processors, two on eight; here there are $(CORES)."
	@echo "'make quick' takes less than a minute, 'make test T=tests/core/test_timers.py' seconds."
endif
	$(PY) -m pytest -n $(JOBS) --dist worksteal $(ARGS) $(T)

quick: $(VENV)/.built $(VENV)/.has-test
	@echo "The tests of the modules by themselves: less than a minute. 'make test' runs all, in some minutes."
	$(PY) -m pytest -n $(JOBS) --dist worksteal -m "not slow" $(ARGS) $(QUICK)

bench: $(VENV)/.built $(VENV)/.has-bench
	$(PY) -m bench $(ARGS)

docs: $(VENV)/.built $(VENV)/.has-docs
	$(PY) tools/site/build.py $(ARGS)

lint: $(VENV)/.has-lint
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	# a .pyi hides its .py: those once more by themselves
	$(PY) -m mypy --follow-imports=silent $(wildcard $(patsubst %.pyi,%.py,$(shell find src -name '*.pyi')))

format: $(VENV)/.has-lint
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

package: $(VENV)/.has-package
	$(PY) -m yamllint --strict .github .yamllint.yml
	$(PY) tools/check_package.py $(DIST)

sanitize: $(VENV)/.built $(VENV)/.has-test
	$(PY) -m pytest -m sanitize -n 0 $(ARGS) tests/sanitize

types: $(VENV)/.built $(VENV)/.has-types
	$(PY) tests/typing/stubs.py
	$(PY) tests/typing/compare.py $(ARGS)

anyio: $(VENV)/.built $(VENV)/.has-test
	$(PY) -m pytest -m anyio_suite -n 4 --dist worksteal $(ARGS) tests/real/test_anyio_suite.py

hostile: $(VENV)/.built $(VENV)/.has-test
	$(PY) tests/hostile/program.py $(or $(ARGS),1 40)

interrupts: $(VENV)/.built $(VENV)/.has-test
	$(PY) -W ignore tests/hostile/interrupts.py $(or $(ARGS),hasten interrupt 1)

faults: $(VENV)/.built
	$(PY) -W ignore tests/faults/run.py $(ARGS)

soak: $(VENV)/.built
	$(PY) -m bench.soak $(ARGS)

million: $(VENV)/.built
	$(PY) -W ignore tests/sanitize/stress.py $(or $(ARGS),1 10002 cancellations)

conformance: $(VENV)/.built
	$(PY) tests/cpython/run.py $(ARGS)

suites: $(VENV)/.built
	$(PY) tests/real/run_suites.py $(ARGS)

users: $(VENV)/.built
	$(PY) tests/real/run_users.py $(ARGS)

recipes: $(VENV)/.built
	$(PY) tests/real/run_recipes.py $(ARGS)

# Only the build requirements are needed to compile. The link (an editable install without extensions, so that pip does
# not compile what the next rule compiles anyway) brings the `hasten` command.
$(VENV)/.built: $(VENV)/.linked $(compiled)
	$(PY) setup.py --quiet build_ext --inplace
	@touch $@

$(VENV)/.linked: pyproject.toml | $(VENV)/.has-build
	HASTEN_NO_EXTENSIONS=1 $(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.has-build: pyproject.toml tools/requirements.py | $(VENV)/.made
	$(PY) tools/requirements.py > $(VENV)/build.txt
	$(PIP) install -r $(VENV)/build.txt
	@touch $@

$(VENV)/.has-%: pyproject.toml tools/requirements.py | $(VENV)/.made
	$(PY) tools/requirements.py $* > $(VENV)/$*.txt
	$(PIP) install -r $(VENV)/$*.txt
	@touch $@

$(VENV)/.made: tools/make_venv.py
	$(INTERPRETER) tools/make_venv.py $(VENV)
	@touch $@

clean:
	rm -rf build dist src/*.egg-info
	find src -name '*.so' -delete
	rm -f .venv/*/.built .venv/*/.linked

distclean: clean
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
