"""Hypothesis profiles, to be chosen with `--hypothesis-profile`, and what several files of tests use."""

import gc
import os

import pytest
from hypothesis import HealthCheck, Phase, settings

from micrograd_cn import OPS

quiet = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
quick = quiet | {"phases": [phase for phase in Phase if phase is not Phase.explain]}  # which traces every line
settings.register_profile("dev", max_examples=25, **quick)
settings.register_profile("ci", max_examples=100, derandomize=True, database=None, **quick)
settings.register_profile("nightly", max_examples=82_000, print_blob=True, **quiet)  # a million in test_properties.py
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.hookimpl(tryfirst=True)
def pytest_collection():
    """Search for no garbage while tests are collected, of which there is hardly any."""
    gc.disable()


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items):
    """Mark what uses a browser."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


def pytest_collection_finish():
    """Let searches for garbage pass over the tests themselves: several seconds of every test that searches often."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture
def table():
    """Return the table of operations, which is afterwards as it was."""
    saved = dict(OPS)
    yield OPS
    OPS.clear()
    OPS.update(saved)
