"""The losses' options give PyTorch's numbers, eager and compiled.

The options are `reduction="none"`, weights, ignored targets and label smoothing.
"""

import itertools
import math
import random
import re

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, dot, gradients, log, softmax
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
from micrograd_cn.testing import gradcheck

ELEMENTWISE = [mse_loss, l1_loss, huber_loss, hinge_loss, binary_cross_entropy, binary_cross_entropy_with_logits]
CLASSES = [cross_entropy, nll_loss]
LOGITS = [[1.5, -2.0, 0.25], [0.5, 3.0, -1.0], [0.0, -0.5, 0.75]]
WEIGHT = [0.5, 2.0, 3.0]


def log_softmax(row):
    """Return the logarithms of the softmax of a row, which `nll_loss` takes."""
    return [x - mc.logsumexp(row) for x in row]


# Huge logits


@pytest.mark.parametrize("count", [2, 3, 10])
@pytest.mark.parametrize("size", [1e17, -1e17, 1e300])
def test_equal_logits_of_any_size_have_the_loss_log_n(count, size):
    logits = [Value(size) for _ in range(count)]
    loss = cross_entropy(logits, 0)
    assert loss.data == cross_entropy([size] * count, 0) == pytest.approx(math.log(count), rel=1e-15)
    assert gradients(loss, logits) == pytest.approx([1 / count - 1, *[1 / count] * (count - 1)], rel=1e-15)
    smoothed = cross_entropy([size] * count, 0, label_smoothing=0.3)
    assert smoothed == pytest.approx(math.log(count), rel=1e-15)


# No reduction


@pytest.mark.parametrize("loss", ELEMENTWISE)
def test_elements_keep_the_shape_of_the_input(loss):
    inputs, targets = [[0.25, 0.5], [0.75, 0.125]], [[1.0, 1.0], [1.0, 1.0]]
    singles = [[loss(x, t) for x, t in zip(*rows, strict=True)] for rows in zip(inputs, targets, strict=True)]
    assert loss(inputs, targets, reduction="none") == singles
    assert loss(0.25, 1.0, reduction="none") == loss(0.25, 1.0)
    array = loss(np.array(inputs), np.array(targets), reduction="none")
    assert (type(array), array.tolist()) == (np.ndarray, singles)
    values = [[Value(x) for x in row] for row in inputs]
    found = loss(values, targets, reduction="none")
    assert [[y.data for y in row] for row in found] == singles
    assert gradients(found[1][0], [values[0][0], values[1][0]])[0] == 0.0


@pytest.mark.parametrize("loss", CLASSES)
def test_rows_have_a_loss_each(loss):
    rows = [log_softmax(row) for row in LOGITS]
    assert loss(rows, [0, 2, 1], reduction="none") == [loss(row, t) for row, t in zip(rows, [0, 2, 1], strict=True)]
    assert loss(rows[0], 2, reduction="none") == loss(rows[0], 2)
    ignored = loss(rows, [0, 2, 1], reduction="none", ignore_index=2)
    assert ignored == [loss(rows[0], 0), 0.0, loss(rows[2], 1)]


# Options


@pytest.mark.parametrize("loss", CLASSES)
def test_the_mean_is_of_weights(loss):
    """With class weights, the mean is the weighted sum of the losses, divided by the sum of the targets' weights."""
    rows = [log_softmax(row) for row in LOGITS]
    singles = [loss(row, t) for row, t in zip(rows, [0, 2, 1], strict=True)]
    assert loss(rows, [0, 2, 1], weight=WEIGHT, reduction="none") == pytest.approx(
        [0.5 * singles[0], 3.0 * singles[1], 2.0 * singles[2]], rel=1e-15
    )
    weighted = (0.5 * singles[0] + 3.0 * singles[1] + 2.0 * singles[2]) / 5.5
    assert loss(rows, [0, 2, 1], weight=WEIGHT) == pytest.approx(weighted, rel=1e-15)
    assert loss(rows, [0, 2, 1], weight=np.array(WEIGHT), ignore_index=2) == pytest.approx(
        (0.5 * singles[0] + 2.0 * singles[2]) / 2.5, rel=1e-15
    )
    assert loss(rows[1], 2, weight=WEIGHT) == pytest.approx(singles[1], rel=1e-15)


