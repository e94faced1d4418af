"""Code to paste that reproduces a failure of `gradcheck`: the arguments, and the call."""

from __future__ import annotations

import ast
import inspect
import itertools
import math
import re
from collections.abc import Iterator
from typing import Any

from ..inputs.array_parts import is_complex, is_sparse
from ..inputs.libraries import is_any_array, is_tensor, library_of, to_doubles
from ..inputs.pytrees import leaves, parts
from ..inputs.subject import Subject

__tracebackhide__ = True

MAX_WRITTEN_NUMBERS = 24  # an array is written out up to this size; for a larger one, the code draws random numbers
MAX_LINE_LENGTH, MAX_ARGUMENTS = 160, 4  # if a line is longer, or f has more arguments, no code is printed
REPR_TYPES = (bool, int, float, complex, str, bytes, slice, range)  # types whose repr is code
RANDOM_CALLS = re.compile(r"\b(normal|randn|ones)\(")  # code that makes arrays of other numbers than the arguments had


def reproduction(subject: Subject) -> list[str]:
    """Return lines of code that reproduce a failed check of `subject`.

    The list is empty if no argument is an array, if there are too many arguments, or if one cannot be written as a line
    of code.
    """
    given = [*leaves(subject.args), *leaves(dict(subject.keywords))]
    libraries = sorted({library_of(x) for x in given if is_any_array(x)} & {"numpy", "torch", "jax"})
    if not libraries:
        return []
    imports = {"numpy": "import numpy as np", "torch": "import torch", "jax": "import jax, jax.numpy as jnp"}
    seeds = itertools.count()
    lines, others, variables, doubtful = [], [], [], []
    f, derivatives = (
        _callable_name(subject.f, "f"),
        {name: _callable_name(df, name) for name, df in subject.derivatives.items()},
    )
    taken = {f, *derivatives.values(), "gradcheck", "np", "torch", "jax", "jnp"}
    # The parameters of a PyTorch module, its first argument, are not written: the module itself has them.
    for name, x in list(zip(subject.names, subject.args, strict=True))[subject.is_module :]:
        variables.append(f"{name}_" if name in taken else name)
        written = to_code(x, seeds=seeds)
        written = written if len(written) <= MAX_LINE_LENGTH else to_code(x, 0, seeds)
        lines.append(f"{variables[-1]} = {written}")
        others += [variables[-1]] if RANDOM_CALLS.search(written) else []
        doubtful += [] if is_any_array(x) and "<" not in written else [written]  # code for an array is Python
    options = {"kwargs": dict(subject.keywords), "static": sorted(subject.static), "order": subject.order}
    options = {name: x for name, x in options.items() if x and x != 1} | dict(subject.options)
    more = [f"{name}={to_code(x)}" for name, x in options.items()]
    if len(lines) > MAX_ARGUMENTS or any(len(line) > MAX_LINE_LENGTH for line in [*lines, *more]):
        return []
    if not all(map(_is_code, [*doubtful, *more])):
        return []
    comment = f"  # other numbers of the same type and shape: {', '.join(others)}" if others else ""
    if subject.is_module:
        comment += f"  # f: your {subject.name}, with the same parameters"
    named = [f"{name}={df}" for name, df in derivatives.items()]
    call = f"gradcheck({', '.join([f, *variables, *named, *more])}){comment}"
    return ["", *(imports[name] for name in libraries), *lines, call]


def _callable_name(f: Any, otherwise: str) -> str:
    """Return the name of `f` if a user's module defines it at the top level; for other functions, `otherwise`."""
    owner = getattr(f, "__self__", None)
    if isinstance(owner, type) and hasattr(owner, "backward") and owner.__qualname__.isidentifier():
        return owner.__qualname__  # the method `apply` of an autograd.Function
    ours = inspect.isfunction(f) and str(f.__module__).partition(".")[0] not in ("numpy", "torch", "jax")
    return f.__qualname__ if ours and f.__qualname__.isidentifier() else otherwise


