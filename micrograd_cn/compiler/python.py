"""A recorded graph as a Python function without branches, for engines that compute with arrays."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .. import ops
from ..engine import Value
from ..operation import Op
from .lowering import Lowering, ordered

COMPARISONS = {ops.less: "<", ops.less_equal: "<="}
CHOICE = 'where = getattr(xp, "where", lambda condition, a, b: a if condition else b)  # math has none'
NUMBER = "number = (lambda x: xp.asarray(x, dtype=xp.float64)) if hasattr(xp, 'asarray') else float"
SPECIAL = """\
if hasattr(xp, "{name}"):  # math, torch
    {name} = xp.{name}
elif xp.__name__.startswith("jax"):
    from jax.scipy.special import {name}
else:
    from math import {name} as of_one
    {name} = xp.vectorize(of_one, otypes=[float])"""


@dataclass(frozen=True)
class Condition:
    """A comparison, which becomes a number only where it is used as one."""

    text: str


Name: TypeAlias = str | float | Condition


class Source:
    """Collect the lines of the function; an expression gets a name once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.helpers: dict[str, str] = {}
        self.known: dict[str, str] = {}
        self.lowering = Lowering()

    def line(self, expression: str) -> str:
        """Return the name of an expression's value."""
        if expression not in self.known:
            name = self.known[expression] = f"v{len(self.known)}"
            text = f"{name} = {expression}"
            if len(text) > 100:
                inside = textwrap.fill(expression, 92, initial_indent="    ", subsequent_indent="    ")
                text = f"{name} = (\n{inside}\n)"
            self.lines.append(text)
        return self.known[expression]

    def apply(self, op: Op, names: Sequence[Name]) -> Name:
        """Return the name of an operation's result; of constants alone it is a number."""
        numbers = [name for name in names if isinstance(name, float)]
        if len(numbers) == len(names):
            return op.forward(*numbers)
        if not op.machine and op not in (ops.sum, ops.dot):
            known = [name if isinstance(name, float) else None for name in names]
            steps, [result] = self.lowering.template((op, "formula"), known, op)
            known_so_far = list(names)
            for row, used in steps:
                known_so_far.append(self.apply(row, [known_so_far[x] if isinstance(x, int) else x for x in used]))
            return known_so_far[result] if isinstance(result, int) else result
        if op is ops.where:
            return self.choice(*names)
        texts = [self.text(name) for name in names]
        if op in COMPARISONS:
            return Condition(f"{texts[0]} {COMPARISONS[op]} {texts[1]}")
        if op is ops.sum:
            return self.line(" + ".join(texts))
        if op is ops.dot:
            n = len(texts) // 2
            products = [f"{a} * {b}" for a, b in zip(texts[:n], texts[n : 2 * n], strict=True)]
            return self.line(" + ".join(products + texts[2 * n :]))
        if op.notation:
            return self.line(op.text(*texts))
        return self.line(f"{self.function(op.name)}({', '.join(texts)})")

    def text(self, name: Name) -> str:
        """Return how a value is written where a number is wanted."""
        return self.choice(name, 1.0, 0.0) if isinstance(name, Condition) else written(name)

    def choice(self, condition: Name, a: Name, b: Name) -> str:
        """Return the name of `a` or `b`."""
        self.helpers["where"] = CHOICE
        test = condition.text if isinstance(condition, Condition) else f"{written(condition)} != 0"
        texts = [self.text(a), self.text(b)]
        if isinstance(a, float) and isinstance(b, float):  # torch would make single precision of two numbers
            self.helpers["number"] = NUMBER
            texts = [f"number({text})" for text in texts]
        return self.line(f"where({test}, {', '.join(texts)})")

    def function(self, name: str) -> str:
        """Return how a function is called; where engines differ, its name is defined first."""
        if name == "abs":
            return name
        if name in ("erf", "erfc"):
            self.helpers[name] = SPECIAL.format(name=name)
            return name
        if name in ("asin", "acos", "atan", "atan2"):
            self.helpers[name] = f'{name} = getattr(xp, "{name}", None) or xp.arc{name[1:]}  # numpy before 2'
            return name
        return f"xp.{name}"


def written(x: str | float) -> str:
    """Return a name as it is, a number as Python writes it.

    >>> written("x"), written(-1.0), written(float("inf"))
    ('x', '(-1.0)', 'float("inf")')
    """
    if isinstance(x, str):
        return x
    text = repr(x)
    if text.lstrip("-") in ("inf", "nan"):
        return f'float("{text}")'
    return f"({text})" if text.startswith("-") else text


def source(outputs: Sequence[Value], inputs: Sequence[Value], parameters: Sequence[Value], single: bool) -> str:
    """Return the text of `f(xp, parameters, inputs)`."""
    written_so_far = Source()
    names: dict[Value, Name] = {p: f"w{i}" for i, p in enumerate(parameters)}
    names |= {x: f"x{i}" for i, x in enumerate(inputs)}
    for node in ordered(outputs):
        if node.op and node not in names:
            operands = [names.get(parent, parent.data) for parent in node.parents]
            names[node] = written_so_far.apply(node.op, operands)
    results = [written_so_far.text(names.get(output, output.data)) for output in outputs]
    body = [
        f"[{', '.join(f'w{i}' for i in range(len(parameters)))}] = parameters",
        f"[{', '.join(f'x{i}' for i in range(len(inputs)))}] = inputs",
    ]
    body = [text if len(text) < 100 else _long_list(text) for text in body]
    body += [*written_so_far.helpers.values(), *written_so_far.lines]
    body.append(f"return {results[0]}" if single else f"return [{', '.join(results)}]")
    return "def f(xp, parameters, inputs):\n" + textwrap.indent("\n".join(body), "    ") + "\n"


def _long_list(text: str) -> str:
    names, _, source_ = text[1:].rpartition("] = ")
    inside = textwrap.fill(names, 92, initial_indent="    ", subsequent_indent="    ")
    return f"[\n{inside}\n] = {source_}"
