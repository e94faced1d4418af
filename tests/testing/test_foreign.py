"""`gradcheck` of functions of any library, with a given derivative, at numbers, arrays and structures of them."""

import array
import contextlib
import importlib
import inspect
import itertools
import math
import pkgutil
import random
import re
import traceback
import warnings

import numpy as np
import pytest

from micrograd_cn import Op
from micrograd_cn.testing import (
    GradientMismatch,
    NotDeterministic,
    NothingCompared,
    PartlyCompared,
    TooNoisy,
    gradcheck,
)
from micrograd_cn.testing.arrays.problem import rms


class Counted:
    """A function that counts its calls."""

    def __init__(self, f):
        self.f, self.calls = f, 0

    def __call__(self, *args):
        self.calls += 1
        return self.f(*args)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def mismatch(f, *args, **how):
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(f, *args, **how)
    text = str(caught.value)
    assert len(text.splitlines()) <= 15
    return text


def wrong_rows(text):
    rows = [re.split(" {2,}", line)[1] for line in text.splitlines() if line.startswith("WRONG")]
    return {title for title in rows if not title.startswith("direction")}


# Layer normalisation, by hand.


def layer_norm(x, w, b):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * w + b


def layer_norm_vjp(x, w, b, upstream, dropped=False):
    centred = x - x.mean(-1, keepdims=True)
    scale = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    h, g = centred * scale, upstream * w
    along = 0 if dropped else h * (g * h).mean(-1, keepdims=True)
    return scale * (g - g.mean(-1, keepdims=True) - along), (upstream * h).sum(0), upstream.sum(0)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((2, 3), np.float64),
        ((8, 16), np.float32),
        ((2, 3), np.float16),
        *(pytest.param(*x, marks=pytest.mark.slow) for x in (((8, 16), np.float64), ((2, 3), np.float32))),
        pytest.param((8, 16), np.float16, marks=pytest.mark.slow),
    ],
)
def test_layer_norm(shape, kind):
    x, w, b = (a.astype(kind) for a in (draw(*shape), draw(shape[1], seed=1), draw(shape[1], seed=2)))
    with warnings.catch_warnings():
        if kind is np.float16:  # rounding hides 1 % in a third of random directions, which is a warning
            warnings.simplefilter("ignore", PartlyCompared)
        gradcheck(layer_norm, x, w, b, vjp=layer_norm_vjp)
    text = mismatch(layer_norm, x, w, b, vjp=lambda *args: layer_norm_vjp(*args, dropped=True))
    wrong = wrong_rows(text)
    assert wrong
    assert all("/dx[" in row for row in wrong), "weights and biases are right"


# The forms of a derivative.


def test_a_gradient_of_numbers_and_of_structures():
    gradcheck(lambda x: math.exp(-x * x), 0.5, gradient=lambda x: -2 * x * math.exp(-x * x))
    gradcheck(lambda x, y: x * y, 2.0, 3.0, gradient=lambda x, y: (y, x))
    gradcheck(
        lambda p: p["w"] * sum(p["x"]), {"w": 2.0, "x": [1.0, 3.0]}, gradient=lambda p: {"w": 4.0, "x": [2.0, 2.0]}
    )
    text = mismatch(
        lambda p: p["w"] * sum(p["x"]), {"w": 2.0, "x": [1.0, 3.0]}, gradient=lambda p: {"w": 4, "x": [2, 1]}
    )
    assert wrong_rows(text) == {"df/dp['x'][1]"}
    gradcheck(lambda x: sum(v * v for v in x), array.array("d", [1.0, 2.0]), gradient=lambda x: [2 * v for v in x])
    gradcheck(lambda x: np.exp(x), np.float32(0.5), gradient=lambda x: np.exp(x))


def test_a_jacobian():
    f, df = lambda x: [x[0] * x[1], x[0] + x[1]], lambda x: [[x[1], x[0]], [1.0, 1.0]]
    gradcheck(f, [2.0, 3.0], jacobian=df)
    assert wrong_rows(mismatch(f, [2.0, 3.0], jacobian=lambda x: [[x[1], x[0]], [1.0, 2.0]])) == {"df[1]/dx[1]"}
    gradcheck(lambda x: np.array(f(x)), draw(2), jacobian=lambda x: np.array(df(x)))
    w, x = draw(3, 4), draw(4)
    by_w = np.einsum("ij,k->ijk", np.eye(3), x)
    gradcheck(lambda w, x: (w * x).sum(-1), w, x, jacobian=lambda w, x: (by_w, w))
    assert wrong_rows(mismatch(lambda w, x: (w * x).sum(-1), w, x, jacobian=lambda w, x: (by_w, 2 * w)))


