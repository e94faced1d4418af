"""Check a gradient that somebody pastes into a page: this module runs in the worker of "Check my gradient"."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from micrograd_cn import Op
from micrograd_cn.testing import gradcheck


def check_my_gradient(f: Callable[..., Any], gradient: Callable[..., Any], *point: Any) -> None:
    """Print the verdict on a gradient, as `gradcheck` words it.

    Args:
        f: a function of floats, or of numpy arrays.
        gradient: a function of the same arguments that returns the derivative with respect to each; or of one more
            argument, the gradient of the output, as a backward pass (vjp) has it.
        point: the arguments.

    >>> check_my_gradient(lambda x, y: x * y, lambda x, y: (y, x), 2.0, 3.0)
    ✓
    """
    try:
        if "numpy" in sys.modules and takes_one_more(gradient, len(point)):
            gradcheck(f, *point, vjp=gradient)
        elif "numpy" in sys.modules:
            gradcheck(f, *point, gradient=gradient)
        else:
            gradcheck(as_operation(f, gradient, len(point)), *map(float, point))
    except AssertionError as error:
        print(error)
    else:
        print("✓")


def takes_one_more(gradient: Callable[..., Any], count: int) -> bool:
    """Return whether a function needs more than `count` arguments."""
    try:
        parameters = inspect.signature(gradient).parameters.values()
    except (TypeError, ValueError):  # a function without a signature
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in kinds and each.default is each.empty for each in parameters) > count


def as_operation(f: Callable[..., Any], gradient: Callable[..., Any], count: int) -> Op:
    """Return a function of floats and its gradient as an operation of the package, which needs no numpy to check."""

    def part(index: int, y: float, *arguments: float) -> float:
        given = gradient(*arguments)
        if isinstance(given, Sequence):
            if len(given) != count:
                raise ValueError(f"gradient returns {len(given)} numbers; f has {count} arguments")
            return float(given[index])
        if count != 1:
            raise ValueError(
                f"gradient returns one number; f has {count} arguments, so return ({', '.join(['…'] * count)})"
            )
        return float(given)

    return Op("f", lambda *arguments: float(f(*arguments)), tuple(partial(part, index) for index in range(count)))