def test_ignored_rows_have_no_gradient():
    rows = [[Value(x) for x in row] for row in LOGITS]
    cross_entropy(rows, [0, -100, 1], ignore_index=-100).backward()
    assert [x.grad for x in rows[1]] == [0.0] * 3
    assert all(x.grad for x in rows[0] + rows[2])
    assert cross_entropy(rows, [-1, -1, -1], "sum", ignore_index=-1).data == 0.0


def test_label_smoothing_is_the_cross_entropy_of_the_smoothed_target():
    row, smoothing = LOGITS[0], 0.3
    target = [smoothing / 3 + (1 - smoothing) * (c == 1) for c in range(3)]
    expected = -mc.dot(target, log_softmax(row))
    assert cross_entropy(row, 1, label_smoothing=smoothing) == pytest.approx(expected, rel=1e-14)
    gradcheck(lambda *xs: cross_entropy(list(xs), 1, label_smoothing=smoothing, weight=WEIGHT), *row, order=2)


def test_weights_of_binary_losses_are_for_elements_or_for_the_last_axis():
    x, t = [[0.5, -1.0], [2.0, 0.25]], [[1.0, 0.0], [0.5, 1.0]]
    for weight, spread in ((3, [[3, 3], [3, 3]]), ([1, 2], [[1, 2], [1, 2]]), ([[1, 2], [3, 4]], [[1, 2], [3, 4]])):
        plain = binary_cross_entropy_with_logits(x, t, "none")
        weighted = binary_cross_entropy_with_logits(x, t, "none", weight=weight)
        assert weighted == [[w * y for w, y in zip(*r, strict=True)] for r in zip(spread, plain, strict=True)]
        p = [[mc.sigmoid(v) for v in row] for row in x]
        assert binary_cross_entropy(p, t, weight=np.array(weight) if weight != 3 else 3) == pytest.approx(
            binary_cross_entropy_with_logits(x, t, weight=weight), rel=1e-14
        )
        positive = binary_cross_entropy_with_logits(x, t, "none", pos_weight=weight)
        for (i, j), label in np.ndenumerate(t):
            expected = label * spread[i][j] * mc.softplus(-x[i][j]) + (1 - label) * mc.softplus(x[i][j])
            assert positive[i][j] == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("positive", [False, True])
def test_binary_cross_entropy_with_logits_is_its_definition_for_targets_between_0_and_1(weighted, positive):
    """For targets between 0 and 1, the loss and its gradients are those of the formula with logarithms.

    This holds for targets that are numbers or `Value`s, in the engine and in a compiled program.
    """
    compiler = pytest.importorskip("micrograd_cn.compiler")
    rng = random.Random(0)
    for _ in range(20):
        x, t = [rng.uniform(-5, 5) for _ in range(3)], [rng.uniform(0.05, 0.95) for _ in range(3)]
        w, v = ([rng.uniform(0.5, 3) if on else 1.0 for _ in x] for on in (weighted, positive))
        p = [1 / (1 + math.exp(-z)) for z in x]
        columns = [*zip(x, t, w, v, p, strict=True)]
        loss = sum(-w * (v * t * math.log(p) + (1 - t) * math.log(1 - p)) for _, t, w, v, p in columns)
        slopes = [w * ((1 - t) * p - v * t * (1 - p)) for _, t, w, v, p in columns]
        target_slopes = [w * (math.log(1 - p) - v * math.log(p)) for _, _, w, v, p in columns]
        options = ({"weight": w} if weighted else {}) | ({"pos_weight": v} if positive else {})
        for values in (False, True):
            logits, targets = [Value(z) for z in x], [Value(z) for z in t] if values else t
            eager = binary_cross_entropy_with_logits(logits, targets, "sum", **options)
            wrt, expected = (logits + targets, slopes + target_slopes) if values else (logits, slopes)
            assert [eager.data, *gradients(eager, wrt)] == pytest.approx([loss, *expected], rel=1e-12, abs=1e-12)
            program, row = compiler.compile(eager, wrt), [[*x, *t] if values else x]
            found = [program.forward(row)[0], *program.gradient(row)[0]]
            assert found == pytest.approx([loss, *expected], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("p", "t", "slope"), [(1e-320, 1, 0), (3.7e-44, 1, 0), (3.8e-44, 1, -1 / 3.8e-44), (1.0, 0, 0), (1e-320, 0, 1)]
)
def test_binary_cross_entropy_has_no_gradient_where_a_logarithm_is_replaced(p, t, slope):
    """The loss replaces a logarithm below -100 by the constant -100, so the derivative of that term is 0 there."""
    x = Value(p)
    binary_cross_entropy(x, t).backward()
    assert x.grad == pytest.approx(slope, rel=1e-12)


