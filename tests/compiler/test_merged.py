"""The rows of a function that branches are sorted in machine code, or computed by one program that selects."""

import ctypes
import functools
import math
import random
import sys
import threading
import time
from array import array

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import GuardError, compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.data import partition
from micrograd_cn.compiler.function.merged import MergedRecordings
from micrograd_cn.compiler.runtime.executable import CompiledGraph
from micrograd_cn.compiler.threads import background
from micrograd_cn.optim import SGD

from .common import PREPARED_AT_ONCE, code_of, settings, trained

RANDOM = np.random.default_rng(5)
SORTED = {"function.merged.MAX_OPERANDS": 0}
MERGED = {"function.merged.CALL": 10**9, "function.merged.CALL_ALONE": 10**9}
WAYS = {"sorted": SORTED, "merged": MERGED}


@pytest.fixture(autouse=True)
def _at_once():
    """Merge recordings in the second call, and let machine code sort as few rows as there are."""
    numbers = ("data.partition.FEW_NUMBERS", "data.partition.NUMBERS_BEFORE_CODE")
    with settings(PREPARED_AT_ONCE | dict.fromkeys(numbers, 0)):
        yield


@pytest.fixture(params=WAYS)
def way(request):
    """Run the test once with programs that sort rows, and once with a merged program."""
    with settings(WAYS[request.param]):
        yield request.param


def brackets(w):
    """Return a function with four branches, which use different parameters, and whose comparisons use one of them."""

    def f(x, y):
        if x < w[0]:
            return w[1] * x * y
        if y < x * w[2]:
            return w[1] * y.tanh() + w[3]
        if x * y > 1.0:
            return w[2] * x + w[0] * 0.0
        return (x - y).exp() * w[3]

    return f


def weights():
    return [Value(x) for x in (0.3, 1.5, -0.7, 0.25)]


def eager(f, w, xs, ys):
    """Return the values of the plain function, its gradients for each sample, and the mean gradient of parameters."""
    values, slopes = [], []
    for p in w:
        p.grad = 0.0
    for x, y in zip(xs, ys, strict=True):
        a, b = Value(x), Value(y)
        result = f(a, b)
        result.backward()
        values.append(result.data)
        slopes.append([a.grad, b.grad])
    found = np.array([p.grad for p in w]) / len(xs)
    for p in w:
        p.grad = 0.0
    return np.array(values), np.array(slopes), found


@pytest.mark.parametrize("n", [1, 2, 3, 40, 203])
@pytest.mark.parametrize("as_lists", [False, True], ids=["arrays", "lists"])
def test_every_call_gives_the_numbers_of_the_plain_function(way, n, as_lists):
    """Results are in the order of the samples, whatever branch a sample takes, and follow a parameter of a guard."""
    w = weights()
    f = brackets(w)
    xs, ys = RANDOM.standard_normal(n), RANDOM.standard_normal(n)
    samples = [*zip(xs.tolist(), ys.tolist(), strict=True)] if as_lists else (xs, ys)
    program = compile(f, branches=True)
    for knee in (0.3, 0.3, 0.3, -0.5, 1.2):
        w[0].data = knee
        values, slopes, of_mean = eager(f, w, xs, ys)
        close = functools.partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-13)
        close([program(x, y) for x, y in zip(xs[:5], ys[:5], strict=True)], values[:5])
        close(program.forward(samples), values)
        close(program.gradient(samples), slopes)
        out = array("d", bytes(16 * n))
        program.gradient(samples, out=out)
        close(np.array(out).reshape(n, 2), slopes)
        close(program.jacobian(samples, dense=True), slopes[:, None])
        assert program.backward(samples) == pytest.approx(values.mean(), rel=1e-12, abs=1e-13)
        close([p.grad for p in w], of_mean)
        known = [p for p in w if p in program.parameters]
        mean, gradient = program.value_and_grad(samples, known)
        close([mean, *gradient], [values.mean(), *[of_mean[w.index(p)] for p in known]])
        each, gradients = program.value_and_grad(samples, ("y", "x"), each=True)
        close(each, values)
        close(gradients, slopes.T[::-1])
        program.check(samples[:3] if as_lists else (xs[:3], ys[:3]))


