"""Losses give PyTorch's numbers and right gradients, also for extreme inputs, and name a target that they refuse."""

import math
from collections import deque
from fractions import Fraction

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, dot, gradients, logsumexp
from micrograd_cn.functional import grad
from micrograd_cn.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    hinge_loss,
    huber_loss,
    l1_loss,
    mse_loss,
    nll_loss,
)
from micrograd_cn.nn import MLP
from micrograd_cn.testing import gradcheck

X = [[1.5, -2.0, 0.25], [0.5, 3.0, -1.0]]
T = [[1.0, -0.5, 0.0], [2.0, 1.0, -1.0]]
Y = [[1.0, 0.0, 0.25], [0.0, 1.0, 0.5]]
P = [[mc.sigmoid(x) for x in row] for row in X]

# Losses, their arguments, and the mean and the sum that PyTorch 2.13 gives in float64.
PYTORCH = [
    (mse_loss, (X, T), 1.46875, 8.8125),
    (l1_loss, (X, T), 0.9583333333333334, 5.75),
    (huber_loss, (X, T), 0.609375, 3.65625),
    (lambda *a, **k: huber_loss(*a, delta=0.5, **k), (X, T), 0.3802083333333333, 2.28125),
    (cross_entropy, (X, [0, 2]), 2.185402295831009, 4.370804591662018),
    (nll_loss, ([[mc.log(p) for p in mc.softmax(row)] for row in X], [0, 2]), 2.185402295831009, 4.370804591662018),
    (binary_cross_entropy, (P, Y), 0.48795112202943997, 2.92770673217664),
    (binary_cross_entropy_with_logits, (X, Y), 0.48795112202943997, 2.92770673217664),
]


@pytest.mark.parametrize(("loss", "arguments", "mean", "total"), PYTORCH)
def test_batches_have_pytorchs_mean_and_sum(loss, arguments, mean, total):
    assert loss(*arguments) == pytest.approx(mean, rel=1e-14)
    assert loss(*arguments, reduction="sum") == pytest.approx(total, rel=1e-14)
    assert loss(*arguments, reduction="".join("mean")) == loss(*arguments), "an equal string that is another object"
    inputs = [[Value(x) for x in row] for row in arguments[0]]
    assert loss(inputs, arguments[1]).data == pytest.approx(mean, rel=1e-14)


@pytest.mark.parametrize(("loss", "arguments", "mean", "total"), PYTORCH)
def test_arrays_are_batches_too(loss, arguments, mean, total):
    assert loss(*map(np.array, arguments)) == pytest.approx(mean, rel=1e-14)


@pytest.mark.parametrize(("loss", "arguments", "mean", "total"), PYTORCH)
def test_gradients_agree_with_numerical_ones(loss, arguments, mean, total):
    gradcheck(lambda x: loss(x, arguments[1]), arguments[0])


def test_hinge_is_micrograds_max_margin():
    assert hinge_loss([2.0, 0.5, -3.0], [1, -1, -1]) == pytest.approx((0 + 1.5 + 0) / 3)
    score = Value(0.25)
    loss = hinge_loss(score, 1)
    loss.backward()
    assert (loss.data, score.grad) == (0.75, -1)


def test_one_sample_needs_no_batch():
    x = Value(3)
    assert mse_loss([x], [1]).op is mc.mul, "the mean of a single element needs no node"
    assert type(nll_loss([-1, -2], 0)) is float
    assert mse_loss(x, 1).data == 4
    assert cross_entropy([Value(0), Value(0)], 1).data == pytest.approx(math.log(2))
    assert nll_loss([-0.5, -1.0], 0) == 0.5
    assert binary_cross_entropy_with_logits(x, 0).data == pytest.approx(math.log1p(math.exp(3)))


def test_the_target_may_be_a_value_with_its_own_gradient():
    x, t = Value(3), Value(1)
    mse_loss(x, t).backward()
    assert (x.grad, t.grad) == (4, -4)


