"""A recorded graph as a Python function without branches, for engines that compute with arrays."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..derivatives.tree import flatten
from ..engine import Value, traverse
from ..module import Module
from ..ops.operation import Op
from .instructions.builder import CodeBuilder
from .instructions.lowering import DETACH, evaluation_order

SYMBOLS = ("<", "<=", ">", ">=", "==", "!=")
BUILTIN = ("abs",)  # Python's own, of numbers and arrays
CHOICE = 'where = getattr(xp, "where", lambda condition, a, b: a if condition else b)  # math has none'
ARRAY = """\
def array(x):  # torch's functions take no plain numbers
    return xp.tensor(x, dtype=xp.float64) if hasattr(xp, "is_tensor") and not xp.is_tensor(x) else x"""
NOT_IN_MATH = """\
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
    sorts: frozenset[str]


Name: TypeAlias = str | float | Condition
ParameterNames: TypeAlias = Module | Mapping[str, Any]  # leaves in nested lists, by name


class Source:
    """Collect the lines of the function; an expression gets a name once.

    Leaves are of two sorts, parameters "w" and inputs "x", and those of one sort may be plain numbers where the others
    are arrays. What depends on both sorts is an array in any case.

    Attributes:
        sorts: which sorts of leaves a name depends on.
        every: the sorts that the function has.
        made: the sorts that it turns into arrays, because functions of torch refuse plain numbers.
    """

    def __init__(self, leaves: Iterable[str]) -> None:
        self.sorts = {name: frozenset(name[0]) for name in leaves}
        self.every = frozenset[str]().union(*self.sorts.values())
        self.made: set[str] = set()
        self.lines: list[str] = []
        self.helpers: dict[str, str] = {}
        self.known: dict[str, str] = {}
        self.code = CodeBuilder()

    def line(self, expression: str, names: Iterable[Name]) -> str:
        """Return the name of the value of an expression, in which there are these names."""
        if expression not in self.known:
            name = self.known[expression] = f"v{len(self.known)}"
            self.sorts[name] = self.sorts_of(names)
            text = f"{name} = {expression}"
            if len(text) > 100:
                inside = textwrap.fill(expression, 92, initial_indent="    ", subsequent_indent="    ")
                text = f"{name} = (\n{inside}\n)"
            self.lines.append(text)
        return self.known[expression]

    def apply(self, op: Op, names: Sequence[Name]) -> Name:
        """Return the name of an operation's result; of constants alone it is a number."""
        if op is DETACH:
            raise ValueError('source("python"): engines differ in how they write detach() and no_grad()')
        numbers = [name for name in names if isinstance(name, float)]
        if len(numbers) == len(names):
            return op.evaluate(*numbers)
        if op.lowerings.summands:
            pairs, terms = op.lowerings.summands(*[self.text(name) for name in names])
            return self.line(" + ".join([*(f"{a} * {b}" for a, b in pairs), *terms]), names)
        if not op.notation.precedence and not op.lowerings.array:
            known = [name if isinstance(name, float) else None for name in names]
            steps, [result] = self.code.formula((op, "formula"), known, op)
            known_so_far = list(names)
            for row, used in steps:
                known_so_far.append(self.apply(row, [known_so_far[x] if isinstance(x, int) else x for x in used]))
            return known_so_far[result] if isinstance(result, int) else result
        if op.lowerings.array == "where":
            condition, a, b = names
            if isinstance(condition, float):
                return a if condition else b
            return self.choice(condition, a, b)
        texts = [self.text(name) for name in names]
        if op.lowerings.array in SYMBOLS:
            return Condition(f"{texts[0]} {op.lowerings.array} {texts[1]}", self.sorts_of(names))
        if op.notation.precedence:
            return self.line(op.text(*texts), names)
        if op.lowerings.array not in BUILTIN:
            texts = [self.array(name) for name in names]
        return self.line(f"{self.function(op.lowerings.array)}({', '.join(texts)})", names)

    def text(self, name: Name) -> str:
        """Return how a value is written where a number is wanted."""
        return self.choice(name, 1.0, 0.0) if isinstance(name, Condition) else written(name)

    def choice(self, condition: str | Condition, a: Name, b: Name) -> str:
        """Return the name of `a` or `b`."""
        self.helpers["where"] = CHOICE
        self.have_array(condition)
        test = condition.text if isinstance(condition, Condition) else f"{condition} != 0"
        if isinstance(a, float) and isinstance(b, float):  # torch would make single precision of two numbers
            texts = [self.array(a), self.array(b)]
        else:
            self.have_array(a, b)
            texts = [self.text(a), self.text(b)]
        return self.line(f"where({test}, {', '.join(texts)})", (condition, a, b))

    def array(self, name: Name) -> str:
        """Return how a value is written where an array is wanted."""
        if isinstance(name, float):
            self.helpers["array"] = ARRAY
            return f"array({written(name)})"
        self.have_array(name)
        return self.text(name)

    def have_array(self, *names: Name) -> None:
        """Let at least one of the names be an array, be the parameters plain numbers or the inputs."""
        sorts = self.sorts_of(names)
        if sorts != self.every:
            self.made |= sorts
            self.helpers["array"] = ARRAY

    def sorts_of(self, names: Iterable[Name]) -> frozenset[str]:
        """Return which sorts of leaves the names depend on."""
        used = [name for name in names if not isinstance(name, float)]
        known = [name.sorts if isinstance(name, Condition) else self.sorts[name] for name in used]
        return frozenset[str]().union(*known)

    def function(self, name: str) -> str:
        """Return how a function is called; where engines differ, its name is defined first."""
        if name in BUILTIN:
            return name
        if name in ("erf", "erfc"):
            self.helpers[name] = NOT_IN_MATH.format(name=name)
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


