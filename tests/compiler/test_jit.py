"""Functions that are compiled: arguments of every form, samples, training, and branches that are not silent."""

import copy
import inspect
import math
import pickle
import random
import re
import threading
from array import array
from collections import namedtuple
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from operator import mul

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, functional
from micrograd_cn.compiler import CompiledFunction, GuardError, Mismatch, compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.minimize import scipy_functions
from micrograd_cn.compiler.program import Program
from micrograd_cn.compiler.samples import doubles
from micrograd_cn.module import Module
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam, linear_lr

from .common import branching, mixed, trained

Point = namedtuple("Point", "x y")


def line():
    """Return the number of the caller's line."""
    return inspect.currentframe().f_back.f_lineno


def plain(x):
    return x.data if isinstance(x, Value) else float(x)


def test_every_sample_is_checked_by_itself():
    scales = [4.0, 4.0]
    f = compile(lambda x, y: x * y * (scales.pop() if scales else y + 2))
    f.check([(1.0, 2.0)])
    g = compile(lambda x, y: x * y - y)
    g.check([(1.0, 2.0), (3.0, 4.0), (5.0, -6.0), (7.0, 0.5)])
    with pytest.raises(Mismatch):
        f.check([(1.0, 2.0), (3.0, 2.0), (5.0, 2.5)])


def test_the_bar_of_samples_of_several_forms_counts_their_steps(monkeypatch):
    bars = []

    class Bar:
        def __init__(self, steps):
            bars.append([steps, 0])

        def set_postfix(self, **_):
            pass

        def update(self, steps):
            bars[-1][1] += steps

        def close(self):
            pass

    monkeypatch.setattr("micrograd_cn.compiler.epochs.progress_bar", Bar)
    w = Value(0.5)
    f = compile(lambda xs: (mc.dot(xs, [w] * len(xs)) - 1.0) ** 2)
    f.fit([([1.0],), ([1.0, 2.0],), ([0.5],), ([2.0, 1.0],), ([3.0],)], SGD([w], 0.01), 3, 2, progress=True)
    assert bars == [[9, 9]]
    assert isinstance(bars[0][0], int)


# Arguments


@pytest.mark.parametrize(
    "arguments",
    [
        (2.0, 3),
        ([1.0, 2.0], [[3], [4.0, 5]]),
        ((1, (2.0, [3])), {"a": 1.0, "b": [2, 3]}),
        (Point(1.0, 2), [Point(1.0, [2.0])]),
        (np.array([1.0, 2.0]), np.array([[1, 2], [3, 4]])),
        (np.float32(0.5), np.int64(3)),
        ([np.float32(0.5), True], array("d", [1.0, 2.0])),
        ([], [np.array([1.5], "f")]),
    ],
)
def test_arguments_are_numbers_in_any_nesting(arguments):
    def total(x):
        if isinstance(x, dict):
            return total(list(x.values()))
        if isinstance(x, (list, tuple, np.ndarray, array)):
            return mc.sum([k * total(item) for k, item in enumerate(x, 1)])
        return x

    def f(a, b):
        return {"total": [total(a) + 2 * total(b)], "one": (1.0, total(a))}

    expected, compiled = f(*arguments), compile(f)
    for _ in range(2):
        found = compiled(*arguments)
        assert found["total"] == [pytest.approx(plain(expected["total"][0]))]
        assert found["one"] == (1.0, pytest.approx(plain(expected["one"][1])))


def test_what_a_function_is_given_has_the_form_of_its_argument():
    seen = []

    @compile
    def f(*xs, **named):
        seen.append((xs, named))
        return mc.sum([])

    f([1, 2], Point(1, 2), np.ones((2, 3)), {"k": [1]}, named=3)
    [((xs, point, matrix, mapping), named)] = seen
    assert [x.label for x in xs] == ["xs[0][0]", "xs[0][1]"]
    assert isinstance(point, Point)
    assert matrix.shape == (2, 3)
    assert matrix[1, 2].label == "xs[2][1, 2]"
    assert mapping["k"][0].label == "xs[3]['k'][0]"
    assert isinstance(named["named"], Value)


def test_nothing_is_recorded_before_the_first_call_and_each_form_once():
    calls = []

    @compile
    def f(x, scale=2):
        calls.append(x)
        return mc.sum(x) * scale

    assert repr(f) == "compiled f(x, scale=2): not called yet"
    assert not calls
    assert [f([1, 2]), f([3.0, 4.5]), f(x=[5, 6])] == [6.0, 15.0, 22.0]
    assert len(calls) == 1
    assert f([1, 2, 3]) == f([1, 2, 3]) == 12.0
    assert len(calls) == 2
    assert f([1, 2], 5) == f([1, 2], scale=5) == 15.0
    assert f((1, 2)) == 6.0
    assert len(calls) == 4
    assert f.__name__ == "f"


def test_values_that_a_function_uses_are_parameters_as_they_are_now():
    w, b = Value(3.0), Value(1.0)

    @compile
    def f(x):
        return w * x + b

    assert f(2) == 7.0
    w.data, b.data = 5.0, -1.0
    assert f(2) == 9.0
    assert f.parameters == [w, b]
    assert f.backward([(2,), (4,)]) == 14.0
    assert (w.grad, b.grad) == (3.0, 1.0)
    b.requires_grad = False
    f.backward([(2,), (4,)])
    assert (w.grad, b.grad) == (6.0, 1.0)


def test_static_arguments_stay_what_they_are():
    seen = []

    @compile(static=("n", "name"))
    def power(x, n, name="p"):
        seen.append((n, name))
        return reduce(mul, [x] * n) if n else x * 0 + 1

    assert [power(2, 3), power(3, 3), power(2, n=0), power(2, 3, "q")] == [8.0, 27.0, 1.0, 8.0]
    assert seen == [(3, "p"), (0, "p"), (3, "q")]
    w = Value(2.0)
    chosen = compile(lambda x, k: w * x if k == "w" else x * x, static="k")
    assert chosen.backward([(3, "w"), (4, "w"), (2, "x")]) == pytest.approx(6.0)
    assert "(x, k='w'): 1 operation, 1 parameter" in repr(chosen)
    assert w.grad == pytest.approx(7 / 3)
    with pytest.raises(ValueError, match=r"static='m' is no argument of power\(x, n"):
        compile(power.__wrapped__, static=("m",))


# Samples


def pairs():
    rng = random.Random(0)
    return [([rng.gauss(0, 1) for _ in range(3)], rng.choice([-1.0, 1.0])) for _ in range(23)]


def network(activation="tanh"):
    model = MLP(3, [4, 1], activation=activation, seed=1)
    return model, lambda x, t: (model(x) - t) ** 2


