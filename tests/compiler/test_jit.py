"""Compiled functions take nested arguments, samples and training options, and follow branches or refuse them."""

import copy
import enum
import gc
import inspect
import math
import pickle
import random
import re
import weakref
from array import array
from collections import Counter, OrderedDict, defaultdict, namedtuple
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from operator import mul

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, functional, no_grad
from micrograd_cn.compiler import CompiledFunction, GuardError, Mismatch, Program, compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.function.minimize import scipy_functions
from micrograd_cn.module import Module
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam, linear_lr

from .common import branching, mixed, trained

Point = namedtuple("Point", "x y")
TWO = Value(2.0)


def plain(x):
    """Return the number that `compile` returns for a result of the plain function."""
    return x.data if isinstance(x, Value) else float(x)


def test_every_sample_is_checked_by_itself():
    """`check` compares the program with the function at each sample, not only at the one that was recorded."""
    scales = [4.0, 4.0]
    f = compile(lambda x, y: x * y * (scales.pop() if scales else y + 2))
    with pytest.warns(UserWarning, match="reads and changes scales in each call"):
        f.check([(1.0, 2.0)])
    g = compile(lambda x, y: x * y - y)
    g.check([(1.0, 2.0), (3.0, 4.0), (5.0, -6.0), (7.0, 0.5)])
    with pytest.raises(Mismatch):
        f.check([(1.0, 2.0), (3.0, 2.0), (5.0, 2.5)])


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


class Added(list):
    """A list whose sum with another is the list of the sums of their items."""

    def __add__(self, other):
        return Added(a + b for a, b in zip(self, other, strict=True))


class Tenfold(dict):
    def __getitem__(self, key):
        return 10.0 * dict.__getitem__(self, key)


class Shape(tuple):
    __slots__ = ()


class Scaled(Point):
    """A namedtuple that changes its items when it is made."""

    def __new__(cls, x, y):
        return super().__new__(cls, 2.0 * x, y)

    def product(self):
        return self.x * self.y


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Added([1.0]), r"x: a Added, which may not work as a list does; write list\(x\)"),
        (Tenfold(k=1.0), r"x: a Tenfold, which may not work as a dict does; write dict\(x\)"),
        (Counter(a=1), r"x: a Counter, .* write dict\(x\)"),
        ({"k": [1.0, Shape([1.0])]}, r"x\['k'\]\[1\]: a Shape, .* write tuple\(x\)"),
    ],
)
def test_a_subclass_of_a_collection_is_refused(given, message):
    """A plain list of `Value`s in its place would be added and read in another way."""
    f = compile(lambda x: TWO)
    with pytest.raises(TypeError, match=message):
        f(given)
    with pytest.raises(TypeError, match=f"sample 1: {message}"):
        f.forward([([2.0],), (given,)])


class Decibel(float):
    """A level, which is added as a power."""

    def __add__(self, other):
        return Decibel(10.0 * math.log10(10.0 ** (self / 10.0) + 10.0 ** (other / 10.0)))


class Modular(int):
    def __rmul__(self, other):
        return Modular(other * int(self) % 7)


class Length:
    def __init__(self, x):
        self.x = x

    def __float__(self):
        return self.x

    def __mul__(self, other):
        return Length(2.0 * self.x * other)


class Doubled(np.float64):
    def __add__(self, other):
        return 2.0 * float(self) + float(other)


class Saturated(np.ndarray):
    def __add__(self, other):
        return np.minimum(np.asarray(self) + other, 1.0)


@pytest.mark.parametrize("given", [Decibel(3.0), Modular(3), Length(3.0), Doubled(3.0), np.ones(2).view(Saturated)])
def test_a_number_with_operators_of_its_own_is_refused(given):
    """A `Value` in its place has other operators, so the program would compute something else than the function."""
    f = compile(lambda x: TWO)
    message = rf"a {type(given).__name__}, whose __\w+__ an? .* in its place would not have; write \w+"
    with pytest.raises(TypeError, match=f"x: {message}"):
        f(given)
    with pytest.raises(TypeError, match=rf"x\['k'\]\[0\]: {message}"):
        f({"k": [given]})
    with pytest.raises(TypeError, match=f"sample 1: x: {message}"):
        f.forward([(2.0,), (given,)])


class Named(float):
    """A number with a unit that changes no operator."""

    unit = "m"


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize("given", [Named(3.0), Fraction(3), Decimal(3), np.float32(3), np.int8(3)])
def test_a_number_of_another_class_is_read_as_a_float(given):
    """Its operators are those of float, or of Python's own modules or numpy."""
    f = compile(lambda x: 2.0 * x + TWO)
    assert f(given) == f([given][0]) == f.forward([(given,)])[0] == 8.0