# Refusals


@pytest.mark.parametrize(
    ("call", "exception", "message"),
    [
        (lambda: cross_entropy(LOGITS, [0, 1, 2], WEIGHT), ValueError, r'"none", got \[0.5, .*; give other options by'),
        (lambda: mse_loss([1], [1], np.ones(3)), ValueError, "give other options by their names"),
        (lambda: cross_entropy(LOGITS, [0, -100, 1]), IndexError, r"is -100, .*; write ignore_index=-100 to leave it"),
        (lambda: cross_entropy(LOGITS, [0, -1, 1], ignore_index=2), IndexError, r"target\[1\] is -1"),
        (lambda: cross_entropy(LOGITS, [1] * 3, ignore_index=1), ValueError, r"every target is ignored, .*; write red"),
        (
            lambda: nll_loss(LOGITS, [Value(1)] * 3, ignore_index=1),
            ValueError,
            "nll_loss: every target is ignored, so there is no mean",
        ),
        (lambda: nll_loss(LOGITS, [1, 1, 1], weight=[1, 0, 1]), ValueError, "the weights of all targets are 0"),
        (lambda: cross_entropy(LOGITS, [1] * 3, weight=[1, 2]), ValueError, "weight has 2 numbers, but there are 3 cl"),
        (lambda: cross_entropy(LOGITS, [1] * 3, weight=["a"] * 3), TypeError, "str 'a'"),
        (
            lambda: cross_entropy(LOGITS, [1] * 3, weight=3),
            TypeError,
            "weight must have a number for each class, got 3",
        ),
        (lambda: cross_entropy([1, 2], 1, ignore_index=1.0), TypeError, "ignore_index must be an integer or None, got"),
        (lambda: cross_entropy([1, 2], 1, label_smoothing=1.5), ValueError, "label_smoothing must be from 0 to 1, got"),
        (lambda: cross_entropy([1, 2], 1, label_smoothing=math.nan), ValueError, "label_smoothing must be from 0 to 1"),
        (
            lambda: binary_cross_entropy([0.5, 0.5], [1, 1], weight=[1, 2, 3]),
            ValueError,
            r"weight must be a number, or have the shape of the input or of its last axes, got \[1, 2, 3\]",
        ),
        (
            lambda: binary_cross_entropy_with_logits([[0.5], [0.5]], [[1], [1]], pos_weight=[[1], [2], [3]]),
            ValueError,
            "pos_weight must be a number, or have the shape",
        ),
        (lambda: binary_cross_entropy_with_logits(0.5, 1, weight=[2]), ValueError, "weight must be a number, or have"),
    ],
)
def test_what_is_refused_is_named(call, exception, message):
    with pytest.raises(exception, match=message):
        call()


@pytest.mark.parametrize("loss", CLASSES)
@pytest.mark.parametrize("count", [0, 2, 3])
def test_to_leave_a_target_out_is_advised_if_it_is_negative_alone(loss, count):
    """A target that is too large is a mistake: often, the classes were counted from 1."""
    for target in (-100, -1, count, count + 1):
        with pytest.raises(IndexError, match=rf"target\[0\] is {target}, but there are {count} classes") as caught:
            loss([[0.5] * count], [target])
        assert (f"write ignore_index={target} to leave it out" in str(caught.value)) == (target < 0)
        assert ("counted from 0" in str(caught.value)) == (target >= 0)