def as_arrays(samples, kind="d"):
    xs, ts = zip(*samples, strict=True)
    return np.array(xs, kind), np.array(ts).astype("i4" if kind == "f" else kind)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_gradient_is_the_mean_of_those_of_the_samples(threads):
    model, f = network()
    samples = pairs()
    mc.mean([f(*sample) for sample in samples]).backward()
    expected = [p.grad for p in model.parameters()]
    loss = mc.mean([f(*sample) for sample in samples]).data
    for given in (samples, tuple(samples), iter(samples), [list(s) for s in samples], as_arrays(samples)):
        model.zero_grad()
        assert compile(f).backward(given, threads) == pytest.approx(loss, rel=1e-12)
        assert [p.grad for p in model.parameters()] == pytest.approx(expected, rel=1e-9)
    model.zero_grad()
    compile(f).backward(as_arrays(samples, "f"))
    assert [p.grad for p in model.parameters()] == pytest.approx(expected, rel=1e-5)


def test_arrays_are_copied_only_where_they_must_be():
    x = np.ones((3, 2))
    assert np.shares_memory(np.asarray(doubles(x)), x)
    for other in (x.T, x.astype("f"), x[:, ::2], np.ones((3, 2), int)):
        assert list(doubles(other)) == [1.0] * other.size
    w = Value(2.0)
    assert compile(lambda x: w * x).backward(np.array([1.0, 3.0])) == 4.0
    assert compile(lambda x: w * x).backward((np.array([1, 3]),)) == 4.0
    assert compile(lambda x, y: w * x[1] + y).backward((np.array([[1, 2], [3, 4]]), np.zeros(2, "f"))) == 6.0


def test_an_array_that_is_not_numpys_is_lists_of_lists_to_the_function():
    x = memoryview(array("d", range(1, 13))).cast("B").cast("d", (2, 3, 2))
    w = Value(2.0)
    assert compile(lambda x: w * x[1][2][0] - len(x) - len(x[0]) - len(x[0][0]))(x) == 2 * 11 - 2 - 3 - 2


def test_an_array_that_gives_its_numbers_as_lists_alone_is_taken_too():
    class Elsewhere:
        shape = (2, 2)

        def tolist(self):
            return [[1, 2.5], [True, -4]]

    assert list(doubles(Elsewhere())) == [1.0, 2.5, 1.0, -4.0]


@pytest.mark.parametrize("batch_size", [1, 4, None])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["one form", "forms", "branches"])
def test_training_is_that_of_an_eager_loop(kind, batch_size, threads):
    def made():
        if kind == "one form":
            return alike()
        return mixed(branching) if kind == "branches" else mixed()

    for shuffled in (False, True):
        (ours, f, samples), (theirs, g, _) = made(), made()
        a, b = Adam(ours, lr=0.02), Adam(theirs, lr=0.02)
        compiled = compile(f, branches=kind == "branches")
        one, two = (random.Random(4) if shuffled else None for _ in range(2))
        schedule = linear_lr(0.03, 60) if shuffled else None
        found = compiled.fit(samples, a, 3, batch_size, one, schedule, threads)
        assert found == pytest.approx(trained(g, samples, b, 3, batch_size, two, schedule), rel=1e-9)
        assert a.lr == b.lr
        assert [p.data for p in ours] == pytest.approx([p.data for p in theirs], rel=1e-9)
        assert [p.grad for p in ours] == pytest.approx([p.grad for p in theirs], rel=1e-7, abs=1e-12)
        assert a.steps == b.steps
        assert [s["exp_avg_sq"] for s in a.state] == pytest.approx([s["exp_avg_sq"] for s in b.state], rel=1e-7)


def alike():
    """Return parameters, a function, and samples of one form."""
    model, f = network()
    return model.parameters(), f, pairs()


