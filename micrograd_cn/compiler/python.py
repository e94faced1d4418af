"""A recorded graph as a Python function without branches, for engines that compute with arrays."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from .. import ops
from ..engine import Value, topological_order
from ..operation import Op
from .lowering import Lowering

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


class Source:
    """Collect the lines of the function; an expression gets a name once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.helpers: dict[str, str] = {}
        self.known: dict[str, str] = {}
        self.conditions: dict[str, str] = {}
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

    def apply(self, op: Op, names: Sequence[str | float]) -> str | float:
        """Return the name of an operation's result; of constants alone it is a number."""
        if all(isinstance(name, float) for name in names):
            return op.forward(*names)
        if not op.machine and op not in (ops.sum, ops.dot):
            known = [name if isinstance(name, float) else None for name in names]
            steps, [result] = self.lowering.template((op, "formula"), known, op)
            numbers = list(names)
            for row, used in steps:
                numbers.append(self.apply(row, [numbers[x] if isinstance(x, int) else x for x in used]))
            return numbers[result] if isinstance(result, int) else result
        texts = [written(name) for name in names]
        if op is ops.where:
            return self.choice(*names)
        if op in COMPARISONS:
            name = self.choice(f"{texts[0]} {COMPARISONS[op]} {texts[1]}", 1.0, 0.0)
            self.conditions[name] = f"{texts[0]} {COMPARISONS[op]} {texts[1]}"
            return name
        if op is ops.sum:
            return self.line(" + ".join(texts))
        if op is ops.dot:
            n = len(texts) // 2
            products = [f"{a} * {b}" for a, b in zip(texts[:n], texts[n : 2 * n], strict=True)]
            return self.line(" + ".join(products + texts[2 * n :]))
        if op.notation:
            return self.line(op.text(*texts))
        return self.line(f"{self.function(op.name)}({', '.join(texts)})")

    def choice(self, condition: str | float, a: str | float, b: str | float) -> str:
        """Return the name of `a` or `b`."""
        self.helpers["where"] = CHOICE
        if isinstance(condition, str) and condition.isidentifier():
            condition = self.conditions.get(condition, f"{condition} != 0")
        if isinstance(a, float) and isinstance(b, float):  # torch would make single precision of two numbers
            self.helpers["number"] = NUMBER
            return self.line(f"where({condition}, number({written(a)}), number({written(b)}))")
        return self.line(f"where({condition}, {written(a)}, {written(b)})")

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
    names: dict[Value, str | float] = {p: f"w{i}" for i, p in enumerate(parameters)}
    names |= {x: f"x{i}" for i, x in enumerate(inputs)}
    for output in outputs:
        for node in [*reversed(topological_order(output)), output]:
            if node.op and node not in names:
                operands = [names.get(parent, parent.data) for parent in node.parents]
                names[node] = written_so_far.apply(node.op, operands)
    results = [written(names.get(output, output.data)) for output in outputs]
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