@pytest.mark.parametrize(
    ("loss", "option"),
    [
        (binary_cross_entropy, "weight"),
        (binary_cross_entropy_with_logits, "weight"),
        (binary_cross_entropy_with_logits, "pos_weight"),
    ],
)
def test_factors_have_the_shape_of_the_input_or_of_its_last_axes(loss, option):
    shapes = [(), *itertools.chain(*(itertools.product((1, 2, 3), repeat=axes) for axes in (1, 2, 3)))]
    inputs = [(np.full(shape, 0.5).tolist(), {shape[axis:] for axis in range(len(shape) + 1)}) for shape in shapes]
    inputs.append(({"a": [0.5, 0.5], "b": [0.5, 0.5]}, {(), (2,)}))  # no array has the shape of a dict
    for x, allowed in inputs:
        for shape in shapes:
            if shape in allowed:
                loss(x, x, **{option: np.ones(shape).tolist()})
                continue
            with pytest.raises(ValueError, match=f"{loss.__name__}: {option} must be a number, or have the shape"):
                loss(x, x, **{option: np.ones(shape).tolist()})
    x = {"a": 0.5, "b": 0.5}
    loss(x, x, **{option: {"a": 1.0, "b": 2.0}})
    for keys in ("", "a", "ac", "abc"):
        with pytest.raises(ValueError, match=f"{loss.__name__}: {option} must be a number, or have the shape"):
            loss(x, x, **{option: dict.fromkeys(keys, 1.0)})


# Compiled losses, and PyTorch's


def random_case(rng):
    """Return random logits, targets and options for `cross_entropy`, for which the loss is defined."""
    classes, rows = rng.randint(1, 5), rng.randint(1, 6)
    logits = [[rng.gauss(0, 10 ** rng.uniform(-1, 2)) for _ in range(classes)] for _ in range(rows)]
    targets = [rng.randrange(classes) for _ in range(rows)]
    options = {"reduction": rng.choice(["mean", "sum", "none"]), "ignore_index": rng.choice([None, -100, 0])}
    options["weight"] = rng.choice([None, [rng.uniform(0.1, 3.0) for _ in range(classes)]])
    options["label_smoothing"] = rng.choice([0.0, rng.random(), 1.0])
    if options["ignore_index"] is not None:
        targets = [rng.choice([t, options["ignore_index"]]) for t in targets]
        if options["reduction"] == "mean" and {*targets} == {options["ignore_index"]}:
            options["reduction"] = "sum"
    return logits, targets, options


def both(loss, logits):
    """Return the numbers of a loss, or of several losses, and of the gradient of their weighted sum."""
    losses = loss if isinstance(loss, list) else [loss]
    leaves = [x for row in logits for x in row]
    total = mc.sum([(k + 1.0) * y for k, y in enumerate(losses)])
    slopes = gradients(total, leaves) if isinstance(total, Value) else [0.0] * len(leaves)
    return [*(y.data if isinstance(y, Value) else y for y in losses), *slopes]


def test_a_target_that_is_a_value_gives_what_its_integer_does():
    rng = random.Random(0)
    for _ in range(300):
        logits, targets, options = random_case(rng)
        rows = [[Value(x) for x in row] for row in logits]
        expected = both(cross_entropy(rows, targets, **options), rows)
        found = both(cross_entropy(rows, [Value(t) for t in targets], **options), rows)
        assert found == pytest.approx(expected, rel=1e-13, abs=1e-14), (logits, targets, options)


def test_compiled_losses_give_the_eager_numbers_for_every_target():
    compiler = pytest.importorskip("micrograd_cn.compiler")
    rng = random.Random(1)
    for _ in range(25):
        logits, _, options = random_case(rng)
        options["reduction"] = "sum"
        xs, t = [Value(x) for x in logits[0]], Value(0.0)
        ws = [Value(0.5) for _ in xs]
        program = compiler.compile(cross_entropy([w * x for w, x in zip(ws, xs, strict=True)], t, **options), [*xs, t])
        for target in [*range(len(xs)), *([] if options["ignore_index"] is None else [options["ignore_index"]])]:
            for w in ws:
                w.grad = 0.0
            loss = program.backward([[*logits[0], target]])
            eager = cross_entropy([w * x for w, x in zip(ws, logits[0], strict=True)], target, **options)
            slopes = gradients(eager, ws) if isinstance(eager, Value) else [0.0] * len(ws)
            expected = [eager.data if isinstance(eager, Value) else eager, *slopes]
            assert [loss, *(w.grad for w in ws)] == pytest.approx(expected, rel=1e-12, abs=1e-12), options