@pytest.mark.parametrize(
    ("given", "path"),
    [(Level.HIGH, "x"), ([2.0, Level.HIGH], r"x\[1\]"), ({"level": Level.HIGH}, r"x\['level'\]")],
)
def test_a_member_of_an_enum_is_refused(given, path):
    """It could be meant as a number or as an option, and `x is Level.HIGH` is false for a `Value` in its place."""
    f = compile(lambda x: TWO)
    message = rf"{path}: <Level\.HIGH: 3>, a member of an enum, .* x\.value for its number"
    with pytest.raises(
        TypeError, match=message + ("; for an option, write compile.*static='x'" if path == "x" else "$")
    ):
        f(given)
    for samples in ([(2.0,), (given,)], [(2.0,)] * 9 + [(given,)], ([2.0, given],)):
        with pytest.raises(TypeError, match=rf"sample \d: {message}"):
            f.forward(samples)
    chosen = compile(lambda x, level: 2.0 * x if level is Level.HIGH else x, static="level")
    assert chosen(3.0, Level.HIGH) == 6.0


PICTURE = np.array([[0, 51], [102, 255]], dtype=np.uint8)
BY_KIND = [
    ("uint8", lambda x: (x / 255 if x.dtype == np.uint8 else x).sum(), PICTURE),
    ("int64", lambda x: (x * 2.0 if np.issubdtype(x.dtype, np.integer) else x).sum(), np.arange(3)),
    ("bool", lambda x: (2.0 * x if x.dtype == bool else x).sum(), np.array([True, False])),
    ("float32", lambda x: 2.0 * x if isinstance(x, np.float32) else x, np.float32(3.0)),
    ("int64", lambda x: 2.0 * x if isinstance(x, np.integer) else x, np.int64(3)),
    ("Named", lambda x: 2.0 * x if isinstance(x, Named) else x, Named(3.0)),
    ("Fraction", lambda x: 2.0 * x if isinstance(x, Fraction) else x, Fraction(3)),
]


@pytest.mark.parametrize(("kind", "f", "given"), BY_KIND)
def test_a_function_that_asks_for_the_kind_of_numbers_is_compared_for_the_numbers_as_they_are(kind, f, given):
    message = rf"for the numbers of this sample as they are, {kind}, instead of .*: convert the numbers before the call"
    calls = [lambda g: g(given), lambda g: g.forward([(given,)]), lambda g: g.forward([(given,)] * 9)]
    calls += [lambda g: g.forward((np.array([given, given]),))] if isinstance(given, np.ndarray) else []
    for call in calls:
        with pytest.warns(UserWarning, match=message):
            call(compile(f))


@pytest.mark.parametrize("given", [np.array([0.1, 0.2], dtype=np.float32), np.array([0.25, 0.5], dtype=np.float16)])
def test_the_precision_of_numbers_alone_gives_no_warning(given):
    found = compile(lambda x: (x * np.ones(2, dtype=x.dtype)).sum() / 3.0)(given)  # warnings are errors in tests
    assert found == float(given.astype(float).sum() / 3.0)


def test_collections_of_the_standard_library_stay_what_they_are():
    """A namedtuple is not made anew by its own `__new__`, and an `OrderedDict` may be reordered."""
    assert compile(lambda x: x.product() * TWO)(Scaled(2.0, 3.0)) == 24.0

    def last(x):
        x = x.copy()
        x.move_to_end("a")
        return [*x.values()][-1] * TWO

    assert compile(last)(OrderedDict(a=2.0, b=3.0)) == 4.0
    assert compile(lambda x: x["a"] * TWO)(defaultdict(list, a=2.0)) == 4.0


def test_what_a_function_is_given_has_the_form_of_its_argument():
    """While it is recorded, a function gets `Value`s in the nesting of its arguments, labelled by where they are."""
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
    assert matrix[1, 2].label == "xs[2][1][2]"
    assert mapping["k"][0].label == "xs[3]['k'][0]"
    assert isinstance(named["named"], Value)


def test_nothing_is_recorded_before_the_first_call_and_each_form_once():
    """A function is recorded at its first call, and once for each argument structure."""
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
    """`Value`s that a function captures are its parameters, and each call reads their present data."""
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
    """The function gets static arguments as they are, not as `Value`s, and is recorded once for each of them."""
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
    with pytest.raises(ValueError, match=r"static='m' is not an argument of power\(x, n"):
        compile(power.__wrapped__, static=("m",))
    with pytest.raises(TypeError, match=r"write static=\['n'\], and pass the values$"):
        compile(power.__wrapped__, static={"n": 2})