def _is_code(text: str) -> bool:
    """Return whether a string is valid Python; the repr of many objects is not."""
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def to_code(tree: Any, most: int = MAX_WRITTEN_NUMBERS, seeds: Iterator[int] | None = None) -> str:
    """Return Python code that makes an argument, which may be a structure of arrays.

    An array of more than `most` numbers is written as code that draws random numbers, with the next of `seeds` as seed.
    An object that cannot be written as code becomes a string such as "<Tree>".

    >>> to_code({"w": [1.0, 2]})
    "{'w': [1.0, 2]}"
    """
    seeds = itertools.count() if seeds is None else seeds
    if is_sparse(tree):
        layout = {"torch.sparse_csr": "_csr", "torch.sparse_csc": "_csc"}.get(str(getattr(tree, "layout", "")), "")
        dense = to_code(tree.detach().to_dense(), most, seeds) if is_tensor(tree) else ""
        return f"{dense}.to_sparse{layout}()" if dense else f"<{type(tree).__name__}>"
    if (found := parts(tree)) and is_complex(tree) and hasattr(tree, "dtype"):
        real, imaginary = [to_code(part, most, seeds) for _, part in found[0]]
        return f"{real} + 1j * {imaginary}"
    if found and not isinstance(tree, complex):
        inside = [to_code(part, most, seeds) for _, part in found[0]]
        if isinstance(tree, dict):
            return f"{{{', '.join(f'{key!r}: {text}' for key, text in zip(tree, inside, strict=True))}}}"
        if type(tree) in (list, tuple):
            comma = "," if isinstance(tree, tuple) and len(inside) == 1 else ""
            return f"[{', '.join(inside)}]" if isinstance(tree, list) else f"({', '.join(inside)}{comma})"
        names = [suffix.removeprefix(".") for suffix, _ in found[0]]
        return f"{type(tree).__name__}({', '.join(f'{n}={text}' for n, text in zip(names, inside, strict=True))})"
    maker = {"numpy": "np.array", "torch": "torch.tensor", "jax": "jnp.array"}.get(library_of(tree))
    if maker is None or not is_any_array(tree):
        if isinstance(tree, float) and not math.isfinite(tree):
            return f"float('{tree}')"
        return repr(tree) if isinstance(tree, REPR_TYPES) or tree is None else f"<{type(tree).__name__}>"
    kind = str(tree.dtype).rpartition(".")[2]
    if not kind.startswith(("int", "uint", "bool", "float", "bfloat", "complex")):
        return f"<{kind}>"
    dtype = f"torch.{kind}" if is_tensor(tree) else repr(kind)
    if math.prod(tree.shape) > most:
        return _random_array_code(tree, kind, dtype, next(seeds))
    numbers = f"{to_doubles(tree).tolist()}".replace("nan", "float('nan')").replace("inf", "float('inf')")
    empty = f".reshape({tuple(tree.shape)})" if 0 in tree.shape else ""
    return f"{maker}({numbers}, dtype={dtype}){empty}"


def _random_array_code(array: Any, kind: str, dtype: str, seed: int) -> str:
    """Return code that makes an array of the same type and shape as `array`, but with other numbers.

    The numbers are all 1 for an array of integers or booleans, and random for others. The random numbers are positive
    if all numbers in `array` are.
    """
    shape = tuple(array.shape)
    if kind.startswith(("int", "uint", "bool")):
        ones = {"numpy": f"np.ones({shape}, {dtype})", "torch": f"torch.ones({shape}, dtype={dtype})"}.get(
            library_of(array), f"jnp.ones({shape}, {dtype})"
        )
        return ones
    exact = "" if kind == "float64" else f".astype({dtype})"
    drawn = {
        "numpy": f"np.random.default_rng({seed}).normal(size={shape}){exact}",
        "torch": f"torch.randn({shape}, generator=torch.Generator().manual_seed({seed}), dtype={dtype})",
    }.get(library_of(array), f"jax.random.normal(jax.random.key({seed}), {shape}, {dtype})")
    return f"abs({drawn})" if (to_doubles(array) > 0.0).all() else drawn