def test_targets_of_every_kind_of_number():
    assert hinge_loss([0.5], [Value(-1)]).data == 1.5
    assert binary_cross_entropy_with_logits(Value(0), Value(1)).data == math.log(2)
    assert mse_loss(0.5, Fraction(1, 2)) == 0.0
    rows = [np.array([0.0, 0.0]), np.array([0.0, 0.0])]
    assert cross_entropy(rows, [np.int64(1), 0]) == math.log(2)


def test_a_batch_may_have_hundreds_of_rows():
    assert cross_entropy([[0.0, 0.0]] * 300, [1] * 300) == pytest.approx(math.log(2))


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
def test_a_target_that_is_a_value_gives_what_its_integer_does(loss):
    """A class may be given as a `Value`, as in a compiled function, and has the loss and gradients of the integer."""
    for reduction in ("mean", "sum"):
        for targets in ([0, 2], [1, 1]):
            found = []
            for given in (targets, [Value(t) for t in targets], [targets[0], Value(targets[1])]):
                rows = [[Value(x) for x in row] for row in X]
                y = loss(rows, given, reduction=reduction)
                y.backward()
                found.append((y.data, [[x.grad for x in row] for row in rows]))
                assert [t.grad for t in given if isinstance(t, Value)] == [0.0] * sum(
                    isinstance(t, Value) for t in given
                )
            assert found[0] == found[1] == found[2]
    target, x = Value(2), [Value(0.5), Value(-1), Value(0.25)]
    assert loss(x, target).data == loss(x, 2).data
    assert loss([0.5, -1.0, 0.25], target).data == loss([0.5, -1.0, 0.25], 2)
    gradcheck(lambda *x: loss(list(x), target), 0.5, -1.0, 0.25, order=2)


# Extreme inputs


@pytest.mark.parametrize("size", [1000.0, 1e6])
def test_cross_entropy_is_exact_at_any_logits(size):
    logits = [Value(size), Value(0), Value(0)]
    loss = cross_entropy(logits, 1)
    assert loss.data == size
    assert gradients(loss, logits) == [1, -1, 0]
    logits = [Value(0), Value(-size)]
    loss = cross_entropy(logits, 1)
    assert loss.data == size
    assert gradients(loss, logits) == [1, -1]
    logits = [Value(size), Value(size)]
    loss = cross_entropy(logits, 0)
    assert loss.data == pytest.approx(math.log(2), abs=size * 1e-15)
    assert gradients(loss, logits) == [-0.5, 0.5]


@pytest.mark.parametrize("x", [1000.0, 1e6])
def test_binary_cross_entropy_with_logits_is_exact_at_any_logit(x):
    for logit, target, expected, slope in [
        (x, 1, 0, 0),
        (x, 0, x, 1),
        (-x, 1, x, -1),
        (-x, 0, 0, 0),
        (x, 0.25, 0.75 * x, 0.75),
    ]:
        v = Value(logit)
        loss = binary_cross_entropy_with_logits(v, target)
        assert loss.data == expected
        assert gradients(loss, [v]) == [slope]


def test_infinite_logits_have_a_loss():
    """With an infinite logit, the binary loss is 0 or inf and its gradient is finite; neither is nan."""
    for logit, target, expected, slope in [(1, 1, 0, 0), (1, 0, 1, 1), (-1, 1, 1, -1), (-1, 0, 0, 0)]:
        v = Value(logit * math.inf)
        loss = binary_cross_entropy_with_logits(v, target)
        assert loss.data == (math.inf if expected else 0)
        assert gradients(loss, [v]) == [slope]


def test_small_losses_keep_their_digits():
    assert binary_cross_entropy_with_logits(40.0, 1) == pytest.approx(math.exp(-40), rel=1e-12)
    assert binary_cross_entropy(1e-20, 0) == pytest.approx(1e-20, rel=1e-12)


@pytest.mark.parametrize(
    ("p", "t", "expected"), [(0.0, 1, 100), (1.0, 0, 100), (0.0, 0, 0), (1.0, 1, 0), (1e-60, 1, 100)]
)
def test_binary_cross_entropy_is_finite_at_certain_predictions(p, t, expected):
    v = Value(p)
    loss = binary_cross_entropy(v, t)
    assert loss.data == expected
    [slope] = gradients(loss, [v])
    assert math.isfinite(slope)