# Samples


def pairs():
    """Return samples of `network`: a list of three numbers, and a target."""
    rng = random.Random(0)
    return [([rng.gauss(0, 1) for _ in range(3)], rng.choice([-1.0, 1.0])) for _ in range(23)]


def network(activation="tanh"):
    """Return a small network, and its squared error for one sample."""
    model = MLP(3, [4, 1], activation=activation, seed=1)
    return model, lambda x, t: (model(x) - t) ** 2


def as_arrays(samples, kind="d"):
    """Return the samples as one array for each argument; the targets are integers if the numbers are floats ("f")."""
    xs, ts = zip(*samples, strict=True)
    return np.array(xs, kind), np.array(ts).astype("i4" if kind == "f" else kind)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_gradient_is_the_mean_of_those_of_the_samples(threads):
    """`backward` gives the mean loss and its gradient, for samples in a list, in an iterator, or as arrays."""
    model, f = network()
    samples = pairs()
    mc.mean([f(*sample) for sample in samples]).backward()
    expected = [p.grad for p in model.parameters()]
    loss = mc.mean([f(*sample) for sample in samples]).data
    for given in (samples, iter(samples), [list(s) for s in samples], as_arrays(samples)):
        model.zero_grad()
        assert compile(f).backward(given, threads) == pytest.approx(loss, rel=1e-12)
        assert [p.grad for p in model.parameters()] == pytest.approx(expected, rel=1e-9)
    model.zero_grad()
    compile(f).backward(as_arrays(samples, "f"))
    assert [p.grad for p in model.parameters()] == pytest.approx(expected, rel=1e-5)


def test_arrays_of_any_layout_and_type_are_samples():
    w = Value(2.0)
    for xs in (np.array([1.0, 3.0]), np.array([1, 3]), np.array([1, 9, 3, 9], "f")[::2], Elsewhere([1, 3.0])):
        assert compile(lambda x: w * x).backward((xs,)) == 4.0
    assert compile(lambda x, y: w * x[1] + y).backward((np.array([[1, 2], [3, 4]]).copy("F"), np.zeros(2, "f"))) == 6.0


class Elsewhere:
    """An array, such as those of other libraries, that has no buffer: only `tolist` gives its numbers."""

    shape = (2,)

    def __init__(self, xs):
        self.tolist = lambda: xs


def test_an_array_that_is_not_numpys_is_lists_of_lists_to_the_function():
    """A function gets nested lists for an array of another library, such as a memoryview."""
    x = memoryview(array("d", range(1, 13))).cast("B").cast("d", (2, 3, 2))
    w = Value(2.0)
    assert compile(lambda x: w * x[1][2][0] - len(x) - len(x[0]) - len(x[0][0]))(x) == 2 * 11 - 2 - 3 - 2
    for f in (lambda x: (x[0][1] * 2)[0], lambda x: (x + x)[0][0][0], lambda x: 2.0 * (x[0][0] == 1.0)):
        with pytest.raises(TypeError, match="a list that is in the place of an array has no operators of its elements"):
            compile(f)(x)


@pytest.mark.parametrize(
    ("batch_size", "threads"), [(1, 1), (4, 1), (4, 2), (None, 2)], ids=["1", "4", "4 in threads", "all in threads"]
)
@pytest.mark.parametrize("kind", ["one form", "forms", "branches"])
def test_training_is_that_of_an_eager_loop(kind, batch_size, threads):
    """`fit` gives the losses, parameters, gradients and optimiser state of an eager loop.

    Samples of several structures, or of several branches, need a program each, whose gradients `fit` has to add up.
    """

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
    """Return parameters, a function, and samples that all have the same structure."""
    model, f = network()
    return model.parameters(), f, pairs()