def test_a_vjp_and_a_jvp():
    w, x = draw(2, 3), draw(3)
    gradcheck(lambda w, x: (w * x).sum(-1), w, x, vjp=lambda w, x, g: (np.outer(g, x), (w.T * g).sum(-1)))
    gradcheck(lambda w, x: (w * x).sum(-1), w, x, jvp=lambda w, x, t: (t[0] * x).sum(-1) + (w * t[1]).sum(-1))
    gradcheck(np.tanh, x, jvp=lambda x, t: t * (1 - np.tanh(x) ** 2))
    wrong = wrong_rows(
        mismatch(lambda w, x: (w * x).sum(-1), w, x, vjp=lambda w, x, g: (np.outer(g, x), 1.01 * (w.T * g).sum(-1)))
    )
    assert wrong
    assert all("/dx[" in row for row in wrong)
    assert wrong_rows(mismatch(np.tanh, x, jvp=lambda x, t: t * (1 - np.tanh(x))))


def test_no_derivative_is_one_of_0_and_wrong_for_what_is_no_constant():
    rows, table = np.array([1, 1, 4]), draw(5, 2)

    def vjp(table, rows, g):
        total = np.zeros_like(table)
        np.add.at(total, rows, g)
        return total, None

    gradcheck(lambda table, rows: table[rows], table, rows, vjp=vjp)
    how = {"vjp": lambda w, x, g: (np.outer(g, x), None)}
    text = mismatch(lambda w, x: (w * x).sum(-1), draw(2, 3), draw(3), **how)
    assert "wrong for x, right for w\n" in text
    assert "likely, for x: a gradient is missing: 0 or None is returned" in text
    gradcheck(lambda w, x: (w * x).sum(-1), draw(2, 3), draw(3), static=["x"], **how)
    gradcheck(lambda w, x: (w * x).sum(-1), draw(2, 3), draw(3), static=[1], **how)
    gradcheck(lambda w, x: w.sum(), draw(2, 3), draw(3), vjp=lambda w, x, g: (np.full((2, 3), g), None))
    with pytest.raises(GradientMismatch):
        gradcheck(lambda table, rows: table[rows], table, rows, vjp=lambda table, rows, g: (np.ones((5, 2)), None))
    gradcheck(lambda table, rows: table[rows], table, rows, vjp=lambda *args: vjp(*args)[0])


def test_outputs_are_structures_too():
    x = draw(4)

    def f(x):
        return {"y": np.sin(x), "n": 3, "z": (x.sum(), np.arange(3))}

    def vjp(x, upstream):
        return upstream["y"] * np.cos(x) + upstream["z"][0]

    gradcheck(f, x, vjp=vjp)
    assert "df['z'][0]" in mismatch(f, x, vjp=lambda x, up: up["y"] * np.cos(x) + 2 * up["z"][0])


# Large arrays.


@pytest.mark.parametrize("n", [10, 1_000, pytest.param(1_000_000, marks=pytest.mark.thorough)])
def test_a_check_takes_a_few_hundred_calls_whatever_the_size(n):
    f = Counted(lambda x: 0.5 * (x * x).sum())
    gradcheck(f, draw(n), gradient=lambda x: x)
    assert f.calls <= 400
    f = Counted(np.square)
    gradcheck(f, draw(min(n, 100_000)), vjp=lambda x, g: 2 * x * g)
    assert f.calls <= 400


@pytest.mark.parametrize("n", [1_000, 30_000])
def test_the_one_wrong_element_is_named(n):
    place = n // 3

    def gradient(x):
        g = x.copy()
        g[place] *= 1.5
        return g

    f = Counted(lambda x: 0.5 * (x * x).sum())
    assert wrong_rows(mismatch(f, draw(n), gradient=gradient)) == {f"df/dx0[{place}]"}
    assert f.calls <= 1000


def test_a_gradient_that_is_wrong_everywhere_takes_no_more_calls():
    f = Counted(np.square)
    assert len(wrong_rows(mismatch(f, draw(1000), vjp=lambda x, g: 3 * x * g))) == 3
    assert f.calls <= 1000


def test_the_wrong_output_of_a_wrong_element_is_named():
    def vjp(w, x, g):
        by_w = np.outer(g, x)
        by_w[17, 3] *= -1
        return by_w, (w.T * g).sum(-1)

    assert wrong_rows(mismatch(lambda w, x: (w * x).sum(-1), draw(40, 20), draw(20), vjp=vjp)) == {"df[17]/dw[17, 3]"}


def test_the_seed_chooses_the_directions():
    def directions(seed):
        text = mismatch(np.square, draw(50), vjp=lambda x, g: 2.1 * x * g, seed=seed)
        return wrong_rows(text)

    assert directions(1) == directions(1) != directions(2)


# Precision.


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize(
    "f",
    [np.tanh, pytest.param(np.square, marks=pytest.mark.slow), lambda x: np.sin(2 * x) * x],
    ids=["tanh", "square", "sine"],
)
def test_few_digits_pass_and_one_percent_fails(f, kind):
    slope = {np.tanh: lambda x: 1 - np.tanh(x) ** 2, np.square: lambda x: 2 * x}.get(
        f, lambda x: np.sin(2 * x) + 2 * x * np.cos(2 * x)
    )
    for shape in ((3,), (15, 10)):
        x = draw(*shape).astype(kind)
        gradcheck(f, x, vjp=lambda x, g: g * slope(x))
        mismatch(f, x, vjp=lambda x, g: g * slope(x) * x.dtype.type(1.01 if kind is np.float32 else 1.02))


