"""Hypothesis profiles; choose one with `--hypothesis-profile`."""

import os

from hypothesis import HealthCheck, settings

quiet = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("dev", max_examples=50, **quiet)
settings.register_profile("ci", max_examples=100, derandomize=True, database=None, **quiet)
settings.register_profile("nightly", max_examples=82_000, print_blob=True, **quiet)  # a million in test_properties.py
settings.load_profile("ci" if os.environ.get("CI") else "dev")