@pytest.mark.parametrize("make", [alike, mixed])
@pytest.mark.parametrize("threads", [1, 2])
def test_losses_may_be_those_of_each_step(make, threads):
    """With `each_step`, `fit` returns the loss of each step instead of the mean of each epoch."""
    (ours, f, samples), (theirs, g, _) = make(), make()
    found = compile(f).fit(samples, SGD(ours, lr=0.05), 3, 4, threads=threads, each_step=True)
    b, expected = SGD(theirs, lr=0.05), []
    for start in [*range(0, len(samples), 4)] * 3:
        expected += trained(g, samples[start : start + 4], b, 1)
    assert found == pytest.approx(expected, rel=1e-9)
    assert len(found) == 3 * -(-len(samples) // 4)


def test_a_gradient_of_samples_of_several_forms_and_branches_is_their_mean():
    """`backward` gives the mean gradient over samples of several structures and branches, each with its weight."""
    for f in (None, branching):
        (ours, g, samples), (theirs, h, _) = (mixed(*[f] * bool(f)) for _ in range(2))
        loss = mc.mean([h(*sample) for sample in samples])
        loss.backward()
        assert compile(g, branches=True).backward(samples) == pytest.approx(loss.data, rel=1e-12)
        assert [p.grad for p in ours] == pytest.approx([p.grad for p in theirs], rel=1e-9)


def test_a_branch_may_have_parameters_that_no_other_has():
    """`fit` trains parameters that only one branch uses, with gradient 0 in steps in which no sample takes it."""

    def made():
        w = [Value(0.5), Value(-1.0), Value(2.0)]
        return w, lambda x: (w[0] * x if x > 0 else w[1] * x + (w[2] if w[1] * x < 0.7 else w[0])) ** 2

    samples = [(x,) for x in (1.0, 2.0, -0.5, -0.1, 3.0, -2.0)]
    for batch_size in (1, 2, 6):
        (ours, f), (theirs, g) = made(), made()
        found = compile(f, branches=True).fit(samples, SGD(ours, lr=0.05, momentum=0.9), 6, batch_size)
        assert found == pytest.approx(trained(g, samples, SGD(theirs, lr=0.05, momentum=0.9), 6, batch_size))
        assert [p.data for p in ours] == pytest.approx([p.data for p in theirs])


# Arguments that are equal, but differ in type or sign


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
    """Static arguments such as 1 and True, or 0.0 and -0.0, are equal for a dict, and still get different programs."""
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
        TypeError, match=r"static argument sizes, \[1, 2\]: unhashable type: 'list'; give a hashable value"
    ):
        f(1, [1, 2])


def test_numbers_of_different_types_have_one_form():
    """Ints, bools, floats and numpy's numbers have the same structure, so one program computes all of them."""
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
    with pytest.raises(TypeError, match=r"<lambda>: x(\[0\]: expected a real number|: .* got an array of [^;]*; .*x)"):
        f(xs, 1.0)
    with pytest.raises(TypeError):
        f.backward((np.array([xs]), np.ones(1)))
    with pytest.raises(TypeError):
        compile(lambda x: x[0] * 1.0).backward(np.array([xs]))


def test_arrays_of_numbers_as_objects_are_taken_as_lists_are():
    """Numbers in an array of objects are converted as those in a list are: an int that is too large is refused."""
    f = compile(lambda x: x[0] * 1.0)
    with pytest.raises(OverflowError, match="too large for a float"):
        f(np.array([10**400]))
    assert f(np.array([Fraction(1, 4), 2], dtype=object)) == 0.25
    w = Value(1.0)
    both = compile(lambda x, y: w * x[1] * y)
    assert both.backward((np.array([[1, 10**300], [1, 2]], object), np.ones(2, np.float32))) == 5e299
    with pytest.raises(OverflowError, match="too large for a float"):
        both.backward((np.array([[1, 10**400], [1, 2]], object), np.ones(2, np.float32)))


@pytest.mark.parametrize("samples", [[(), ()], [(), (), ()]])
def test_samples_without_numbers_are_samples(samples):
    """Samples may be empty tuples, or rows of length 0: the function then depends on parameters alone."""
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
    """`backward` counts a `grad` of None, as code written for PyTorch sets it, as 0."""
    a = Value(2.0)
    a.grad = None
    f = compile(lambda x: a * x)
    f.backward([(3,)])
    assert a.grad == 3.0
    a.grad = None
    f.program(1).backward([[4]])
    assert a.grad == 4.0


@pytest.mark.parametrize("order", [1, -1])
def test_a_constant_branch_or_form_has_the_gradient_0(order):
    """A branch or structure whose result depends on no parameter adds 0 to the mean gradient, wherever it comes."""

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
    """The source of one program may leave out parameters that only the function's other programs read."""
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
    assert program.array_function({"b": b})(math, {"b": 3.0}, [-2.0]) == -6.0
    guarded = compile(lambda x: b * x if a > 0 else -b * x)
    guarded(1)
    assert guarded.program(1).array_function({"b": b, "a": a})(math, {"b": 3.0, "a": 1.0}, [2.0]) == 6.0
    assert "f_step(" in guarded.source("c", optimizer=SGD([b]))
    with pytest.raises(ValueError, match="is not among those that are named"):
        program.source("python", {"a": a})


# Functions in functions