def test_what_computes_in_float32_inside_is_known_by_its_noise():
    def f(x):
        return float(np.tanh(np.float32(x)).sum())

    def gradient(x):
        return 1 - np.tanh(np.float32(x)) ** 2

    gradcheck(f, draw(5), gradient=gradient)
    assert len(wrong_rows(mismatch(f, draw(5), gradient=lambda x: 1.01 * gradient(x)))) == 5


def test_a_mistake_that_only_float32_makes_is_found():
    def vjp(x, g):
        return g * 2 * x if x.dtype == np.float64 else g * x

    gradcheck(np.square, draw(30), vjp=vjp)
    mismatch(np.square, draw(30).astype(np.float32), vjp=vjp)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize(
    "x",
    [
        [-61400.0, -30600.0, 0.0, 3.0, -0.0, -1e-5, 556.0],
        [3220.0, 2.0, -0.0, -1.0, 0.0, -3.0, 93300.0],
        [1e6, 4580.0, 0.0, 3.0, -1.0, 167.0, 7360.0],
        [49200.0, -3.0, 2.0, -0.978943, -0.0, -0.4233, 1.14e-4],
        [-0.0, 2.0, -3.25e-6, -2.0, -25.6, 2.0, -208000.0],
    ],
)
@pytest.mark.parametrize("wrong", [False, True])
def test_elements_of_other_sizes_than_the_rest_of_an_array(x, kind, wrong):
    """Steps that suit the large elements pass over everything that the function does near 0."""
    x = np.array(x, kind)
    factor = np.where(np.isin(np.abs(x), (2.0, 3.0)) & wrong, 1.5, 1.0)

    def gradient(x):
        return factor * (1.0 - np.tanh(x.astype(float)) ** 2)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartlyCompared)
        if wrong:
            mismatch(lambda x: kind(np.tanh(x.astype(float)).sum()), x, gradient=gradient)
        else:
            gradcheck(lambda x: kind(np.tanh(x.astype(float)).sum()), x, gradient=gradient)


def test_where_noise_hides_all_the_verdict_is_never_right():
    x = draw(3).astype(np.float16)
    for factor in (1.0, 1.01, 2.0):
        with pytest.warns(PartlyCompared, match="too noisy to tell"):
            gradcheck(lambda x: x.sum() + np.float16(3e4), x, gradient=lambda x, c=factor: np.full(3, c))


@pytest.mark.filterwarnings("ignore::micrograd_cn.testing.PartlyCompared")
@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 8), marks=pytest.mark.thorough)])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_what_is_nothing_but_rounding_is_not_wrong(kind, seeds):
    """The function is 0 up to rounding, and so is its gradient. Moving one number often changes no output at all."""

    def vjp(x, g):
        return g * (np.exp(x) * (1 / np.exp(x)) - 1)

    def f(x):
        return (np.log(np.exp(x)) - x).sum()

    for seed in seeds:
        x = np.random.default_rng(seed).normal(size=(4, 8)).astype(kind)
        with contextlib.suppress(NothingCompared):
            gradcheck(f, x, vjp=vjp, seed=seed)
        with pytest.raises(GradientMismatch):
            gradcheck(f, x, vjp=lambda x, g: vjp(x, g) + kind(0.01) * g, seed=seed)


def test_what_is_far_steeper_elsewhere_excuses_no_noise():
    def f(x):
        x = x.astype(float)
        return np.float16(32.0 + np.sum((x - 1.0) + 1e7 * (x - 1.0) ** 16))

    x = np.ones(3, np.float16)
    for factor in (1.01, 1.03):
        with pytest.warns(PartlyCompared, match="too noisy to tell"):
            gradcheck(f, x, gradient=lambda x, c=factor: c * (1.0 + 1.6e8 * (x.astype(float) - 1.0) ** 15))
    gradcheck(f, x, gradient=lambda x: 1.0 + 1.6e8 * (x.astype(float) - 1.0) ** 15)  # they agree to the last bit


