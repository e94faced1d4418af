"""The profiles of hypothesis (`--hypothesis-profile` chooses one), and fixtures and hooks for all tests."""

import contextlib
import gc
import os
import re
import sys
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

# pytest 9.2 also rewrites the assertions of a package that is installed from a clone and has a plugin. Here that is the
# package under test: its 290 files took four seconds to rewrite, and none of its assertions is a test's. This comes
# before the import of Hypothesis, which imports the package.
for finder in sys.meta_path:
    getattr(finder, "_must_rewrite", set()).discard("micrograd_cn")

from hypothesis import HealthCheck, Phase, settings  # noqa: E402

from micrograd_cn import OPS  # noqa: E402

TESTS = Path(__file__).parent

quiet = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
quick = quiet | {"phases": [phase for phase in Phase if phase is not Phase.explain]}  # explaining traces every line
settings.register_profile("dev", max_examples=25, **quick)
settings.register_profile("ci", max_examples=100, derandomize=True, database=None, **quick)
settings.register_profile("nightly", max_examples=82_000, print_blob=True, **quiet)  # a million in test_properties.py
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# Hypothesis reads all source files for constants to draw. Those in the package are worth trying. Those in the tests'
# files are not, and each process of a run would parse them for three seconds.
with contextlib.suppress(ImportError):  # in Hypothesis before 6.131, which draws no constants of source files
    from hypothesis.internal.conjecture import providers

    is_local = providers.is_local_module_file
    providers.is_local_module_file = lambda path: not path.startswith(f"{TESTS}{os.sep}") and is_local(path)

# Many messages end with a hint. The function that returns it returns "" if it knows none. `match=` looks for its text
# anywhere in a message, so it would not notice None in the place of "".
WITHOUT_TEXT = re.compile(r"""[\w)\]'"]None\b(?!['"])""")
with contextlib.suppress(AttributeError):  # in pytest before 8.4, which has no such class
    matches = pytest.RaisesExc.matches

    def matches_as_a_whole(self, error):
        assert not WITHOUT_TEXT.search(str(error)), f"None in the place of a text: {error}"
        return matches(self, error)

    pytest.RaisesExc.matches = matches_as_a_whole


@pytest.hookimpl(tryfirst=True)
def pytest_collection():
    """Switch the garbage collector off while tests are collected: there is hardly any garbage then."""
    gc.disable()


@pytest.hookimpl(wrapper=True)
def pytest_collect_file():
    """Look for no doctests in the files of tests, which have none."""
    collectors = yield
    return [each for each in collectors if type(each).__name__ != "DoctestModule"]


@pytest.hookimpl(tryfirst=True)  # pytest then chooses tests by their marks
def pytest_collection_modifyitems(items):
    """Mark the tests that use a browser."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


def pytest_collection_finish():
    """Freeze the collected tests: otherwise each garbage collection of each test passes through all of them."""
    gc.freeze()
    gc.enable()


def pytest_runtest_protocol(item, nextitem):
    """Send the process that started the workers of xdist one report of a test, not also those of what goes well around.

    For a short test, all six messages take longer than the test does. Whoever asks for the durations of fixtures, or
    for a file in JUnit's format, needs all of them.
    """
    if not hasattr(item.config, "workerinput") or item.config.option.durations or item.config.option.xmlpath:
        return None
    for report in runtestprotocol(item, nextitem=nextitem, log=False):
        if report.when == "call" or not report.passed:
            report.keywords = {}  # which only reports of failures would need
            item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)  # writes how far the run has got
    return True


@pytest.fixture
def table():
    """Give the table of operations, and restore it after the test."""
    saved = dict(OPS)
    yield OPS
    OPS.clear()
    OPS.update(saved)
