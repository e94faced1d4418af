"""The profiles of hypothesis (`--hypothesis-profile` chooses one), and fixtures and hooks for all tests."""

import gc
import os

import pytest
from hypothesis import HealthCheck, Phase, settings

from micrograd_cn import OPS

quiet = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
quick = quiet | {"phases": [phase for phase in Phase if phase is not Phase.explain]}  # explaining traces every line
settings.register_profile("dev", max_examples=25, **quick)
settings.register_profile("ci", max_examples=100, derandomize=True, database=None, **quick)
settings.register_profile("nightly", max_examples=82_000, print_blob=True, **quiet)  # a million in test_properties.py
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.hookimpl(tryfirst=True)
def pytest_collection():
    """Switch the garbage collector off while tests are collected: there is hardly any garbage then."""
    gc.disable()


@pytest.hookimpl(tryfirst=True)  # pytest then chooses tests by their marks
def pytest_collection_modifyitems(items):
    """Mark the tests that use a browser."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


def pytest_collection_finish():
    """Freeze the collected tests: otherwise each garbage collection of each test passes through all of them."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture
def table():
    """Give the table of operations, and restore it after the test."""
    saved = dict(OPS)
    yield OPS
    OPS.clear()
    OPS.update(saved)