def eight_bits(x):
    """Round as bfloat16 does."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(mantissa * 2.0**8), exponent - 8)


def mean_of_sums(x):
    return np.float16(eight_bits(eight_bits(x.astype(float).sum(-1)).mean()))


def centred(x, w):
    return np.float16((x.astype(float) - x.astype(float).mean()) * float(w))


def centred_vjp(x, w, g):
    return float(w) * (g.astype(float) - g.astype(float).mean()), g @ (
        x.astype(float) - np.float16(x.astype(float).mean())
    )


@pytest.mark.parametrize(
    ("f", "args", "vjp"),
    [
        (mean_of_sums, (eight_bits(draw(2, 3)),), lambda x, g: (np.full((2, 3), 0.5 * g),)),
        (centred, ([1.1, 0.95, 1.03], 1.5), centred_vjp),
    ],
    ids=["in the function", "in the derivative"],
)
def test_rounding_that_is_the_same_all_along_a_line_is_no_mistake(f, args, vjp):
    """An intermediate value is rounded up on one side of the point and down on the other, or one way everywhere."""
    args = [np.array(x, np.float16) for x in args]
    with warnings.catch_warnings(), contextlib.suppress(TooNoisy):
        warnings.simplefilter("ignore", PartlyCompared)
        gradcheck(f, *args, vjp=vjp)
    for factor in (1.1, 1.5):
        mismatch(f, *args, vjp=lambda *args, c=factor: tuple([d if d is None else c * d for d in vjp(*args)]))


@pytest.mark.parametrize(
    "beside",
    [
        lambda t: math.copysign(0.03, math.sin(1e4 * t)),
        lambda t: 0.1 * math.sin(1e4 * t) ** 8 + 0.002,
        lambda t: 0.004,
    ],
    ids=["of another sign", "of other sizes", "small"],
)
def test_what_is_otherwise_next_to_the_point_is_rounding(beside):
    x = np.array([0.3, 0.7], np.float16)

    def gradient(z, beside=beside):
        return np.array([2.0 + 2.0 * (0.03 if z[1] == x[1] else beside(float(z[1]))), 0.0])

    with pytest.warns(PartlyCompared, match=r"df/dx\[0\] .* no such mismatch next to the point"):
        gradcheck(lambda x: 2 * x[0], x, gradient=gradient)
    mismatch(lambda x: 2 * x[0], x, gradient=lambda z: gradient(z, lambda t: 0.03))


@pytest.mark.parametrize("x", [1e-3, 1e-5, 1e-8])
def test_no_right_derivative_of_what_loses_digits_is_accused(x):
    for f, df in (
        (lambda x: np.log(np.cosh(x)).sum(), np.tanh),
        (lambda x: (1 - np.cos(x)).sum(), np.sin),
        (lambda x: np.sum((x + 1e6) - 1e6), np.ones_like),
    ):
        for kind in (np.float64, np.float32):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PartlyCompared)
                try:
                    gradcheck(f, np.array([x, -2 * x], dtype=kind), gradient=df)
                except NothingCompared:
                    assert kind is np.float32 or x < 1e-3


# Kinks, edges, chance.


def relu_gradient(at_zero, factor=1.0):
    return lambda x: factor * np.where(x == 0, at_zero, x > 0)


def test_at_a_kink_any_slope_between_both_sides_is_right():
    x = np.array([0.0, 1.0, -1.0])
    for at_zero in (0.0, 0.5, 1.0):
        gradcheck(lambda x: np.maximum(x, 0).sum(), x, gradient=relu_gradient(at_zero))
    text = mismatch(lambda x: np.maximum(x, 0).sum(), x, gradient=relu_gradient(2.0))
    assert wrong_rows(text) == {"df/dx[0]"}
    assert "kink: 0 on the left, 1 on the right" in text


@pytest.mark.parametrize("x", [[2.0, 2.0, 2.0], [1.0, 5.0, 1.0, -1.0, 1.0], [3.0] * 5])
def test_the_middle_one_of_equal_numbers_may_be_any_of_them(x):
    x = np.array(x)
    for i in np.flatnonzero(x == np.median(x)):
        with pytest.warns(
            PartlyCompared, match="1 of . derivatives not compared .a.(.*\n)*.*sorting is where numbers are equal"
        ):
            gradcheck(np.median, x, gradient=lambda x, i=i: np.eye(x.size)[i])
    rows = wrong_rows(mismatch(lambda x: np.prod(x), x, gradient=lambda x: 1.1 * np.prod(x) / x))
    assert len(rows) == x.size


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("seed", [0, 1, *[pytest.param(seed, marks=pytest.mark.thorough) for seed in range(2, 8)]])
def test_many_kinks_at_once_are_no_mistake(kind, seed):
    """The kinks of one in ten elements cancel along a random direction."""
    x = draw(50, 40).astype(kind)
    x[x < 0.3] = 0
    gradcheck(lambda x: np.maximum(x, 0), x, vjp=lambda x, g: g * (x > 0), seed=seed)
    mistake = mismatch(lambda x: np.maximum(x, 0), x, vjp=lambda x, g: 1.05 * g * (x > 0), seed=seed)
    assert wrong_rows(mistake)


@pytest.mark.parametrize("seed", range(4))
def test_kinks_where_arrays_are_equal_are_no_mistake(seed):
    x = draw(30)
    y = np.where(np.arange(30) % 3 == 0, x + 0.5, x)
    gradcheck(np.maximum, x, y, vjp=lambda x, y, g: (g * (x > y), g * (x <= y)), seed=seed)
    mismatch(np.maximum, x, y, vjp=lambda x, y, g: (g * (x > y), 1.1 * g * (x <= y)), seed=seed)


def test_small_numbers_near_the_edge_of_the_domain_are_compared():
    x = np.array([1e-9, 1.0, 1e3])
    gradcheck(lambda x: np.log(x).sum(), x, gradient=lambda x: 1 / x)
    assert wrong_rows(mismatch(lambda x: np.log(x).sum(), x, gradient=lambda x: 1 / x + (x < 1e-6) * 1e7)) == {
        "df/dx[0]"
    }
    gradcheck(np.log, np.exp(6 * draw(100)), vjp=lambda x, g: g / x)


def test_outside_the_domain_nothing_is_compared():
    with pytest.raises(NothingCompared, match=r"outside the domain, f\[0\] is nan there"), np.errstate(all="ignore"):
        gradcheck(np.log, np.array([-2.0, -1.0]), vjp=lambda x, g: g / x)
    with pytest.raises(NothingCompared, match="no argument holds floating-point numbers"):
        gradcheck(lambda x: 1.0 * x.sum(), np.arange(3), gradient=lambda x: x)


def test_chance_is_told_by_two_values():
    random = np.random.default_rng(0)
    with pytest.raises(NotDeterministic, match=r"not deterministic, two calls of it gave \S+ and \S+$"):
        gradcheck(lambda x: (x * (random.random(5) > 0.5)).sum(), draw(5), gradient=np.ones_like)
    total = np.zeros(3)

    def stale(x):
        total[:] += 2 * x
        return total

    with pytest.raises(NotDeterministic, match=r"two calls of the gradient, at x\[0\], gave 5.875 and 7.875"):
        gradcheck(lambda x: x @ x, np.ones(3), gradient=stale)


def test_a_gradient_that_is_not_finite_is_wrong_and_named():
    text = mismatch(lambda x: x @ x, np.ones(30), gradient=lambda x: np.where(np.arange(30) == 7, math.nan, 2 * x))
    assert wrong_rows(text) == {"df/dx[7]"}


def test_what_never_moves_has_the_gradient_0():
    gradcheck(lambda x: (0 * x).sum(), np.ones(30), gradient=np.zeros_like)
    gradcheck(lambda x: ((x - 1) ** 2).sum(), np.ones(30), gradient=lambda x: 2 * (x - 1))
    mismatch(lambda x: (0 * x).sum(), np.ones(30), gradient=np.ones_like)


def test_neither_function_can_spoil_the_arguments():
    x = draw(4)
    before = x.copy()

    def f(x):
        x *= x
        return x.sum()

    with pytest.raises(GradientMismatch, match=r"f changes its argument x\[0\] from 0.12573 to 0.0158081; .* a copy"):
        gradcheck(f, x, gradient=lambda x: 2 * x)
    assert (x == before).all()

    def vjp(x, g):
        x *= 2
        return g * x

    with pytest.raises(GradientMismatch, match=r"the backward pass changes the argument x\[0\] from"):
        gradcheck(lambda x: x * x, x, vjp=vjp)

    def spoiling(x, g):
        g *= 2
        return g * x

    with pytest.raises(GradientMismatch, match=r"the backward pass changes the upstream gradient, f\[0\] from"):
        gradcheck(lambda x: x * x, x, vjp=spoiling)
    assert (x == before).all()


# Misuse.


@pytest.mark.parametrize(
    ("args", "how", "error", "message"),
    [
        (
            (np.ones(101),),
            {},
            TypeError,
            "no derivative of f is given, and 101 numbers in a ndarray are too many .*; give",
        ),
        ((1.0,), {"gradient": 2.0}, TypeError, "gradient= must be a function .*, got float; write gradient=df"),
        ((1.0,), {"gradient": abs, "vjp": abs}, TypeError, "give one derivative, not gradient= and vjp="),
        ((np.ones(3),), {"gradient": np.ones_like}, ValueError, "gradient= is for one output, f has 3; give jacobian="),
        (("a",), {"vjp": lambda x, g: g}, NothingCompared, "no argument holds floating-point numbers"),
        (
            (np.ones((2, 3)),),
            {"vjp": lambda x, g: g[0]},
            ValueError,
            r"vjp= gave .* shape \(3,\) for x, which has \(2, 3\)",
        ),
        (
            (np.ones(2),),
            {"vjp": lambda x, g: ([1.0, 2.0], [3.0])},
            ValueError,
            "vjp= gave a tuple of 2 for x, which is no array of numbers",
        ),
        ((np.ones(2),), {"jacobian": lambda x: np.ones(3)}, ValueError, r"array of shape \(3,\), not \(2, 2\)"),
        (
            ({"a": 1.0},),
            {"vjp": lambda x, g: {"b": 1.0}},
            ValueError,
            r"vjp= must have the keys \['a'\] for \[0\], got a dict of 1, which lacks 'a'",
        ),
        (
            ([1.0, 2.0],),
            {"jvp": lambda x, t: [1.0]},
            ValueError,
            "jvp= must have 2 parts, as a list of 2 has, got a list",
        ),
        (
            (1.0,),
            {"vjp": lambda x, g: g, "order": 2},
            ValueError,
            "order= is for functions of Values, torch or jax; .* give the gradient as f",
        ),
    ],
)
def test_misuse_is_told_what_to_write(args, how, error, message):
    with pytest.raises(error, match=message):
        gradcheck(lambda x: x, *args, **how)


def test_an_array_of_numbers_goes_to_a_function_of_values_if_no_derivative_is_given():
    a = np.arange(6.0).reshape(2, 3) / 7
    gradcheck(lambda x: np.tanh(a @ x).sum(), np.array([0.5, -1.0, 2.0]), order=2)
    gradcheck(lambda x, y: [x @ y, (x * x).sum()], np.array([1, 2]), np.array([0.5, -0.5]))
    gradcheck(lambda p: p["w"] @ p["w"] * p["b"], {"w": np.ones(3), "b": 2.0})
    gradcheck(lambda x: x[0] * x[1], array.array("d", [2.0, 3.0]))
    wrong = Op("wrong", lambda x: x * x, (lambda y, x: 2.5 * x,))
    with pytest.raises(GradientMismatch, match=r"df/dx\[1\]\[0\]"):
        gradcheck(lambda x: x[0, 0] + wrong(x[1, 0]), np.ones((2, 1)))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.cbrt(x).sum(),
        lambda x: np.logaddexp(x, 1.0).sum(),
        lambda x: float(x[0]),
        lambda x: np.linalg.det(np.outer(x, x)),
    ],
)
def test_a_function_that_takes_no_values_is_told_to_bring_its_derivative(f):
    with pytest.raises(TypeError, match=r"f does not take a Value .*; give the derivative that is to be checked"):
        gradcheck(f, np.ones(3))


def raising_from(n):
    """Return a function that raises from its n-th call on."""
    calls = itertools.count()

    def f(x, *weights):
        if next(calls) >= n:
            raise KeyError(n)
        return 2.02 * weights[0] * x if weights else (x * x).sum()

    return f


class Unread:
    """An array that cannot be read."""

    def tolist(self):
        raise KeyError("unread")


def test_pytest_is_told_to_leave_out_every_frame_between_the_test_and_the_function():
    found = set()
    for x in (np.ones(3), np.ones(30), np.ones(3, np.float32)):
        checks = [(raising_from(n), lambda x, g: 2.02 * g * x) for n in (0, 1, 2, 8, 20, 40, 10_000)]
        checks += [(lambda x: (x * x).sum(), raising_from(n)) for n in (0, 1, 2, 8, 20, 40, 99)]
        checks += [(lambda x: x, lambda x, g: np.ones(7)), (lambda x: Unread(), lambda x, g: x)]
        for f, vjp in checks:
            with pytest.raises((KeyError, ValueError, GradientMismatch)) as caught:
                gradcheck(f, x, vjp=vjp)
            frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
            ours = [f.f_globals for f in frames if f.f_globals.get("__name__", "").startswith("micrograd_cn.testing.")]
            assert all(names["__tracebackhide__"] is True for names in ours)
            found |= {names["__name__"].rpartition(".")[2] for names in ours}
    assert {"gradcheck", "problem", "analytic", "compare", "numerical", "stages", "excuses", "tied_kinks"} <= found


@pytest.mark.parametrize("folder", ["arrays", "inputs", "numeric", "report", "value_checks"])
def test_pytest_is_told_to_leave_out_the_frames_of_every_file_that_a_check_may_run_through(folder):
    package = importlib.import_module(f"micrograd_cn.testing.{folder}")
    for file in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(file.name)
        calls = [x for x in vars(module).values() if inspect.isfunction(x) and x.__module__ == file.name]
        assert not calls or module.__tracebackhide__ is True, file.name


def test_the_title_shows_arrays_by_type_and_shape():
    x = np.ones((2, 3), "float32")
    for tree, shown in (
        (x, "float32[2, 3]"),
        ([x, 2.0], "[float32[2, 3], 2.0]"),
        ((x, [3.0]), "(float32[2, 3], [3.0])"),
        ({"a": x, "b": (1.0, 2.0)}, "{'a': float32[2, 3], 'b': (1.0, 2.0)}"),
        (array.array("d", [1.0, 2.0]), "array('d', [1.0, 2.0])"),
        (2.0, "2.0"),
    ):
        with pytest.raises(NothingCompared) as caught:
            gradcheck(lambda tree: math.inf, tree, vjp=lambda tree, g: tree)
        assert str(caught.value).startswith(f"gradcheck of <lambda> at tree = {shown}: outside the domain")


def test_a_jacobian_may_be_given_by_rows_of_outputs_that_have_other_shapes():
    x, by_x = draw(3), draw(4, 3)
    gradcheck(lambda x: (by_x @ x).reshape(2, 2), x, jacobian=lambda x: by_x.reshape(2, 2, 3))
    gradcheck(lambda x: (by_x @ x).reshape(2, 2), x, jacobian=lambda x: by_x)
    gradcheck(
        lambda p: {"y": p[0] * p[1], "z": p[1]},
        [x, 2.0],
        jacobian=lambda p: {"y": [p[1] * np.eye(3), p[0]], "z": [np.zeros(3), 1.0]},
    )
    with pytest.raises(ValueError, match=r"jacobian= gave an array of shape \(3, 3\), not \(2, 2, 3\)"):
        gradcheck(lambda x: (by_x @ x).reshape(2, 2), x, jacobian=lambda x: by_x[:3])
    with pytest.raises(ValueError, match=r"jacobian= gave an array of shape \(5, 3\), not \(2, 2, 3\)"):
        gradcheck(lambda x: (by_x @ x).reshape(2, 2), x, jacobian=lambda x: np.ones((5, 3)))


def test_the_gradient_of_the_only_argument_may_stand_alone_or_in_a_tuple():
    x = draw(3)
    gradcheck(lambda x: x @ x, x, gradient=lambda x: (2.0 * x,))
    gradcheck(lambda x: x[0] * x[1], (2.0, 3.0), gradient=lambda x: (x[1], x[0]))
    gradcheck(lambda x: -3.0 * x[0] * x[1], (2.0, 3.0), gradient=lambda x: (-3.0 * x[1], -3.0 * x[0]))


def test_the_default_seed_is_0():
    def text(**how):
        return mismatch(np.square, draw(50), vjp=lambda x, g: 2.1 * x * g, **how)

    assert text() == text(seed=0) != text(seed=1)


def test_the_root_mean_square_of_nothing_is_1():
    assert rms(np.zeros(3)) == rms(np.zeros(0)) == 1.0


# What is not finite, and numbers of any size.


@pytest.mark.parametrize("size", [4, 12, 40])
@pytest.mark.parametrize("scalar", [True, False])
def test_a_gradient_of_which_nothing_is_a_number_is_wrong(size, scalar):
    x = np.linspace(0.5, 2.0, size)
    f = (lambda x: np.sin(x).sum()) if scalar else np.sin
    with pytest.raises(GradientMismatch, match="wrong for x"):
        gradcheck(lambda x: f(x), x, vjp=lambda x, g: g * np.full(size, np.nan))


def test_of_a_derivative_that_is_not_finite_the_output_is_named_that_moves():
    x = np.linspace(0.5, 2.0, 20)
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(lambda x: np.sqrt(x), x, vjp=np.errstate(all="ignore")(lambda x, g: g / np.zeros(20)), seed=1)
    wrong = [line.split()[1] for line in str(caught.value).splitlines() if line.startswith("WRONG")]
    assert len(wrong) == 3
    for title in wrong:
        output, element = title.split("/")
        assert output.removeprefix("df") == element.removeprefix("dx")


@pytest.mark.parametrize("position", [0, 1])
def test_an_argument_that_is_not_a_number_hides_no_others(position):
    x = np.array([1.0, 2.0, 3.0])
    x[position] = np.nan
    with pytest.raises(GradientMismatch, match=rf"WRONG +df\[{1 - position}\]/dx\[{1 - position}\] +3 +2 "):
        gradcheck(lambda x: 2.0 * x, x, vjp=lambda x, g: 3.0 * g)
    x[position] = np.inf
    with pytest.raises(GradientMismatch, match=r"WRONG +df\[2\]/dx\[2\] +3 +2 "):
        gradcheck(lambda x: 2.0 * x, x, vjp=lambda x, g: 3.0 * g)


@pytest.mark.parametrize("size", [3, 30])
@pytest.mark.parametrize("scale", [1e300, 1e160, 1e-170, 1e-280])
def test_numbers_of_any_size_are_compared_in_silence(scale, size):
    """The squares of these numbers overflow or underflow."""
    x = np.linspace(1.0, 2.0, size)
    with np.errstate(all="raise"):
        gradcheck(lambda x: scale * x, x, vjp=lambda x, g: scale * g)
        with pytest.raises(GradientMismatch, match="wrong for x"):
            gradcheck(lambda x: scale * x, x, vjp=lambda x, g: 2.0 * scale * g)


@pytest.mark.parametrize("scale", [1e200, 1e-150])
def test_arguments_of_any_size_are_moved_by_their_size(scale):
    x = scale * np.linspace(1.0, 2.0, 30)
    with np.errstate(all="ignore"):
        gradcheck(lambda x: np.sin(x / scale), x, vjp=lambda x, g: g * np.cos(x / scale) / scale)
        with pytest.raises(GradientMismatch, match="wrong for x"):
            gradcheck(lambda x: np.sin(x / scale), x, vjp=lambda x, g: 2.0 * g * np.cos(x / scale) / scale)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_kink_that_is_small_beside_what_is_known_of_its_sides_is_no_mistake(side):
    """One of 42 differences is 1e-4. The derivative is that of one side; the other side is known only to 1 in 600."""
    random = np.random.default_rng(479)
    a, b = (random.normal(size=int(size)).astype(np.float32) for size in [random.integers(2, 60)] * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartlyCompared)
        gradcheck(
            lambda a, b: np.abs(a - b).mean(),
            side * a,
            side * b,
            vjp=lambda a, b, g: (g * np.sign(a - b) / np.float32(a.size), -g * np.sign(a - b) / np.float32(a.size)),
        )


def test_a_domain_error_of_f_or_of_its_derivative_beside_the_point_is_no_error_of_the_check():
    def f(x):
        if not (np.abs(x) <= 1.0).all():
            raise RuntimeError("expected -1 <= x <= 1")
        return np.maximum(x, 0.0)

    def vjp(x, u):
        f(x)
        return u * (x > 0.0)

    for x in (np.array([0.3, 0.99]), np.array([*np.zeros(10), *np.full(10, 0.999), -0.3])):
        for kind in ("d", "f"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PartlyCompared)
                gradcheck(f, x.astype(kind), vjp=vjp)
            with pytest.raises(GradientMismatch, match="wrong for x"):
                gradcheck(f, x.astype(kind), vjp=lambda x, u: 1.01 * vjp(x, u))
    with pytest.raises(RuntimeError, match="expected -1"):
        gradcheck(np.maximum, np.array([1.5]), 0.0, vjp=lambda x, zero, u: vjp(x, u))


def test_a_step_function_may_be_undefined_where_its_derivative_is_integrated():
    def f(p):
        if not ((p >= 0.0) & (p <= 1.0)).all():
            raise RuntimeError("expected 0 <= p <= 1")
        return np.float32(p > np.float32([0.2, 0.5]))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartlyCompared)
        gradcheck(f, np.float32([0.3, 0.99]), vjp=lambda p, u: (f(p), 0 * u)[1])


@pytest.mark.parametrize("kind", [float, np.float32])
@pytest.mark.parametrize("x", [math.inf, -math.inf, math.nan])
def test_a_derivative_by_an_element_that_is_not_finite_gets_no_verdict_whatever_it_is(x, kind):
    def f(x):
        return np.where(np.isfinite(x), np.sin(np.where(np.isfinite(x), x, 0.0)), 0.0).sum()

    for there in (math.nan, math.inf, 0.0, 1.0):
        with pytest.warns(PartlyCompared, match="1 of 3 derivatives not compared"):
            gradcheck(
                f,
                np.array([x, 1.0, 2.0], kind),
                gradient=lambda x, there=there: np.where(
                    np.isfinite(x), np.cos(np.where(np.isfinite(x), x, 0.0)), there
                ),
            )


def test_a_pole_at_every_negative_whole_number_explains_a_gradient_of_nan():
    def pole(x):
        return (x <= 0.0) & (x == np.round(x))

    with pytest.warns(PartlyCompared, match="not finite at the point: an output that depends on it"):
        gradcheck(
            lambda x: np.where(pole(x), np.inf, x * x),
            np.array([-2.0, 1.5]),
            vjp=lambda x, u: u * np.where(pole(x), np.nan, 2 * x),
        )


def drawing(x):
    random.random()
    return x * x


@pytest.mark.parametrize(
    ("f", "vjp", "x", "calls"),
    [
        (lambda x: x * x, lambda x, u: 2.0 * x * u, [1.0, 2.0], (1, 2, 3, 8, 18)),
        (drawing, lambda x, u: 2.0 * x * u, [1.0, 2.0], (1, 2, 3, 8, 32)),
        (lambda x: np.where(x > 700.0, np.exp(x), np.sign(x) + x), lambda x, u: u, [0.0, 2.0, 800.0], (2, 8, 80)),
        (lambda x: np.exp(x * x.sum()), lambda x, u: math.nan * u, [30.0, 1.0], (2, 8, 80, 162, 163, 164)),
    ],
    ids=["smooth", "drawing", "jumping", "infinite"],
)
@pytest.mark.filterwarnings("ignore")  # of overflow, and that little could be compared
def test_at_whatever_call_a_check_inside_f_fails_it_is_raised_and_a_domain_error_only_at_the_point(f, vjp, x, calls):
    for call, error in itertools.product(calls, (GradientMismatch("inside"), ZeroDivisionError("outside"))):
        points = []

        def failing(x, call=call, error=error, points=points):
            points.append(x.copy())
            if len(points) == call:
                raise error
            return f(x)

        try:
            gradcheck(failing, np.array(x), vjp=vjp)
        except (GradientMismatch, ZeroDivisionError, NothingCompared) as raised:
            found = raised
        else:
            found = None
        assert len(points) >= call
        raises = isinstance(error, GradientMismatch) or np.array_equal(points[call - 1], x)
        assert (found is error) == raises, (call, error, found)
