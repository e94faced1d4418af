"""A compiled function never silently gives another number than the function itself.

While a function is recorded, it may read a number, branch on a comparison, or use a value that was computed before. The
compiled function follows this in each call, or refuses it with an error that says what to write instead.
"""

import functools
import heapq
import inspect
import math
import operator
import pickle
import re
import statistics
import threading
from itertools import pairwise

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, functional, gradients
from micrograd_cn.compiler import (
    GuardError,
    Mismatch,
    compile,  # noqa: A004 -- the field's name
    parameters_to_vector,
    vector_to_parameters,
)
from micrograd_cn.compiler.data.captured import CapturedValue
from micrograd_cn.optim import SGD

from .common import trained

w = Value(2.0, "w")
constant = mc.no_grad()(lambda: Value(3.0, "c") * 2)()
table = {0.0: 1.0, 2.0: 3.0}


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: x * (2 * x).data, r"mul\(...\) as .data would be"),
        (lambda x: x * (x + 1).exp().item(), r"exp\(...\) as .item\(\) would be"),
        (lambda x: 1.0 if x - 1 else -x, r"sub\(...\) as a condition would be"),
        (lambda x: -x if not x * 2 else x, r"mul\(...\) as a condition would be"),
        (lambda x: x if x - 1 == 0 else 2 * x, r"sub\(...\) as an operand of == would be"),
        (lambda x: x if 0 == x - 1 else 2 * x, r"sub\(...\) as an operand of =="),  # noqa: SIM300 -- its side is the case
        (lambda x: 2 * x if x in {0, 1} else x, "x as a key would be the same number for every sample; write take"),
        (lambda x: table.get(x, 5.0) * x, "x as a key would be"),
        (lambda x: table.get(x - 1, 5.0) * x, r"sub\(...\) as a key would be"),
        (lambda x: w * (2 * x).detach().data, r"detach\(...\) as .data would be"),
        (lambda x: mc.no_grad()(lambda: (w * x).data)() * x, r"detach\(...\) as .data would be"),
        (
            lambda x: (w * x).backward() or x,
            r"mul\(...\) as what backward\(\) starts from would be .* create_graph=True",
        ),
        (lambda x: x if x * 1.0 == x + 0.0 else 2 * x, r"mul\(...\) as an operand of == would be"),
        (
            lambda x: x * w.data,
            "w as .data would be the same number in all calls, whatever it becomes; write the value",
        ),
        (lambda x: x * (w * 2).item(), r"mul\(...\) as .item\(\) would be the same number in all calls"),
        (lambda x: x * float(f"{x * w:.17g}"), r"mul\(...\) as a formatted text would be"),
        (lambda x: x * float(f"{w:.17g}"), "w as a formatted text would be the same number in all calls"),
        (lambda x: x * (x * w).partials[1], r"mul\(...\) as what derivatives are read of would be"),
        (lambda x: x * gradients(x * x * w, [x])[0], r"mul\(...\) as the output of gradients\(\) without create_graph"),
        (lambda x: x * pickle.loads(pickle.dumps(x)), "x as a copy would be"),
        (lambda x: setattr(w, "data", 5.0) or x * w, "w is given data while a function is recorded"),
        (lambda x: mc.no_grad()(lambda: operator.isub(w, 0.5))() * x, "w is given data while a function is recorded"),
        (lambda x: setattr(y := x * w, "data", 5.0) or y * w, r"mul\(...\) is given data while a function is recorded"),
    ],
)
@pytest.mark.parametrize("mode", [lambda f: f, mc.no_grad()], ids=["recorded", "no_grad"])
def test_what_would_be_silent_is_refused_where_it_is_read(f, message, mode):
    """Reading a number that depends on arguments or parameters is refused, and the error names the line that reads."""
    with pytest.raises(TypeError, match=message) as caught:
        mode(compile(f))(1)
    assert str(caught.value).startswith(f"{__file__}, line {f.__code__.co_firstlineno}: ")


def test_a_text_without_a_format_names_what_is_recorded_and_shows_no_number():
    """While a function is recorded, `repr` and an f-string show a `Value`'s name or operation instead of its number.

    So a print in a function works, and cannot be mistaken for the number of each call.
    """
    seen = []
    compile(lambda x: seen.extend((repr(x), f"{x * w}")) or x)(3.0)
    assert seen == ["Value(x)", "Value(mul(...))"]


