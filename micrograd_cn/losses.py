"""Loss functions with PyTorch's names, for one sample or a batch; none of them overflows at large logits.

A target or probability that is out of range raises an error. A compiled function checks only the sample with which it
was recorded, and the samples that are given to its `check`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from . import ops
from .derivatives.tree import flatten
from .engine import Value
from .ops.number import number

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


def _reduce(terms: list[Any], reduction: str, name: str) -> Any:
    if reduction not in ("mean", "sum"):
        raise ValueError(f'{name}: reduction must be "mean" or "sum", got {reduction!r}')
    if not terms:
        raise ValueError(f"{name}: the batch is empty")
    if len(terms) == 1:
        return terms[0]
    return ops.mean(terms) if reduction == "mean" else ops.sum(terms)


def _pairs(name: str, inputs: Any, targets: Any) -> list[tuple[str, Any, Any]]:
    """Return every input with its path and its target; both are numbers, or nested sequences of one shape."""
    left, right = flatten(_as_lists(inputs))[0], flatten(_as_lists(targets))[0]
    paths = [path for path, _ in left], [path for path, _ in right]
    if len(left) != len(right):
        raise ValueError(f"{name}: {_count(left, 'input')} but {_count(right, 'target')}")
    if paths[0] != paths[1]:
        how = _deeper("inputs", "x", inputs, *paths) or _deeper("targets", "t", targets, *paths[::-1])
        counts = f"{_count(left, 'input')} and {_count(right, 'target')}"
        raise ValueError(f"{name}: {counts}, but {how or 'they are nested in different ways'}")
    return [(path, x if isinstance(x, Value) else number(x), t) for (path, x), (_, t) in zip(left, right, strict=True)]


def _count(items: Sequence[Any], noun: str) -> str:
    return f"{len(items)} {noun}{'s' * (len(items) != 1)}"


def _deeper(what: str, letter: str, given: Any, deep: list[str], flat: list[str]) -> str:
    """Return a message if the paths `deep` are `flat` with one level more, "" otherwise; it says what to write."""
    write = ""
    if deep == [f"{path}[0]" for path in flat]:
        depth = flat[0].count("[")
        write = "" if depth > 1 else _without_level(what, letter, given) if depth else f"{what}[0]"
    elif deep == [f"[0]{path}" for path in flat]:
        write = f"{what}[0]"
    else:
        return ""
    return f"the {what} are nested one level deeper{write and f'; write {write}'}"


def _without_level(what: str, letter: str, given: Any, method: str = "ravel()") -> str:
    """Return the code for the elements of a column, which are lists or arrays of one element."""
    return f"{what}.{method}" if hasattr(given, method.partition("(")[0]) else f"[{letter} for [{letter}] in {what}]"


def _as_lists(tree: Any) -> Any:
    return tree.tolist() if hasattr(tree, "tolist") else tree


def _elementwise(
    name: str, term: Callable[[Any, Any], Any], inputs: Any, targets: Any, reduction: str, allowed: str = ""
) -> Any:
    """Return the mean or sum of `term(input, target)`; raise ValueError if a target is not in the range `allowed`."""
    terms = []
    for path, x, t in _pairs(name, inputs, targets):
        if allowed:
            label = t._data if isinstance(t, Value) else number(t)
            if not (label in (-1.0, 1.0) if allowed == "-1 or 1" else 0.0 <= label <= 1.0):
                raise ValueError(f"{name}: target{path} must be {allowed}, got {label}")
        terms.append(term(x, t if isinstance(t, Value) else number(t)))
    return _reduce(terms, reduction, name)


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Any:  # noqa: A002 -- PyTorch's name
    """Return the mean squared error, the mean of (input - target)**2.

    Args:
        input: a number or `Value`, or nested sequences of them.
        target: numbers or `Value`s in the same shape.
        reduction: "mean" over all elements, or "sum".

    Raises:
        ValueError: the shapes differ, the batch is empty, or the reduction is unknown.

    >>> mse_loss([1, 2], [1, 4])
    2.0
    """
    return _elementwise("mse_loss", lambda x, t: (x - t) * (x - t), input, target, reduction)


def l1_loss(input: Any, target: Any, reduction: str = "mean") -> Any:  # noqa: A002
    """Return the mean absolute error, the mean of |input - target|. Arguments and errors are those of `mse_loss`.

    >>> l1_loss([1, 2], [1, 4])
    1.0
    """
    return _elementwise("l1_loss", lambda x, t: ops.abs(x - t), input, target, reduction)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Any:  # noqa: A002
    """Return the mean of d*d/2 if |d| <= delta, else delta * (|d| - delta/2), with d = input - target (Huber 1964).

    The other arguments and errors are those of `mse_loss`.

    Args:
        input: as for `mse_loss`.
        target: as for `mse_loss`.
        reduction: as for `mse_loss`.
        delta: where the parabola ends and the straight lines begin, more than 0.

    Raises:
        ValueError: as for `mse_loss`, or `delta` is not positive.

    >>> huber_loss([0.5, 3], [0, 0])
    1.3125
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")

    def term(x: Any, t: Any) -> Any:
        d = x - t
        if delta == math.inf:
            return 0.5 * d * d
        size = ops.abs(d)
        near = ops.less_equal(size, delta)
        # The slope of the branch that is not chosen is multiplied by 0, so it must not be inf.
        inner = ops.where(near, d, 0.0)
        return ops.where(near, 0.5 * inner * inner, delta * (size - 0.5 * delta))

    return _elementwise("huber_loss", term, input, target, reduction)