def test_a_merged_program_sorts_no_rows(sorts):
    """Where branches are small, one program computes all rows, and no row is sorted."""
    w = weights()
    program = compile(brackets(w), branches=True)
    xs, ys = RANDOM.standard_normal(200), RANDOM.standard_normal(200)
    calls = [
        lambda: program.forward((xs, ys)),
        lambda: program.forward([(x, y) for x, y in zip(xs, ys, strict=True)]),
        lambda: program.gradient((xs, ys)),
        lambda: program.backward((xs, ys)),
        lambda: program.value_and_grad((xs, ys)),
        lambda: program.value_and_grad((xs, ys), "x", each=True),
        lambda: program.forward((np.repeat(xs, 100), np.repeat(ys, 100))),  # arrays that are too large to be copied
    ]
    for _ in range(3):
        sorts.clear()
        for call in calls:
            call()
    assert sorts == []


def test_large_branches_are_sorted(sorts):
    """A program that would compute many instructions in vain for each row is not merged."""
    w = [Value(0.1 * k) for k in range(20)]

    def f(x):
        if x > 0:
            return mc.sum([(p * x).tanh() for p in w])
        return mc.sum([(p * x).exp() for p in w])

    program, xs = compile(f, branches=True), RANDOM.standard_normal(15_000)
    for _ in range(3):
        sorts.clear()
        program.forward((xs,))
    assert sorts[0] == len(xs)


@pytest.mark.parametrize("branches", [True, False])
def test_no_step_in_python_is_taken_for_each_row(way, branches):
    """As many functions are called for ten thousand rows as for a hundred, also where `fit` sorts them anew."""
    w = weights()
    other = compile(brackets(w) if branches else (lambda x, y: w[1] * x * y if x < 100.0 else x), branches=branches)
    counts = []
    for n in (1000, 9000):
        xs, ys = RANDOM.standard_normal(n), RANDOM.standard_normal(n)

        def calls(xs=xs, ys=ys):
            other.forward((xs, ys))
            other.gradient((xs, ys))
            other.backward((xs, ys))
            other.value_and_grad((xs, ys))
            other.value_and_grad((xs, ys), "x", each=True)
            other.fit((xs, ys), SGD(w, lr=1e-9), epochs=3)

        with code_of("threaded"), settings({"runtime.executable.SECONDS_BEFORE_FAST_KERNELS": math.inf}):
            for _ in range(4):
                calls()
            count = 0

            def counted(frame, event, _):
                nonlocal count
                count += 1

            sys.setprofile(counted)
            try:
                calls()
            finally:
                sys.setprofile(None)
        counts.append(count)
    assert counts[1] < counts[0] + 1000


def test_a_nan_takes_the_branch_that_python_takes(way):
    """No comparison with nan holds, so a row with nan takes the branches of comparisons that do not hold."""

    def f(x):
        if x < 1.0:
            return 2.0 * x
        if x >= 1.0:
            return x * x
        return 7.0 + 0.0 * x

    g, xs = compile(f, branches=True), np.array([0.5, math.nan, 3.0, math.inf, -math.inf] * 20)
    for _ in range(3):
        np.testing.assert_array_equal(g.forward((xs,)), [f(Value(x)).data for x in xs])
        assert [g(0.5), g(3.0)] == [1.0, 9.0]
        assert math.isnan(g(math.nan))
    h = compile(lambda x: x * 0.0 + 1.0 if x < 1.0 else 5.0, branches=True)
    for _ in range(3):
        np.testing.assert_array_equal(h.forward((xs[1:3],)), [5.0, 5.0])
        assert h(math.nan) == 5.0


def test_later_comparisons_may_be_undefined_where_an_earlier_one_decides(way):
    """The program computes all comparisons for every row, and rows for which a later one is nan are not lost."""

    def f(x):
        if x <= 0.0:
            return -x
        if x.log() < -1.0 or 1.0 / (x - 2.0) > 3.0:
            return x.sqrt()
        return x.log()

    g, xs = compile(f, branches=True), np.array([-1.0, 0.0, 0.1, 2.0, 2.1, 5.0, -3.0] * 15)
    values = [f(Value(x)).data for x in xs]
    slopes = []
    for x in xs:
        v = Value(x)
        f(v).backward()
        slopes.append([v.grad])
    for _ in range(3):
        np.testing.assert_allclose(g.forward((xs,)), values, rtol=1e-15)
        np.testing.assert_allclose(g.gradient((xs,)), slopes, rtol=1e-15)
        assert [g(x) for x in xs[:7]] == pytest.approx(values[:7], rel=1e-15)