@pytest.mark.parametrize("make", [alike, mixed])
@pytest.mark.parametrize("threads", [1, 2])
def test_losses_may_be_those_of_each_step(make, threads):
    (ours, f, samples), (theirs, g, _) = make(), make()
    found = compile(f).fit(samples, SGD(ours, lr=0.05), 3, 4, threads=threads, each_step=True)
    b, expected = SGD(theirs, lr=0.05), []
    for start in [*range(0, len(samples), 4)] * 3:
        expected += trained(g, samples[start : start + 4], b, 1)
    assert found == pytest.approx(expected, rel=1e-9)
    assert len(found) == 3 * -(-len(samples) // 4)


def test_a_gradient_of_samples_of_several_forms_and_branches_is_their_mean():
    for f in (None, branching):
        (ours, g, samples), (theirs, h, _) = (mixed(*[f] * bool(f)) for _ in range(2))
        loss = mc.mean([h(*sample) for sample in samples])
        loss.backward()
        assert compile(g, branches=True).backward(samples) == pytest.approx(loss.data, rel=1e-12)
        assert [p.grad for p in ours] == pytest.approx([p.grad for p in theirs], rel=1e-9)


def test_a_branch_may_have_parameters_that_no_other_has():
    def made():
        w = [Value(0.5), Value(-1.0), Value(2.0)]
        return w, lambda x: (w[0] * x if x > 0 else w[1] * x + (w[2] if w[1] * x < 0.7 else w[0])) ** 2

    samples = [(x,) for x in (1.0, 2.0, -0.5, -0.1, 3.0, -2.0)]
    for batch_size in (1, 2, 6):
        (ours, f), (theirs, g) = made(), made()
        found = compile(f, branches=True).fit(samples, SGD(ours, lr=0.05, momentum=0.9), 6, batch_size)
        assert found == pytest.approx(trained(g, samples, SGD(theirs, lr=0.05, momentum=0.9), 6, batch_size))
        assert [p.data for p in ours] == pytest.approx([p.data for p in theirs])


# Branches


def test_a_row_that_branches_otherwise_is_an_error_that_says_where():
    w = Value(2.0)

    @compile
    def f(x, y):
        at.append(line() + 1)
        if x < y:
            return w * x
        return w * y

    at = []
    assert f(1, 2) == 2.0
    where = rf"f, sample %d: {__file__}, line {at[0]}: x < y does not hold, but held in the sample that was recorded"
    with pytest.raises(GuardError, match=where % 0):
        f(3, 2)
    for use in (f.backward, f.check, lambda s: f.fit(s, SGD([w]), 2), lambda s: f.fit(as_arrays(s), SGD([w]), 2)):
        with pytest.raises(GuardError, match=where % 2):
            use([(1, 2), (3, 4), (5, 4), (6, 5)])
    assert (w.data, w.grad) == (2.0, 0.0)
    with pytest.raises(GuardError, match=r"x < y holds, but did not in .* write where"):
        compile(f.__wrapped__).backward([(3, 2), (1, 2)])


@pytest.mark.parametrize(
    ("f", "same", "other"),
    [
        (lambda xs: max(xs), [1.0, 5.0, 2.0], [6.0, 5.0, 2.0]),
        (lambda xs: min(xs), [1.0, 5.0, 2.0], [6.0, 5.0, 2.0]),
        (lambda xs: sorted(xs)[1], [1.0, 5.0, 2.0], [5.0, 1.0, 2.0]),
        (lambda xs: mc.sum(x for x in xs if x >= 2), [1.0, 5.0, 2.0], [3.0, 5.0, 2.0]),
        (lambda xs: sum(x * (x <= y) for x, y in pairwise(xs)), [1.0, 5.0, 2.0], [6.0, 5.0, 2.0]),
        (lambda xs: xs[0] if xs[0] * xs[2] - 7 < 1 else xs[1], [1.0, 5.0, 2.0], [6.0, 5.0, 2.0]),
    ],
)
def test_every_comparison_is_looked_at(f, same, other):
    g = compile(f)
    g(same)
    larger = [2 * x if k == 1 else x for k, x in enumerate(same)]
    assert g(larger) == plain(f(larger))
    with pytest.raises(GuardError):
        g(other)
    branching = compile(f, branches=True)
    for xs in (same, other, [0.5 * x for x in other], same):
        assert branching(xs) == plain(f(xs))


def test_a_comparison_of_parameters_is_looked_at_as_they_change():
    w = Value(0.5, "w")

    @compile
    def f(x):
        return w * x if w > 0 else -w * x

    with pytest.raises(GuardError, match=r"sample 0: .* w > 0 does not hold"):
        f.fit([(1.0,)], SGD([w], lr=0.4), epochs=5)
    assert w.data == pytest.approx(-0.3)
    assert f.__wrapped__(2.0).data == pytest.approx(0.6)
    with pytest.raises(GuardError):
        f(2.0)
    constant = mc.no_grad()(lambda: Value(1.0) * 2)()
    assert compile(lambda x: x if constant > 1 else -x)(3.0) == 3.0


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("known", [(), (1.0, -1.0)])
def test_guards_are_computed_with_what_parameters_have_become_that_no_branch_so_far_has(batch_size, known):
    ours, theirs = ([Value(0.1 * k) for k in range(-6, 13)] for _ in range(2))

    def of(w):
        def f(x):
            if x > 0:
                return (w[0] - x) ** 2
            return mc.tanh(w[1]) * x if mc.dot(w, [x] * len(w)) > -5 else (w[1] - x) ** 2

        return f

    samples = [(x,) for x in (1.0, 0.5, 2.0, -1.0, 0.25, -0.97, -0.9, -0.8)]
    optimizers = [SGD(w, lr=0.01, momentum=0.5, weight_decay=0.1) for w in (ours, theirs)]
    f = compile(of(ours), branches=True)
    for x in known:
        f(x)
    found = f.fit(samples, optimizers[0], 12, batch_size)
    assert found == pytest.approx(trained(of(theirs), samples, optimizers[1], 12, batch_size), rel=1e-12)
    assert [p.data for p in ours] == pytest.approx([p.data for p in theirs])


def test_guards_are_those_of_the_recording_alone():
    w = Value(1.0)

    @compile
    def f(x):
        return w * x if x > 0 else -x

    f(1)
    assert not Value(1) > Value(2)
    assert f(2) == 2.0


def test_a_function_that_changes_how_it_branches_is_refused():
    w = Value(1.0)

    @compile
    def f(x):
        y = w * x if w > 0 else x
        w._data = -1.0  # unseen, as an extension of C would do it
        return y

    with pytest.raises(RuntimeError, match="f branches otherwise for the sample with which it was just recorded"):
        f(2)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (
            lambda x: Value(x.data),
            "x as .data would be the same number for every sample; write the value itself, or its",
        ),
        (lambda x: x * x.item(), "x as .item() would be"),
        (lambda x: x if x == 0 else 2 * x, "x as an operand of == would be the same number for every sample; write"),
        (
            lambda x: x if 0.0 == x else 2 * x,  # noqa: SIM300
            "x as an operand of == would be",
        ),
        (lambda x: x if x != np.float32(1) else 2 * x, "x as an operand of == would be"),
        (lambda x: 2 * x if x in (3, 4) else x, "x as an operand of == would be"),
        (lambda x: 2 * x if x else x, "x as a condition would be the same number for every sample; write where(x"),
        (lambda x: x or 2.0, "x as a condition would be"),
        (
            lambda x: [1.0, 2.0][x] * x,
            "x as an index or a plain number would be the same number for every sample; write take",
        ),
        (lambda x: x * int(x), "x as an index or a plain number would be"),
        (lambda x: mc.sum([x] * x), "x as an index or a plain number would be"),
        (lambda x: mc.sum(x for _ in range(x)), "x as an index or a plain number would be"),
    ],
)
def test_what_cannot_vary_is_refused_where_it_is_read(f, message):
    with pytest.raises(TypeError) as caught:
        compile(f)(1)
    assert str(caught.value).startswith(f"{__file__}, line {f.__code__.co_firstlineno}: {message}")
    assert 'static=["x"]' in str(caught.value)