@pytest.mark.parametrize("loss", [mse_loss, l1_loss, huber_loss])
def test_regression_losses_are_finite_far_out(loss):
    v = Value(1e6)
    y = loss(v, -1e6)
    assert math.isfinite(y.data)
    assert gradients(y, [v])[0] > 0


def test_huber_is_smooth_at_zero_and_kinked_nowhere():
    gradcheck(lambda x: huber_loss(x, 0.0), 0.0, order=2)
    for d in (1.0, -1.0):
        v = Value(d)
        assert gradients(huber_loss(v, 0.0), [v]) == [d]


@pytest.mark.parametrize(
    ("x", "delta", "expected", "slope"),
    [  # PyTorch's slopes
        (3.0, float("inf"), 4.5, 3.0),  # not the object math.inf
        (-math.inf, math.inf, math.inf, -math.inf),
        (math.inf, 1.0, math.inf, 1.0),
        (-math.inf, 0.5, math.inf, -0.5),
        (1e200, 2.0, 2e200, 2.0),
        (3.0, 1e200, 4.5, 3.0),
    ],
)
def test_huber_has_a_slope_at_infinity(x, delta, expected, slope):
    """The Huber loss has PyTorch's slope for infinite and huge inputs and for any delta."""
    v = Value(x)
    loss = huber_loss(v, 0.0, delta=delta)
    assert (loss.data, huber_loss(x, 0.0, delta=delta)) == (expected, expected)
    assert gradients(loss, [v]) == [slope]
    assert gradients(loss, [v], create_graph=True)[0].data == slope
    loss.backward()
    assert v.grad == slope


@pytest.mark.parametrize("loss", [mse_loss, huber_loss, binary_cross_entropy_with_logits])
def test_an_input_that_is_nan_has_the_slope_nan(loss):
    """Training must not go on with gradients of 0 where the loss is nan."""
    v = Value(math.nan)
    y = loss(v, 1.0)
    assert math.isnan(y.data)
    assert math.isnan(gradients(y, [v])[0])


# Refusals


