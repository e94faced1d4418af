"""Every test of this folder leaves the context as it found it."""

import gc

import pytest

from micrograd_cn.graph import context


@pytest.fixture(autouse=True)
def no_mode_is_left():
    assert not context.active
    yield
    if context.active:
        gc.collect()  # closes generators that a test has left in the middle
    assert not context.active
    assert context.here().blocks == ()