def test_a_compiled_loss_of_huge_logits_is_right():
    compiler = pytest.importorskip("micrograd_cn.compiler")
    xs, t = [Value(0.5), Value(1.0), Value(0.0)], Value(1.0)
    program = compiler.compile(cross_entropy(xs, t), [*xs, t])
    assert program.forward([[1e17, 1e17, 1e17, 0.0], [1e17, 1e17, 0.0, 1.0]]) == pytest.approx(
        [math.log(3), math.log(2)], rel=1e-15
    )


def test_random_options_give_pytorchs_numbers():
    torch = pytest.importorskip("torch")
    F, rng = torch.nn.functional, random.Random(0)  # noqa: N806 -- PyTorch's name

    def tensor(x):
        return None if x is None else torch.tensor(x, dtype=torch.float64)

    def compare(ours, theirs, rows):
        leaves = tensor([[x.data for x in row] for row in rows]).requires_grad_()
        loss = theirs(leaves)
        weights = torch.arange(1, loss.numel() + 1, dtype=torch.float64)
        (slopes,) = torch.autograd.grad((loss.reshape(-1) * weights).sum(), leaves)
        expected = [*loss.reshape(-1).tolist(), *slopes.reshape(-1).tolist()]
        assert ours == pytest.approx(expected, rel=1e-12, abs=1e-12)

    for _ in range(300):
        logits, targets, options = random_case(rng)
        rows = [[Value(x) for x in row] for row in logits]
        kwargs = {**options, "weight": tensor(options["weight"])}
        if kwargs["ignore_index"] is None:
            del kwargs["ignore_index"]
        ours = both(cross_entropy(rows, targets, **options), rows)
        compare(ours, lambda x, t=targets, k=kwargs: F.cross_entropy(x, torch.tensor(t), **k), rows)
        del options["label_smoothing"], kwargs["label_smoothing"]
        ours = both(nll_loss(rows, targets, **options), rows)
        compare(ours, lambda x, t=targets, k=kwargs: F.nll_loss(x, torch.tensor(t), **k), rows)

        labels = [[rng.choice([0.0, 1.0, rng.random()]) for _ in row] for row in rows]
        shape = rng.choice([1.5, [rng.random() for _ in rows[0]], [[rng.random() for _ in row] for row in rows]])
        extra = {"weight": rng.choice([None, shape]), "reduction": options["reduction"]}
        probabilities = [[Value(rng.uniform(0.01, 0.99)) for _ in row] for row in rows]

        def flat(loss):
            return [y for row in loss for y in row] if isinstance(loss, list) else loss

        def torch_options(extra):
            return {k: v if k == "reduction" else tensor(v) for k, v in extra.items()}

        ours = both(flat(binary_cross_entropy(probabilities, labels, **extra)), probabilities)
        compare(
            ours,
            lambda x, t=labels, e=extra: F.binary_cross_entropy(x, tensor(t), **torch_options(e)),
            probabilities,
        )
        extra["pos_weight"] = rng.choice([None, shape])
        ours = both(flat(binary_cross_entropy_with_logits(rows, labels, **extra)), rows)
        compare(
            ours,
            lambda x, t=labels, e=extra: F.binary_cross_entropy_with_logits(x, tensor(t), **torch_options(e)),
            rows,
        )
        targets = [[rng.gauss(0, 1) for _ in row] for row in rows]
        for loss in (mse_loss, l1_loss, huber_loss):
            ours = both(flat(loss(rows, targets, options["reduction"])), rows)
            theirs, reduction = getattr(F, loss.__name__), options["reduction"]
            compare(ours, lambda x, f=theirs, t=targets, r=reduction: f(x, tensor(t), reduction=r), rows)


