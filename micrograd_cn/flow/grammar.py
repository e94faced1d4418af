"""Describe, as data for the playground page, the grammar of the expressions that you can type into it.

The page has a parser in JavaScript, because an offline page has no Python. With these data, that parser accepts the
same expressions as text/expression.py, which tests/flow/test_typing.py proves.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter
from typing import Any

from ..ops.operation import Op
from ..text.expression import (
    ALIASES,
    CONSTANTS,
    LIBRARIES,
    MEANT,
    NUMBER,
    PRODUCTS,
    call_signature,
    functions,
    lists,
    operators,
    usage,
)


def grammar() -> dict[str, Any]:
    """Return a dict with the operators, the named numbers, how a number is written, and how each function is called.

    Each operator comes with a list of three items: the name of the operation, the precedence, and 1 if the operator is
    right-associative or 0 if not.

    >>> grammar()["infix"]["**"]
    ['pow', 4, 1]
    """
    return {
        "prefix": {sign: [op.name, op.notation.precedence, 0] for sign, op in operators(1).items()},
        "infix": {
            sign: [op.name, op.notation.precedence, 1 * op.notation.right_associative]
            for sign, op in operators(2).items()
        },
        "constants": {name: x if x - x == 0 else str(x) for name, x in CONSTANTS.items()},
        "number": NUMBER.pattern,
        "products": PRODUCTS,
        "meant": MEANT,
        "aliases": ALIASES,
        "libraries": LIBRARIES,
        "functions": {name: _call(name, function) for name, function in functions().items()},
    }


def _call(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """Return a dict that says how `function`, whose name is `name`, is called.

    The dict has these keys. `usage` is a text for error messages. `parameters` has for each parameter its name, whether
    the argument is a list, and a list with the default, which is empty if there is none. `order`, which is there only
    if the operation has a `signature`, has the parameters in the order in which the operation takes them as operands.
    Three keys are there only if they are true: `named` says that a call may name its arguments, `some` that the
    function raises an error for empty lists, and `alike` that it raises an error for lists of different lengths.
    """
    parameters, listed = list(call_signature(function).parameters.values()), lists(function)
    signature = function.signature if isinstance(function, Op) else None
    facts: dict[str, Any] = {
        "usage": usage(name, function),
        "parameters": [[p.name, p.name in listed, _default(p)] for p in parameters],
    }
    said = {
        "named": signature is not None or not isinstance(function, Op),
        "some": bool(listed) and _refuses(function, {name: [] for name in listed}, parameters),
        "alike": len(listed) > 1 and _refuses(function, {n: [1.0] * i for i, n in enumerate(listed, 1)}, parameters),
    }
    facts |= {key: True for key, is_true in said.items() if is_true}
    if signature:
        facts["order"] = list(signature(**{p.name: [p.name] if p.name in listed else p.name for p in parameters}))
    return facts


def _default(parameter: Parameter) -> Any:
    """Return a list with the default of `parameter`, or an empty list if the parameter has no default."""
    return [] if parameter.default is parameter.empty else [parameter.default]


def _refuses(function: Callable[..., Any], given: dict[str, Any], parameters: list[Parameter]) -> bool:
    """Return whether `function`, called with the arguments `given`, raises ValueError.

    `parameters` are all parameters of the function. A parameter that is not in `given` and has no default gets 0.
    """
    others = {p.name: 0.0 for p in parameters if p.default is p.empty and p.name not in given}
    try:
        function(**given, **others)
    except ValueError:
        return True
    return False