def test_a_branch_that_is_not_selected_spoils_no_gradient(way):
    """A factor of a sum is infinite in the branch that a row does not take: 0 times the factor would be nan."""
    w, v = Value(2.0), Value(3.0)

    def f(x):
        if x > 0.0:
            return mc.dot([w, v, w], [1.0 / x, x, x.log()])
        return w * x - v

    g, xs = compile(f, branches=True), np.array([0.0, 1.0, 2.0, 0.0, -1.0])
    expected = np.mean([[-1.0 * (x <= 0), x if x > 0 else -1.0] for x in xs], axis=0)
    expected[0] = np.mean([1 / x + math.log(x) if x > 0 else x for x in xs])
    for _ in range(3):
        w.grad = v.grad = 0.0
        assert g.backward((xs,)) == pytest.approx(np.mean([f(Value(x)).data for x in xs]))
        assert [w.grad, v.grad] == pytest.approx(expected)
        assert g.value_and_grad((xs,), [w, v])[1] == pytest.approx(expected)
        assert np.isfinite(g.gradient((xs,))).all()


def test_parameters_of_branches_that_no_row_takes_keep_no_grad(way):
    """`backward` leaves `grad` None where no row of the batch takes a branch that uses the parameter."""
    a, b = Value(2.0), Value(3.0)
    g = compile(lambda x: a * x if x > 0 else b * x, branches=True)
    both, right = np.array([1.0, -1.0]), np.array([1.0, 2.0])
    for _ in range(4):
        g.backward((both,))
        a.grad, b.grad = 0.0, None
        g.backward((right,))
        assert (a.grad, b.grad) == (1.5, None)
        g.backward((both,))
        assert (a.grad, b.grad) == (2.0, -0.5)


def test_frozen_branches_are_refused_in_every_call(way):
    """If all parameters of the branches that rows take are frozen, `backward` says so, as before it was prepared."""
    a, b = Value(2.0), Value(3.0)
    g = compile(lambda x: a * x if x > 0 else b * x, branches=True)
    both, right = np.array([1.0, -1.0]), np.array([1.0, 2.0])
    for _ in range(3):
        g.backward((both,))
    a.requires_grad = False
    for _ in range(3):
        with pytest.raises(RuntimeError, match="depends on no parameter that requires a gradient"):
            g.backward((right,))
    a.grad = b.grad = 0.0
    g.backward((both,))
    assert (a.grad, b.grad) == (0.0, -0.5)
    a.requires_grad = True
    one = compile(lambda x: a * x if x > 0 else b * x, branches=True)
    for samples in ((right,), [(1.0,), (2.0,)]):
        for frozen in (False, False, False, True, True):
            a.requires_grad = not frozen
            if not frozen:
                one.backward(samples)
                continue
            with pytest.raises(RuntimeError, match="depends on no parameter that requires a gradient"):
                one.backward(samples)


def test_a_parameter_that_only_comparisons_use_is_not_trained(way):
    """`backward` says that the result depends on no parameter, in every call."""
    knee = Value(1.0)
    for f in (lambda x: 2.0 * x if x < knee else x * x, lambda x: 2.0 * x if x < knee + 100.0 else x):
        g = compile(f, branches=True)
        for samples in ((np.array([0.5, 3.0]),), [(0.5,), (3.0,)]):
            for _ in range(4):
                with pytest.raises(RuntimeError, match="depends on no parameter that requires a gradient"):
                    g.backward(samples)
                g.forward(samples)


