"""A compiled loss is nan for a target or probability that is not allowed, and `fit` raises the error of the loss."""

import itertools
import math

import numpy as np
import pytest

from micrograd_cn import Value, sigmoid, sqrt
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.functional import grad
from micrograd_cn.losses import binary_cross_entropy, binary_cross_entropy_with_logits, hinge_loss
from micrograd_cn.optim import SGD, Adam

BEYOND = [-1.0, 1.0 + 2.0**-52, -(2.0**-1074), 2.0, float("nan"), float("inf"), -float("inf"), 1e300]
INSIDE = [0.0, -0.0, 1.0, 1.0 - 2.0**-53, 2.0**-1074, 0.25]
LOSSES = {
    "logits": (binary_cross_entropy_with_logits, INSIDE, BEYOND, "must be from 0 to 1"),
    "weighted logits": (
        lambda x, t: binary_cross_entropy_with_logits(x, t, weight=2.0, pos_weight=3.0), INSIDE, BEYOND,
        "must be from 0 to 1",
    ),
    "probabilities": (lambda x, t: binary_cross_entropy(sigmoid(x), t), INSIDE, BEYOND, "must be from 0 to 1"),
    "hinge": (hinge_loss, [-1.0, 1.0], [0.0, *BEYOND[1:], -1.0 - 2.0**-52, 1.0 - 2.0**-53], "must be -1 or 1"),
    "batch": (lambda x, t: hinge_loss([x, 2.0 * x], [1, t]), [-1.0, 1.0], [0.0, *BEYOND[1:]], "must be -1 or 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_a_target_that_is_not_allowed_makes_the_loss_and_its_derivatives_nan(name):
    """Only the recorded sample is checked by the loss itself, so the program has to tell the other samples apart."""
    loss, allowed, refused, _ = LOSSES[name]
    w = Value(0.5)
    f = compile(lambda x, t: loss(w * x, t))
    f(1.0, 1.0)
    for count, threads in itertools.product((1, 9), (1, 2)):
        for t in allowed:
            expected = loss(w * 1.5, t)
            w.grad = 0.0
            expected.backward()
            slope, w.grad = w.grad, 0.0
            samples = [(1.5, t)] * count
            assert f.forward(samples, threads) == pytest.approx([expected.data] * count, rel=1e-13)
            assert f.gradient(samples, "parameters", threads) == [[pytest.approx(slope, rel=1e-13)]] * count
            assert f.backward(samples, threads) == pytest.approx(expected.data, rel=1e-13)
        for t in refused:
            samples = [(1.5, t)] * count
            assert np.isnan(f.forward(samples, threads)).all(), t
            assert np.isnan(f.gradient(samples, "parameters", threads)).all(), t
            assert np.isnan(f.backward(samples, threads))


@pytest.mark.parametrize("target", [0.0, 1.0, 0.3, None])
def test_a_probability_that_is_not_allowed_makes_the_loss_and_its_derivative_nan(target):
    """That holds for a target that is a number in the function, and for a target that is an argument."""
    w = Value(1.0)
    if target is None:
        f = compile(lambda p: binary_cross_entropy(w * p[0], p[1]))
    else:
        f = compile(lambda p: binary_cross_entropy(w * p[0], target))
    t = 1.0 if target is None else target
    f([0.5, t])
    for p in BEYOND:
        assert np.isnan(f.forward([([p, t],)] * 9)).all(), p
        assert np.isnan(f.gradient([([p, t],)] * 9, "parameters")).all(), p
    for p in INSIDE:
        loss = binary_cross_entropy(q := Value(p), t)
        loss.backward()
        assert f.forward([([p, t],)] * 9) == pytest.approx([loss.data] * 9, rel=1e-13)
        assert f.gradient([([p, t],)] * 9, "parameters") == [[pytest.approx(q.grad * p, rel=1e-13)]] * 9


@pytest.mark.parametrize("name", LOSSES)
def test_fit_names_the_sample_whose_target_is_not_allowed(name):
    """The message is that of the loss, and no parameter changes."""
    loss, allowed, refused, message = LOSSES[name]
    w = Value(0.5)
    f, optimizer = compile(lambda x, t: loss(w * x, t)), Adam([w], 0.1)
    good = [(1.0, allowed[0]), (2.0, allowed[1])]
    f.fit(good, optimizer, 2, batch_size=1)
    for bad, batch_size, threads in ((refused[0], None, 1), (refused[2], 1, 1), (refused[2], 2, 2)):
        before = w.data, optimizer.state_dict()
        with pytest.raises(ValueError, match=rf"fit\(\): sample 2: .*target.* {message}, got"):
            f.fit([*good, (1.0, bad)], optimizer, 3, batch_size, threads=threads)
        assert (w.data, optimizer.state_dict()) == before
        with pytest.raises(ValueError, match=rf"fit\(\): validation sample 1: .*target.* {message}, got"):
            f.fit(good, optimizer, 3, validation=[good[0], (1.0, bad)])
        assert (w.data, optimizer.state_dict()) == before


def test_fit_names_the_sample_whose_probability_is_not_allowed():
    w = Value(0.5)
    f = compile(lambda p, t: binary_cross_entropy(w * p, t))
    with pytest.raises(ValueError, match=r"fit\(\): sample 1: .*input must be a probability .*, got .*use binary"):
        f.fit(([1.0, 5.0, -3.0], [1, 1, 0]), SGD([w], 0.1), 1)
    assert w.data == 0.5


def test_fit_of_a_program_names_the_row():
    """A program knows no function whose error it could raise."""
    w, x, t = Value(0.5), Value(1.0), Value(1.0)
    program, optimizer = compile(hinge_loss(w * x, t), [x, t]), SGD([w], 0.1)
    rows = [[1.0, 1.0], [1.0, -1.0], [1.0, 0.0]]
    with pytest.raises(ValueError, match=r"fit\(\): row 2: a target or probability is out of the range"):
        program.fit(rows, optimizer, 2)
    with pytest.raises(ValueError, match=r"fit\(\): validation row 2: a target or probability is out of the range"):
        program.fit(rows[:2], optimizer, 2, validation=rows)
    assert w.data == 0.5
    assert len(program.fit(rows[:2], optimizer, 2)) == 2


def test_fit_of_a_program_blames_no_target_where_the_loss_is_nan_for_another_reason():
    w, x, t = Value(0.5), Value(1.0), Value(1.0)
    program = compile(hinge_loss(w * x, t) + sqrt(x), [x, t])
    losses = program.fit([[1.0, 1.0], [-1.0, 1.0]], SGD([w], 0.1), 1)
    assert np.isnan(losses).all()
    with pytest.raises(ValueError, match=r"fit\(\): row 2: a target or probability is out of the range"):
        program.fit([[1.0, 1.0], [-1.0, 1.0], [1.0, 0.0]], SGD([w], 0.1), 1)


@pytest.mark.parametrize("name", LOSSES)
def test_derivatives_of_every_kind_pass_through_the_check(name):
    """Second derivatives, their entries and the derivative in the target are those of the loss without the check."""
    loss, *_ = LOSSES[name]
    f = compile(lambda x, t: loss(x, t))
    for x in (0.3, -2.0):
        first = [grad(loss, k)(x, 1.0) for k in (0, 1)]
        second = [[grad(grad(loss, j), k)(x, 1.0) for k in (0, 1)] for j in (0, 1)]
        assert np.allclose(f.gradient([(x, 1.0)])[0], first, rtol=1e-12)
        assert np.allclose(f.hessian([(x, 1.0)], dense=True)[0], second, rtol=1e-12)
        f.check([(x, 1.0)])


@pytest.mark.parametrize("language", ["llvm", "c", "python"])
def test_source_contains_the_check(language):
    f = compile(lambda x, t: hinge_loss(x, t))
    f(1.0, 1.0)
    text = f.source(language)
    if language == "python":
        names = {}
        exec(text, names)
        assert np.isnan(names["f"](math, [], [1.0, 0.0]))
        assert names["f"](math, [], [0.5, 1.0]) == 0.5
    assert "nan" in text.lower() or "0x7FF8" in text