def test_a_value_that_is_read_after_it_was_recorded_is_a_plain_one():
    """After the recording, `Value`s that the function has put aside are plain `Value`s that anybody may read."""
    seen = []

    def f(x):
        seen.extend((x, x * w, w * 2))
        return seen[-2] * 1.0

    compile(f)(3.0)
    assert [v.data for v in seen] == [3.0, 6.0, 4.0]
    assert [type(v) for v in seen] == [Value] * 3
    assert {seen[0]: 1}[seen[0]] == bool(seen[1]) == 1
    with pytest.raises(ZeroDivisionError):
        compile(lambda x: seen.append(x * 2) or 1 / 0)(1.0)
    assert seen[-1].item() == 2.0


def test_what_is_read_of_a_constant_is_that_number():
    """Reading a constant from outside the function is allowed, and one that the function makes itself is refused."""
    assert compile(lambda x: x * constant.data if constant.item() > 1 else x)(2.0) == 12.0
    inside = compile(lambda x: x * mc.no_grad()(lambda: Value(4.0) * 2)().data)
    with pytest.raises(TypeError, match="in all calls"):
        inside(1.0)


def test_values_are_told_from_each_other():
    """`==` of two different arguments is false, which `list.index` needs, and is refused if their numbers are equal.

    With plain numbers, the function would take the other branch for such a sample.
    """
    first = compile(lambda xs: 1.0 * xs.index(max(xs)))
    assert (first([1.0, 5.0, 2.0]), first([1.5, 3.0, 2.0])) == (1.0, 1.0)
    with pytest.raises(GuardError, match=r"xs\[2\] > xs\[1\] holds, but did not"):  # xs[1] > xs[0] still holds
        first([1.0, 5.0, 9.0])
    same = compile(lambda x, y: 1.0 if x == y else 2.0 * x, branches=True)
    assert [same(1, 3), same(2, 3)] == [2.0, 4.0]
    with pytest.raises(TypeError, match="x as an operand of =="):
        same(3, 3)
    strict = compile(lambda x, y: 1.0 if x + 1 == y else 2.0 * x)
    assert strict(1, 3) == 2.0
    with pytest.raises(TypeError, match="y as an operand of =="):
        strict(2, 3)
    assert compile(lambda x: x if x == x and x != None and x != "x" else 0.0)(3) == 3.0  # noqa: E711


def test_the_truth_of_a_parameter_is_that_there_is_one():
    """`if b` is true for a parameter whose data is 0.0, because it asks whether there is a parameter."""
    b = Value(0.0)
    assert compile(lambda x: x + b if b else x)(1.0) == 1.0


def test_derivatives_of_numbers_with_respect_to_which_parameters_have_a_part_are_those_of_every_call():
    """A derivative that a function computes at a plain number follows the parameters that it depends on."""
    a = Value(2.0)
    f = compile(lambda x: functional.grad(lambda t: a * t * t)(3.0) * x)
    assert f(1.0) == 12.0
    a.data = 5.0
    assert f(1.0) == 30.0


# Recording inside no_grad


@pytest.mark.parametrize("first", [lambda f: f(2.0), lambda f: f.program(2.0), lambda f: f.check([(2.0,)])])
def test_a_function_that_is_first_called_without_gradients_has_its_guards(first):
    """A function that is recorded inside `no_grad` has guards for its comparisons, as outside."""
    w = Value(1.0)
    f = compile(lambda x: w * x if x > 0 else -w * x, branches=True)
    g = compile(lambda x: w * x if w * x > 0 else -w * x)
    with mc.no_grad():
        first(f)
        first(g)
    assert f(-3.0) == 3.0
    with pytest.raises(GuardError):
        g(-3.0)


# Values that were computed before


def captured():
    """Return two leaves, a value computed from one of them, and a function that captures values that were computed."""
    a, b = Value(2.0, "a"), Value(5.0, "b")
    c = a * 3.0
    d = (a * b).exp().tanh()
    return a, b, c, lambda x: c * x * b + mc.tanh(c) * d + (c if x > 0 else -d * c)


@pytest.mark.parametrize("mode", [lambda f: f, mc.no_grad()], ids=["recorded", "no_grad"])
def test_what_was_computed_before_stays_what_it_was(mode):
    """A value that was computed before the call keeps its data, even when the leaves that it came from change.

    An eager function that uses it behaves in the same way.
    """
    a, b, c, f = captured()
    compiled = compile(f, branches=True)

    def agree():
        for x in (1.0, -2.0, 4.0):
            assert mode(compiled)(x) == pytest.approx(f(x).data, rel=1e-14)

    agree()
    a.data, b.data = 7.0, -3.0
    agree()
    c.data = 100.0
    agree()
    assert [type(p) for p in compiled.parameters].count(CapturedValue) == 2