@pytest.mark.parametrize(
    ("call", "exception", "message"),
    [
        (lambda: cross_entropy([1, 2, 3], 3), IndexError, "cross_entropy: target is 3, but there are 3 classes"),
        (lambda: cross_entropy([1, 2, 3], 5), IndexError, "cross_entropy: target is 5, but there are 3 classes"),
        (lambda: cross_entropy([[1, 2], [1, 2]], [0, -1]), IndexError, r"target\[1\] is -1, but there are 2 classes"),
        (lambda: cross_entropy([1, 2], 1.0), TypeError, "target must be the index of a class, got float 1.0"),
        (lambda: cross_entropy([1, 2], True), TypeError, "got bool True"),
        (lambda: cross_entropy([[1, 2], [3, 4]], [0]), ValueError, "2 rows of inputs but 1 target"),
        (lambda: cross_entropy([[1, 2]], [0, 1]), ValueError, "1 row of inputs but 2 targets"),
        (lambda: cross_entropy([[1, 2], [3, 4]], 0), ValueError, "2 rows of inputs but the one target 0"),
        (lambda: nll_loss([-1.0, -2.0], 2), IndexError, "nll_loss: target is 2"),
        (lambda: hinge_loss([1.0, 2.0], [1, 0]), ValueError, r"hinge_loss: target\[1\] must be -1 or 1, got 0"),
        (lambda: binary_cross_entropy([0.5], [2]), ValueError, r"target\[0\] must be from 0 to 1, got 2"),
        (
            lambda: binary_cross_entropy([1.5], [1]),
            ValueError,
            r"input\[0\] must be a probability from 0 to 1, got 1.5",
        ),
        (
            lambda: binary_cross_entropy([-0.5], [1]),
            ValueError,
            r"input\[0\] must be a probability from 0 to 1, got -0.5",
        ),
        (lambda: binary_cross_entropy([math.nan], [1]), ValueError, r"input\[0\] must be a probability"),
        (lambda: binary_cross_entropy_with_logits(1.0, -1), ValueError, "target must be from 0 to 1, got -1"),
        (lambda: mse_loss([1, 2], [1]), ValueError, "mse_loss: 2 inputs but 1 target"),
        (lambda: mse_loss([1], [1, 2]), ValueError, "mse_loss: 1 input but 2 targets"),
        (lambda: mse_loss(["1"], [1, 2]), TypeError, r"mse_loss: input\[0\]: "),
        (lambda: mse_loss([[1, 2]], [1, 2]), ValueError, r"the inputs are nested one level deeper; write inputs\[0\]"),
        (lambda: mse_loss([[1, 2, 3]], [[1, 2], 3]), ValueError, "but they are nested in different ways"),
        (lambda: cross_entropy([], []), ValueError, "cross_entropy: the batch is empty"),
        (lambda: l1_loss([], []), ValueError, "l1_loss: the batch is empty"),
        (lambda: mse_loss([1], [1], "all"), ValueError, 'reduction must be "mean", "sum" or "none", got \'all\''),
        (lambda: cross_entropy([1, 2], 0, "avg"), ValueError, "cross_entropy: reduction"),
        (lambda: huber_loss(1, 2, delta=0), ValueError, "huber_loss: delta must be positive, got 0"),
        (lambda: huber_loss(1, 2, delta=math.nan), ValueError, "huber_loss: delta must be positive, got nan"),
        (
            lambda: cross_entropy([1, 2], Value(2)),
            IndexError,
            "cross_entropy: target is 2.0, but the classes are 0 to 1",
        ),
        (
            lambda: nll_loss([[1, 2]] * 2, [0, Value(0.5)]),
            IndexError,
            r"nll_loss: target\[1\] is 0.5, but the classes are",
        ),
        (lambda: nll_loss([1, 2], Value(-1)), IndexError, "target is -1.0, but the classes are 0 to 1"),
        (lambda: nll_loss([1, 2], Value(math.nan)), IndexError, "target is nan, but the classes are 0 to 1"),
        (lambda: cross_entropy([1, 2], Value(math.inf)), IndexError, "target is inf"),
        (lambda: cross_entropy([1, 2], "1"), TypeError, "target must be the index of a class, got str '1'"),
        (lambda: mse_loss([1], ["a"]), TypeError, "str 'a'"),
        (lambda: hinge_loss([1], ["1"]), TypeError, "str '1'"),
        (lambda: mse_loss(["a"], [1]), TypeError, "str 'a'"),
    ],
)
def test_what_is_refused_is_named(call, exception, message):
    with pytest.raises(exception, match=message):
        call()


ELEMENTWISE = [mse_loss, l1_loss, huber_loss, hinge_loss, binary_cross_entropy, binary_cross_entropy_with_logits]
COLUMN = [[1.0], [1.0]]
DEEPER = [
    (COLUMN, [t for [t] in COLUMN], "[{0} for [{0}] in {1}]"),
    (np.array(COLUMN), np.array(COLUMN).ravel(), "{1}.ravel()"),
    ([1.0], 1.0, "{1}[0]"),
    (np.array([1.0]), 1.0, "{1}[0]"),
    ([[1.0, 1.0]], [1.0, 1.0], "{1}[0]"),
    (np.array([[[1.0], [1.0]]]), [[1.0], [1.0]], "{1}[0]"),
]


@pytest.mark.parametrize("loss", ELEMENTWISE)
@pytest.mark.parametrize(("deep", "flat", "write"), DEEPER)
def test_a_column_beside_a_row_is_told_what_to_write(loss, deep, flat, write):
    """If inputs and targets have as many elements but one is nested deeper, the error has code that flattens it.

    The test runs that code. PyTorch's `mse_loss` would broadcast a column beside a row, and give another loss.
    """
    count, s = len(np.ravel(flat)), "s" * (np.ravel(flat).size > 1)
    for what, letter, arguments in (("targets", "t", (flat, deep)), ("inputs", "x", (deep, flat))):
        message = f"{count} input{s} and {count} target{s}, but the {what} are .*"
        with pytest.raises(ValueError, match=message) as caught:
            loss(*arguments)
        said = str(caught.value)
        assert said.startswith(f"{loss.__name__}: ")
        assert said.endswith(f"nested one level deeper; write {write.format(letter, what)}")
        repaired = eval(said.partition("write ")[2], {"targets": deep, "inputs": deep})
        assert loss(*[repaired if x is deep else x for x in arguments]) == loss(flat, flat)