def hinge_loss(score: Any, target: Any, reduction: str = "mean") -> Any:
    """Return micrograd's max-margin loss, the mean of max(0, 1 - target * score), for targets -1 and 1.

    Args:
        score: as `input` of `mse_loss`.
        target: as for `mse_loss`.
        reduction: as for `mse_loss`.

    Raises:
        ValueError: as for `mse_loss`, or a target is neither -1 nor 1.

    >>> hinge_loss([2, 0.5], [1, -1])
    0.75
    """
    return _elementwise("hinge_loss", lambda s, t: ops.relu(1.0 - t * s), score, target, reduction, "-1 or 1")


def binary_cross_entropy(input: Any, target: Any, reduction: str = "mean") -> Any:  # noqa: A002
    """Return the mean of -(t log p + (1 - t) log(1 - p)) for probabilities p and targets t.

    As in PyTorch, a logarithm less than -100 is replaced by -100, so the loss is finite. There, at p = 0 or 1, it has
    no gradient.

    Args:
        input: as for `mse_loss`, probabilities.
        target: as for `mse_loss`, from 0 to 1.
        reduction: as for `mse_loss`.

    Raises:
        ValueError: as for `mse_loss`, or a probability or target is not from 0 to 1.

    >>> round(binary_cross_entropy([0.5, 1], [1, 1]), 4)
    0.3466
    """
    for path, p, _ in _pairs("binary_cross_entropy", input, target):
        if not 0.0 <= (p._data if isinstance(p, Value) else p) <= 1.0:
            raise ValueError(f"binary_cross_entropy: input{path} must be a probability from 0 to 1, got {p}")

    def term(p: Any, t: Any) -> Any:
        inside, below_one = ops.less(0.0, p), ops.less(p, 1.0)
        log_p = ops.where(inside, ops.maximum(ops.log(ops.where(inside, p, 1.0)), -100.0), -100.0)
        log_q = ops.where(below_one, ops.log1p(-ops.where(below_one, p, 0.0)), -100.0)
        return -(t * log_p + (1.0 - t) * log_q)

    return _elementwise("binary_cross_entropy", term, input, target, reduction, "from 0 to 1")