@pytest.mark.parametrize("samples", [[(1.0,), (2.0,)], [(1.0,), (-2.0,), (0.5,)]])
def test_its_gradient_goes_on_to_what_it_was_computed_from(samples):
    """`backward` passes the gradient of a captured value on to the leaves that it was computed from."""
    (a, b, _, f), (other, other_b, _, g) = captured(), captured()
    for p in (a, other):
        p.data = 9.0  # the captured values were computed with the old data
    compiled = compile(f, branches=True)
    for _ in range(2):
        loss = mc.mean([g(x) for (x,) in samples])
        loss.backward()
        assert compiled.backward(samples) == pytest.approx(loss.data, rel=1e-12)
        assert (a.grad, b.grad) == pytest.approx((other.grad, other_b.grad), rel=1e-12)


def test_fit_trains_nothing_that_has_its_part_there():
    """`fit` refuses to train a leaf of a captured value, because a step would not change the captured value."""
    a, b = Value(2.0, "a"), Value(5.0, "b")
    c = a * 3.0
    f = compile(lambda x: (c * x - b) ** 2)
    message = r"fit\(\): the function uses mul\(...\), which was computed from a before it was called, so training a"
    for samples in ([(1.0,)], [(1.0,), (2.0,)]):
        with pytest.raises(ValueError, match=message):
            f.fit(samples, SGD([b, a]), 2)
    with pytest.raises(ValueError, match=message):
        f.program(1.0).fit([[1.0]], SGD([a]), 2)
    f.fit([(1.0,), (1.0,)], SGD([b], 0.25), 30)
    assert (round(b.data, 6), a.data, c.data) == (6.0, 2.0, 6.0)


@pytest.mark.parametrize("take", [SGD, parameters_to_vector, functools.partial(vector_to_parameters, [1.0, 2.0])])
def test_what_represents_a_value_that_was_computed_before_is_no_parameter_to_train(take):
    """`backward` passes its gradient on, so steps would leave all parameters as they are."""
    a, b = Value(2.0), Value(5.0)
    c = a * 3.0
    f = compile(lambda x: (c * x - b) ** 2)
    f(1.0)
    with pytest.raises(ValueError, match=r"parameters\[0\], Value\(data=6.0.*\), represents a value that was computed"):
        take(sorted(f.parameters, key=lambda p: p is b))
    assert SGD([b]).parameters == [b]


def test_a_function_may_return_or_compare_what_was_computed_before():
    """A captured value may be a result, or an operand of a comparison, with the data that it has at each call."""
    a = Value(2.0)
    c = a * 3.0
    f = compile(lambda x: [c, x if c > 5 else -x])
    assert f(1.0) == [6.0, 1.0]
    a.data = -1.0
    assert f(1.0) == [6.0, 1.0]
    c.data = 1.0
    with pytest.raises(GuardError):
        f(1.0)


def test_a_graph_that_was_recorded_is_computed_from_its_leaves():
    """If a graph is compiled, and not a function, all of it is computed again from the leaves' present data."""
    a, x = Value(2.0), Value(1.0)
    program = compile(a * 3.0 * x, [x])
    a.data = 5.0
    assert program(1.0) == 15.0


def line():
    """Return the line number of the caller."""
    return inspect.currentframe().f_back.f_lineno


def plain(x):
    """Return the number that `compile` returns for a result of the plain function."""
    return x.data if isinstance(x, Value) else float(x)


# Branches


def test_a_row_that_branches_otherwise_is_an_error_that_says_where():
    """Without `branches=True`, a sample that takes another branch is an error, which names the sample and the line."""
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
    for use in (
        f.backward,
        f.check,
        lambda s: f.fit(s, SGD([w]), 2),
        lambda s: f.fit(tuple(np.array(s, float).T.copy()), SGD([w]), 2),
    ):
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
    """Comparisons inside `max`, `min`, `sorted` and generators are guards too."""
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
    """A guard that depends on a parameter is computed in each step of `fit`, which ends when the guard fails."""
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