@pytest.mark.parametrize("loss", ELEMENTWISE)
def test_elements_of_an_array_that_are_nested_deeper_inside_are_said_to_be(loss):
    """Where only inner elements are nested deeper, the error says so, without code that would not help."""
    square = [[1.0, 1.0], [1.0, 1.0]]
    with pytest.raises(ValueError, match=r"4 inputs and 4 targets, but the targets are nested one level deeper$"):
        loss(square, [[[x] for x in row] for row in square])


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
def test_classes_and_rows_that_are_nested_one_deeper_are_told_what_to_write(loss):
    """For class indices or rows of scores that are nested deeper, the error has code that works, where there is any."""
    rows, targets = [[1.0, 2.0, 3.0], [0.0, 0.5, 0.25]], [2, 1]
    expected = loss(rows, targets)
    column, deep = [[t] for t in targets], [[row] for row in rows]
    for given, write in ((column, "[t for [t] in targets]"), (np.array(column), "targets.ravel()")):
        with pytest.raises(TypeError, match=r"target\[0\] must be the index of a class, got list \[2\]") as caught:
            loss(rows, given)
        assert str(caught.value).endswith(f"; write {write}")
        assert loss(rows, eval(write, {"targets": given})) == expected
    with pytest.raises(TypeError, match=r"target must be the index of a class, got list \[2\]; write targets\[0\]"):
        loss(rows[0], [2])
    with pytest.raises(TypeError, match=r"target\[0\] must be .*, got list \[0, 0, 1\]; for one-hot"):
        loss(rows, [[0, 0, 1], [0, 1, 0]])
    for given, write in ((deep, "[row for [row] in inputs]"), (np.array(deep), "inputs.squeeze(1)")):
        with pytest.raises(ValueError, match=r"input\[0\] is nested one level deeper than a row of class") as caught:
            loss(given, targets)
        assert str(caught.value).endswith(f"; write {write}")
        assert loss(eval(write, {"inputs": given}), targets) == expected
    with pytest.raises(ValueError, match=r"input\[0\] is nested one level deeper than a row of class scores$"):
        loss([rows, rows], targets)


ROWS = [[1.0, 2.0, 3.0], [0.5, -1.0, 0.25]]
HOT = np.eye(3)[[2, 0]]


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
@pytest.mark.parametrize(
    ("rows", "wrong", "right"),
    [
        (ROWS, [[0, 0, 1], [1, 0, 0]], [2, 0]),
        (ROWS, [[Value(0), 0, 1], [1, 0, 0]], [2, 0]),
        (ROWS, HOT, [2, 0]),
        (ROWS[0], [0, 0, 1.0], 2),
        (ROWS[0], HOT[0], 2),
        (ROWS, [2.0, 0.0], [2, 0]),
        (ROWS, [2, np.float64(0)], [2, 0]),
        (ROWS, np.array([2.0, 0.0]), [2, 0]),
        (ROWS, [True, False], [1, 0]),
        (ROWS[0], 2.0, 2),
        (ROWS[:1], 2, [2]),
    ],
)
def test_targets_that_are_no_indices_are_answered_with_code_that_works(loss, rows, wrong, right):
    with pytest.raises((TypeError, ValueError), match=f"^{loss.__name__}: .*write ") as caught:
        loss(rows, wrong)
    write = str(caught.value).rpartition("write ")[2]
    assert loss(rows, eval(write, {"targets": wrong, "target": wrong})) == loss(rows, right)


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
@pytest.mark.parametrize(("rows", "wrong", "right"), [(ROWS, ["cat", "dog"], [0, 1]), (ROWS[0], "dog", 1)])
def test_names_of_classes_are_answered_with_code_that_works(loss, rows, wrong, right):
    with pytest.raises(TypeError, match="; with a list of the classes' names, write ") as caught:
        loss(rows, wrong)
    write = str(caught.value).rpartition("write ")[2]
    names = ["cat", "dog", "owl"]
    assert loss(rows, eval(write, {"targets": wrong, "target": wrong, "names": names})) == loss(rows, right)


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
def test_probabilities_of_classes_are_answered_with_code_that_works(loss):
    with pytest.raises(TypeError, match=r"for probabilities of the classes, write .* for each row$") as caught:
        loss(ROWS, [[0.5, 0.25, 0.25], [1, 0, 0]])
    write = str(caught.value).rpartition("write ")[2].removesuffix(" for each row")
    names = {"dot": dot, "logsumexp": logsumexp, "row": ROWS[0], "target": [0.5, 0.25, 0.25]}
    expected = sum(p * loss(ROWS[0], i) for i, p in enumerate(names["target"]))
    assert eval(write, names) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