def test_new_branches_are_recorded_and_merged_too(way):
    """A row that takes a branch which no row took before is computed, with parameters that no branch had before."""
    w = [Value(1.0), Value(10.0), Value(100.0)]
    g = compile(lambda x: w[0] * x if x > 0 else w[1] * x if x > -1 else w[2] * x, branches=True)
    xs = np.array([1.0, 2.0, 3.0] * 4)
    for low, slope in ((0.5, 1.0), (-0.5, 10.0), (-2.0, 100.0)):
        xs[1] = low
        for _ in range(3):
            assert g.forward((xs,))[1] == slope * low
            assert g(low) == slope * low
            mean, gradient = g.value_and_grad((xs,))
            assert mean == pytest.approx(g.forward((xs,)).mean())
            assert len(gradient) == len(g.parameters)
            expected = (low + (xs.sum() - low) * (low > 0)) / 12
            assert gradient[g.parameters.index(w[[1.0, 10.0, 100.0].index(slope)])] == pytest.approx(expected)


def test_a_row_of_another_branch_is_refused_in_every_call(way):
    """Without `branches`, each method names the sample and the line, also where a merged program has found it."""
    w = Value(2.0)
    g = compile(lambda x: w * x if x > 0 else -x)
    good, bad = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, -3.0])
    calls = [
        lambda x: g.forward((x,)),
        lambda x: g.gradient((x,)),
        lambda x: g.backward((x,)),
        lambda x: g.value_and_grad((x,)),
        lambda x: g.forward([(float(a),) for a in x]),
        lambda x: g.value_and_grad((x,), "x", each=True),
    ]
    for call in calls:
        for _ in range(4):
            call(good)
        for _ in range(2):
            with pytest.raises(GuardError, match=r"sample 2: .*test_merged.py, line \d+: x > 0 does not hold"):
                call(bad)
    with pytest.raises(GuardError, match="sample 0: "):
        g(-1.0)


def test_a_constant_that_has_changed_is_refused_in_every_call(way):
    """A merged program keeps the constants of all its branches, and says when one has other data now."""
    c, d = (Value(x, requires_grad=False) for x in (2.0, 3.0))
    c.label = "c"
    g, xs = compile(lambda x: c * x if x > 0 else d * x, branches=True), np.array([1.0, -1.0])
    for _ in range(4):
        assert g.forward((xs,)).tolist() == [2.0, -3.0]
        assert g(1.0) == 2.0
    c.data = 5.0
    for call in (lambda: g.forward((xs,)), lambda: g(1.0), lambda: g.forward([(1.0,), (-1.0,)])):
        with pytest.raises(ValueError, match=r"c is a constant of the program, .* was 2.0 then; now it is 5.0"):
            call()
    c.data = 2.0
    assert g.forward((xs,)).tolist() == [2.0, -3.0]


def test_nested_results_of_branches_are_rebuilt(way):
    """A function may return dicts and lists. If branches return other keys, they are not merged."""
    f = compile(lambda x: {"a": x, "b": [2 * x]} if x > 0 else {"a": -x, "b": [x]}, branches=True)
    for _ in range(3):
        assert f.forward(([1.0, -2.0],)) == [{"a": 1.0, "b": [2.0]}, {"a": 2.0, "b": [-2.0]}]
        assert f(-2.0) == {"a": 2.0, "b": [-2.0]}
    g = compile(lambda x: {"a": x} if x > 0 else {"b": x}, branches=True)
    for _ in range(3):
        assert g.forward((np.array([1.0, -2.0]),)) == [{"a": 1.0}, {"b": -2.0}]
        assert (g(1.0), g(-1.0)) == ({"a": 1.0}, {"b": -1.0})


def test_programs_that_compare_other_values_in_other_calls_are_sorted():
    """The outcomes of different comparisons say nothing about each other, so such recordings are not merged."""
    scale = ctypes.pointer(ctypes.c_double(1.0))  # that the number changes is not noticed
    f = compile(lambda x: x if x * scale.contents.value > 1.0 else -x, branches=True)
    xs = np.array([0.5, 3.0, 1.5] * 5)
    f.forward((xs[:1],))
    scale.contents.value = 0.5
    with settings(MERGED):
        for _ in range(4):
            np.testing.assert_array_equal(f.forward((xs,)), np.where(xs > 1.0, np.where(xs > 2.0, xs, -xs), -xs))