def test_a_compiled_function_is_a_part_of_one_that_calls_it():
    """A compiled function that is called while another one is recorded is recorded too, guards included."""
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
    """`gradients` and `detect_anomaly` work in a compiled function as they do in a plain one."""
    a = Value(2.0, "a")
    slope = compile(lambda x: mc.gradients(a * x, [a], create_graph=True)[0])
    assert [slope(x) for x in (3.0, 4.0)] == [3.0, 4.0]
    with mc.detect_anomaly():
        assert compile(lambda x: mc.gradients(a * x, [a], create_graph=True)[0])(3.0) == 3.0
    with mc.detect_anomaly(), pytest.raises(FloatingPointError, match=r"log\(x=0.0\) gave -inf"):
        compile(lambda x: mc.log(x))(0.0)


# Programs, their source, and messages


def test_a_program_and_its_text_can_be_had():
    """`program` returns the program for some arguments, and `source` its text if the function has no other program."""
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
    assert [re.sub(r"\d+ kB", "kB", line) for line in repr(f).splitlines()] == [
        "compiled <lambda>(x): 2 programs",
        "  (x[2]): 3 operations, 1 parameter, threaded code, kB",
        "  (x[1]): 3 operations, 1 parameter, threaded code, kB",
    ]
    assert repr(f.program([1.0, 2.0, 3.0])) == "3 operations, 1 parameter, not run yet, 0 kB"


@pytest.mark.parametrize(
    ("use", "exception", "message"),
    [
        (lambda f: f("3"), TypeError, "f: x: expected a real number, got the str '3'"),
        (lambda f: f.program("3"), TypeError, "f: x: expected a real number, got the str '3'"),
        (lambda f: f([1, [None]]), TypeError, r"f: x\[1\]\[0\]: expected a real number, got NoneType"),
        (lambda f: f({"a": Value(1)}), TypeError, r"f: x\['a'\]: a Value; write f.__wrapped__\(x\) to"),
        (lambda f: f(), TypeError, "missing a required argument: 'x'"),
        (lambda f: f.backward([1.0]), TypeError, r"sample 0 is float 1.0, not a tuple of arguments of f\(x\); write"),
        (lambda f: f.backward([(1,), (1, 2)]), TypeError, r"sample 1 does not have the arguments of f\(x\): too many"),
        (lambda f: f.backward([(1,), ("1",)]), TypeError, "sample 1: x: expected a real number"),
        (lambda f: f.backward("abc"), TypeError, "expected samples, each a tuple of arguments, got str"),
        (lambda f: f.backward(3), TypeError, "expected samples, each a tuple of arguments, got int"),
        (lambda f: f.backward([]), ValueError, r"backward\(\) was given no samples"),
        (lambda f: f.fit([], SGD([Value(1)]), 1), ValueError, r"fit\(\) was given no samples"),
        (lambda f: f.check(np.zeros((0, 2))), ValueError, r"check\(\) was given no samples"),
        (lambda f: f.backward([(1,)], threads=0), ValueError, r"backward\(\): threads must be"),
        (lambda f: f.fit([(1,)], SGD([Value(1)]), None), ValueError, r"fit\(\): epochs must be an int of at least 0"),
        (lambda f: f.fit([(1,)], SGD([Value(1)]), 1, shuffle=True), TypeError, r"write shuffle=random\.Random\(0\)"),
        (lambda f: f.fit((np.empty((0, 2)),), SGD([Value(1)]), 1), ValueError, r"fit\(\) was given no samples"),
        (
            lambda f: compile(lambda x, y: x[0] * y).fit((np.empty((0, 2)), np.empty(0)), SGD([Value(1)]), 1),
            ValueError,
            r"fit\(\) was given no samples",
        ),
        (
            lambda f: compile(lambda *xs: mc.sum(xs)).backward((np.ones(3),)),
            TypeError,
            r"backward\(\) of <lambda>\(\*xs\): it takes any number of arguments; give a list",
        ),
        (lambda f: f.fit([(1,)], None, 1), TypeError, r"fit\(\) takes an optimizer"),
        (lambda f: f.fit([(1,), ([1],)], SGD([Value(1)]), 1, schedule=lambda t: -1), ValueError, "step 0"),
        (
            lambda f: compile(lambda x: [x, x]).backward([(1,)]),
            ValueError,
            r"backward\(\) needs a function that returns",
        ),
        (lambda f: compile(lambda x: [x, x]).fit([(1,)], SGD([Value(1)]), 1), ValueError, r"fit\(\) needs a function"),
        (
            lambda f: compile(lambda x, y: x).forward((np.zeros(3), np.zeros(2))),
            ValueError,
            "one entry for each argument, of equal length, but got 3 of x, 2 of y",
        ),
        (lambda f: f.backward([([],), ([],)]), RuntimeError, "it has no gradient"),
        (lambda f: compile(lambda x: 1.0).backward([(1,)]), RuntimeError, "it has no gradient"),
        (lambda f: compile(lambda x: 1.0).fit([(1,)], SGD([Value(1)]), 1), RuntimeError, "it has no gradient"),
        (lambda f: compile(lambda x: [])(1), TypeError, r"<lambda> returned \[\], which contains no number"),
        (lambda f: compile(lambda x: {"y": "z"})(1), TypeError, r"<lambda> returned something .* at \['y'\]: expected"),
        (lambda f: compile(3), TypeError, r"compile\(\) takes a function, .* it was given int 3"),
        (lambda f: compile(Value(3)), TypeError, "it was given a recorded graph, and not its inputs"),
        (lambda f: compile([Value(3)]), TypeError, "it was given a recorded graph, and not its inputs"),
    ],
)
def test_what_is_wrong_is_named(use, exception, message):
    """An error names the function, the argument or sample that is wrong, and what was expected."""

    @compile
    def f(x):
        return mc.sum(x) if isinstance(x, list) else x * 1.0

    with pytest.raises(exception, match=message):
        use(f)