@pytest.mark.parametrize(("rows", "wrong"), [(ROWS, [0.5, 1]), (ROWS[0], 0.5), (ROWS, ["cat", 1]), (ROWS, [None, 1])])
def test_what_no_code_turns_into_classes_gets_no_advice(loss, rows, wrong):
    with pytest.raises(TypeError) as caught:
        loss(rows, wrong)
    assert "write" not in str(caught.value)


def test_a_range_counts_as_the_list_of_its_numbers():
    """As in `cross_entropy(similarities, range(n))`, where each row belongs to its own column."""
    rows = [[0.5, 1.0, -1.0], [2.0, 0.25, 1.0]]
    assert cross_entropy(rows, range(2)) == cross_entropy(rows, [0, 1])
    assert cross_entropy(rows, range(2), weight=range(1, 4)) == cross_entropy(rows, [0, 1], weight=[1, 2, 3])
    assert nll_loss(rows, range(2), reduction="none") == nll_loss(rows, [0, 1], reduction="none")
    assert cross_entropy([range(3), range(1, 4)], range(2)) == cross_entropy([[0, 1, 2], [1, 2, 3]], [0, 1])
    assert cross_entropy(range(3), 1) == cross_entropy([0, 1, 2], 1)
    assert mse_loss(rows[0], range(3)) == mse_loss(rows[0], [0, 1, 2])
    assert l1_loss(range(3), rows[0], reduction="none") == l1_loss([0, 1, 2], rows[0], reduction="none")
    assert huber_loss(range(3), range(1, 4)) == huber_loss([0, 1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="2 rows of inputs but 3 targets"):
        cross_entropy(rows, range(3))


@pytest.mark.parametrize(
    ("call", "exception", "message"),
    [
        (lambda: cross_entropy(Value(1), 0), TypeError, "input must be a row of class scores.*got Value"),
        (lambda: cross_entropy(1.5, 0), TypeError, "input must be a row of class scores.*got 1.5"),
        (lambda: cross_entropy([1, 2, 3], [1, 2]), TypeError, "one row of class scores, and a batch is a list of rows"),
        (lambda: cross_entropy(ROWS, map(int, "01")), TypeError, r"target must be a list, got a map; write list\("),
        (lambda: cross_entropy([[1], [2]], [0, 1]), IndexError, "1 class; .*use binary_cross_entropy_with_logits"),
        (lambda: cross_entropy([1, 2], 2), IndexError, "target is 2, but there are 2 classes, counted from 0$"),
        (lambda: mse_loss(deque([1]), [1]), TypeError, r"inputs must be a list, got a deque; write list\(\.\.\.\)"),
        (lambda: mse_loss([1], {1: 2}.values()), TypeError, "targets must be a list, got a dict_values"),
        (lambda: mse_loss([1, 2], None), TypeError, "mse_loss: target: expected a real number, got NoneType"),
        (
            lambda: mse_loss([1, 2], [1, None]),
            TypeError,
            r"mse_loss: target\[1\]: expected a real number, got NoneType",
        ),
        (lambda: hinge_loss([[1, "a"]], [[1, 1]]), TypeError, r"hinge_loss: input\[0\]\[1\]: .* got the str 'a'"),
        (lambda: mse_loss(MLP(2, [1]), [1, 2]), TypeError, "input: .*got MLP; call it, and pass what it returns"),
        (lambda: l1_loss([1], [math.sin]), TypeError, r"target\[0\]: .*; call it, and pass what it returns"),
        (
            lambda: mse_loss([[1, 2], [3, 4]], [1, 2]),
            ValueError,
            "4 inputs but 2 targets: the inputs are a list of 2 x 2, the targets a list of 2$",
        ),
        (lambda: huber_loss([1], [1], delta="a"), TypeError, "huber_loss: delta: expected a real number"),
        (lambda: hinge_loss([1, 2], [1, 0]), ValueError, r"got 0\.0; for labels 0 and 1, write 2 \* t - 1$"),
        (lambda: binary_cross_entropy([0.5], [-1]), ValueError, r"for labels -1 and 1, write \(t \+ 1\) / 2$"),
        (lambda: binary_cross_entropy([2], [1]), ValueError, "for logits, use binary_cross_entropy_with_logits$"),
    ],
)
def test_what_is_refused_is_answered_with_what_to_write(call, exception, message):
    with pytest.raises(exception, match=message):
        call()


def test_the_delta_of_huber_loss_may_be_trained():
    delta = Value(2)
    huber_loss([5.0], [0.0], delta=delta).backward()
    assert delta.grad == 3.0


class Table:
    """It has what is read of a DataFrame of pandas: its items are the labels of its columns."""

    def __init__(self, rows):
        self.rows, self.columns = rows, range(len(rows[0]))

    def __iter__(self):
        return iter(self.columns)

    def __len__(self):
        return len(self.rows)

    def to_numpy(self):
        return np.array(self.rows)


@pytest.mark.parametrize(
    "call",
    [
        lambda df: mse_loss([Value(1), Value(2)], df),
        lambda df: mse_loss(df, [1, 2]),
        lambda df: binary_cross_entropy_with_logits([1.0, 2.0], [1, 0], weight=df),
        lambda df: cross_entropy(df, [0, 1]),
        lambda df: cross_entropy([1.0, 2.0], df),
        lambda df: cross_entropy([df, df], [0, 1]),
    ],
)
def test_a_table_is_not_read_by_its_labels(call):
    """A user who wrote list(df) would get the labels of the columns."""
    with pytest.raises(TypeError, match=r"Table, which would give the labels.*; write df\.to_numpy\(\)") as caught:
        call(Table([[5.0, 6.0], [7.0, 8.0]]))
    assert "list(" not in str(caught.value)


class Tensor(Table):
    """It has what is read of a PyTorch tensor that requires a gradient."""

    requires_grad, grad_fn = True, None

    def __init__(self, numbers):
        self.numbers, self.shape = numbers, (len(numbers),)

    def __len__(self):
        return len(self.numbers)

    def tolist(self):
        return self.numbers


@pytest.mark.parametrize(
    "call",
    [
        lambda t: mse_loss(t, [0.0, 0.0]),
        lambda t: mse_loss([Value(1), Value(2)], t),
        lambda t: mse_loss([t], [[0.0, 0.0]]),
        lambda t: mse_loss({"a": t}, {"a": [0.0, 0.0]}),
        lambda t: binary_cross_entropy([0.5, 0.5], [1, 1], weight=t),
        lambda t: cross_entropy(t, 1),
        lambda t: cross_entropy([0.0, 1.0], 1, weight=t),
        lambda t: nll_loss(t, 1),
    ],
)
def test_an_array_of_another_engine_that_requires_a_gradient_is_refused(call):
    """Its numbers would be read, and no gradient would reach it."""
    with pytest.raises(TypeError, match=r"_loss|entropy: .*Tensor, which requires a gradient, .*; write t\.detach\(\)"):
        call(Tensor([0.5, 1.0]))
    without = Tensor([0.5, 1.0])
    without.requires_grad = False
    assert math.isfinite(call(without).data if isinstance(call(without), Value) else call(without))


def test_factors_may_be_values():
    """A compiled function may take a weight for each sample, and a weight may be learnt."""
    w, x = Value(2.0), Value(0.5)
    loss = binary_cross_entropy_with_logits([x, 1.0], [1, 0], weight=[w, 3], pos_weight=w)
    loss.backward()
    a, b = (binary_cross_entropy_with_logits(z, t) for z, t in ((0.5, 1), (1.0, 0)))
    assert loss.data == pytest.approx((4 * a + 3 * b) / 2, rel=1e-15)
    assert w.grad == pytest.approx(2 * a, rel=1e-15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: cross_entropy([Value(1), Value(2)], [0, 1]),
            "for a batch with one logit for each sample, use binary_c",
        ),
        (
            lambda: cross_entropy([Value(1), 2, 3], [0, 1, 1]),
            "for a batch with one logit for each sample, use binary_c",
        ),
        (lambda: cross_entropy([1, 2], 0, weight={0: 1.0}), r"got {0: 1.0}; write \[weight\[c\] for c in range\(n\)\]"),
        (lambda: cross_entropy([1, 2], 0, weight="balanced"), r"got 'balanced'; .* write \[len\(y\) / \(n \* y.count"),
        (
            lambda: nll_loss([1, 2], 0, weight=[1, Value(2)]),
            r"weight\[1\] must be a number, got a Value; write reduction",
        ),
        (lambda: nll_loss([1, 2], 0, weight=[1, "2"]), r"nll_loss: weight\[1\]: expected a real number, got the str"),
        (
            lambda: binary_cross_entropy(0.5, 1, weight="2"),
            "binary_cross_entropy: weight: expected a real number, got the",
        ),
    ],
)
def test_what_is_no_target_or_weight_is_answered_with_what_to_write(call, message):
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize("loss", [mc.losses.cross_entropy, mc.losses.nll_loss])
def test_targets_that_are_arrays_in_a_list_are_answered_with_what_to_write(loss):
    rows, targets = [[1.0, 2.0], [3.0, 1.0]], [np.array([0]), np.array([1])]
    with pytest.raises(
        TypeError, match=r"target\[0\] must be .*got ndarray array\(\[0\]\); write \[t for \[t\] in targets\]$"
    ):
        loss(rows, targets)
    assert loss(rows, [t for [t] in targets]) == loss(rows, [0, 1])
    targets = [np.array([0, 1]), np.array([1, 0])]
    with pytest.raises(TypeError, match=r"for one-hot targets, write \[t\.argmax\(\) for t in targets\]$"):
        loss(rows, targets)
    assert loss(rows, [t.argmax() for t in targets]) == loss(rows, [1, 0])