@pytest.mark.parametrize(
    "f",
    [
        *(lambda x: [1.0, 2.0][2 * x], lambda x: int(2 * x), lambda x: math.exp(2 * x), lambda x: range(2 * x)),
        *(lambda x: round(2 * x), lambda x: math.trunc(x), lambda x: math.floor(2 * x), lambda x: 2 * x % 2),
        *(lambda x: 2 * x // 2, lambda x: divmod(x, 2), lambda x: [x] * (2 * x), lambda x: [x, x][: 2 * x]),
        *(lambda x: np.round(2 * x), lambda x: np.eye(3)[2 * x]),
    ],
)
def test_a_computed_value_as_a_plain_number_is_refused_with_what_to_write_instead(f):
    with pytest.raises((TypeError, IndexError)) as caught:
        compile(f)(1)
    [note] = caught.value.__notes__
    assert "write take(xs, index) for xs[index]" in note
    with pytest.raises(TypeError) as other:
        compile(lambda x: x + "1")(1)
    assert not hasattr(other.value, "__notes__")


def test_check_tells_what_no_guard_sees():
    scale = [2.0]
    f = compile(lambda x: x * x * scale[0])
    f(1)
    f.check([(1.0,)])
    scale[0] = 5.0
    with pytest.raises(Mismatch, match=r"sample 1, \[3.0\]: the function gives 45.0, the graph 18.0"):
        f.check([(0.0,), (3.0,)])


def test_check_names_the_sample_whatever_its_form():
    scale = [2.0]
    f = compile(lambda xs: xs[0] * (scale[0] if len(xs) == 1 else 1.0))
    samples = [([1, 2],), ([1, 2, 3],), ([0],), ([6],)]
    f.check(samples)
    scale[0] = 3.0
    with pytest.raises(Mismatch, match=r"sample 3, \[6.0\]: the function gives 18.0, the graph 12.0"):
        f.check(samples)
    pick = compile(lambda xs, i: mc.take(xs, i) * 1.0)
    with pytest.raises(IndexError, match=r"sample 2, \[1.0, 7.0\]: take\(\) has the index 7.0"):
        pick.check([([1, 2], 0), ([1], 0), ([1], 7)])


def test_what_is_detached_is_computed_for_every_sample_and_gets_no_gradient(code):
    a = Value(2.0)

    def f(x):
        with mc.no_grad():
            y = a * x + 1.0
            z = y.tanh()
        return a * x * (a * x).detach() + y * z + x.detach()

    program = compile(f)
    samples = [(0.5,), (-3.0,), (2.0,)]
    assert program(0.5) == pytest.approx(f(Value(0.5)).data, rel=1e-15)
    program.check(samples)
    mean = program.backward(samples)
    compiled, a.grad = a.grad, 0.0
    for (x,) in samples:
        f(Value(x)).backward(1 / 3)
    assert compiled == pytest.approx(a.grad, rel=1e-14)
    a.data = -1.0
    program.check(samples)
    assert program.backward(samples) != mean
    with pytest.raises(
        ValueError, match=r'source\("python"\): engines differ in how they write detach\(\) and no_grad'
    ):
        program.source("python")


@pytest.mark.parametrize(
    "f",
    [
        lambda x: functional.grad(lambda z: z**3)(x),
        lambda x: functional.value_and_grad(lambda z: z**3)(x)[0] + functional.value_and_grad(lambda z: z * x)(x)[1],
        lambda x: functional.hessian(lambda z: z**3)(x),
        lambda x: functional.hvp(lambda z: z**3, x, 2.0),
        lambda x: functional.jvp(lambda z: z**3, x, 2.0)[1],
        lambda x: functional.vjp(lambda z: z**3, x)[1](2.0),
    ],
)
@pytest.mark.parametrize("mode", [mc.no_grad(), lambda f: f], ids=["no_grad", "recorded"])
def test_derivatives_that_a_function_computes_are_those_of_every_sample(f, mode):
    w, v = Value(2.0), Value(3.0)

    def g(x):
        inside = mode(f)(w * x)
        return inside * v

    compiled = compile(g)
    for x in (1.0, 2.0, -3.0):
        assert compiled(x) == pytest.approx(g(Value(x)).data, rel=1e-12)
    compiled.backward([(1.0,), (2.0,)])
    found, w.grad, v.grad = (w.grad, v.grad), 0.0, 0.0
    for x in (1.0, 2.0):
        g(Value(x)).backward(0.5)
    assert found == pytest.approx((w.grad, v.grad), rel=1e-12)


@pytest.mark.parametrize(
    "f",
    [
        *(lambda x, w: w * x, lambda x, w: mc.exp(x) * x, lambda x, w: x**2, lambda x, w: x**3, lambda x, w: w**x),
        *(lambda x, w: w / x, lambda x, w: x.log(), lambda x, w: x * x, lambda x, w: x.detach() * x),
        lambda x, w: mc.no_grad()(lambda: mc.exp(x))() * x + w * x * x * 0.0,
    ],
)
def test_derivatives_of_what_was_recorded_are_exact(f):
    w = Value(0.5, "w")
    program = compile(lambda x, y: f(x, w) * y).program(2.0, 3.0)
    x, y = Value(2.0), Value(3.0)
    expected = mc.gradients(f(x, w) * y, [x, y])
    assert program.gradient([[2.0, 3.0]])[0] == pytest.approx(expected, rel=1e-14)
    inside = compile(lambda x: functional.grad(lambda z: f(z, w))(x))
    assert inside(2.0) == pytest.approx(mc.gradients(f(x, w), [x])[0], rel=1e-14)


def test_sparse_derivatives_inside_a_recording():
    w = Value(0.5, "w")
    f = compile(lambda x: functional.sparse_hessian(lambda q: w * q[0] ** 3 * x + q[0] * q[1])([x, x])[0])
    values = lambda x: functional.sparse_hessian(lambda q: w * q[0] ** 3 * x + q[0] * q[1])([x, x])[0]  # noqa: E731
    assert f(2.0) == [y.data if isinstance(y, Value) else y for y in values(Value(2.0))]


def test_no_gradient_flows_through_what_is_detached_however_large():
    a = Value(1e-200)
    f = compile(lambda x: (a.detach() ** -2).log() + a * x)  # the derivative of the logarithm is infinite
    assert (f.backward([(3.0,)]), a.grad) == (math.inf, 3.0)


three = Value(3.0).detach()


@pytest.mark.parametrize(
    "large",
    [
        lambda x: (2 * x).detach() > 3,
        mc.no_grad()(lambda x: 2 * x > 3),
        mc.no_grad()(lambda x: mc.exp(x) * 2 > 10),
        lambda x: max((2 * x).detach(), three) is three,
    ],
)
def test_a_comparison_of_what_is_detached_is_a_guard(large):
    f = compile(lambda x: 1 * x if large(x) else -x)
    g = compile(lambda x: 1 * x if large(x) else -x, branches=True)
    for h in (f, g):
        h(5)
    assert [g(x) for x in (5, 1, 7, 0)] == [(lambda x: x if large(Value(x)) else -x)(x) for x in (5, 1, 7, 0)]
    with pytest.raises(GuardError, match="but"):
        f(1)


def test_a_whole_function_may_be_without_gradients():
    a = Value(2.0)

    @compile
    @mc.no_grad()
    def predict(x):
        return a * x

    assert (predict(1), predict(5)) == (2.0, 10.0)
    a.data = 3.0
    assert predict(5) == 15.0


def test_outside_a_recording_what_is_detached_is_a_constant():
    x = Value(2.0)

    def f(y):
        thread = threading.Thread(target=lambda: found.append(((x * 3).detach(), mc.no_grad()(lambda: x * 3)())))
        thread.start()
        thread.join()
        return y * 2

    found = []
    compile(f)(1)
    assert [(node.op, node.requires_grad, node.data) for node in found[0]] == [(None, False, 6.0)] * 2


@pytest.mark.parametrize("samples", [[(1,)], [(1,), ([2],)]], ids=["one form", "two"])
def test_what_was_frozen_while_recorded_is_a_constant_which_fit_refuses_to_train(samples):
    w, v = Value(3.0), Value(1.0)
    w.requires_grad = False
    f = compile(lambda x: w * v * (x[0] if isinstance(x, list) else x))
    assert f.fit(samples, SGD([v, w], 0.0), 1) == [3.0 * sum(k + 1 for k in range(len(samples))) / len(samples)]
    w.requires_grad = True
    with pytest.raises(ValueError, match=r"parameters\[1\] of the optimizer, Value.* is a constant of the program"):
        f.fit(samples, SGD([v, w]), 1)


@pytest.mark.parametrize("order", [1, -1])
def test_what_was_frozen_in_one_of_several_programs_or_in_a_comparison_is_refused(order):
    w, v = Value(3.0), Value(1.0)
    f = compile(lambda xs: mc.sum([w * v * x for x in xs]))
    g = compile(lambda x: v * x if w * x > 0 else -v * x)
    w.requires_grad = False
    f([1.0])
    g(1.0)
    w.requires_grad = True
    f([1.0, 2.0])
    for call, samples in ((f, [([1.0],), ([1.0, 2.0],)][::order]), (g, [(1.0,)])):
        with pytest.raises(ValueError, match=r"parameters\[0\] of the optimizer, Value.* is a constant of the program"):
            call.fit(samples, SGD([w, v]), 1, 1)
    assert f.fit([([1.0, 2.0],)], SGD([w, v], 0.0), 1) == [9.0]


# Arguments that are almost alike


@pytest.mark.parametrize(
    ("f", "values"),
    [
        (lambda x, n: x * (3 if n is True else 5), [1, True, 1.0]),
        (lambda x, n: x * math.copysign(1, n), [0.0, -0.0, 0]),
        (lambda x, n: x * math.copysign(1, n[0][0]), [((0.0,),), ((-0.0,),)]),
        (lambda x, n: x * sum(isinstance(k, bool) for k in n), [frozenset([1]), frozenset([True])]),
        (lambda x, n: x * n.imag if n.imag else x * math.copysign(1, n.imag), [0j, -0j, 1 + 0j, 1]),
    ],
)
def test_static_values_that_are_equal_but_differ_have_programs_of_their_own(f, values):
    g = compile(f, static="n")
    expected = [f(2.0, n) for n in values]
    assert [g(2.0, n) for n in values] == expected
    assert [g(2.0, n) for n in values] == expected
    assert f"{len(values)} programs" in repr(g)
    w = Value(1.0)
    h = compile(lambda x, n: w * f(x, n), static="n")
    assert h.backward([(2.0, n) for n in values]) == pytest.approx(sum(expected) / len(values))


def test_a_static_value_that_cannot_be_hashed_is_named():
    f = compile(lambda x, sizes: x * len(sizes), static="sizes")
    with pytest.raises(
        TypeError, match=r"static argument sizes, \[1, 2\]: unhashable type: 'list'; programs are kept by"
    ):
        f(1, [1, 2])


def test_numbers_of_different_types_have_one_form():
    f = compile(lambda xs: mc.sum(xs))
    for xs in ([1.0, 2.0], [1, np.float64(2)], [np.int8(1), 2.0], [True, 2]):
        assert f(xs) == 3.0
    assert "1 program" in repr(f)


@pytest.mark.parametrize(
    "xs",
    [
        *(np.array(["1"]), np.array([b"1"]), np.array([1 + 2j]), np.array([None]), np.array([Value(1)])),
        *(np.array(["2020-01-01"], "M8[D]"), np.array([3], "m8[s]"), np.array(["1"], object)),
    ],
    ids=lambda xs: str(xs.dtype),
)
def test_arrays_of_anything_but_numbers_are_refused(xs):
    f = compile(lambda x, y: x[0] * y)
    with pytest.raises(TypeError, match=r"<lambda>: x\[0\]: (expected a real number, got|a Value; give its number)"):
        f(xs, 1.0)
    with pytest.raises(TypeError):
        f.backward((np.array([xs]), np.ones(1)))
    with pytest.raises(TypeError):
        compile(lambda x: x[0] * 1.0).backward(np.array([xs]))


def test_arrays_of_numbers_as_objects_are_taken_as_lists_are():
    f = compile(lambda x: x[0] * 1.0)
    assert f(np.array([10**400])) == math.inf
    assert f(np.array([Fraction(1, 4), 2], dtype=object)) == 0.25
    w = Value(1.0)
    both = compile(lambda x, y: w * x[1] * y)
    assert both.backward((np.array([[1, 10**400], [1, 2]], object), np.ones(2, np.float32))) == math.inf


@pytest.mark.parametrize("samples", [[(), ()], [(), (), ()]])
def test_samples_without_numbers_are_samples(samples):
    a, b = Value(3.0), Value(3.0)
    f = compile(lambda: (a - 1) ** 2)
    losses = f.fit(samples, SGD([a], 0.1), 4)
    for _ in range(4):
        b.grad = 2 * (b.data - 1)
        SGD([b], 0.1).step()
    assert a.data == pytest.approx(b.data)
    assert losses[0] == 4.0
    assert compile(lambda xs: a * len(xs)).fit(np.empty((3, 0)), SGD([a], 0.1), 1) == [0.0]


def test_a_gradient_that_is_none_is_none_so_far():
    a = Value(2.0)
    a.grad = None
    f = compile(lambda x: a * x)
    f.backward([(3,)])
    assert a.grad == 3.0
    a.grad = None
    f.program(1).backward([[4]])
    assert a.grad == 4.0


def test_a_form_whose_result_depends_on_nothing_is_said_to_be_constant():
    a = Value(2.0)
    f = compile(lambda xs: sum(a * x for x in xs))
    assert f([]) == 0.0
    with pytest.raises(RuntimeError, match="it has no gradient"):
        f.backward([([],), ([],)])


@pytest.mark.parametrize("order", [1, -1])
def test_a_constant_branch_or_form_has_the_gradient_0(order):
    def made():
        w = Value(0.2)
        return w, lambda x: (1 - w * x if w * x < 1 else 0.0) if not isinstance(x, list) else 5.0

    (ours, f), (theirs, g) = made(), made()
    samples = [(1.0,), (10.0,), ([1.0],)][::order]
    loss = mc.mean([g(*sample) for sample in samples])
    loss.backward()
    compiled = compile(f, branches=True)
    assert compiled.backward(samples) == pytest.approx(loss.data)
    assert ours.grad == pytest.approx(theirs.grad)
    with mc.detect_anomaly():
        assert compiled.backward(samples) == pytest.approx(loss.data)
    before = ours.grad
    several = compile(lambda x: [f(x), f(x)] if isinstance(x, list) else f(x), branches=True)
    with pytest.raises(ValueError, match="returns several"):
        several.backward([(1.0,), (10.0,), ([1.0],)])
    assert ours.grad == before


def test_a_program_has_no_need_of_what_other_programs_read():
    a, b = Value(2.0, "a"), Value(3.0, "b")
    f = compile(lambda x: a * x if x > 0 else b * x, branches=True)
    f(1)
    f(-1)
    program = f.program(-1)
    assert program.parameters == [a, b]
    assert "double f_gradient(" in program.source("c")
    assert "F_PARAMETERS 2" in program.source("c")
    assert "F_PARAMETERS 1" in program.source("c", {"b": b})
    assert "3.0" in program.source("c", weights="embedded")
    assert program.array_function({"b": b})(math, {"b": 3.0}, [2.0]) == 6.0
    guarded = compile(lambda x: b * x if a > 0 else -b * x)
    guarded(1)
    assert guarded.program(1).array_function({"b": b, "a": a})(math, {"b": 3.0, "a": 1.0}, [2.0]) == 6.0
    assert "f_step(" in guarded.source("c", optimizer=SGD([b]))
    with pytest.raises(ValueError, match="is not among those that are named"):
        program.source("python", {"a": a})


# Functions in functions


def test_a_compiled_function_is_a_part_of_one_that_calls_it():
    a = Value(2.0)
    inner = compile(lambda t: a * t if t > 0 else -t)
    outer = compile(lambda x: x * inner(2.0) + inner(x))
    assert outer(3.0) == 18.0
    assert outer.backward([(3.0,)]) == 18.0
    assert a.grad == 9.0
    a.data = 10.0
    assert outer(3.0) == 90.0
    with pytest.raises(GuardError, match="x > 0"):
        outer(-3.0)
    assert inner(4.0) == 40.0
    outer.check([(3.0,), (5.0,)])


def test_derivatives_and_anomalies_inside_a_recording():
    a = Value(2.0, "a")
    slope = compile(lambda x: mc.gradients(a * x, [a], create_graph=True)[0])
    assert [slope(x) for x in (3.0, 4.0)] == [3.0, 4.0]
    with mc.detect_anomaly():
        assert compile(lambda x: mc.gradients(a * x, [a], create_graph=True)[0])(3.0) == 3.0
    with mc.detect_anomaly(), pytest.raises(FloatingPointError, match=r"log\(x=0.0\) gave -inf"):
        compile(lambda x: mc.log(x))(0.0)


# Ties


@pytest.mark.parametrize("branches", [False, True])
def test_a_tie_that_rounding_decides_has_the_branch_that_was_recorded(branches):
    f = compile(lambda xs: xs[0] * 1.0 if mc.sum(xs) >= 1 else -xs[0], branches=branches)
    for _ in range(2):  # rounded once, ten tenths are 1, and term by term they are not
        assert f([0.1] * 10) == 0.1
    assert "1 program" in repr(f)
    assert f([1.0] * 10) == 1.0
    assert f.backward([([0.1] * 10,), ([1.0] * 10,), ([0.1] * 10,)]) == pytest.approx(0.4)
    if branches:
        assert f([0.01] * 10) == -0.01
    else:
        with pytest.raises(GuardError, match="sample 1"):
            f.backward([([0.1] * 10,), ([0.01] * 10,)])


def test_a_guard_error_leaves_the_function_as_it_was():
    a, b = Value(2.0), Value(3.0)
    f = compile(lambda x: a * x if x > 0 else b * x)
    f(1)
    with pytest.raises(GuardError):
        f(-1)
    assert f.parameters == [a]


# What else one may ask


def test_a_program_and_its_text_can_be_had():
    w = Value(2.0)
    f = compile(lambda x: mc.tanh(w * mc.sum(x)))
    for nothing in ("llvm", "python"):
        with pytest.raises(ValueError, match=r"<lambda> has no programs; write <lambda>.program"):
            f.source(nothing)
    program = f.program([1.0, 2.0])
    assert f.source("python") == program.source("python")
    assert program.forward([[1.0, 2.0]]) == [f([1.0, 2.0])]
    f([1.0])
    with pytest.raises(ValueError, match="<lambda> has 2 programs"):
        f.source()
    sizes = re.findall(r" code, (\d+) kB", repr(f))
    assert repr(f).splitlines() == [
        "compiled <lambda>(x): 2 programs",
        f"  (x[2]): 3 operations, 1 parameter, threaded code, {sizes[0]} kB",
        f"  (x[1]): 3 operations, 1 parameter, threaded code, {sizes[1]} kB",
    ]
    assert repr(f.program([1.0, 2.0, 3.0])) == "3 operations, 1 parameter, not run yet, 0 kB"
    xs = np.ones((500, 2))
    f.program([1.0, 2.0]).forward(xs)
    [more] = re.findall(r"\(x\[2\]\): .* code, (\d+) kB", repr(f))
    assert int(more) > int(sizes[0]), "a panel of rows in lanes"
    executables = f.program([1.0, 2.0]).executables
    doubles = sum(sum(executables.get("forward", lanes, False).sizes) for lanes in (False, True))
    assert 8 * doubles <= 1000 * int(more) + 500 < 10 * 8 * doubles


@pytest.mark.parametrize(
    ("use", "exception", "message"),
    [
        (lambda f: f("3"), TypeError, "f: x: expected a real number, got the str '3'"),
        (lambda f: f.program("3"), TypeError, "f: x: expected a real number, got the str '3'"),
        (lambda f: f([1, [None]]), TypeError, r"f: x\[1\]\[0\]: expected a real number, got NoneType"),
        (lambda f: f({"a": Value(1)}), TypeError, r"f: x\['a'\]: a Value; give its number, x.data, or use it in"),
        (lambda f: f(), TypeError, "missing a required argument: 'x'"),
        (lambda f: f.backward([1.0]), TypeError, r"sample 0 is float 1.0, not a tuple of arguments of f\(x\); write"),
        (lambda f: f.backward([(1,), (1, 2)]), TypeError, r"sample 1 has not the arguments of f\(x\): too many"),
        (lambda f: f.backward([(1,), ("1",)]), TypeError, "sample 1: x: expected a real number"),
        (lambda f: f.backward("abc"), TypeError, "expected samples, each a tuple of arguments, got str"),
        (lambda f: f.backward(3), TypeError, "expected samples, each a tuple of arguments, got int"),
        (lambda f: f.backward([]), ValueError, r"backward\(\) was given no samples"),
        (lambda f: f.fit([], SGD([Value(1)]), 1), ValueError, r"fit\(\) was given no samples"),
        (lambda f: f.check(np.zeros((0, 2))), ValueError, r"check\(\) was given no samples"),
        (lambda f: f.backward([(1,)], threads=0), ValueError, r"backward\(\): threads must be"),
        (lambda f: f.fit([(1,)], SGD([Value(1)]), None), ValueError, r"fit\(\): epochs must be an int of at least 0"),
        (lambda f: f.fit([(1,)], SGD([Value(1)]), 1, shuffle=True), TypeError, r"fit\(\): shuffle must be a random"),
        (lambda f: f.fit((np.empty((0, 2)),), SGD([Value(1)]), 1), ValueError, r"fit\(\) was given no samples"),
        (
            lambda f: compile(lambda x, y: x[0] * y).fit((np.empty((0, 2)), np.empty(0)), SGD([Value(1)]), 1),
            ValueError,
            r"fit\(\) was given no samples",
        ),
        (
            lambda f: compile(lambda *xs: mc.sum(xs)).backward((np.ones(3),)),
            TypeError,
            r"backward\(\): an array for each argument of <lambda>\(\*xs\); give tuples",
        ),
        (lambda f: f.fit([(1,)], None, 1), TypeError, r"fit\(\) takes an optimizer"),
        (lambda f: f.fit([(1,), ([1],)], SGD([Value(1)]), -1), ValueError, r"fit\(\): epochs must be"),
        (lambda f: f.fit([(1,), ([1],)], SGD([Value(1)]), 1, schedule=1), TypeError, r"fit\(\): schedule must be"),
        (lambda f: f.fit([(1,), ([1],)], SGD([Value(1)]), 1, schedule=lambda t: -1), ValueError, "step 0"),
        (lambda f: f.fit([(1,), ([1],)], SGD([Value(1)]), 1, 0), ValueError, r"fit\(\): batch_size must be"),
        (
            lambda f: compile(lambda x: [x, x]).backward([(1,)]),
            ValueError,
            r"backward\(\) needs a function that returns",
        ),
        (lambda f: compile(lambda x: [x, x]).fit([(1,)], SGD([Value(1)]), 1), ValueError, r"fit\(\) needs a function"),
        (lambda f: compile(lambda x: 1.0).backward([(1,)]), RuntimeError, "it has no gradient"),
        (lambda f: compile(lambda x: 1.0).fit([(1,)], SGD([Value(1)]), 1), RuntimeError, "it has no gradient"),
        (lambda f: compile(lambda x: [])(1), TypeError, r"<lambda> returned \[\], in which there is no number"),
        (lambda f: compile(lambda x: {"y": "z"})(1), TypeError, r"<lambda> returned something .* at \['y'\]: expected"),
        (lambda f: compile(3), TypeError, r"compile\(\) takes a function, .* it was given int 3"),
        (lambda f: compile(Value(3)), TypeError, "it was given a recorded graph, and not its inputs"),
        (lambda f: compile([Value(3)]), TypeError, "it was given a recorded graph, and not its inputs"),
    ],
)
def test_what_is_wrong_is_named(use, exception, message):
    @compile
    def f(x):
        return mc.sum(x) if isinstance(x, list) else x * 1.0

    with pytest.raises(exception, match=message):
        use(f)


def test_arrays_of_different_lengths_are_refused():
    f = compile(lambda x, y: x + y)
    with pytest.raises(ValueError, match="arrays of 3 and 2 samples"):
        f.backward((np.zeros(3), np.zeros(2)))
    assert isinstance(f, CompiledFunction)


class Reversed:
    def shuffle(self, x):
        x.reverse()


def test_shuffle_may_do_nothing_but_change_the_order():
    class Wrong:
        def shuffle(self, x):
            x[0] = x[1]

    for make in (network, mixed):
        model, f, *rest = make()
        parameters = model if rest else model.parameters()
        samples = rest[0] if rest else pairs()
        with pytest.raises(ValueError, match="shuffle must put"):
            compile(f).fit(samples, SGD(parameters), 1, shuffle=Wrong())
        compile(f).fit(samples, SGD(parameters), 1, shuffle=Reversed())


def test_ctrl_c_leaves_the_steps_that_were_taken():
    class Interrupt:
        def __init__(self):
            self.epochs = 0

        def shuffle(self, x):
            self.epochs += 1
            if self.epochs == 3:
                raise KeyboardInterrupt

    (ours, f, samples), (theirs, g, _) = mixed(), mixed()
    a, b = SGD(ours, lr=0.1, momentum=0.5), SGD(theirs, lr=0.1, momentum=0.5)
    with pytest.raises(KeyboardInterrupt):
        compile(f).fit(samples, a, 5, batch_size=8, shuffle=Interrupt())
    trained(g, samples, b, 2, 8)
    assert [p.data for p in ours] == pytest.approx([p.data for p in theirs])
    assert (a.steps, a.state) == (b.steps, [pytest.approx(s) for s in b.state])


# All samples at once


@compile
def at_the_top(x):
    return the_weight * x


the_weight = Value(3.0)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("branches", [False, True])
def test_forward_is_a_call_for_each_sample(branches, threads):
    w = Value(2.0)

    def f(x, y):
        total = mc.sum(x) if isinstance(x, list) else x
        if branches and total > 0:
            return w * total * y
        return w * total - y

    rng = random.Random(0)
    samples = [(rng.gauss(0, 1), rng.gauss(0, 1)) for _ in range(20)]
    mixed_samples = [([x] * (k % 3), y) if k % 3 else (x, y) for k, (x, y) in enumerate(samples)]
    for given in (samples, mixed_samples):
        g = compile(f, branches=branches)
        expected = [f(Value(x) if not isinstance(x, list) else [*map(Value, x)], y).data for x, y in given]
        out = np.empty(20)
        assert g.forward(given, threads) == pytest.approx(expected, rel=1e-14)
        assert g.forward(iter(given), threads, out) is out
        assert list(out) == pytest.approx(expected, rel=1e-14)
    arrays = tuple(map(np.array, zip(*samples, strict=True)))
    assert [*g.forward(arrays)] == [g(*sample) for sample in samples]
    assert g.forward([]) == g.gradient([]) == []
    nested = compile(lambda x, y: {"a": [x, y], "b": (x * y,)})
    assert nested.forward(samples[:2]) == [nested(*sample) for sample in samples[:2]]
    assert nested.forward(samples[:2], out=array("d", bytes(48))).tolist()[3:5] == pytest.approx(samples[1])
    with pytest.raises(ValueError, match=r"forward\(\): threads must be"):
        g.forward(samples, 0)
    ragged = compile(lambda xs: [2 * x for x in xs])
    with pytest.raises(ValueError, match="have not equally many numbers"):
        ragged.forward([([1.0],), ([1.0, 2.0],)], out=array("d", bytes(24)))
    with pytest.raises(ValueError, match="has room for 2 numbers, not for 3"):
        compile(lambda x: 2 * x if x > 0 else x, branches=True).forward([(1,), (2,), (-3,)], out=array("d", bytes(16)))


def test_derivatives_are_those_of_each_sample():
    w = Value(2.0)

    def f(x, y):
        return w * x[0] ** 3 * y if x[0] > 0 else x[0] * x[1] ** 2 * w

    samples = [([1.0, 2.0], 3.0), ([-1.0, 2.0], 3.0), ([0.5, -2.0], 1.0)]
    g = compile(f, branches=True)

    def eager(derivative):
        found = [derivative(lambda v: f(v[:2], v[2]))([*x, y]) for x, y in samples]
        return [[*map(float, row)] if isinstance(row[0], float) else row for row in found]

    flat = lambda rows: np.array(rows, float).ravel().tolist()  # noqa: E731
    assert flat(g.gradient(samples)) == pytest.approx(flat(eager(functional.grad)))
    assert flat(g.hessian(samples, dense=True)) == pytest.approx(flat(eager(functional.hessian)))
    assert flat(g.jacobian(samples, dense=True)) == pytest.approx(flat(eager(functional.grad)))
    out = np.empty((3, 3, 3))
    assert g.hessian(samples, dense=True, out=out) is out
    assert flat(out) == pytest.approx(flat(eager(functional.hessian)))
    assert g.gradient(samples, wrt=iter([w])) == [[3.0], [-4.0], [0.125]]
    assert g.gradient(samples[:1], "parameters", out=array("d", [0.0])) == array("d", [3.0])
    assert [len(row) for row in g.hessian(samples, lower=True)] == [2, 2, 2]


def test_scipy_minimizes_a_function_with_branches():
    optimize = pytest.importorskip("scipy.optimize")
    f = compile(lambda v: (v[0] - 1) ** 2 + v[1] ** 2 * (3 if v[1] > 0 else 1), branches=True)
    for method, dense in (("trust-constr", False), ("trust-exact", True)):
        found = optimize.minimize(x0=[-2.0, 1.5], method=method, **scipy_functions(f, dense))
        assert found.x == pytest.approx([1.0, 0.0], abs=1e-4)
    with pytest.raises(GuardError):
        optimize.minimize(x0=[-2.0, 1.5], method="trust-constr", **scipy_functions(compile(f.__wrapped__)))


# Methods, copies, pickles


class Line(Module):
    def __init__(self, w):
        self.w = Value(w)

    @compile(static="power")
    def loss(self, x, y, power=2):
        return (self.w * x - y) ** power

    def plain(self, x):
        return self.w * x


def test_a_method_is_compiled_for_each_instance():
    a, b = Line(2.0), Line(5.0)
    assert (a.loss(1, 1), b.loss(1, 1), a.loss(2, 1, power=3)) == (1.0, 16.0, 27.0)
    assert a.loss is a.loss is not b.loss
    assert (a.loss.parameters, b.loss.parameters, a.parameters()) == ([a.w], [b.w], [a.w])
    a.loss.fit([(1, 3)], SGD([a.w], 0.5), 1)
    assert (a.w.data, b.w.data) == (3.0, 5.0)
    for other in (copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
        other.w.data = 7.0
        assert (other.loss(1, 0), a.loss(1, 0)) == (49.0, 9.0)
        assert other.loss.parameters == [other.w] != [a.w]
    shallow = copy.copy(a)
    shallow.w = Value(10.0)
    assert (shallow.loss(1, 0), a.loss(1, 0)) == (100.0, 9.0)
    assert pickle.loads(pickle.dumps(a.loss))(1, 0) == copy.deepcopy(a.loss)(1, 0) == 9.0
    assert isinstance(Line.loss, CompiledFunction)

    class Bare:
        __slots__ = ()

        @compile
        def f(self, x):
            return 2 * x

    with pytest.raises(TypeError, match="f is a method of a Bare, which has no __dict__"):
        Bare().f(1)


def test_a_function_with_a_name_is_copied_and_pickled_by_it():
    at_the_top(1.0)
    assert pickle.loads(pickle.dumps(at_the_top)) is at_the_top
    again = pickle.loads(pickle.dumps(compile(plain_at_the_top, branches=True)))
    assert (again(2.0), again(-2.0)) == (6.0, -2.0)
    bound = pickle.loads(pickle.dumps(compile(Line(4.0).plain)))
    assert bound(2.0) == 8.0
    for copied in (copy.copy(at_the_top), copy.deepcopy(at_the_top)):
        assert copied(2.0) == 6.0
        assert copied.parameters == [the_weight]
    local = compile(lambda x: 2 * x)
    assert copy.deepcopy(local)(1.0) == copy.copy(local)(1.0) == 2.0
    with pytest.raises(TypeError, match=r"cannot pickle compiled <lambda>\(x\): functions are pickled by their names"):
        pickle.dumps(local)


def plain_at_the_top(x):
    return the_weight * x if x > 0 else x


def test_arrays_in_a_list_are_said_to_be_no_samples():
    with pytest.raises(TypeError, match=r"sample 0 is ndarray array.*; write a tuple \(X, y\) of arrays$") as caught:
        compile(lambda x, y: x * y).backward([np.arange(10_000.0), np.arange(10_000.0)])
    assert len(str(caught.value)) < 200
    with pytest.raises(TypeError, match=r"got ndarray; samples are one argument, fit\(\(X, y\), optimizer, ...\)"):
        compile(lambda x: x * 1.0).fit(np.arange(3.0), np.arange(3.0), 1)


@pytest.mark.parametrize("name", ["backward", "fit", "check", "source", "forward", "gradient", "jacobian", "hessian"])
def test_a_function_takes_the_arguments_of_a_program_in_the_same_order(name):
    methods = getattr(CompiledFunction, name), getattr(Program, name)
    ours, programs = (
        [(p.name, p.kind, p.default) for p in [*inspect.signature(method).parameters.values()][2:] if p.name != "f"]
        for method in methods
    )
    assert ours == programs