# All samples at once


@compile
def at_the_top(x):
    return the_weight * x


the_weight = Value(3.0)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("branches", [False, True])
def test_forward_is_a_call_for_each_sample(branches, threads):
    """`forward` returns what a call returns for each sample, in their order, or writes it into `out`."""
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
    with pytest.raises(ValueError, match="have different sizes, so they cannot be rows"):
        ragged.forward([([1.0],), ([1.0, 2.0],)], out=array("d", bytes(24)))
    with pytest.raises(ValueError, match="has room for 8 numbers, not for 3"):
        compile(lambda x: 2 * x if x > 0 else x, branches=True).forward([(1,), (2,), (-3,)], out=array("d", bytes(64)))


def test_derivatives_are_those_of_each_sample():
    """`gradient`, `jacobian` and `hessian` return the derivatives of each sample, whichever branch it takes."""
    w = Value(2.0)

    def f(x, y):
        return w * x[0] ** 3 * y if x[0] > 0 else x[0] * x[1] ** 2 * w

    samples = [([1.0, 2.0], 3.0), ([-1.0, 2.0], 3.0), ([0.5, -2.0], 1.0)]
    g = compile(f, branches=True)

    def eager(derivative):
        with no_grad():  # outside, the results would be Values that depend on w
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
    """scipy's minimisers may cross a branch if `branches` is true, and get a `GuardError` if not."""
    optimize = pytest.importorskip("scipy.optimize")
    f = compile(lambda v: (v[0] - 1) ** 2 + v[1] ** 2 * (3 if v[1] > 0 else 1), branches=True)
    for method, dense in (("trust-constr", False), ("trust-exact", True)):
        found = optimize.minimize(x0=[-2.0, 1.5], method=method, **scipy_functions(f, dense))
        assert found.x == pytest.approx([1.0, 0.0], abs=1e-4)
    with pytest.raises(GuardError):
        optimize.minimize(x0=[-2.0, 1.5], method="trust-constr", **scipy_functions(compile(f.__wrapped__)))


# Methods, copies, pickles


class Line(Module):
    """A module with a compiled method and a plain one."""

    def __init__(self, w):
        self.w = Value(w)

    @compile(static="power")
    def loss(self, x, y, power=2):
        return (self.w * x - y) ** power

    def plain(self, x):
        return self.w * x


def test_a_method_is_compiled_for_each_instance():
    """A decorated method has programs for each instance, and a copy of an instance never uses the original's."""
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
    """A compiled function pickles by the name of the function in its module, so a lambda cannot be pickled."""
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
    """A list of arrays, or arrays as arguments of their own, get an error that says to write a tuple of arrays."""
    lengths = set()
    for count in (1_000, 10_000):  # the message abbreviates the array, so it is no longer for a longer one
        with pytest.raises(
            TypeError, match=r"sample 0 is ndarray array.*; write a tuple \(X, y\) of arrays$"
        ) as caught:
            compile(lambda x, y: x * y).backward([np.arange(float(count)), np.arange(float(count))])
        lengths.add(len(str(caught.value)))
    assert len(lengths) == 1
    with pytest.raises(TypeError, match=r"got ndarray; samples are one argument, fit\(\(X, y\), optimizer, ...\)"):
        compile(lambda x: x * 1.0).fit(np.arange(3.0), np.arange(3.0), 1)
    with pytest.raises(TypeError, match=r"samples as one argument; write fit\(\(X, y\), optimizer, epochs="):
        compile(lambda x, y: x * y).fit(np.arange(3.0), np.arange(3.0), SGD([Value(1.0)]), epochs=1)