@pytest.mark.parametrize("now", [2.0, 3.0])
def test_a_parameter_that_numpy_compares_by_equality_is_looked_at_as_it_changes(now):
    """`np.isin` and the like compare elements by data, unlike `==` of single values."""
    w = Value(now, "w")
    f = compile(lambda x: w * x if np.isin(np.array([w]), [2.0]).any() else -w * x)
    assert f(1.0) == f.__wrapped__(1.0).data
    w.data = 5.0 - now
    with pytest.raises(GuardError, match=r"w == 2\.0"):
        f(1.0)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("known", [(), (1.0, -1.0)])
def test_guards_are_computed_with_what_parameters_have_become_that_no_branch_so_far_has(batch_size, known):
    """A guard reads the present data of parameters that it uses and that no branch taken so far has as parameters.

    Weight decay changes such parameters in each step, although their gradient is 0.
    """
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
    """A comparison after the recording adds no guard to the function."""
    w = Value(1.0)

    @compile
    def f(x):
        return w * x if x > 0 else -x

    f(1)
    assert not Value(1) > Value(2)
    assert f(2) == 2.0


def test_a_function_that_changes_how_it_branches_is_refused():
    """If a new program's guards do not hold for the very sample that was recorded, the call raises.

    Otherwise it would record the sample again and again.
    """
    w = Value(1.0)

    @compile
    def f(x):
        y = w * x if w > 0 else x
        w._data = -1.0  # no hook reports this, as if C code had changed it
        return y

    with pytest.raises(RuntimeError, match="f takes another branch for the sample that was just recorded"):
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
            lambda x: x if 0.0 == x else 2 * x,  # noqa: SIM300 -- the number on the left is the case
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
        (lambda x: mc.sum([x] * x), "x as an index or a plain number would be"),
        (lambda x: mc.sum(x for _ in range(x)), "x as an index or a plain number would be"),
    ],
)
def test_what_cannot_vary_is_refused_where_it_is_read(f, message):
    """An argument cannot be used as a number, condition, key or index, and the error suggests a static argument."""
    with pytest.raises(TypeError) as caught:
        compile(f)(1)
    assert str(caught.value).startswith(f"{__file__}, line {f.__code__.co_firstlineno}: {message}")
    assert 'static=["x"]' in str(caught.value)


@pytest.mark.parametrize(
    "f",
    [
        *(lambda x: [1.0, 2.0][2 * x], lambda x: int(2 * x), lambda x: math.exp(2 * x), lambda x: range(2 * x)),
        *(lambda x: round(2 * x), lambda x: math.trunc(x)),
        *(lambda x: 2 * x // 2, lambda x: divmod(x, 2), lambda x: [x] * (2 * x), lambda x: [x, x][: 2 * x]),
        *(lambda x: np.round(2 * x), lambda x: np.eye(3)[2 * x], lambda x: int(x), lambda x: np.log2(x)),
    ],
)
def test_a_computed_value_as_a_plain_number_is_refused_with_what_to_write_instead(f):
    """Where Python or numpy refuses a computed `Value` as an int or a float, a note says what to write instead."""
    with pytest.raises((TypeError, IndexError)) as caught:
        compile(f)(1)
    text = " ".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    assert "write take(xs, i" in text
    with pytest.raises(TypeError) as other:
        compile(lambda x: x + "1")(1)
    assert not hasattr(other.value, "__notes__")


numbers = np.array([2.0, 2.0, 1.0])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(numbers == x) * x,
        lambda x: np.sum(x == numbers) * x,
        lambda x: np.sum(numbers != x) * x,
        lambda x: np.equal(numbers, x)[0] * x,
        lambda x: np.not_equal(x, numbers)[0] * x,
        lambda x: np.where(numbers == x, 1.0, 0.0)[0] * x,
        lambda x: np.equal(x, 2.0) * x,
        lambda x: x if x in numbers else 2.0 * x,
        lambda x: np.sum(numbers == x * x) * x,
    ],
)
def test_numpy_s_comparisons_for_equality_are_refused_as_python_s_are(f):
    """numpy asks each element whether it equals the value: for a recorded value, no answer holds for every sample."""
    with pytest.raises(TypeError, match=r"(x|mul\(...\)) as an operand of == would be the same number"):
        compile(f)(2.0)


def test_check_tells_what_no_guard_sees():
    """`check` finds that a plain number that the function reads has changed, which no guard can notice."""
    scale = [2.0]
    f = compile(lambda x: x * x * scale[0])
    f(1)
    f.check([(1.0,)])
    scale[0] = 5.0
    with pytest.raises(Mismatch, match=r"sample 1, \[3.0\]: the function gives 45.0, the graph 18.0"):
        f.check([(0.0,), (3.0,)])


