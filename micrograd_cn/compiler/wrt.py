"""Read `wrt`, the variables that a method differentiates with respect to: inputs, parameters, or a list of leaves.

A `Program` and a compiled function share these functions; see `function.variables` for what is special to a compiled
function. They also share the error messages for options of other libraries, such as jax's `argnums`, which users
pass in place of `wrt`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from ..engine import Value
from ..ops.number import number_or_none
from ..ops.options import refuse_options
from .data.nodes import some_frozen

# What to write instead of an option of another library in a call of a method of a program or a compiled function
METHOD_INSTEAD = {
    **dict.fromkeys(("argnums", "argnum", "argnames"), "write wrt=['name'], with the names of arguments"),
    **dict.fromkeys(("inputs", "params", "parameters"), "write wrt=..."),
    "create_graph": "differentiate the plain function before it is compiled, as in compile(grad(f))",
    "retain_graph": "leave it out",
    "has_aux": "write value_and_grad(samples, has_aux=True)",
    **dict.fromkeys(("batch_size", "batch", "in_axes"), "leave it out, because all samples are computed at once"),
    "reduction": "backward and value_and_grad return the mean over the samples; value_and_grad has each=True for all",
    **dict.fromkeys(("training", "train"), "make it an argument of the function"),
    "verbose": "leave it out",
}
# What to write instead of options of other libraries' checks
CHECK_INSTEAD = {
    **dict.fromkeys(("tolerance", "tol"), "write rtol=... and atol=..."),
    **dict.fromkeys(("eps", "order"), "leave it out, because the engine gives exact derivatives"),
    "threads": "leave it out, because a few samples are enough",
}
Variables = Literal["inputs", "parameters"] | str | Iterable[Value] | Iterable[str]


def refuse_method_options(method: str, wrong: Iterable[str], known: Iterable[str]) -> None:
    """Raise TypeError for the options `wrong`, which a method of a program or a compiled function does not have.

    `method` is its name, and `known` has the names of its options.
    """
    refuse_options(f"{method}()", wrong, METHOD_INSTEAD, known)


def refuse_check_options(wrong: Iterable[str], rtol: object, atol: object, call: str) -> None:
    """Raise TypeError for wrong options of `check`; `call` shows how to call it right.

    `wrong` has the names of options that `check` does not have. `rtol` and `atol` must be numbers: somebody may have
    passed a second argument of the samples in their place.
    """
    refuse_options("check()", wrong, CHECK_INSTEAD, ("rtol", "atol"))
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if number_or_none(tolerance) is None:
            kind = type(tolerance).__name__
            raise TypeError(f"check(): {name} must be a number, got {kind}; samples are one argument, {call}")


class Default(str):
    """A string that is the default of an argument. Its class tells it from an equal string that the user passed."""

    __slots__ = ()


INPUTS, PARAMETERS = Default("inputs"), Default("parameters")


def listed(kind: str, wrt: Any, others: str = "") -> list[Any]:
    """Return the iterable `wrt` as a list, so it can be read more than once.

    For messages, `kind` is the name of the method, and `others` is a text about further forms that `wrt` may have.

    Raises:
        TypeError: `wrt` is a single `Value`, or not iterable.
    """
    if isinstance(wrt, Value):
        raise TypeError(f"{kind}(): wrt is a list of Values; write [x] for one")
    if not isinstance(wrt, Iterable):
        raise TypeError(f'{kind}(): wrt must be "inputs", "parameters", {others}or a list of Values, got {wrt!r}')
    return list(wrt)


def reusable(wrt: Variables) -> Variables:
    """Return `wrt` as a list if it is an iterator, which can be read only once, and otherwise unchanged."""
    return wrt if isinstance(wrt, (str, list)) or not isinstance(wrt, Iterator) else [*wrt]


class StandIn(Value):
    """A variable that takes the place of a frozen parameter in a list of variables to differentiate with respect to.

    Nothing depends on it, so the derivative with respect to it is 0.
    """

    __slots__ = ()


_stand_ins: list[StandIn] = []


def unfrozen(parameters: Sequence[Value]) -> list[Value]:
    """Return parameters as variables to differentiate with respect to, with a stand-in for each that is frozen.

    Nothing depends on a stand-in, so the derivative with respect to it is 0. The stand-in at an index is the same
    object in all calls.

    >>> w, c = Value(1), Value(2, requires_grad=False)
    >>> found = unfrozen([w, c])
    >>> found[0] is w, found[1] is c, found == unfrozen([w, c])
    (True, False, True)
    """
    while len(_stand_ins) < len(parameters):
        _stand_ins.append(StandIn(0.0))
    return [p if p.requires_grad else other for p, other in zip(parameters, _stand_ins, strict=False)]


def zero_frozen(gradients: Any, parameters: Sequence[Value]) -> Any:
    """Return the derivatives with respect to parameters, with 0 for each parameter that is frozen now."""
    if some_frozen(parameters):
        return array("d", [g if p.requires_grad else 0.0 for g, p in zip(gradients, parameters, strict=True)])
    return gradients


def frozen_variable(kind: str, path: str, x: Value) -> ValueError:
    """Return the error that the method `kind` raises if `x`, one of the variables in `wrt`, requires no gradient.

    `path` is the text of the index, or the nested indices, of `x` in `wrt`, such as "[0]".
    """
    return ValueError(
        f"{kind}(): wrt{path}, {x!r}, requires no gradient; write "
        "wrt=[p for p in model.parameters() if p.requires_grad]"
    )