@pytest.mark.parametrize("name", ["backward", "fit", "check", "source", "forward", "gradient", "jacobian", "hessian"])
def test_a_function_takes_the_arguments_of_a_program_in_the_same_order(name):
    """Methods of a compiled function and of a program have the same parameters, in the same order."""
    methods = getattr(CompiledFunction, name), getattr(Program, name)
    ours, programs = (
        [(p.name, p.kind, p.default) for p in [*inspect.signature(method).parameters.values()][2:] if p.name != "f"]
        for method in methods
    )
    assert ours == programs


@pytest.mark.parametrize(
    "f",
    [lambda x: np.squeeze(np.array([x * 3.0])), lambda x: np.array(x * 3.0), lambda x: np.where(x > 0, x * 3.0, x)],
)
def test_an_array_without_an_axis_that_a_function_returns_is_a_number(f):
    """A function may return numpy's array without an axis, which is a number."""
    compiled = compile(f)
    assert compiled(2.0) == 6.0
    assert compiled.gradient([(2.0,)]) == [[3.0]]


# What users write at first


class Heat:
    """A callable object whose attributes have the names of methods and attributes of a compiled function."""

    def __init__(self):
        self.source, self.parameters, self.note = 1.0, "its own", "kept"

    def __call__(self, x):
        return 2.0 * x + self.source


def test_attributes_of_the_function_do_not_replace_methods_of_the_compiled_function():
    """The compiled function has the function's attributes, except those that have the name of one of its own."""

    def square(x):
        return x * x

    square.gradient, square.note = (lambda x: "the function's"), "kept"
    f, heat = compile(square), compile(Heat())
    assert (f.gradient([(3.0,)]), f.note, f.__wrapped__) == ([[6.0]], "kept", square)
    assert (heat(1.0), heat.parameters, heat.note) == (3.0, [], "kept")
    assert heat.source("python").startswith("def f(")
    assert compile(mc.tanh).forward([(0.5,), (1.0,)]) == [math.tanh(0.5), math.tanh(1.0)]


def test_check_takes_a_branch_that_returns_a_plain_number():
    f = compile(lambda x: x * x if x > 0 else 0.0, branches=True)
    f.check([(2.0,), (-2.0,)])


@pytest.mark.parametrize("name", ["gradient", "hessian"])
def test_derivatives_of_several_results_are_refused_with_what_to_compile_instead(name):
    f = compile(lambda x, y: [x * y, x + y])
    with pytest.raises(ValueError, match=rf"{name}\(\) needs one output, but the program has a list of 2; compile a"):
        getattr(f, name)([(1.0, 2.0)])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f.gradient([(1.0,)], wrt=Value(1.0)), r"gradient\(\): wrt is a list of Values; write \[x\] for one"),
        (lambda f: f.jacobian([(1.0,)], wrt=None), r'jacobian\(\): wrt must be "inputs", "parameters", names of'),
        (lambda f: f.program(1.0).hessian([[1.0]], wrt=None), r'hessian\(\): wrt must be "inputs", "parameters", or a'),
        (
            lambda f: compile(plain, static=1),
            r"static= must be a name or a list of names of arguments",
        ),
    ],
)
def test_an_option_that_is_no_list_is_refused(call, message):
    with pytest.raises(TypeError, match=message):
        call(compile(lambda x: x * x))


class Slope:
    def __init__(self, w):
        self.w = Value(w)

    @compile
    def at(self, x):
        return self.w * x


def test_a_method_may_be_called_through_its_class():
    """`Slope.at(line, x)` is `line.at(x)`, as for plain methods."""
    line = Slope(3.0)
    assert (Slope.at(line, 2.0), Slope.at(line, x=4.0), line.at.parameters) == (6.0, 12.0, [line.w])
    with pytest.raises(TypeError, match="expected a real number"):
        Slope.at("line", 2.0)


def notes_of(call):
    """Return the message of the error that a call raises, and the error's notes, in one text."""
    with pytest.raises((TypeError, IndexError)) as caught:
        call()
    return " ".join([str(caught.value), *getattr(caught.value, "__notes__", ())])


