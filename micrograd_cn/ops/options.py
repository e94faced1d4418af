"""The errors for options that a function does not have, such as `axis` of `mean`. They say what to write instead.

A function that users often call with the options of another library ends its parameters with `**wrong: Never`, and
calls `refuse_options` if `wrong` is not empty. That takes no time in a right call, and a type checker goes on refusing
the options. Python's own error would only say that the option is unexpected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NoReturn

__all__ = [
    "AXES",
    "refuse_arguments",
    "refuse_options",
    "refuse_rows",
    "several_numbers",
    "why_no_axis",
    "write_instead",
]

AXES = ("dim", "axis", "keepdim", "keepdims")  # numpy and PyTorch options


_FLOATS = "leave it out, because all numbers are float64 in main memory"
# What to write instead of options that functions of many libraries have
OF_MANY_FUNCTIONS = {
    **dict.fromkeys(("dtype", "device"), _FLOATS),
    **dict.fromkeys(("name", "jit_compile", "foreach", "fused", "capturable", "differentiable"), "leave it out"),
    **dict.fromkeys(("holomorphic", "allow_int", "vectorize", "strict", "reduce_axes"), "leave it out"),
}
# What to write instead of an option of another library, by the names of the operation and the option
INSTEAD_OF_OPTION = {
    ("softplus", "beta"): "write softplus(beta * x) / beta",
    ("softplus", "threshold"): "leave it out, because softplus does not overflow",
    ("log", "base"): "write log(x) / log(base)",
    ("exp", "base"): "write base ** x",
    ("relu", "max_value"): "write minimum(relu(x), max_value)",
    **{("relu", option): "write leaky_relu(x, negative_slope)" for option in ("alpha", "negative_slope")},
    **{("where", option): "write where(condition, a, b)" for option in ("condition", "input", "other", "x", "y")},
    ("gelu", "approximate"): "write 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x**3))) for that of tanh",
}
# What to write instead of a call with too many or too few operands, by the name of the operation and their count
INSTEAD_OF_COUNT = {
    ("log", 2): "write log(x) / log(2) for the logarithm to base 2",
    ("maximum", 1): "write max(xs)",
    ("minimum", 1): "write min(xs)",
    ("maximum", 3): "write max([x, y, z])",
    ("minimum", 3): "write min([x, y, z])",
}


def write_instead(name: str, options: Iterable[str] = (), count: int = 0) -> str:
    """Return the end of an error message about a wrong call of the operation `name`, which says what to write.

    It is "" if nothing is known to write.

    Args:
        name: the name of the operation.
        options: names of options that the call has, but the operation does not have.
        count: how many operands the call has, if that is too many or too few.

    >>> write_instead("log", count=2)
    '; write log(x) / log(2) for the logarithm to base 2'
    >>> write_instead("exp", ["dtype"])
    '; leave it out, because all numbers are float64 in main memory'
    """
    if "inplace" in options:
        return f"; write x = {name}(x)"
    found = next((INSTEAD_OF_OPTION[name, x] for x in options if (name, x) in INSTEAD_OF_OPTION), "")
    found = found or INSTEAD_OF_COUNT.get((name, count), "")
    found = found or next((OF_MANY_FUNCTIONS[option] for option in options if option in OF_MANY_FUNCTIONS), "")
    return f"; {found}" if found else ""


def refuse_rows(name: str, xs: Iterable[object]) -> None:
    """Raise TypeError if the items of `xs` are lists or arrays, since the function `name` takes a list of numbers.

    >>> refuse_rows("mean", [[1.0, 2.0]])
    Traceback (most recent call last):
    TypeError: mean() takes a list of numbers, got a list of lists; write [mean(row) for row in rows]
    """
    rows = list(xs)
    if rows and all(isinstance(x, (list, tuple)) or (hasattr(x, "ravel") and getattr(x, "shape", None)) for x in rows):
        kind = type(rows[0]).__name__
        write = f"write [{name}(row) for row in rows]"
        if name == "sum":
            start = {"list": ", []", "tuple": ", ()"}.get(kind, "")
            write += f" for the sum of each, or builtins.sum(rows{start}) for Python's own sum"
        raise TypeError(f"{name}() takes a list of numbers, got a list of {kind}s; {write}")


def refuse_options(name: str, wrong: Iterable[str], instead: Mapping[str, str], known: Iterable[str] = ()) -> None:
    """Raise TypeError if `wrong`, which has the names of options that the function `name` does not have, is not empty.

    Args:
        name: the function or class, as the message calls it.
        wrong: names of options that it does not have.
        instead: a dict from the name of an option to the end of the message, such as "write lr=...". The options in
            `OF_MANY_FUNCTIONS` need no entry.
        known: the names of the options that it has. If one of them is spelt like a wrong one, the message names it.
            Otherwise it names all of them, unless `instead` says what to write.

    >>> refuse_options("fit()", ["batchsize"], {}, ["batch_size", "epochs"])
    Traceback (most recent call last):
    TypeError: fit() has no option batchsize; write batch_size=...
    """
    for option in wrong:
        from difflib import get_close_matches  # imported here, because correct programs do not need it

        close = [f"write {found}=..." for found in get_close_matches(option, known, n=1, cutoff=0.75)]
        answers = {**OF_MANY_FUNCTIONS, **instead}
        named = [name for name in known if not name.startswith("_")]
        every = [f"its options are {', '.join(named)}"] if named else []
        write = [answers[option]] if option in answers else close or every
        raise TypeError("; ".join([f"{name} has no option {option}", *write]))


def refuse_arguments(name: str, xs: object, others: tuple[object, ...], wrong: Iterable[str]) -> NoReturn:
    """Raise TypeError for a wrong call of `name`, a function that takes one list `xs`. The message says what to write.

    `others` has the further arguments of the call, and `wrong` has the names of its options.
    """
    instead = {axis: why_no_axis(name, axis) for axis in AXES}
    instead["temperature"] = f"write {name}([x / temperature for x in xs])"
    refuse_options(f"{name}()", wrong, instead)
    write = several_numbers(name, (xs, *others)) or f"it takes one list; write {name}(xs)"
    raise TypeError(f"{name}(): {write}")


def why_no_axis(name: str, axis: str) -> str:
    """Return the end of an error message for `axis`, an option such as "axis" or "dim", in a call of `name`.

    The function `name` takes a list, which has no axes.
    """
    return f"a list has no axes, so there is no {axis}; write [{name}(row) for row in rows]"


def several_numbers(name: str, args: tuple[object, ...]) -> str:
    """Return the end of an error message for a call such as mean(x, y) of a function that takes one list.

    The message says what to write. It is "" if `args`, the arguments of the call, are not two to six numbers. `name` is
    the function.

    >>> several_numbers("mean", (1.0, 2.0))
    'it takes one list; write mean([x, y])'
    """
    if 1 < len(args) <= 6 and all(hasattr(x, "_record") or isinstance(x, (int, float)) for x in args):
        return f"it takes one list; write {name}([{', '.join('xyzabc'[: len(args)])}])"
    return ""