def test_check_names_the_sample_whatever_its_form():
    """`check` names a sample by its index among all samples, not among those of the same structure."""
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
    """Values from `detach` and `no_grad` inside a function follow the sample and the parameters, without a gradient."""
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
        ValueError, match=r'source\("python"\): libraries differ in how they write detach\(\) and no_grad'
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
    """Derivatives of `functional` inside a function are recorded, so they are right for each sample."""
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


def test_no_gradient_flows_through_what_is_detached_however_large():
    """A detached value adds nothing to the gradient, even if the derivative behind it is infinite, and not 0 * inf."""
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
    """A comparison of a value from `detach` or `no_grad` inside a function is a guard like any other."""
    f = compile(lambda x: 1 * x if large(x) else -x)
    g = compile(lambda x: 1 * x if large(x) else -x, branches=True)
    for h in (f, g):
        h(5)
    assert [g(x) for x in (5, 1, 7, 0)] == [(lambda x: x if large(Value(x)) else -x)(x) for x in (5, 1, 7, 0)]
    with pytest.raises(GuardError, match="but"):
        f(1)


def test_a_whole_function_may_be_without_gradients():
    """A function that is decorated with `no_grad` follows its arguments and parameters."""
    a = Value(2.0)

    @compile
    @mc.no_grad()
    def predict(x):
        return a * x

    assert (predict(1), predict(5)) == (2.0, 10.0)
    a.data = 3.0
    assert predict(5) == 15.0


def test_outside_a_recording_what_is_detached_is_a_constant():
    """In another thread, `detach` and `no_grad` make constants as ever, although this thread is recording."""
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
    """A parameter that was frozen when the function was recorded is a constant of the program.

    `fit` refuses an optimiser that would train it, as the program has no gradient for it.
    """
    w, v = Value(3.0), Value(1.0)
    w.requires_grad = False
    f = compile(lambda x: w * v * (x[0] if isinstance(x, list) else x))
    assert f.fit(samples, SGD([v, w], 0.0), 1) == [3.0 * sum(k + 1 for k in range(len(samples))) / len(samples)]
    w.requires_grad = True
    with pytest.raises(ValueError, match=r"parameters\[1\] of the optimizer, Value.* is a constant of the program"):
        f.fit(samples, SGD([v, w]), 1)


@pytest.mark.parametrize("order", [1, -1])
def test_what_was_frozen_in_one_of_several_programs_or_in_a_comparison_is_refused(order):
    """`fit` refuses to train a parameter that was frozen when any of the programs or guards in use was recorded."""
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


# Comparisons that rounding decides


@pytest.mark.parametrize("branches", [False, True])
def test_a_tie_that_rounding_decides_has_the_branch_that_was_recorded(branches):
    """If the engine and compiled code round a comparison's operand to different sides, the recorded branch is taken."""
    w = Value(1.0)
    f = compile(lambda xs: xs[0] * w if mc.sum(xs) >= 1 else -xs[0] * w, branches=branches)
    for _ in range(2):  # the engine's sum of ten tenths is 1, and the compiled sum is a little less
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


def branches_in_libraries():
    """Return functions that let numpy or the standard library compare their arguments, each with two samples."""
    low, high = [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]
    return {
        "clip": (lambda x: np.clip(np.array(x), 0.5, 2.5)[0], low, high),
        "max": (lambda x: np.max(np.array(x)), low, high),
        "argmax": (lambda x: x[0] * float(np.argmax(np.array(x))), low, high),
        "sort": (lambda x: np.sort(np.array(x))[0], low, high),
        "array method": (lambda x: np.array(x).max(), low, high),
        "median": (lambda x: statistics.median(x) * 1.0, low, high),
        "merge": (lambda x: next(iter(heapq.merge(x[:2], x[2:]))) * 1.0, low, high),
        "key": (lambda x: min(x, key=functools.cmp_to_key(lambda a, b: (a > b) - (a < b))), low, high),
    }


@pytest.mark.parametrize("name", branches_in_libraries())
def test_an_error_names_the_user_s_line_and_not_a_library_s(name):
    f, low, high = branches_in_libraries()[name]
    compiled = compile(f)
    compiled(low)
    line = f.__code__.co_firstlineno
    with pytest.raises(GuardError, match=rf"{re.escape(__file__)}, line {line}: "):
        compiled(high)