@pytest.mark.parametrize(
    "f",
    [
        *(lambda x: 2.0 * x // 2.0, lambda x: divmod(x, 2.0)[1]),
        *(lambda x: np.round(2.0 * x), lambda x: math.trunc(x), lambda x: round(x), lambda x: float(f"{x:.3f}")),
        *(lambda x: float("%.3f" % x), lambda x: float("%d" % (2.0 * x))),  # noqa: UP031 -- the old way is the case
    ],
)
def test_a_compiled_function_that_needs_a_number_is_told_what_works_there(f):
    """Advice to read `.data` comes with a note that says what to write where `.data` cannot be read."""
    text = notes_of(lambda: compile(f)(1.5))
    assert "take(xs, index)" in text or "where(less" in text
    assert ".data" not in text or 'static=["x"]' in text


def test_one_vector_without_an_axis_for_samples_is_told_what_to_write():
    f = compile(lambda v: v[0] * v[1])
    for samples in (np.array([1.0, 2.0]), ([1.0, 2.0],)):
        assert "[(x,)] for the one vector x" in notes_of(lambda samples=samples: f.forward(samples))
    assert "write [(x,) for x in samples] if each x is a vector" in notes_of(lambda: f.forward([[1.0, 2.0]]))
    assert f.forward([([1.0, 2.0],)]) == [2.0]


def test_arguments_that_are_passed_by_name_are_told_which_function_to_compile():
    f = compile(lambda x, *, s: x * s)
    for samples in ([(1.0, 2.0)], ([1.0], [2.0]), [{"x": 1.0, "s": 2.0}], [(1.0,)]):
        text = notes_of(lambda samples=samples: f.forward(samples))
        assert "s, which is passed by name, so write compile(lambda x, s: f(x, s=s))" in text
    text = notes_of(lambda: compile(lambda x, *, s, b: x * s + b).forward([(1.0, 2.0, 3.0)]))
    assert "s or b, which are passed by name, so write compile(lambda x, s, b: f(x, s=s, b=b))" in text


def test_arrays_of_numbers_are_told_the_type_that_holds_values():
    table = np.array([1.0, 2.0])
    for call in (lambda x: np.array([x, 1.0], dtype=float)[0], lambda x: np.array([x]).astype(float)[0]):
        assert "dtype=object" in notes_of(lambda call=call: compile(call)(1.0))
    assert "write take(xs, i" in notes_of(lambda: compile(lambda i: table[i])(1.0))


def test_linspace_may_end_at_an_argument():
    """numpy asks whether the step of `linspace` is 0, which changes no result."""
    f = compile(lambda end: np.linspace(0.0, end, 5))
    assert [f(1.0), f(0.0), f(-2.0)] == [pytest.approx(np.linspace(0.0, end, 5)) for end in (1.0, 0.0, -2.0)]


USES = {
    "call": lambda f, data: f([0.5, -1.0], 1.0),
    "forward": lambda f, data: f.forward(data),
    "backward": lambda f, data: f.backward(data),
    "gradient": lambda f, data: f.gradient(data, wrt="parameters"),
    "hessian": lambda f, data: f.hessian(data, wrt="inputs"),
    "value_and_grad": lambda f, data: f.value_and_grad(data),
    "fit": lambda f, data: f.fit(data, SGD(f(*data[0]) and f.parameters), epochs=1),
    "fit with a callback": lambda f, data: f.fit(data, SGD(f(*data[0]) and f.parameters), 3, callback=lambda *_: None),
    "fit that fails": lambda f, data: fails_in_callback(f, data),
    "check": lambda f, data: f.check(data),
}


def fails_in_callback(f, data):
    with suppress(ZeroDivisionError):
        f.fit(data, SGD(f(*data[0]) and f.parameters), 3, callback=lambda *_: 1 / 0)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("branches", [False, True])
def test_a_compiled_function_is_freed_at_once(use, branches):
    """No reference cycle keeps a compiled function and its programs alive until the garbage collector finds them."""
    model = MLP(2, [3, 1], seed=0)

    def loss(x, y):
        out = model(x)
        return (out - y) ** 2 if out > 0 or not branches else -out

    f = compile(loss, branches=branches)
    data = [([0.5, -1.0], 1.0), ([-0.25, 2.0], -1.0)]
    gc.collect()
    gc.disable()
    try:
        use(f, data if branches else data[:1])
        programs = [weakref.ref(x) for x in (f, *f._store.programs)]
        del f
        assert programs[1:]
        assert not any(program() for program in programs)
    finally:
        gc.enable()


def test_a_function_is_shown_while_another_thread_records_it():
    """The text lists the recordings that there were, whatever is added while it is written."""
    f = compile(lambda x: 2.0 * mc.sum(x))
    f([1.0])
    shown, [key] = repr(f), f._store.recordings

    class Growing(type(f._store.recordings[key])):
        def __iter__(self):
            f._store.recordings["added meanwhile"] = []
            return super().__iter__()

    f._store.recordings[key] = Growing(f._store.recordings[key])
    assert repr(f) == shown