def binary_cross_entropy_with_logits(input: Any, target: Any, reduction: str = "mean") -> Any:  # noqa: A002
    """Return the mean binary cross entropy of sigmoid(x) for logits x and targets t.

    It is t * softplus(-x) + (1 - t) * softplus(x), which does not overflow at any logit.

    Args:
        input: as for `mse_loss`, logits.
        target: as for `mse_loss`, from 0 to 1.
        reduction: as for `mse_loss`.

    Raises:
        ValueError: as for `mse_loss`, or a target is not from 0 to 1.

    >>> binary_cross_entropy_with_logits([1e6, -1e6], [1, 1])
    500000.0
    """

    def term(x: Any, t: Any) -> Any:
        if not isinstance(t, Value) and t in (0.0, 1.0):
            return ops.softplus(-x if t else x)
        return t * ops.softplus(-x) + (1.0 - t) * ops.softplus(x)

    return _elementwise("binary_cross_entropy_with_logits", term, input, target, reduction, "from 0 to 1")


def _classes(name: str, term: Callable[[Sequence[Any], Any], Any], inputs: Any, targets: Any, reduction: str) -> Any:
    """Return the mean or sum of `term(row, score of the target class)` for a row of class scores or a batch."""
    column, rows, targets = targets, _as_lists(inputs), _as_lists(targets)
    batch = not rows or isinstance(_as_lists(rows[0]), (list, tuple))
    if not batch:
        rows, targets = [rows], [targets]
    if not isinstance(targets, (list, tuple)) or len(rows) != len(targets):
        found = _count(targets, "target") if isinstance(targets, (list, tuple)) else f"the one target {targets!r}"
        raise ValueError(f"{name}: {_count(rows, 'row')} of inputs but {found}")
    terms = []
    for i, (row, target) in enumerate(zip(rows, targets, strict=True)):
        where = f"target[{i}]" if batch else "target"
        if len(row) and isinstance(_as_lists(row[0]), (list, tuple)):
            single = all(len(row) == 1 for row in rows)
            write = f"; write {_without_level('inputs', 'row', inputs, 'squeeze(1)')}" if single else ""
            raise ValueError(f"{name}: input[{i}] is nested one level deeper than a row of class scores{write}")
        if isinstance(target, Value):
            if not (0.0 <= target._data < len(row) and target._data.is_integer()):
                raise IndexError(f"{name}: {where} is {target._data}, but the classes are 0 to {len(row) - 1}")
            terms.append(term(row, ops.take(row, target)))
            continue
        if isinstance(target, bool) or not hasattr(target, "__index__"):
            single = all(isinstance(t, (list, tuple)) and len(t) == 1 for t in targets)
            write = f"; write {_without_level('targets', 't', column) if batch else 'targets[0]'}" if single else ""
            found = f"{type(target).__name__} {target!r}"
            raise TypeError(f"{name}: {where} must be the index of a class, got {found}{write}")
        index = operator.index(target)
        if not 0 <= index < len(row):
            raise IndexError(f"{name}: {where} is {index}, but there are {len(row)} classes")
        terms.append(term(row, row[index]))
    return _reduce(terms, reduction, name)


def cross_entropy(input: Any, target: Any, reduction: str = "mean") -> Any:  # noqa: A002
    """Return the mean of -log softmax(input)[target].

    It is logsumexp(input) - input[target], which does not overflow at any logit.

    Args:
        input: the logits of one sample, a number or `Value` for each class; or a batch of such rows.
        target: the index of the right class, an integer, or a `Value` if it is an input of a compiled program. For a
            batch, a sequence with one target for each row.
        reduction: "mean" over the batch, or "sum".

    Raises:
        IndexError: a target is not the index of a class. (A compiled loss is nan instead; `Program.check` tells.)
        TypeError: a target is neither an integer nor a `Value`.
        ValueError: the numbers of rows and targets differ, a row is nested deeper, the batch is empty, or the reduction
            is unknown.

    >>> cross_entropy([1000, 0, 0], 1)
    1000.0
    """
    return _classes("cross_entropy", lambda row, chosen: ops.logsumexp(row) - chosen, input, target, reduction)


def nll_loss(input: Any, target: Any, reduction: str = "mean") -> Any:  # noqa: A002
    """Return the mean of -input[target] for log-probabilities. Arguments and errors are those of `cross_entropy`.

    >>> nll_loss([[-0.1, -2.3], [-0.7, -0.7]], [1, 0])
    1.5
    """
    return _classes("nll_loss", lambda row, chosen: ops.neg(chosen), input, target, reduction)