def test_samples_of_several_branches_are_trained_in_batches():
    """`fit` takes the steps of a loop over batches, in which the rows of each branch are sorted in machine code."""
    xs = RANDOM.standard_normal(90)
    samples = [(float(x),) for x in xs]
    for make in (
        lambda w: lambda t: (w[0] * t if t > 0.2 else w[1] * t - w[2] if t < -0.3 else w[2]) ** 2,
        lambda w: lambda t: (w[0] * t if t > w[2] else w[1] * t - w[2]) ** 2,
    ):
        ours, theirs = ([Value(x) for x in (0.5, -1.0, 0.3)] for _ in range(2))
        for batch_size, shuffled in ((None, False), (7, False), (80, True)):
            shuffles = [random.Random(1) if shuffled else None for _ in range(2)]
            found = compile(make(ours), branches=True).fit((xs,), SGD(ours, lr=0.05), 3, batch_size, shuffles[0])
            expected = trained(make(theirs), samples, SGD(theirs, lr=0.05), 3, batch_size, shuffles[1])
            assert found == pytest.approx(expected, rel=1e-9)
            assert [p.data for p in ours] == pytest.approx([p.data for p in theirs], rel=1e-9)


@pytest.mark.parametrize("n", [0, 1, 7, 64, 65, 300])
@pytest.mark.parametrize("few", [0, 10**6], ids=["machine code", "Python"])
def test_machine_code_sorts_and_copies_as_python_does(n, few):
    rng = random.Random(n)
    rows = array("q", rng.sample(range(1000), n))
    labels = array("d", [rng.randrange(3) for _ in range(n)])
    numbers = array("d", [rng.random() for _ in range(3000)])
    with settings({"data.partition.FEW_NUMBERS": few}):
        expected = [[row for row, x in zip(rows, labels, strict=True) if x == k] for k in range(3)]
        assert [*map(list, partition.rows_by_label(rows, labels, 3))] == expected
        alike = partition.rows_by_label(rows, array("d", [1.0]) * n, 3)
        assert [*map(list, alike)] == [[], [*rows], []]
        holding, others = partition.split_by_outcome(rows, labels, array("d", [2.0]))
        assert [*holding] == expected[2]
        assert [*others] == [row for row, x in zip(rows, labels, strict=True) if x != 2.0]
        twice = array("d", [x for k, label in enumerate(labels) for x in (label, float(k % 2))])
        holding, others = partition.split_by_outcome(rows, twice, array("d", [1.0, 0.0]))
        assert [*holding] == [row for k, (row, x) in enumerate(zip(rows, labels, strict=True)) if x == 1 and not k % 2]
        assert sorted([*holding, *others]) == sorted(rows)
        for width in (0, 1, 3):
            found = partition.gather_rows(numbers, rows, width)
            assert [*found] == [numbers[width * row + k] for row in rows for k in range(width)]
            to = array("d", [0.0]) * 3000
            partition.scatter_rows(to, found, rows, width)
            wanted = [numbers[k] if width and k // width in {*rows} and k < 1000 * width else 0.0 for k in range(3000)]
            assert [*to] == wanted


@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_nan_is_found_wherever_it_is(width):
    """Only the first number of each row counts, at any place, and an infinity is none."""
    for n in (1, 3, 64, 150, 600):
        numbers = array("d", [math.inf, -1.0, 0.0] * (n * width))[: n * width]
        finds_nan = partition.nan_finder(numbers, width)
        for few in (0, 10**6):
            with settings({"data.partition.FEW_NUMBERS": few}):
                assert not partition.has_nan(numbers, width)
                for k in range(0, n * width, 1 + n // 20):
                    before, numbers[k] = numbers[k], math.nan
                    assert partition.has_nan(numbers, width) == finds_nan() == (k % width == 0)
                    numbers[k] = before


@pytest.mark.parametrize("method", ["forward", "gradient", "backward", "value_and_grad"])
def test_repeated_calls_of_a_merged_program_are_prepared_as_those_of_one_branch(method):
    """They are dropped once a sample has taken a branch that is not in the program, and give the right numbers then."""
    w = Value(2.0)
    program, xs = compile(lambda x: w * x if x < 5.0 else w * w * x, branches=True), np.array([1.0, 2.0, 3.0, 4.0])
    expected = {
        "forward": ([2.0, 4.0, 6.0, 8.0], [2.0, 4.0, 6.0, 32.0]),
        "gradient": ([[2.0]] * 4, [[2.0], [2.0], [2.0], [4.0]]),
        "backward": (5.0, 11.0),
        "value_and_grad": ((5.0, [2.5]), (11.0, [9.5])),
    }[method]

    def called(xs):
        w.grad = 0.0
        found = getattr(program, method)((xs,))
        if method == "backward":
            assert w.grad == (2.5 if xs[3] < 5.0 else 9.5)
        return (
            found.tolist() if hasattr(found, "tolist") else (found[0], [*found[1]]) if type(found) is tuple else found
        )

    for _ in range(6):
        assert called(xs) == expected[0]
    [repeated] = program._arrays._repeated.values()
    assert repeated.call.merged
    for _ in range(6):
        assert called(np.array([1.0, 2.0, 3.0, 8.0])) == expected[1]
        assert called(xs) == expected[0]
    [repeated] = program._arrays._repeated.values()
    assert len(repeated.call.merged.recordings) == 2


def test_repeated_calls_of_backward_leave_a_grad_of_none_where_a_merged_branch_does_not_use_the_parameter():
    a, b = Value(2.0), Value(3.0)
    program, xs = compile(lambda x: a * x if x > 0.0 else b * x, branches=True), np.array([1.0, 2.0])
    program.forward((np.array([1.0, -1.0]),))
    for k in range(6):
        assert program.backward((xs,)) == 3.0
        assert (a.grad, b.grad) == (1.5 * (k + 1), 0.0)
    a.grad = b.grad = None
    program.backward((xs,))
    assert (a.grad, b.grad) == (1.5, None)
    a.requires_grad = False
    with pytest.raises(RuntimeError, match="depends on no parameter"):
        program.backward((xs,))


@pytest.mark.parametrize("others", [[], [1.0]])
def test_backward_leaves_a_grad_of_none_where_only_a_comparison_reads_the_parameter(others):
    """It does so also if the function was recorded for no other branch. After `zero_grad`, the `grad` is 0."""
    a, b = Value(2.0), Value(3.0)
    program = compile(lambda x: a * x if a * x > 0.0 else b * x, branches=True)
    for x in others:
        program(x)
    for _ in range(6):
        a.grad = b.grad = None
        assert program.backward((np.array([-1.0, -3.0]),)) == -6.0
        assert (a.grad, b.grad) == (None, -2.0)
    a.grad = 0.0
    program.backward((np.array([-1.0, -3.0]),))
    assert (a.grad, b.grad) == (0.0, -4.0)


AFTER_SOME_CALLS = {"function.merged.CALLS_BEFORE_MADE": 3, "function.merged.CALLS_BEFORE_LOSS": 9}


def test_the_call_from_which_on_a_merged_loss_is_used_does_not_depend_on_how_fast_the_computer_is(sorts):
    """Merged programs are made in the background, and are used from the same call on, with and without a thread.

    The mean and its gradient are rounded in another way than without merging.
    """
    xs, found = RANDOM.standard_normal(100), []
    for in_background in (True, False):
        w, calls = Value(2.0), []
        program = compile(lambda x, w=w: w * x if x > 0.0 else x * x * w, branches=True)
        expected = np.where(xs > 0.0, xs, xs * xs).mean()
        with settings({"threads.background.IN_BACKGROUND": in_background, **AFTER_SOME_CALLS}):
            for _ in range(20):
                sorts.clear()
                assert program.value_and_grad((xs,)) == (pytest.approx(2.0 * expected), [pytest.approx(expected)])
                calls.append(bool(sorts))
        found.append(calls)
    assert found[0] == found[1] == [True] * 11 + [False] * 9


@pytest.mark.parametrize(("epochs", "used"), [(2, False), (30, True)])
def test_a_call_of_fit_with_many_steps_waits_until_branches_are_merged(epochs, used, monkeypatch):
    """It makes no call longer than its neighbours, and the program saves more time than it takes to make."""
    asked, loss = [], MergedRecordings.loss
    monkeypatch.setattr(MergedRecordings, "loss", lambda *xs: asked.append(loss(*xs)) or asked[-1])
    w, xs = Value(2.0), RANDOM.standard_normal(100)
    program = compile(lambda x: (w * x - 1.0) ** 2 if w * x > 0.0 else x * x * w, branches=True)
    program.forward((xs,))
    with settings({"function.merged.CALLS_BEFORE_LOSS": 1000, "function.merged.STEPS_BEFORE_LOSS": 9, **MERGED}):
        program.fit((xs,), SGD([w], 1e-3), epochs)
    assert asked
    assert any(asked) is used


@pytest.mark.parametrize("method", ["call", "forward", "gradient"])
def test_no_call_waits_until_branches_are_merged(method, sorts, monkeypatch):
    """Meanwhile, rows are sorted by their branches. Results and derivatives of rows are the same with and without."""
    may_go_on, begun, make = threading.Event(), threading.Event(), MergedRecordings._make

    def slow(self, *arguments):
        begun.set()
        assert may_go_on.wait(60)
        make(self, *arguments)

    monkeypatch.setattr(MergedRecordings, "_make", slow)
    xs = RANDOM.standard_normal(100)
    program = compile(lambda x: 2.0 * x if x > 0.0 else x * x, branches=True)

    def called():
        sorts.clear()
        if method == "call":
            return [program(x) for x in xs]
        found = getattr(program, method)((xs,))
        return found.ravel().tolist()

    with settings({"threads.background.IN_BACKGROUND": True, **AFTER_SOME_CALLS}):
        expected = called()
        for _ in range(30):
            assert called() == expected
            assert sorts or method == "call"
        assert begun.wait(60)
        may_go_on.set()
        while not background.is_idle():
            time.sleep(1e-3)
        assert called() == expected
    assert not sorts


def test_large_batches_are_merged_after_a_few_calls(sorts):
    """To sort ten thousand rows takes as long as many small calls, so the merged program is used sooner."""
    w, counts = weights(), {}
    with settings({"function.merged.CALLS_BEFORE_MADE": 50}):
        for n in (10, 10_000):
            xs, ys = RANDOM.standard_normal(n), RANDOM.standard_normal(n)
            program, calls = compile(brackets(w), branches=True), 0
            sorts.append(n)
            while sorts and calls < 200:
                sorts.clear()
                program.forward((xs, ys))
                calls += 1
            counts[n] = calls
    assert counts[10_000] < 15
    assert 50 < counts[10] < 60


def test_fit_asks_guards_about_each_parameter_by_its_own_data():
    """The guards of many rows have a program of their own, which must not mistake one parameter for another."""
    rng = random.Random(1)
    data = [(0.9, 0.5)] + [(rng.random(), rng.random()) for _ in range(400)]

    def problem():
        a, b = Value(0.6, "a"), Value(0.1, "b")
        return a, b, lambda x, y: ((a * x if x > a and 2 * x > b else b - x) - y) ** 2, SGD([a, b], lr=0.1)

    a, b, f, optimizer = problem()
    losses = compile(f, branches=True).fit(data, optimizer, epochs=10)
    c, d, g, other = problem()
    for _ in range(10):
        other.zero_grad()
        loss = mc.mean([g(*sample) for sample in data])
        loss.backward()
        other.step()
    assert [a.data, b.data, losses[-1]] == pytest.approx([c.data, d.data, loss.data], rel=1e-12)


def test_backward_of_one_row_makes_no_code_for_many(monkeypatch):
    """The code that is made in advance is that which the call then runs."""
    made = []
    tiers = CompiledGraph.tiers
    monkeypatch.setattr(CompiledGraph, "tiers", lambda self, *kind: made.append((self, kind)) or tiers(self, *kind))
    w = [Value(0.5), Value(2.0), Value(1.0), Value(3.0)]
    with settings(MERGED):
        f = compile(brackets(w), branches=True)
        f.forward([(0.0, 1.0), (1.0, 1.0)])
        for _ in range(5):
            f.backward([(0.0, 1.0)])
    programs = {x.program.compiled for x in f._store.recordings[next(iter(f._store.recordings))]}
    merged = {kind for graph, kind in made if graph not in programs}
    assert ("gradient", False) in merged
    assert ("gradient", True) not in merged
