"""Refuse what a method cannot compute for a function, such as the gradient of several results.

`method` is the name of the method, and `name` that of the function. Both are for messages.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

from ..data.samples import Bucket
from ..derivatives import Program
from .recording import Recording


def check_single(method: str, name: str, recording: Recording) -> None:
    """Raise ValueError if the function returned several numbers."""
    if not recording.single:
        labels = [x.label for x in recording.program.inputs]
        columns = [x[:-3] for x in labels if x[-3:] == "[0]" and f"{x[:-3]}[1]" not in labels]
        write = f"; if {columns[0]} is an array of shape (n, 1), pass {columns[0]}.ravel()" if columns else ""
        raise ValueError(f"{method}() needs a function that returns one Value; {name} returns several{write}")


def check_pair(name: str, recording: Recording) -> None:
    """Raise TypeError unless the function `name` returned a pair of a number and something else."""
    example = recording.rebuild([0.0] * len(recording.program.outputs))
    if recording.single or not isinstance(example, (tuple, list)) or len(example) != 2 or type(example[0]) is not float:
        raise TypeError(
            f"value_and_grad(): with has_aux, {name} returns a pair: the number to differentiate, and auxiliary results"
        )


def check_has_gradient(method: str, name: str, programs: Iterable[Program]) -> None:
    """Raise RuntimeError if the result of every program is a constant."""
    if not any(program.has_gradient for program in programs):
        raise RuntimeError(f"{method}() of {name}, which is a constant for these samples: it has no gradient")


def check_has_trainable(method: str, name: str, programs: Iterable[Program]) -> None:
    """Raise RuntimeError if the result of every program depends on no parameter that requires a gradient."""
    if not any(program.has_trainable for program in programs):
        raise RuntimeError(
            f"{method}() of {name}, whose result depends on no parameter that requires a gradient: there is "
            "none, or all are frozen, detached or used inside no_grad()"
        )


def check_key_order(method: str, name: str, wrt: Any, buckets: Sequence[Bucket]) -> None:
    """Raise ValueError if samples have the same keys in different orders.

    A column of the derivatives would then stand for different keys in different samples. Nothing is raised if `wrt`,
    the variables to differentiate with respect to, names no arguments.
    """
    if not _depends_on_inputs(wrt):
        return
    seen: dict[Any, Bucket] = {}
    for bucket in buckets:
        first = seen.setdefault((bucket.static, _without_order(bucket.treedef)), bucket)
        if first is not bucket:
            raise ValueError(
                f"{method}() of {name}: samples {first.samples[0]} and {bucket.samples[0]} have the keys of a "
                "dict in another order, and so would the derivatives; write dict(sorted(x.items())) for each dict x"
            )


def _without_order(treedef: Any) -> Any:
    """Return a treedef, nested in tuples, in which the keys of each dict are sorted by their texts."""
    if (
        isinstance(treedef, tuple)
        and len(treedef) == 3
        and isinstance(treedef[0], type)
        and issubclass(treedef[0], dict)
    ):
        kind, keys, parts = treedef
        pairs = sorted(zip(map(repr, keys), map(_without_order, parts), strict=True), key=operator.itemgetter(0))
        return kind, tuple(pairs)
    return tuple(map(_without_order, treedef)) if type(treedef) is tuple else treedef


def _depends_on_inputs(wrt: Any) -> bool:
    """Return whether some of the variables that `wrt` names are numbers of the arguments."""
    return wrt != "parameters" if isinstance(wrt, str) else any(isinstance(name, str) for name in wrt)