@pytest.mark.parametrize("loss", CLASSES)
def test_rows_of_different_lengths_and_what_is_no_row_are_refused(loss):
    with pytest.raises(ValueError, match=r"input\[1\] has 2 class scores, but input\[0\] has 3; each row needs"):
        loss([[1.0, 2.0, 3.0], [1.0, 2.0]], [0, 1])
    for inputs, targets, error in (
        ({0: 1.0, 1: 2.0}, 0, r"input: .* write list\(d.values\(\)\)"),
        ([{0: 1.0, 1: 2.0}], [0], r"input\[0\]: .* write list\(d.values\(\)\)"),
        ([[1.0, 2.0], {0: 1.0, 1: 2.0}], [0, 1], r"input\[1\]: .* write list\(d.values\(\)\)"),
        ({1.0, 2.0}, 0, "which has no order; write a list"),
        ([b"ab"], [0], r"write list\(b\)"),
        ([[1.0, 2.0]], {0: 1}, r"target: .* write list\(d.values\(\)\)"),
        (map(list, [[1.0, 2.0]]), [0], r"input must be a list, got a map; write list\(...\)"),
        ([[1.0, 2.0]], (t for t in [0]), r"target must be a list, got a generator; write list\(...\)"),
        ([[1.0, 2.0], 3.0], [0, 0], r"input\[1\] must be a row of class scores, got 3.0"),
    ):
        with pytest.raises(TypeError, match=error):
            loss(inputs, targets)


@pytest.mark.parametrize("loss", ELEMENTWISE)
def test_an_iterator_of_inputs_or_targets_is_refused(loss):
    for inputs, targets in ((map(float, [1, 1]), [1, 1]), ([1.0, 1.0], (t for t in [1, 1]))):
        with pytest.raises(TypeError, match=r"(inputs|targets) must be a list, got a .*; write list\(...\)"):
            loss(inputs, targets)


@pytest.mark.parametrize("loss", CLASSES)
def test_the_loss_of_ignored_rows_is_a_zero_that_backward_accepts(loss):
    """If all rows are ignored, the loss is a `Value` of 0 with gradient 0, even for infinite logits."""
    rows = [[Value(math.inf), Value(2.0)], [Value(1.0), Value(3.0)]]
    total = loss(rows, [-1, -1], "sum", ignore_index=-1)
    total.backward()
    assert total.data == 0.0
    assert [x.grad for row in rows for x in row] == [0.0] * 4
    losses = loss(rows, [-1, 0], "none", ignore_index=-1)
    assert [type(x) for x in losses] == [Value, Value]
    losses[0].backward()
    assert loss(rows[1], -1, "none", ignore_index=-1).data == 0.0
    assert loss([[1.0, 2.0]], [-1], "sum", ignore_index=-1) == 0.0
    assert [type(x) for x in loss([[1.0, 2.0]] * 2, [-1, 0], "none", ignore_index=-1)] == [float, float]
    constant = [Value(1.0).detach(), 2.0]
    assert [x.requires_grad for x in loss([constant] * 2, [-1, 0], "none", ignore_index=-1)] == [False, False]


UNKNOWN = [
    (cross_entropy, "size_average", 'write reduction="mean" or reduction="sum"'),
    (cross_entropy, "class_weight", "write weight=..."),
    (binary_cross_entropy, "class_weight", "write weight=[class_weight[t] for t in ts]"),
    (cross_entropy, "from_logits", "leave it out, because the input is logits"),
    (binary_cross_entropy_with_logits, "from_logits", "leave it out, because the input is logits"),
    (binary_cross_entropy, "from_logits", "write binary_cross_entropy_with_logits(logits, ts)"),
    (
        cross_entropy,
        "axis",
        "each row has the scores of one sample; for scores in columns, write cross_entropy([*zip(*columns)], ts)",
    ),
    (mse_loss, "dim", "write [mse_loss(row, t) for row, t in zip(rows, ts)] for the loss of each row"),
    (
        mse_loss,
        "weight",
        'write dot(weight, mse_loss(xs, ts, reduction="none")) / sum(weight), which is PyTorch\'s mean',
    ),
    (cross_entropy, "label_smooting", "write label_smoothing=..."),
    (nll_loss, "reduce", 'write reduction="none" for the losses of all elements'),
    (binary_cross_entropy, "pos_weight", "write binary_cross_entropy_with_logits(logits, ts)"),
    (binary_cross_entropy_with_logits, "weigth", "write weight=..."),
    (
        mse_loss,
        "sample_weight",
        'write mean([w * loss for w, loss in zip(weight, mse_loss(xs, ts, reduction="none"))])',
    ),
    (huber_loss, "beta", "write delta=..., for delta times PyTorch's smooth_l1_loss"),
]


