"""Loss functions with PyTorch's names, for one sample or a batch; none of them overflows at large logits.

A target or probability that is out of range raises an error. In a compiled function, this error is raised for the
sample with which the function is recorded, and by its methods `check` and `fit`, which name the sample. In its other
methods, a sample with such a target or probability has the result nan.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, Never, NoReturn

from . import ops
from .engine import Value
from .graph.context import here
from .ops.number import is_table, mixed_engines, number, number_or_none, numbers_in, refuse_masked
from .ops.options import refuse_options
from .ops.table import log_sum_above
from .parameters.entries import shape_in_words
from .parameters.tree import flatten, is_array

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "hinge_loss",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "nll_loss",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        """Raise an error for a name that this module does not have. It says what to write."""
        from .text.public_names import missing_name

        raise missing_name(name, sys._getframe(1), __name__)


REDUCTIONS = ("mean", "sum", "none")
ONE_HOT = "[target.index(1) for target in targets]"
SINGLE_LOGITS = "; for a batch with one logit for each sample, use binary_cross_entropy_with_logits"


def _reduce(terms: list[Any], reduction: str) -> Any:
    """Return the mean of `terms` if `reduction` is "mean", and otherwise their sum.

    A single term is returned as it is.
    """
    if len(terms) == 1:
        return terms[0]
    return ops.mean(terms) if reduction == "mean" else ops.sum(terms)


def _check_reduction(name: str, reduction: str) -> None:
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        cure = "" if isinstance(reduction, str) else "; give other options by their names"  # PyTorch takes weight here
        raise ValueError(f'{name}: reduction must be "mean", "sum" or "none", got {reduction!r}{cure}')


def _pairs(name: str, inputs: Any, targets: Any) -> list[tuple[str, Any, Any]]:
    """Return a list of (path, input, target), with an item for each number in `inputs`.

    Each input and target is a `Value` or a float. The path, such as "[0][1]", says for messages where the input is.

    Raises:
        ValueError: `inputs` and `targets` differ in shape. The message begins with `name`.
        TypeError: an input or target is not a number.
    """
    for what, given in (("inputs", inputs), ("targets", targets)):
        if not isinstance(given, dict):  # inputs and targets may be dicts with the same keys
            _refuse_unordered(name, what, given)
    left, right = _leaves(name, inputs), _leaves(name, targets)
    paths = [path for path, _ in left], [path for path, _ in right]
    if len(left) != len(right):
        _check_numbers(name, (("input", left), ("target", right)))
        shapes = shape_in_words(_as_lists(inputs)), shape_in_words(_as_lists(targets))
        nested = f": the inputs are {shapes[0]}, the targets {shapes[1]}" if " x " in "".join(shapes) else ""
        raise ValueError(f"{name}: {_count(left, 'input')} but {_count(right, 'target')}{nested}")
    if paths[0] != paths[1]:
        _check_numbers(name, (("input", left), ("target", right)))
        how = _deeper("inputs", "x", inputs, *paths) or _deeper("targets", "t", targets, *paths[::-1])
        counts = f"{_count(left, 'input')} and {_count(right, 'target')}"
        raise ValueError(f"{name}: {counts}, but {how or 'they are nested in different ways'}")
    try:
        return [
            (path, x if isinstance(x, Value) else number(x), t if isinstance(t, Value) else number(t))
            for (path, x), (_, t) in zip(left, right, strict=True)
        ]
    except TypeError:
        _check_numbers(name, (("input", left), ("target", right)))
        raise


def _check_numbers(name: str, found: Iterable[tuple[str, list[tuple[str, Any]]]]) -> None:
    """Raise TypeError if something in `found` is neither a number nor a `Value`; the message begins with `name`.

    Each item of `found` is a pair: a word for the message, such as "input", and a list of (path, number) pairs to
    check.
    """
    for what, leaves in found:
        for path, x in leaves:
            try:
                x if isinstance(x, Value) else number(x)
            except TypeError as error:
                raise TypeError(f"{name}: {what}{path}: {error}") from None


def _count(items: Sequence[Any], noun: str) -> str:
    return f"{len(items)} {noun}{'s' * (len(items) != 1)}"


def _deeper(what: str, letter: str, given: Any, deep: list[str], flat: list[str]) -> str:
    """Return a message, with the code to write instead, if `given` is nested one level too deep; otherwise "".

    Args:
        what: the name of `given` in the message, "inputs" or "targets".
        letter: the name of an item of `given` in the code.
        given: the inputs or the targets.
        deep: the paths to the numbers in `given`, such as "[0][1]".
        flat: the paths to the numbers in the other argument: in the targets if `given` is the inputs, and in the inputs
            if `given` is the targets.
    """
    write = ""
    if deep == [f"{path}[0]" for path in flat]:
        depth = flat[0].count("[")
        write = "" if depth > 1 else _without_level(what, letter, given) if depth else f"{what}[0]"
        if not depth and here().is_recorded:  # rows of an array of shape (n, 1) are lists
            write += f", or pass {what}.ravel() to the compiled function"
    elif deep == [f"[0]{path}" for path in flat]:
        write = f"{what}[0]"
    else:
        return ""
    return f"the {what} are nested one level deeper{write and f'; write {write}'}"


def _without_level(what: str, letter: str, given: Any, method: str = "ravel()") -> str:
    """Return code, for a message, that turns `given`, such as [[1], [2]], into a flat collection, such as [1, 2].

    `given` is an array, or a list whose items are lists of one element each. If it has the method that `method` calls,
    as an array has, the code is, for example, "inputs.ravel()". Otherwise it is "[x for [x] in inputs]". `what` is the
    name of `given` in the code, here "inputs", and `letter` is the name of an element, here "x".
    """
    return f"{what}.{method}" if hasattr(given, method.partition("(")[0]) else f"[{letter} for [{letter}] in {what}]"


def _refuse_unordered(name: str, what: str, given: Any) -> None:
    """Raise TypeError if `given` is a collection other than a list, tuple or array, or an array with missing numbers.

    The message begins with `name`, the loss function, and calls `given` by the name `what`.
    """
    if type(given) is list:
        return
    if isinstance(given, (Mapping, bytes, bytearray, set, frozenset)) or is_table(given) or hasattr(given, "filled"):
        try:
            (refuse_masked if hasattr(given, "filled") else numbers_in)(given)
        except TypeError as error:
            raise TypeError(f"{name}: {what}: {error}") from None
    if hasattr(given, "__iter__") and not (isinstance(given, (list, tuple, str, range)) or hasattr(given, "tolist")):
        raise TypeError(f"{name}: {what} must be a list, got a {type(given).__name__}; write list(...)")


def _refuse_labels(name: str, option: str, weight: Any) -> None:
    """Raise ValueError if `weight` is a pandas Series of weights for classes in another order than 0, 1, 2 and so on.

    Weights are read by their positions, but `y.value_counts()`, for example, has the most frequent class first. Labels
    that are not numbers may be in the order of the user's classes, so they are refused only if they are not sorted. The
    message begins with `name`, the loss function, and calls the weights by the name `option`, such as "weight".
    """
    index: Any = getattr(weight, "index", None)
    if not (hasattr(weight, "sort_index") and hasattr(index, "tolist")):
        return
    labels = index.tolist()
    if labels == [*range(len(labels))]:
        return
    if option != "weight":  # such labels may be anything, unless they are the positions in another order
        unsorted = {*labels} == {*range(len(labels))}
    else:
        unsorted = all(isinstance(x, Real) for x in labels) or not index.is_monotonic_increasing
    if unsorted:
        shown = f"{', '.join(map(repr, labels[:3]))}{', ...' if len(labels) > 3 else ''}"
        raise ValueError(
            f"{name}: {option} has the labels {shown}, but is read by position, beginning with class 0; write "
            f"{option}={option}.sort_index() for labels from 0 to n - 1, or {option}={option}.tolist() if it is in the "
            "order of the classes"
        )


def _as_lists(tree: Any) -> Any:
    if type(tree) is range:
        return [*tree]
    return tree.tolist() if hasattr(tree, "tolist") else tree


def _leaves(name: str, tree: Any) -> list[tuple[str, Any]]:
    """Return a list of pairs: a path such as "[0][1]", and the number or `Value` at this path in `tree`.

    Raises:
        TypeError: an array in `tree` belongs to another engine and requires a gradient. Its numbers would lose their
            graph. The message begins with `name`, the loss function.
    """
    leaves = flatten([*tree] if type(tree) is range else tree, arrays=False)[0]
    kinds = {type(x): x for _, x in leaves}  # so the loop below is skipped if there are no arrays
    if any(is_array(x) for kind, x in kinds.items() if kind not in (float, Value)):
        for _, x in leaves:
            _refuse_other_engine(name, x)
        leaves = flatten(_as_lists(tree))[0]
    return leaves


def _refuse_other_engine(name: str, x: Any) -> None:
    if hasattr(x, "requires_grad") and not isinstance(x, Value) and (message := mixed_engines(x)):
        raise TypeError(f"{name}: {message}")


def _elementwise(
    name: str,
    term: Callable[[Any, Any], Any],
    inputs: Any,
    targets: Any,
    reduction: str,
    allowed: str = "",
    weight: Any = None,
) -> Any:
    """Return the mean or the sum of `weight * term(input, target)` over all pairs of an input and a target.

    If reduction is "none", return the products themselves, in the shape of `inputs`.

    Args:
        name: the loss function, for messages.
        term: a function that returns the loss of one input.
        inputs: a number or `Value`, or nested sequences of them.
        targets: numbers or `Value`s in the same shape.
        reduction: "mean", "sum" or "none".
        allowed: the range of targets, "-1 or 1" or "from 0 to 1"; "" for any number.
        weight: factors of the terms: one number for all terms, or numbers in the shape of `inputs`, or in the shape of
            its last axes, which numpy would broadcast. None stands for 1.

    Raises:
        ValueError: a target is not in the range `allowed`, the shapes differ, the batch is empty, or the reduction is
            unknown; or `weight` has another shape.
        TypeError: an input, target or weight is not a number.
    """
    _check_reduction(name, reduction)
    if type(inputs) is range:
        inputs = [*inputs]
    pairs, terms = _pairs(name, inputs, targets), []
    for path, x, t in pairs:
        if allowed:
            label, varies = (t._data, t.requires_grad) if isinstance(t, Value) else (t, False)
            if not (label in (-1.0, 1.0) if allowed == "-1 or 1" else 0.0 <= label <= 1.0):
                convert = {0.0: "for labels 0 and 1, write 2 * t - 1", -1.0: "for labels -1 and 1, write (t + 1) / 2"}
                write = f"; {convert[label]}" if label in convert else ""
                raise ValueError(f"{name}: target{path} must be {allowed}, got {label}{write}")
            if varies:  # it may be an input of a compiled program
                t = _nan_unless(_is_allowed(t, allowed), t)
        terms.append(term(x, t))
    if not terms:
        raise ValueError(f"{name}: the batch is empty")
    if weight is not None:
        terms = [w * y for w, y in zip(_spread(name, "weight", weight, inputs), terms, strict=True)]
    return flatten(inputs)[1](terms) if reduction == "none" else _reduce(terms, reduction)


def _is_allowed(t: Any, allowed: str) -> Any:
    """Return 1 if `t` is in the range `allowed`, "-1 or 1" or "from 0 to 1", else 0; a `Value` if `t` is a `Value`."""
    if allowed == "-1 or 1":
        return ops.equal(ops.abs(t), 1.0)
    return ops.less_equal(0.0, t * (1.0 - t))  # a product that is negative is not rounded to 0 here


def _nan_unless(allowed: Any, t: Any) -> Any:
    """Return `where(allowed, t, nan)`: the target `t` if `allowed` is not 0, and nan otherwise.

    So in compiled code, which raises no error for a target, the loss and its derivatives are nan for a sample whose
    target is not allowed.
    """
    return ops.where(allowed, t, math.nan)


def _spread(name: str, option: str, weight: Any, inputs: Any) -> list[Any]:
    """Return a list with an item of `weight` for each number in `inputs`, as if numpy broadcast `weight` to them.

    `weight` is one number or `Value`, which all inputs get, or has the shape of `inputs` or of their last axes.
    Messages begin with `name`, the loss function, and call the weight `option`.

    >>> _spread("loss", "weight", [1, 2], [[0.5, 0.5], [0.5, 0.5]])
    [1.0, 2.0, 1.0, 2.0]
    """
    if isinstance(weight, dict) and not isinstance(inputs, dict):
        write = "write a list with a factor for each element"
        raise TypeError(f"{name}: {option} must have the shape of the input, got a dict; {write}")
    if not isinstance(weight, dict):  # as for dicts of inputs
        _refuse_unordered(name, option, weight)
    leaves = _leaves(name, weight)
    _check_numbers(name, ((option, leaves),))
    numbers = {path: w if isinstance(w, Value) else number(w) for path, w in leaves}
    axes = max([path.count("[") for path in numbers], default=0)
    paths = [[f"[{index}" for index in path.split("[")[1:]] for path, _ in flatten(_as_lists(inputs))[0]]
    ends = ["".join(path[-axes:] if axes else []) for path in paths]
    if {*ends} != numbers.keys():
        raise ValueError(
            f"{name}: {option} must be a number, or have the shape of the input or of its last axes, got {weight!r}"
        )
    return [numbers[end] for end in ends]


def _refuse_options(loss: Callable[..., Any], wrong: Mapping[str, Any]) -> None:
    """Raise TypeError for options that the function `loss` does not have, such as those of PyTorch and Keras.

    `wrong` is a dict from the names of these options to what was passed.
    """
    import inspect  # imported here, because correct programs do not need it

    name = loss.__name__
    known = [*inspect.signature(loss).parameters][2:-1]
    each = f'write mean([w * loss for w, loss in zip(weight, {name}(xs, ts, reduction="none"))])'
    instead = {
        "beta": "write delta=..., for delta times PyTorch's smooth_l1_loss",
        "weight": f'write dot(weight, {name}(xs, ts, reduction="none")) / sum(weight), which is PyTorch\'s mean',
        "sample_weight": each,
        "size_average": 'write reduction="mean" or reduction="sum"',
        "reduce": 'write reduction="none" for the losses of all elements',
    }
    if "ignore_index" in known:
        instead |= {"class_weight": "write weight=..."}
    elif "weight" in known:  # a number for each element, and not for each class
        instead |= {"class_weight": "write weight=[class_weight[t] for t in ts]"}
    logits, leave_out = "write binary_cross_entropy_with_logits(logits, ts)", "leave it out, because the input is "
    if name == "binary_cross_entropy":
        instead |= {"pos_weight": logits}
        instead |= {"from_logits": logits if wrong.get("from_logits", True) else f"{leave_out}probabilities"}
    if name == "binary_cross_entropy_with_logits":
        instead |= {"from_logits": f"{leave_out}logits"}
        if not wrong.get("from_logits", True):
            instead |= {"from_logits": "write binary_cross_entropy(probabilities, ts)"}
    if name == "cross_entropy":
        instead |= {"from_logits": f"{leave_out}logits"}
        if not wrong.get("from_logits", True):
            instead |= {"from_logits": "write nll_loss([[log(p) for p in row] for row in probabilities], ts)"}
    if name == "hinge_loss":
        instead |= {"margin": "the margin is 1; write margin * hinge_loss([s / margin for s in scores], ts)"}
    if "ignore_index" in known:
        axes = f"each row has the scores of one sample; for scores in columns, write {name}([*zip(*columns)], ts)"
    else:
        axes = f"write [{name}(row, t) for row, t in zip(rows, ts)] for the loss of each row"
    instead |= dict.fromkeys(("axis", "dim"), axes)
    refuse_options(f"{name}()", wrong, instead, known)


def mse_loss(input: Any, target: Any, reduction: str = "mean", **wrong: Never) -> Any:  # noqa: A002 -- PyTorch's name
    """Return the mean squared error, the mean of (input - target)**2.

    Args:
        input: a number or `Value`, or nested sequences of them.
        target: numbers or `Value`s in the same shape.
        reduction: "mean" over all elements, "sum", or "none" for the losses of all elements in the shape of `input`.
        wrong: options of other libraries. If you pass one, an error says what to write instead.

    Raises:
        ValueError: the shapes differ, the batch is empty, or the reduction is unknown.
        TypeError: an input or target is not a number.

    >>> mse_loss([1, 2], [1, 4])
    2.0
    """
    if wrong:
        _refuse_options(mse_loss, wrong)
    return _elementwise("mse_loss", lambda x, t: (x - t) * (x - t), input, target, reduction)


def l1_loss(input: Any, target: Any, reduction: str = "mean", **wrong: Never) -> Any:  # noqa: A002 -- PyTorch's name
    """Return the mean absolute error, the mean of |input - target|.

    Args:
        input: a number or `Value`, or nested sequences of them.
        target: numbers or `Value`s in the same shape.
        reduction: "mean" over all elements, "sum", or "none" for the losses of all elements in the shape of `input`.
        wrong: options of other libraries. If you pass one, an error says what to write instead.

    Raises:
        ValueError: the shapes differ, the batch is empty, or the reduction is unknown.
        TypeError: an input or target is not a number.

    >>> l1_loss([1, 2], [1, 4])
    1.0
    """
    if wrong:
        _refuse_options(l1_loss, wrong)
    return _elementwise("l1_loss", lambda x, t: ops.abs(x - t), input, target, reduction)


def huber_loss(
    input: Any,  # noqa: A002 -- PyTorch's name
    target: Any,
    reduction: str = "mean",
    delta: float = 1.0,
    **wrong: Never,
) -> Any:
    """Return the mean of d*d/2 if |d| <= delta, else delta * (|d| - delta/2), with d = input - target (Huber 1964).

    Args:
        input: a number or `Value`, or nested sequences of them.
        target: numbers or `Value`s in the same shape.
        reduction: "mean" over all elements, "sum", or "none" for the losses of all elements in the shape of `input`.
        delta: the |d| at which the parabola ends and the straight lines begin, more than 0.
        wrong: options of other libraries. If you pass one, an error says what to write instead.

    Raises:
        ValueError: the shapes differ, the batch is empty, the reduction is unknown, or `delta` is not positive.
        TypeError: `delta`, an input or a target is not a number.

    >>> huber_loss([0.5, 3], [0, 0])
    1.3125
    """
    if wrong:
        _refuse_options(huber_loss, wrong)
    if not isinstance(delta, Value):
        try:
            delta = number(delta)
        except TypeError as error:
            raise TypeError(f"huber_loss: delta: {error}") from None
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")

    def term(x: Any, t: Any) -> Any:
        d = x - t
        if delta == math.inf:
            return 0.5 * d * d
        size = ops.abs(d)
        far = ops.less(delta, size)  # and not whether it is near, which nan is not: its slope is nan, as in PyTorch
        # `inner` is 0 where the parabola is not chosen: d * d might overflow there, and `detect_anomaly` would raise.
        inner = ops.where(far, 0.0, d)
        return ops.where(far, delta * (size - 0.5 * delta), 0.5 * inner * inner)

    return _elementwise("huber_loss", term, input, target, reduction)


def hinge_loss(score: Any, target: Any, reduction: str = "mean", **wrong: Never) -> Any:
    """Return micrograd's max-margin loss, the mean of max(0, 1 - target * score), for targets -1 and 1.

    Args:
        score: a number or `Value`, or nested sequences of them.
        target: -1 or 1 for each score, in the shape of `score`.
        reduction: "mean" over all elements, "sum", or "none" for the losses of all elements in the shape of `score`.
        wrong: options of other libraries. If you pass one, an error says what to write instead.

    Raises:
        ValueError: the shapes differ, the batch is empty, the reduction is unknown, or a target is neither -1 nor 1. (A
            compiled function gives nan instead for such a target, except for its recorded sample; its methods `fit` and
            `check` raise the ValueError.)
        TypeError: a score or target is not a number.

    >>> hinge_loss([2, 0.5], [1, -1])
    0.75
    """
    if wrong:
        _refuse_options(hinge_loss, wrong)
    return _elementwise("hinge_loss", lambda s, t: ops.relu(1.0 - t * s), score, target, reduction, "-1 or 1")


def binary_cross_entropy(
    input: Any,  # noqa: A002 -- PyTorch's name
    target: Any,
    reduction: str = "mean",
    *,
    weight: Any = None,
    **wrong: Never,
) -> Any:
    """Return the mean of -(t log p + (1 - t) log(1 - p)) for probabilities p and targets t.

    As in PyTorch, a logarithm less than -100 is replaced by -100, so the loss is finite. This happens to log p if p is
    less than e**-100, about 4e-44, and to log(1 - p) if p is 1. A logarithm that is replaced has the derivative 0, so a
    prediction that is certain and wrong gets no gradient. PyTorch limits derivatives to about 1e12 instead. A loss that
    takes logits has no such limits; see `binary_cross_entropy_with_logits`.

    Args:
        input: probabilities: a number or `Value`, or nested sequences of them.
        target: numbers or `Value`s from 0 to 1, in the shape of `input`.
        reduction: "mean" over all elements, "sum", or "none" for the losses of all elements in the shape of `input`.
        weight: a factor for each element's loss, a number or `Value`, in the shape of `input`, or in the shape of its
            last axes, which numpy would broadcast; or one factor for all. The mean is the sum of the weighted losses
            divided by the number of elements, not by the sum of the weights.
        wrong: options of other libraries. If you pass one, an error says what to write instead.

    Raises:
        ValueError: a probability or target is not from 0 to 1; the shapes of `input` and `target` differ, or `weight`
            has another shape; the batch is empty; or the reduction is unknown. (A compiled function gives nan instead
            for a probability or target that is not allowed, except for its recorded sample; its methods `fit` and
            `check` raise the ValueError.)
        TypeError: a probability, target or weight is not a number.

    >>> round(binary_cross_entropy([0.5, 1], [1, 1]), 4)
    0.3466
    """
    if wrong:
        _refuse_options(binary_cross_entropy, wrong)
    for path, p, _ in _pairs("binary_cross_entropy", input, target):
        if not 0.0 <= (p._data if isinstance(p, Value) else p) <= 1.0:
            raise ValueError(
                f"binary_cross_entropy: input{path} must be a probability from 0 to 1, got {p}; for logits, use "
                "binary_cross_entropy_with_logits"
            )

    # A logarithm is replaced by a constant only where p is exactly 0 or 1. Where p is out of range, the logarithm is
    # nan, and so is the gradient.
    def log_of(p: Any) -> Any:
        is_zero = ops.equal(p, 0.0)
        return ops.where(is_zero, -100.0, ops.maximum(ops.log(ops.where(is_zero, 1.0, p)), -100.0))

    def log_of_rest(p: Any) -> Any:
        is_one = ops.equal(p, 1.0)
        return ops.where(is_one, -100.0, ops.log1p(-ops.where(is_one, 0.0, p)))

    def term(p: Any, t: Any) -> Any:
        varies = isinstance(p, Value) and p.requires_grad
        if not isinstance(t, Value) and t in (0.0, 1.0):
            one = _nan_unless(_is_allowed(p, "from 0 to 1"), 1.0) if varies else 1.0
            return -(one * (log_of(p) if t else log_of_rest(p)))
        if varies:
            t = _nan_unless(_is_allowed(p, "from 0 to 1"), t)
        return -(t * log_of(p) + (1.0 - t) * log_of_rest(p))

    return _elementwise("binary_cross_entropy", term, input, target, reduction, "from 0 to 1", weight)


def binary_cross_entropy_with_logits(
    input: Any,  # noqa: A002 -- PyTorch's name
    target: Any,
    reduction: str = "mean",
    *,
    weight: Any = None,
    pos_weight: Any = None,
    **wrong: Never,
) -> Any:
    """Return the mean binary cross entropy of sigmoid(x) for logits x and targets t.

    For each logit it computes t * pos_weight * softplus(-x) + (1 - t) * softplus(x), which does not overflow at any x.

    Args:
        input: logits: a number or `Value`, or nested sequences of them.
        target: numbers or `Value`s from 0 to 1, in the shape of `input`.
        reduction: "mean" over all elements, "sum", or "none" for the losses of all elements in the shape of `input`.
        weight: a factor for each element's loss, in the shape of `input` or of its last axes; or one factor for all.
        pos_weight: a factor for the loss of positive targets, 1 by default. It is one number, or has the shape of
            `input`, or that of its last axes, for example a number for each class.
        wrong: options of other libraries. If you pass one, an error says what to write instead.

    Raises:
        ValueError: a target is not from 0 to 1; the shapes of `input` and `target` differ, or `weight` or `pos_weight`
            has another shape; the batch is empty; or the reduction is unknown. (A compiled function gives nan instead
            for a target that is not allowed, except for its recorded sample; its methods `fit` and `check` raise the
            ValueError.)
        TypeError: a logit, target or weight is not a number.

    >>> binary_cross_entropy_with_logits([1e6, -1e6], [1, 1])
    500000.0
    >>> binary_cross_entropy_with_logits([1e6, -1e6], [1, 1], pos_weight=3)
    1500000.0
    """

    if wrong:
        _refuse_options(binary_cross_entropy_with_logits, wrong)
    name = "binary_cross_entropy_with_logits"

    def term(x: Any, t: Any) -> Any:
        if not isinstance(t, Value) and t in (0.0, 1.0):
            return ops.softplus(-x if t else x)
        return t * ops.softplus(-x) + (1.0 - t) * ops.softplus(x)

    if pos_weight is None:
        return _elementwise(name, term, input, target, reduction, "from 0 to 1", weight)
    _refuse_labels(name, "pos_weight", pos_weight)
    factors = iter(_spread(name, "pos_weight", pos_weight, input))

    def weighted(x: Any, t: Any) -> Any:
        return next(factors) * t * ops.softplus(-x) + (1.0 - t) * ops.softplus(x)

    return _elementwise(name, weighted, input, target, reduction, "from 0 to 1", weight)


class _ClassOptions(NamedTuple):
    """The options of `cross_entropy` or `nll_loss`, after they were checked. An option that is None is not used."""

    reduction: str
    weight: list[float] | None = None
    ignore_index: int | None = None
    label_smoothing: float = 0.0


_PLAIN = {reduction: _ClassOptions(reduction) for reduction in REDUCTIONS}


def _class_options(
    name: str, reduction: str, weight: Any, ignore_index: Any, label_smoothing: float = 0.0
) -> _ClassOptions:
    """Check the options of a loss function whose targets are classes, and return them as `_ClassOptions`.

    `name` is the loss function, "cross_entropy" or "nll_loss", with which messages begin. The other arguments are the
    options that the user passed.

    Raises:
        TypeError: an option has the wrong type.
        ValueError: an option is out of range.
    """
    if weight is ignore_index is None and label_smoothing == 0.0 and type(reduction) is str and reduction in _PLAIN:
        return _PLAIN[reduction]  # skips the checks, for speed
    _check_reduction(name, reduction)
    if ignore_index is not None:
        if isinstance(ignore_index, bool) or not hasattr(ignore_index, "__index__"):
            raise TypeError(f"{name}: ignore_index must be an integer or None, got {ignore_index!r}")
        ignore_index = operator.index(ignore_index)
    if isinstance(label_smoothing, (bool, str)) or not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"{name}: label_smoothing must be from 0 to 1, got {label_smoothing!r}")
    if not (weight is None or isinstance(_as_lists(weight), (list, tuple))):
        write = ""
        if isinstance(weight, Mapping):
            write = "; write [weight[c] for c in range(n)] for n classes"
        elif isinstance(weight, str):
            write = "; for weights that balance n classes, write [len(y) / (n * y.count(c)) for c in range(n)]"
        raise TypeError(f"{name}: weight must have a number for each class, got {weight!r}{write}")
    weights = None
    if weight is not None:
        _refuse_other_engine(name, weight)
        _refuse_unordered(name, "weight", weight)
        _refuse_labels(name, "weight", weight)
        for i, w in enumerate(weights := [*_as_lists(weight)]):
            if isinstance(w, Value):
                raise TypeError(
                    f'{name}: weight[{i}] must be a number, got a Value; write reduction="none", and multiply the '
                    "losses by Values"
                )
            try:
                weights[i] = number(w)
            except TypeError as error:
                raise TypeError(f"{name}: weight[{i}]: {error}") from None
    return _ClassOptions(reduction, weights, ignore_index, float(label_smoothing))


def _classes(
    name: str, term: Callable[[Sequence[Any], Any], Any], inputs: Any, targets: Any, options: _ClassOptions
) -> Any:
    """Return the loss of one sample; or, for a batch, the mean or the sum of the samples' losses, or a list of them.

    Args:
        name: the loss function, for messages.
        term: a function that takes a sample's scores and the score of its target class, and returns the sample's loss.
        inputs: a sample's row of scores, one for each class; or a list of such rows, one for each sample of a batch.
        targets: the index of the target class; for a batch, a list with an index for each sample.
        options: the checked options of the loss function.

    Raises:
        IndexError: a target is not the index of a class.
        TypeError: a target is neither an integer nor a `Value`, or the scores are not a list.
        ValueError: there are more or fewer targets than rows, the rows differ in length or contain lists, the weights
            are not one for each class, the batch is empty, or the mean is not defined.
    """
    for given in (inputs, targets):
        if type(given) is not list:
            _refuse_other_engine(name, given)
    _refuse_unordered(name, "input", inputs)
    _refuse_unordered(name, "target", targets)
    column, rows, targets = targets, _as_lists(inputs), _as_lists(targets)
    if rows and isinstance(rows, (list, tuple)):
        _refuse_unordered(name, "input[0]", rows[0])
    if not isinstance(rows, (list, tuple)):
        raise TypeError(f"{name}: input must be a row of class scores, or a list of such rows, got {inputs!r}")
    batch = not rows or isinstance(_as_lists(rows[0]), (list, tuple))
    if not batch:
        rows, targets = [rows], [targets]
    if not isinstance(targets, (list, tuple)) or len(rows) != len(targets):
        write = f"; write [{targets!r}]" if len(rows) == 1 and hasattr(targets, "__index__") else ""
        one = f"the one target {targets!r}{write}"
        found = _count(targets, "target") if isinstance(targets, (list, tuple)) else one
        raise ValueError(f"{name}: {_count(rows, 'row')} of inputs but {found}")
    if not rows:
        raise ValueError(f"{name}: the batch is empty")
    losses: list[Any] = []
    weights: list[Any] = []
    reduction, class_weights, ignore_index, label_smoothing = options
    unweighted = class_weights is None and not label_smoothing
    classes = len(rows[0])
    plain = class_weights is None and ignore_index is None
    for i, (row, target) in enumerate(zip(rows, targets, strict=True)):
        where = f"target[{i}]" if batch else "target"
        if type(row) is not list:
            _refuse_unordered(name, f"input[{i}]", row)
            if not isinstance(_as_lists(row), (list, tuple)):
                raise TypeError(f"{name}: input[{i}] must be a row of class scores, got {row!r}")
        if len(row) != classes:
            raise ValueError(
                f"{name}: input[{i}] has {_count(row, 'class score')}, but input[0] has {classes}; "
                "each row needs a score for each class"
            )
        if len(row) and isinstance(_as_lists(row[0]), (list, tuple)):
            single = all(len(row) == 1 for row in rows)
            write = f"; write {_without_level('inputs', 'row', inputs, 'squeeze(1)')}" if single else ""
            raise ValueError(f"{name}: input[{i}] is nested one level deeper than a row of class scores{write}")
        if class_weights is not None and len(class_weights) != len(row):
            raise ValueError(f"{name}: weight has {_count(class_weights, 'number')}, but there are {len(row)} classes")
        if isinstance(target, Value):
            ignored = ignore_index is not None and target._data == ignore_index
            if not (ignored or (0.0 <= target._data < len(row) and target._data.is_integer())):
                raise IndexError(f"{name}: {where} is {target._data}, but the classes are 0 to {len(row) - 1}")
            loss, weight = _loss_of_value(term, row, target, options)
        elif isinstance(target, bool) or not hasattr(target, "__index__"):
            found = f"{type(target).__name__} {target!r}{_instead_of_target(name, column, targets, classes, batch)}"
            raise TypeError(f"{name}: {where} must be the index of a class, got {found}")
        else:
            try:
                index = operator.index(target)
            except TypeError:  # an array of several axes or elements
                nested = [_as_lists(t) for t in targets]
                write = _instead_of_target(name, column, nested, classes, batch)
                write = write.replace(ONE_HOT, "[t.argmax() for t in targets]")
                found = f"{type(target).__name__} {target!r}{write}"
                raise TypeError(f"{name}: {where} must be the index of a class, got {found}") from None
            if index == ignore_index:
                loss, weight = _zero_loss(row), 0.0
            elif 0 <= index < len(row):
                chosen, weight = row[index], 1.0 if class_weights is None else class_weights[index]
                loss = term(row, chosen) if unweighted else _loss_of_class(term, row, chosen, weight, options)
            else:
                write = f"; write ignore_index={index} to leave it out" if index < 0 else ", counted from 0"
                if classes == 1:
                    write = "; for one logit of each sample, use binary_cross_entropy_with_logits"
                found = f"there are {classes} classes" if classes != 1 else "there is 1 class"
                raise IndexError(f"{name}: {where} is {index}, but {found}{write}")
        losses.append(loss)
        if not plain:
            weights.append(weight)
    if reduction == "none":
        return losses if batch else losses[0]
    if plain or reduction == "sum":
        return _reduce(losses, reduction)
    total = ops.sum(weights)
    if (total._data if isinstance(total, Value) else total) == 0.0:
        what = "every target is ignored" if class_weights is None else "the weights of all targets are 0"
        raise ValueError(f'{name}: {what}, so there is no mean; write reduction="sum"')
    return ops.sum(losses) / total


def _instead_of_target(name: str, given: Any, targets: Sequence[Any], classes: int, batch: bool) -> str:
    """Return the end of an error message about wrong `targets`, which says what to write; "" if that is not known.

    The error is raised because one of the targets is not the index of a class.

    Args:
        name: the loss function.
        given: the targets as the user passed them.
        targets: the same targets as a list.
        classes: how many classes there are.
        batch: whether the user passed a batch of samples. If not, `targets` has one item, the user's target.
    """
    if all(isinstance(t, (list, tuple)) for t in targets):
        if all(len(t) == 1 for t in targets):
            return f"; write {_without_level('targets', 't', given) if batch else 'targets[0]'}"
        found = [[x._data if isinstance(x, Value) else number_or_none(x) for x in t] for t in targets]
        rows = [[x for x in t if x is not None] for t in found]
        if any(len(t) != classes or len(row) != classes for t, row in zip(found, rows, strict=True)):
            return "" if batch else "; the input is one row of class scores, and a batch is a list of rows"
        if all(sorted(row) == [0.0] * (classes - 1) + [1.0] for row in rows):
            one_hot = "targets.argmax(-1)" if hasattr(given, "argmax") else "target.index(1)"
            write = one_hot if not batch or hasattr(given, "argmax") else ONE_HOT
            return ("" if batch else SINGLE_LOGITS) + f"; for one-hot targets, write {write}"
        if not batch and {0.0, 1.0}.issuperset(rows[0]):
            return SINGLE_LOGITS
        of_row = "-dot(target, row)" if name == "nll_loss" else "dot(target, [logsumexp(row) - x for x in row])"
        return f"; for probabilities of the classes, write {of_row} for each row"
    if all(isinstance(t, str) for t in targets):
        write = "[names.index(t) for t in targets]" if batch else "names.index(target)"
        return f"; with a list of the classes' names, write {write}"
    if all(number_or_none(t) is not None and number(t).is_integer() for t in targets):
        return f"; write {'[int(t) for t in targets]' if batch else 'int(target)'}"
    return ""


def _zero_loss(row: Sequence[Any]) -> Any:
    """Return the loss 0 of an ignored sample, whose scores are `row`.

    It is a float if all scores are plain numbers, and otherwise a `Value`. If a score requires a gradient, the loss
    does too. So `backward` accepts the loss, but passes nothing to the scores.
    """
    values = [x for x in row if isinstance(x, Value)]
    chosen = next((x for x in values if x.requires_grad), values[0] if values else None)
    return 0.0 if chosen is None else ops.where(0.0, chosen, 0.0)


def _loss_of_class(
    term: Callable[[Sequence[Any], Any], Any], row: Sequence[Any], chosen: Any, weight: Any, options: _ClassOptions
) -> Any:
    """Return the weighted loss of a sample whose target class has the score `chosen`.

    Let l_c be the loss if c were the target class, w_c the weight of the class c, and t the actual target class. With
    label smoothing e and K classes, the result is (1 - e) * w_t * l_t + e / K * (the sum of w_c * l_c over all c). Each
    l_c is computed as l_t + (the score of t - the score of c).

    Args:
        term: a function that takes a sample's scores and the score of its target class, and returns its loss.
        row: the sample's score for each class.
        chosen: the score of the target class, t.
        weight: the weight of the target class, w_t.
        options: the checked options of the loss function.
    """
    loss = term(row, chosen)
    if not options.label_smoothing:
        return loss if options.weight is None else weight * loss
    share = options.label_smoothing / len(row)
    shares = [share * w for w in options.weight or [1.0] * len(row)]
    return ((1.0 - options.label_smoothing) * weight + math.fsum(shares)) * loss + ops.dot(
        shares, [chosen - x for x in row]
    )


def _loss_of_value(
    term: Callable[[Sequence[Any], Any], Any], row: Sequence[Any], target: Value, options: _ClassOptions
) -> tuple[Any, Any]:
    """Return the weighted loss of a sample whose target is a `Value`, and the sample's weight in the mean.

    Args:
        term: a function that takes a sample's scores and the score of its target class, and returns its loss.
        row: the sample's score for each class.
        target: the index of the target class.
        options: the checked options of the loss function.
    """
    if options.ignore_index is None:
        weight = 1.0 if options.weight is None else ops.take(options.weight, target)
        return _loss_of_class(term, row, ops.take(row, target), weight, options), weight
    ignored = ops.equal(target, float(options.ignore_index))
    index = ops.where(ignored, 0.0, target)
    weight = 1.0 if options.weight is None else ops.take(options.weight, index)
    loss = _loss_of_class(term, row, ops.take(row, index), weight, options)
    return ops.where(ignored, 0.0, loss), ops.where(ignored, 0.0, weight)


def cross_entropy(
    input: Any,  # noqa: A002 -- PyTorch's name
    target: Any,
    reduction: str = "mean",
    *,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    **wrong: Never,
) -> Any:
    """Return the mean of -log softmax(input)[target] over the samples of a batch.

    For each sample it computes logsumexp(input) - input[target], in a way that neither overflows nor loses digits.

    Let l_c be -log softmax(input)[c] for each class c, and t the sample's target. With a weight w_c for each class, the
    loss of a sample is w_t * l_t instead of l_t, and the mean is the sum of the losses divided by the sum of the w_t.
    With label smoothing e and K classes, the loss of a sample is (1 - e) * w_t * l_t + e / K * (the sum of w_c * l_c
    over all c). PyTorch computes the same.

    Args:
        input: the logits of one sample, a number or `Value` for each class; or a list of such rows, one for each sample
            of a batch. The loss applies softmax itself, so do not pass what softmax returns.
        target: the index of the correct class, an integer, or a `Value` if it is an input of a compiled program. For a
            batch, a sequence with one target for each sample.
        reduction: "mean" over the batch, "sum", or "none" for a list of the losses of all samples.
        weight: a number for each class. It has no effect on the mean of one sample, because this mean is divided by the
            sample's own weight. So in a loss of one sample, as in a function for `compile`, write reduction="sum", and
            divide the mean that `fit` minimises by the mean weight if its size matters.
        ignore_index: samples with this target have the loss 0, and do not count in the mean. If all samples are
            ignored, reduction="sum" gives a 0 that `backward` accepts, and the logits get the gradient 0. None, the
            default, ignores no sample; PyTorch's default is -100. Use reduction="sum" in a compiled function of one
            sample: the mean of one sample is its loss divided by its own weight, which is 0 if the sample is ignored.
        label_smoothing: the part of the target, from 0 to 1, that is spread evenly over all classes.
        wrong: options of other libraries. If you pass one, an error says what to write instead.

    Raises:
        IndexError: a target is not the index of a class. (A compiled function gives nan instead if it is called, or by
            `forward`; its methods `backward`, `gradient`, `fit` and the like raise the IndexError, and name the sample.
            A `Program` gives nan, too. Its derivatives are not nan, but those of logsumexp(input) alone.)
        TypeError: a target is neither an integer nor a `Value`, the logits are not a list, or an option has a wrong
            type.
        ValueError: there are more or fewer targets than samples, a sample's logits contain lists, samples have
            different counts of logits, or the batch is empty; an option is out of range, or `weight` does not have one
            number for each class; or the mean is not defined, because all targets are ignored or have the weight 0. (In
            PyTorch, and in a compiled program, the mean is nan then.)

    >>> cross_entropy([1000, 0, 0], 1)
    1000.0
    >>> cross_entropy([[0, 0], [8, 0]], [1, -100], ignore_index=-100)
    0.6931471805599453
    """
    if wrong:
        _refuse_options(cross_entropy, wrong)
    options = _class_options("cross_entropy", reduction, weight, ignore_index, label_smoothing)
    return _classes("cross_entropy", lambda row, chosen: log_sum_above(chosen, *row), input, target, options)


def nll_loss(
    input: Any,  # noqa: A002 -- PyTorch's name
    target: Any,
    reduction: str = "mean",
    *,
    weight: Any = None,
    ignore_index: int | None = None,
    **wrong: Never,
) -> Any:
    """Return the mean of -input[target] over the samples of a batch, where `input` has log-probabilities.

    Args:
        input: the log-probabilities of one sample, a number or `Value` for each class; or a list of such rows, one for
            each sample of a batch.
        target: the index of the correct class, or a list with an index for each sample of a batch.
        reduction: "mean" over the batch, "sum", or "none" for a list of the losses of all samples.
        weight: a number for each class. It has no effect on the mean of one sample, because this mean is divided by the
            sample's own weight. Write reduction="sum" for one sample.
        ignore_index: samples with this target have the loss 0, and do not count in the mean. None ignores no sample.
        wrong: options of other libraries. If you pass one, an error says what to write instead.

    Raises:
        IndexError, TypeError, ValueError: the arguments are wrong, in the same cases as for `cross_entropy`.

    >>> nll_loss([[-0.1, -2.3], [-0.7, -0.7]], [1, 0])
    1.5
    """
    if wrong:
        _refuse_options(nll_loss, wrong)
    options = _class_options("nll_loss", reduction, weight, ignore_index)
    return _classes("nll_loss", lambda row, chosen: ops.neg(chosen), input, target, options)
