"""`fit` of a function that branches: one program selects as `where` does, and rows are sorted where it may not."""

import random
from math import inf

import numpy as np
import pytest

from micrograd_cn import Value, relu
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.optim import SGD, Adam

from .common import trained

RANDOM = np.random.default_rng(6)
XS, YS = RANDOM.standard_normal((2, 60))
EPOCHS, BATCH = 30, 8  # so many steps that a merged program is worthwhile


def knee(w):
    return lambda x, y: (w[1] * x - y) ** 2 if x < w[0] else (w[2] * x + w[3] - y) ** 2


def fixed(w):
    return lambda x, y: (w[1] * x - y) ** 2 if x < 0.3 else (w[2] * x + w[3] - y) ** 2 + w[0] * w[0]


def always(w):
    return lambda x, y: (w[1] * x - y) ** 2 + w[2] * w[2] if x < w[0] + 100.0 else w[3]


def weights():
    return [Value(x) for x in (0.3, 1.5, -0.7, 0.25)]


def _compare(make, samples, epochs=EPOCHS, batch=BATCH, shuffled=False, schedule=None, optimizer=SGD):
    """Train by hand and with `fit`, and compare losses and parameters."""
    ours, theirs = weights(), weights()
    losses = trained(
        make(ours), samples, optimizer(ours, lr=0.02), epochs, batch, random.Random(1) if shuffled else None, schedule
    )
    asked = []
    data = tuple(np.array(x) for x in zip(*samples, strict=True))
    history = compile(make(theirs), branches=True).fit(
        data, optimizer(theirs, lr=0.02), epochs, batch, random.Random(1) if shuffled else None,
        (lambda step: asked.append(step) or schedule(step)) if schedule else None,
    )  # fmt: skip
    np.testing.assert_allclose(history, losses, rtol=1e-9)
    np.testing.assert_allclose([p.data for p in theirs], [p.data for p in ours], rtol=1e-9)
    return asked


SAMPLES = [*zip(XS.tolist(), YS.tolist(), strict=True)]


@pytest.mark.parametrize("make", [knee, fixed, always])
@pytest.mark.parametrize("shuffled", [False, True])
def test_batches_are_not_sorted_where_one_program_can_compute_all_branches(make, shuffled, sorts):
    for optimizer in (SGD, Adam):
        _compare(make, SAMPLES, shuffled=shuffled, optimizer=optimizer)
        assert len(sorts) < 10
        sorts.clear()


def test_a_branch_that_a_row_takes_only_later_is_merged_too(sorts):
    """Training moves w[0], so after some steps a row takes a branch that none has taken before."""

    def make(w):
        return lambda x, y: (w[0] - 3.0) ** 2 if w[0] < 1.0 else (w[1] * x - y) ** 2 + (w[0] - 3.0) ** 2

    _compare(make, SAMPLES)
    assert 0 < len(sorts) < 20


@pytest.mark.parametrize("shuffled", [False, True])
def test_rows_are_sorted_where_an_unselected_branch_would_spoil_a_gradient(shuffled, sorts):
    def make(w):
        return lambda x, y: relu(w[1] * x * w[2]) + w[3] * w[3] if x < w[0] else (w[2] * y + w[3]) ** 2 * 0.1

    samples = [*SAMPLES]
    samples[20] = (inf, 0.5)  # it is in the second branch, and in the first branch its x is a factor
    _compare(make, samples, shuffled=shuffled)
    assert len(sorts) > 50


def test_a_schedule_is_asked_once_for_each_step_though_steps_are_taken_anew():
    def make(w):
        return lambda x, y: (w[0] - 3.0) ** 2 if w[0] < 1.0 else (w[1] * x - y) ** 2 + (w[0] - 3.0) ** 2

    asked = _compare(make, SAMPLES, schedule=lambda step: 0.03 / (1 + 0.01 * step))
    assert asked == list(range(EPOCHS * 8))


@pytest.mark.parametrize("last", [*range(4, 16), 150])
def test_an_error_of_a_schedule_comes_after_all_steps_before_it(last):
    """About ten steps are taken until a row takes a branch that has not been recorded yet.

    The schedule raises the error in the first call only, so `fit` must not call it again for the same step.
    """

    def make(w):
        return lambda x, y: (w[0] - 3.0) ** 2 if w[0] < 1.0 else (w[1] * x - y) ** 2 + (w[0] - 3.0) ** 2

    asked = []

    def schedule(step):
        asked.append(step)
        if step == last and asked.count(step) == 1:
            raise RuntimeError("no rate")
        return 0.02

    ours, theirs = weights(), weights()
    by_hand, fitted = SGD(ours, lr=0.02), SGD(theirs, lr=0.02)
    with pytest.raises(RuntimeError, match="no rate"):
        trained(make(ours), SAMPLES, by_hand, EPOCHS, BATCH, None, schedule)
    asked.clear()
    with pytest.raises(RuntimeError, match="no rate"):
        compile(make(theirs), branches=True).fit((XS, YS), fitted, EPOCHS, BATCH, schedule=schedule)
    assert asked == [*range(last + 1)]
    assert by_hand.steps == fitted.steps == last
    np.testing.assert_allclose([p.data for p in theirs], [p.data for p in ours], rtol=1e-9)


def test_a_new_branch_is_merged_though_some_batches_are_sorted_for_good():
    """The first batch is always in the first branch. An infinite row rejects the first merged program."""

    def make(w):
        def f(x, y):
            if x < 0.0:
                return (w[1] * y + w[2]) ** 2
            if w[0] < 1.0:
                return (w[0] - 3.0) ** 2 + w[1] * x * w[2] * 0.0
            return (w[1] * y - w[3]) ** 2 + (w[0] - 3.0) ** 2

        return f

    samples = [(abs(x) * (-1 if k < BATCH else 1), y) for k, (x, y) in enumerate(SAMPLES)]
    samples[3] = (-inf, 0.5)
    _compare(make, samples)


def test_several_threads_sort_rows():
    ours, theirs = weights(), weights()
    trained(knee(ours), SAMPLES, SGD(ours, lr=0.02), EPOCHS, BATCH)
    compile(knee(theirs), branches=True).fit((XS, YS), SGD(theirs, lr=0.02), EPOCHS, BATCH, threads=2)
    np.testing.assert_allclose([p.data for p in theirs], [p.data for p in ours], rtol=1e-9)


def test_samples_of_several_structures_are_merged_each():
    def make(w):
        def f(xs):
            total = sum([w[k] * x for k, x in enumerate(xs)], 0.0)
            return total * total if total < w[3] else total * w[0] + w[1] * w[1]

        return f

    samples = [(RANDOM.standard_normal(1 + k % 3).tolist(),) for k in range(40)]
    ours, theirs = weights(), weights()
    losses = trained(make(ours), samples, SGD(ours, lr=0.01), 25, 8, random.Random(3))
    history = compile(make(theirs), branches=True).fit(samples, SGD(theirs, lr=0.01), 25, 8, random.Random(3))
    np.testing.assert_allclose(history, losses, rtol=1e-9)
    np.testing.assert_allclose([p.data for p in theirs], [p.data for p in ours], rtol=1e-9)