@pytest.mark.parametrize(("loss", "option", "write"), UNKNOWN)
def test_an_unknown_option_is_answered_with_what_to_write(loss, option, write):
    with pytest.raises(TypeError, match=f"^{loss.__name__}\\(\\) has no option {option}; {re.escape(write)}$"):
        loss([0.25, 0.75], 1 if loss in (cross_entropy, nll_loss) else [0.0, 1.0], **{option: 1.0})


@pytest.mark.parametrize(
    ("loss", "write"),
    [
        (binary_cross_entropy_with_logits, "write binary_cross_entropy(probabilities, ts)"),
        (binary_cross_entropy, "leave it out, because the input is probabilities"),
        (cross_entropy, "write nll_loss([[log(p) for p in row] for row in probabilities], ts)"),
    ],
)
def test_a_loss_of_probabilities_is_named_where_the_input_is_said_to_be_none_of_logits(loss, write):
    with pytest.raises(TypeError, match=f"has no option from_logits; {re.escape(write)}$"):
        loss([0.25, 0.75], [0.0, 1.0], from_logits=False)


def test_the_codes_for_a_margin_for_weights_and_for_probabilities_compute_what_was_asked():
    scores, ts, margin, weight = [0.5, 3.0, -1.0], [1, -1, 1], 2.0, [1.0, 2.0, 5.0]
    with pytest.raises(TypeError, match=re.escape("margin * hinge_loss([s / margin for s in scores], ts)")):
        hinge_loss(scores, ts, margin=margin)
    found = margin * hinge_loss([s / margin for s in scores], ts)
    assert found == pytest.approx(sum(max(0.0, margin - t * s) for s, t in zip(scores, ts, strict=True)) / 3)
    weighted = dot(weight, mse_loss(scores, ts, reduction="none")) / sum(weight)
    assert weighted == pytest.approx((0.25 + 2.0 * 16.0 + 5.0 * 4.0) / 8.0)
    rows = [softmax([Value(1.0), Value(2.0)])]
    assert nll_loss([[log(p) for p in row] for row in rows], [1]).data == pytest.approx(
        cross_entropy([[1.0, 2.0]], [1])
    )


@pytest.mark.parametrize("loss", [binary_cross_entropy, binary_cross_entropy_with_logits])
def test_a_dict_of_weights_is_refused_since_its_order_says_nothing(loss):
    with pytest.raises(TypeError, match="weight must have the shape of the input, got a dict; write a list"):
        loss([0.75, 0.25], [1, 0], weight={0: 1.0, 1: 2.0})


class Labels:
    """It has what is read of an index of pandas."""

    def __init__(self, labels):
        self.labels = labels
        self.is_monotonic_increasing = labels == sorted(labels)

    def tolist(self):
        return self.labels


class Labelled:
    """It has what is read of a Series of pandas."""

    def __init__(self, numbers, labels):
        self.numbers, self.index = numbers, Labels(labels)

    def __len__(self):
        return len(self.numbers)

    def tolist(self):
        return self.numbers

    def sort_index(self):
        pairs = sorted(zip(self.index.labels, self.numbers, strict=True))
        return Labelled([x for _, x in pairs], [label for label, _ in pairs])


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
def test_class_weights_with_labels_in_another_order_are_refused(loss):
    row, weights = [-1.0, -2.0], Labelled([4.0, 1.5], [1, 0])
    for wrong in (weights, Labelled([4.0, 1.5], [1, 2]), Labelled([4.0, 1.5], ["b", "a"])):
        with pytest.raises(ValueError, match=rf"^{loss.__name__}: weight has the labels .*; write weight=weight\.sort"):
            loss([row, row], [0, 1], weight=wrong)
    expected = loss([row, row], [0, 1], weight=[1.5, 4.0])
    for right in (weights.sort_index(), Labelled([1.5, 4.0], ["a", "b"])):
        assert loss([row, row], [0, 1], weight=right) == expected
    with pytest.raises(ValueError, match="pos_weight has the labels 1, 0, but"):
        binary_cross_entropy_with_logits([row, row], [[0, 1], [1, 0]], pos_weight=weights)
    binary_cross_entropy_with_logits([row, row], [[0, 1], [1, 0]], weight=weights)  # labels of samples may be shuffled