def test_a_refusal_names_the_user_s_line_and_not_numpy_s():
    f = lambda x: np.nonzero(np.array(x))[0].sum() * x[0]  # noqa: E731
    with pytest.raises(TypeError, match=rf"{re.escape(__file__)}, line {f.__code__.co_firstlineno}: .* as a condition"):
        compile(f)([1.0, 2.0])


@pytest.mark.parametrize("add", [lambda a, b: a + b, lambda a, b: a + b + False, lambda a, b: False + a + b])
def test_a_branch_may_depend_on_a_sum_of_conditions(add):
    """numpy adds bools as `or` does, and code that branches on the sum gets a guard, as for one condition."""

    def f(x):
        positive = x > 0.0
        return x[0] * 2.0 if add(positive[0], positive[1]) else x[1] * 3.0

    g = compile(f, branches=True)
    for x in ([1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -2.0]):
        assert g(np.array(x)) == (2.0 * x[0] if x[0] > 0.0 or x[1] > 0.0 else 3.0 * x[1])


def test_the_question_whether_a_number_is_missing_has_one_answer():
    """The compiled function, `check`, `fit` and a second recording take the branch that the plain function takes."""
    w, nan = Value(0.5), float("nan")

    def of_argument(x, y):
        return (0.0 if x != x else w * x) + y * w

    def of_product(x, y):
        product = w * x
        return (0.0 if product != product else product) + y * w

    samples, optimizer = [(1.0, 2.0), (nan, 3.0)], SGD([w], lr=0.1)
    for f in (of_argument, of_product):
        w.data = 0.5
        compiled = compile(f, branches=True)
        right = []
        for _ in range(3):
            right.append(mc.mean([f(Value(x), Value(y)) for x, y in samples]).data)
            assert compiled.fit(samples, optimizer, 1) == [pytest.approx(right[-1])]
        assert right[0] == 1.5
        compiled.check(samples)
    calls = []

    def noting(x):
        calls.append(1)
        return (0.0 if x != x else w * x) + w

    w.data = 2.0
    assert compile(noting)(nan) == 2.0
    assert len(calls) == 1


def test_a_parameter_may_be_asked_whether_it_is_missing():
    """Its data changes from call to call, so the question becomes a guard. A constant must not change."""
    w, c, nan = Value(1.0), Value(1.0, "c", requires_grad=False), float("nan")
    f = compile(lambda x: x if w != w else w * x, branches=True)
    assert f(2.0) == 2.0
    w.data = nan
    assert f(2.0) == 2.0
    w.data = 3.0
    assert f(2.0) == 6.0
    g = compile(lambda x: x if c != c else w * x)
    assert g(2.0) == 6.0
    c.data = nan
    with pytest.raises(ValueError, match=r"c is a constant of the program"):
        g(2.0)
    weights = np.array([Value(1.0), Value(2.0)])
    h = compile(lambda x: np.nansum(weights) * x)
    assert h(2.0) == 6.0
    weights[0].data = nan
    with pytest.raises(GuardError, match=r"a parameter is nan, but was not .* write where\(equal\(a, a\)"):
        h(2.0)


def test_a_compiled_function_named_step_that_calls_backward_is_not_sent_to_the_operation_step():
    def step(x):
        loss = (w * x) ** 2
        loss.backward()
        return loss

    with pytest.raises(TypeError, match=r"what backward\(\) starts from .* sample; write gradients\(y") as caught:
        compile(step)(1.0)
    assert "built in" not in str(caught.value)


def test_outcomes_that_are_known_for_equal_numbers_are_found_anew_for_others():
    w, limit = Value(2.0), Value(0.5, requires_grad=False)

    @compile
    def f(x, y):
        return (w * x - y) ** 2 if x > limit else w

    x, y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])
    for _ in range(3):
        assert f.fit((x, y), SGD([w], lr=0.1), 2) == [0.0, 0.0]
        assert f.forward((x, y)).tolist() == [0.0] * 3
        assert f.forward([(3.0, 6.0), (1.0, 2.0)]) == [0.0, 0.0]
    x[1] = -1.0
    for method in (lambda: f.fit((x, y), SGD([w], lr=0.1), 2), lambda: f.forward((x, y))):
        for _ in range(2):
            with pytest.raises(GuardError, match="does not hold"):
                method()
    x[1] = 2.0
    assert f.forward((x, y)).tolist() == [0.0] * 3
    limit.data = 2.5
    for method in (lambda: f.fit((x, y), SGD([w], lr=0.1), 2), lambda: f.forward((x, y))):
        with pytest.raises(ValueError, match="constant of the program"):
            method()