MASKED = np.ma.array([1.0, 0.0, 1.0], mask=[0, 1, 0])


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: mse_loss([Value(1.0)] * 3, MASKED), "mse_loss: targets: "),
        (lambda: l1_loss(MASKED, [Value(1.0)] * 3), "l1_loss: inputs: "),
        (lambda: mse_loss([MASKED], [[Value(1.0)] * 3]), ""),
        (lambda: cross_entropy([[Value(1.0), Value(2.0)]] * 3, MASKED.astype(int)), "cross_entropy: target: "),
        (lambda: cross_entropy([MASKED], [1]), "cross_entropy: input.0.: "),
        (lambda: cross_entropy([Value(1.0)] * 3, 1, weight=MASKED), "cross_entropy: weight: "),
        (lambda: mc.sum(MASKED), ""),
        (lambda: mc.dot(MASKED, [Value(1.0)] * 3), ""),
        (lambda: MLP(3, [1])(MASKED), ""),
        (lambda: grad(lambda xs: xs[0] * xs[1])(MASKED), ""),
    ],
)
def test_missing_numbers_of_masked_arrays_are_refused(call, what):
    with pytest.raises(TypeError, match=f"^{what}.*a masked array in which some numbers are missing; write x.filled"):
        call()


def test_masked_arrays_without_missing_numbers_are_arrays():
    full, plain = np.ma.array([1.0, 0.0, 1.0]), [1.0, 0.0, 1.0]
    assert mse_loss([0.5, 0.5, 2.0], full) == mse_loss([0.5, 0.5, 2.0], plain)
    assert cross_entropy(full, 1, weight=full + 1.0) == cross_entropy(plain, 1, weight=[2.0, 1.0, 2.0])
    assert mc.sum(full) == 2.0
