"""Code that shows a failure when pasted: the arguments, of their types and shapes, and the call."""

from __future__ import annotations

from typing import Any

from .libraries import is_array, library, read
from .structures import flatten, parts
from .subject import Subject

__tracebackhide__ = True

NUMBERS = 24  # of an array that is written out; of a larger one, its type and shape
WIDEST = 200  # characters of a line


def pasted(asked: Subject) -> list[str]:
    """Return the lines of the code; none where arguments are no numbers nor arrays."""
    leaves = [x for _, x in flatten(asked.args)[0]]
    libraries = sorted({library(x) for x in leaves if is_array(x)} & {"numpy", "torch", "jax"})
    if not libraries or any(is_array(x) and read(x).size > NUMBERS for x in leaves):
        return []
    imports = {"numpy": "import numpy as np", "torch": "import torch", "jax": "import jax.numpy as jnp"}
    call = ", ".join(["f", *(code(x) for x in asked.args)])
    lines = [*(imports[name] for name in libraries), f"gradcheck({call})  # and the derivative, if one was given"]
    return ["", *lines] if all(len(line) <= WIDEST for line in lines) else []


def code(tree: Any) -> str:
    """Return an argument as code.

    >>> code({"w": [1.0, 2]})
    "{'w': [1.0, 2]}"
    """
    if found := parts(tree):
        inside = [code(part) for _, part in found[0]]
        if isinstance(tree, dict):
            return f"{{{', '.join(f'{key!r}: {text}' for key, text in zip(tree, inside, strict=True))}}}"
        if type(tree) in (list, tuple):
            comma = "," if isinstance(tree, tuple) and len(inside) == 1 else ""
            return f"[{', '.join(inside)}]" if isinstance(tree, list) else f"({', '.join(inside)}{comma})"
        names = [suffix.removeprefix(".") for suffix, _ in found[0]]
        return f"{type(tree).__name__}({', '.join(f'{n}={text}' for n, text in zip(names, inside, strict=True))})"
    maker = {"numpy": "np.array", "torch": "torch.tensor", "jax": "jnp.array"}.get(library(tree))
    if maker is None or not is_array(tree):
        return repr(tree)
    kind = str(tree.dtype).rpartition(".")[2]
    dtype = f"torch.{kind}" if library(tree) == "torch" else repr(kind)
    numbers = f"{read(tree).tolist()}".replace("nan", "float('nan')").replace("inf", "float('inf')")
    empty = f".reshape({tuple(tree.shape)})" if 0 in tree.shape else ""
    return f"{maker}({numbers}, dtype={dtype}){empty}"