def source(
    outputs: Sequence[Value],
    inputs: Sequence[Value],
    parameters: Sequence[Value],
    constants: Mapping[Value, float],
    single: bool,
    named: ParameterNames | None = None,
) -> str:
    """Return the text of `f(xp, parameters, inputs)`; its parameters are a dict if they are named, else a list."""
    entries = None if named is None else entries_of(named)
    if entries is not None:
        read = traverse(*outputs)[1].union(outputs)
        parameters = in_order_of_names(entries, parameters, read)
    ws, xs = [f"w{i}" for i in range(len(parameters))], [f"x{i}" for i in range(len(inputs))]
    written_so_far = Source([*ws, *xs])
    leaves = dict(zip([*parameters, *inputs], [*ws, *xs], strict=True))
    names: dict[Value, Name] = {**constants, **leaves}
    for node in evaluation_order(outputs):
        if node.op and node not in names:
            operands = [names.get(x, x._data) for x in node.parents]
            names[node] = written_so_far.apply(node.op, operands)
    results = ", ".join([written_so_far.text(names[output]) for output in outputs])
    made, helpers = written_so_far.made, written_so_far.helpers
    body = [helpers.pop("array")] if made else []
    every_w, every_x = _wrapped(", ".join(ws)), _wrapped(", ".join(xs))
    if entries is None:
        body.append(f"{every_w} = {'map(array, parameters)' if 'w' in made else 'parameters'}")
    else:
        body += _unpacked(entries, "parameters", {leaf: leaves[leaf] for leaf in parameters})
        body += [f"{every_w} = map(array, {every_w})"] if "w" in made else []
    body.append(f"{every_x} = {'map(array, inputs)' if 'x' in made else 'inputs'}")
    body += [*helpers.values(), *written_so_far.lines]
    body.append(f"return {results}" if single else f"return [{results}]")
    return "def f(xp, parameters, inputs):\n" + textwrap.indent("\n".join(body), "    ") + "\n"


def entries_of(named: ParameterNames, language: str = "python") -> dict[str, Any]:
    """Return the leaves in nested lists, by name."""
    if isinstance(named, Module):
        return named.entries()
    if isinstance(named, Mapping):
        return dict(named)
    raise TypeError(
        f'source("{language}"): parameters must be a module, or a dict that names them, got {type(named).__name__}'
    )


def in_order_of_names(
    entries: dict[str, Any], parameters: Sequence[Value], read: Container[Value], language: str = "python"
) -> list[Value]:
    """Return the program's parameters in the order in which they are named.

    Raises:
        TypeError: what is named is no `Value`.
        ValueError: a parameter that is read has no name, or one has two, of which a dict would hold two numbers.
    """
    wanted, places = set(parameters), dict[Value, str]()
    for path, leaf in flatten(entries, "parameters")[0]:
        if not isinstance(leaf, Value):
            raise TypeError(f'source("{language}"): {path} must be a Value, got {type(leaf).__name__} {leaf!r}')
        if leaf in places:
            raise ValueError(
                f'source("{language}"): {places[leaf]} and {path} are one parameter, of which a dict would hold two '
                "numbers; give a dict that names it once"
            )
        if leaf in wanted:
            places[leaf] = path
    for i, leaf in enumerate(parameters):
        if leaf not in places and leaf in read:
            label = f", labelled {leaf.label!r}" if leaf.label else ""
            raise ValueError(
                f'source("{language}"): parameters[{i}] of the program, {leaf!r}{label}, is not among those that are '
                "named"
            )
    return list(places)


def _unpacked(entry: Any, given: str, words: Mapping[Value, str]) -> Iterator[str]:
    """Yield the lines that take a number for each word from what is given; "_" stands for what the graph has not."""
    if isinstance(entry, dict):
        for key, item in entry.items():
            text = _quoted(key) if isinstance(key, str) else repr(key)
            yield from _unpacked(item, f"{given}[{text}]", words)
    elif (pattern := _pattern(entry, words)) is None:
        for i, item in enumerate(entry):
            yield from _unpacked(item, f"{given}[{i}]", words)
    elif pattern.strip("[_, ]"):
        yield f"{_wrapped(pattern[1:-1]) if pattern.startswith('[') else pattern} = {given}"


def _quoted(name: str) -> str:
    """Return a name as Python text, in one line: there are more ends of lines than Python's own.

    >>> print(_quoted("重"), _quoted("a" + chr(0x2028) + "b"))
    "重" "a\\u2028b"
    """
    return re.sub("[\x85\u2028\u2029]", lambda end: f"\\u{ord(end[0]):04x}", json.dumps(name, ensure_ascii=False))


def _pattern(entry: Any, words: Mapping[Value, str]) -> str | None:
    """Return the words in the entry's own nesting; None if there are dicts in it."""
    if isinstance(entry, (list, tuple)):
        inside = [_pattern(item, words) for item in entry]
        return None if None in inside else f"[{', '.join(map(str, inside))}]"
    return None if isinstance(entry, dict) else words.get(entry, "_")


def _wrapped(names: str) -> str:
    """Return the list of the names, over several lines if it is long."""
    if len(names) < 80:
        return f"[{names}]"
    return f"[\n{textwrap.fill(names, 92, initial_indent='    ', subsequent_indent='    ')}\n]"
