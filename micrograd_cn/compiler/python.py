"""Print a recorded graph as a Python function without branches, for libraries that compute with arrays.

Some of the libraries differentiate the function that is printed here. Their own derivatives of operations such as
`relu` and `hypot` are wrong at some points, or differ from those of this package, so the printed function has
definitions of these operations. Therefore the function is written from the operations of the graph, and not from
instructions, as C is: an instruction does not show to which operation it belongs.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from ..engine import Value, traverse
from ..module import Module
from ..ops import table
from ..ops.operation import Op
from ..parameters.tree import flatten
from ..text.formula import FormulaSteps
from .instructions.formulas import Formulas
from .instructions.graph import DETACH, evaluation_order

COMPARISON_SIGNS = ("<", "<=", ">", ">=", "==", "!=")
NUMERIC = ("abs",)  # functions that accept both numbers and arrays
DEFINE_WHERE = 'where = getattr(xp, "where", lambda condition, a, b: a if condition else b)  # math has none'
DEFINE_ARRAY = """\
def array(x):  # torch's functions take no plain numbers
    return xp.tensor(x, dtype=xp.float64) if hasattr(xp, "is_tensor") and not xp.is_tensor(x) else x"""
DEFINE_SPECIAL = """\
if hasattr(xp, "{name}"):  # math, torch
    {name} = xp.{name}
elif xp.__name__.startswith("jax"):
    from jax.scipy.special import {name}
else:
    from math import {name} as of_one
    {name} = xp.vectorize(of_one, otypes=[float])"""
# Functions that Python's module math and perhaps numpy lack. In the last branch is the formula of the operation.
DEFINE_BY_FORMULA = """\
{known}
else:
    def {name}({operands}):
{lines}"""
SPECIAL_FUNCTION = """\
if hasattr(xp, "is_tensor"):  # torch
    {name} = xp.{name}
elif xp.__name__.startswith("jax"):
    from jax.scipy.special import {jax}"""
BY_FORMULA = {
    "erfinv": SPECIAL_FUNCTION.format(name="erfinv", jax="erfinv"),
    "lgamma": SPECIAL_FUNCTION.format(name="lgamma", jax="gammaln as lgamma"),
    "digamma": SPECIAL_FUNCTION.format(name="digamma", jax="digamma"),
    "logaddexp": 'if hasattr(xp, "logaddexp"):\n    logaddexp = xp.logaddexp',
}
# At kinks, too, these functions have the gradients of `micrograd_cn.ops`: 0 at relu(0), half for each operand at a tie.
DEFINE_RELU = """\
if hasattr(xp, "relu"):  # torch
    relu = xp.relu
elif xp.__name__.startswith("jax"):
    from jax.lax import stop_gradient
    def relu(x):  # its derivative at 0 is 0
        return where(x <= 0.0, stop_gradient(where(x < 0.0, 0.0, x)), x)
else:
    def relu(x):
        return where(x < 0.0, 0.0, x)"""
DEFINE_ABS = """\
if xp.__name__.startswith("jax"):
    from jax.lax import stop_gradient
    def absolute(x):  # its derivative at 0 is 0
        return where(x < 0.0, -x, where(0.0 < x, x, stop_gradient(abs(x))))
else:
    absolute = abs"""
DEFINE_HYPOT = """\
if xp.__name__.startswith("jax"):
    from jax.lax import stop_gradient
    def hypot(a, b):  # the derivatives of xp.hypot are wrong where abs(a) == abs(b)
        larger = stop_gradient(where(abs(a) < abs(b), abs(b), abs(a)))
        scale = where((0.0 < larger) & (larger < xp.inf), larger, 1.0)
        infinite = (abs(a) == xp.inf) | (abs(b) == xp.inf)
        return where(infinite, xp.inf, scale * xp.sqrt((a / scale) ** 2 + (b / scale) ** 2))
else:
    hypot = xp.hypot"""
DEFINE_EXTREME = """\
if xp.__name__.startswith("jax"):
    def {name}(a, b):  # xp.{name} passes 0 times the gradient, which may be inf, to the other operand
        return where(a == b, 0.5 * a + 0.5 * b, where(a {sign} b, a, where(b {sign} a, b, a + b)))
elif hasattr(xp, "{name}"):
    {name} = xp.{name}
else:
    def {name}(a, b):
        return b if b {sign} a or b != b else a"""
DEFINE_POWER = """\
if xp.__name__.startswith("jax"):
    def power(a, b):  # the derivatives of 0.0 ** 0.0 are nan
        return where((a == 0.0) & (b == 0.0), 1.0, a) ** b
else:
    def power(a, b):
        return a**b"""
DEFINITIONS = {
    "absolute": DEFINE_ABS,
    "erf": DEFINE_SPECIAL.format(name="erf"),
    "erfc": DEFINE_SPECIAL.format(name="erfc"),
    "hypot": DEFINE_HYPOT,
    "relu": DEFINE_RELU,
    "maximum": DEFINE_EXTREME.format(name="maximum", sign=">"),
    "minimum": DEFINE_EXTREME.format(name="minimum", sign="<"),
    "power": DEFINE_POWER,
}


@cache
def _differentiable(op: Op) -> Op:
    """Return an operation like `op` whose formula has correct derivatives if another library differentiates it.

    Return `op` itself if it has no second formula for this purpose.
    """
    return Op(op.name, op.lowerings.differentiable, op.partials) if op.lowerings.differentiable else op


# The table's operations without a kink, including those that only occur in derivatives.
SMOOTH = {op for op in vars(table).values() if isinstance(op, Op) and op.smoothness.kink is None}


@dataclass(frozen=True)
class PythonComparison:
    """A comparison in the text of a Python function, converted to a number only where a number is needed.

    Attributes:
        text: the comparison as Python text.
        depends_on: which leaves its operands depend on: "parameters", "inputs" or both.
    """

    text: str
    depends_on: frozenset[str]


Name: TypeAlias = str | float | PythonComparison  # the name of a variable, a constant, or a comparison
ParameterNames: TypeAlias = Module | Mapping[str, Any]  # a module, or a dict of parameters in nested lists


class PythonWriter:
    """Write the lines of a Python function that computes a graph.

    Equal expressions get the same name, so they are computed once.

    In a call of the function, parameters may be plain numbers while inputs are arrays, or the other way round. A value
    that depends on both is then an array in any case, but a value that depends on parameters alone, or on inputs alone,
    may be a plain number. torch functions accept no plain numbers. If a library function is applied to such values, all
    parameters, or all inputs, are converted to arrays at the beginning of the Python function.

    Args:
        parameters: the names of the parameters.
        inputs: the names of the inputs.
        formulas: the formulas of operations, so an operation is written as simpler operations.

    Attributes:
        depends_on: for the name of each variable, which leaves its value depends on: "parameters", "inputs" or both.
        converted: which leaves are converted to arrays: "parameters", "inputs" or both.
        lines: the assignments.
        helpers: a dict from the names of functions that the assignments need to the definitions of these functions.
        name_of: a dict from each expression to the name of the variable that has its value.
    """

    def __init__(self, parameters: Iterable[str], inputs: Iterable[str], formulas: Formulas) -> None:
        self.depends_on = dict.fromkeys(parameters, frozenset(["parameters"]))
        self.depends_on |= dict.fromkeys(inputs, frozenset(["inputs"]))
        self._all_leaves = frozenset[str]().union(*self.depends_on.values())
        self.converted: set[str] = set()
        self.lines: list[str] = []
        self.helpers: dict[str, str] = {}
        self.name_of: dict[str, str] = {}
        self._formulas = formulas

    def assign(self, expression: str, names: Iterable[Name]) -> str:
        """Return the name of the variable that has an expression's value. Add an assignment if there is none yet.

        Args:
            expression: the expression as Python text.
            names: the names that occur in the expression.
        """
        if expression not in self.name_of:
            name = self.name_of[expression] = f"v{len(self.name_of)}"
            self.depends_on[name] = self.leaves_of(names)
            text = f"{name} = {expression}"
            if len(text) > 100:
                inside = textwrap.fill(expression, 92, initial_indent="    ", subsequent_indent="    ")
                text = f"{name} = (\n{inside}\n)"
            self.lines.append(text)
        return self.name_of[expression]

    def apply(self, op: Op, names: Sequence[Name], inside_smooth: bool = False) -> Name:
        """Write an operation; return the name of its result, or the result itself if all operands are constants.

        The result of a comparison is a `PythonComparison`.

        Args:
            op: the operation that is written.
            names: the operands, as names, constants or comparisons.
            inside_smooth: whether `op` is a step in the formula of an operation that is in the table of operations and
                has no kinks. If `op` has a formula for libraries that differentiate, `lowerings.differentiable`, this
                formula is then printed instead of the library's function.

        Raises:
            TypeError: the operation has no library function, and its formula cannot be traced.
            ValueError: the operation is `detach()`.
        """
        if op is DETACH:
            raise ValueError('source("python"): libraries differ in how they write detach() and no_grad()')
        numbers = [name for name in names if isinstance(name, float)]
        if len(numbers) == len(names):
            return op.evaluate(*numbers)
        if op.lowerings.summands:
            pairs, terms = op.lowerings.summands(*[self.text(name) for name in names])
            return self.assign(" + ".join([*(f"{a} * {b}" for a, b in pairs), *terms]), names)
        in_branches = inside_smooth and op.lowerings.differentiable is not None
        if in_branches or not (op.notation.precedence or op.lowerings.array):
            return self._formula(op, _differentiable(op), names)
        if op.lowerings.array == "where":
            condition, a, b = names
            if isinstance(condition, float):
                return a if condition else b
            return self.choice(condition, a, b)
        texts = [self.text(name) for name in names]
        if op.lowerings.array in COMPARISON_SIGNS:
            return PythonComparison(f"{texts[0]} {op.lowerings.array} {texts[1]}", self.leaves_of(names))
        if op.lowerings.machine == "pow" and names[1] == 1.0:
            return names[0]
        if op.lowerings.machine == "pow" and all(name == 0.0 for name in numbers):  # the power may be 0 to the power 0
            return self.assign(f"{self.function('power')}({', '.join(texts)})", names)
        if op.notation.precedence:
            return self.assign(op.text(*texts), names)
        if op.lowerings.array not in NUMERIC:
            texts = [self.array(name) for name in names]
        if op.lowerings.array in BY_FORMULA:
            self._define_by_formula(op, len(names))
            return self.assign(f"{op.lowerings.array}({', '.join(texts)})", names)
        return self.assign(f"{self.function(op.lowerings.array)}({', '.join(texts)})", names)

    def _formula(self, op: Op, printed: Op, names: Sequence[Name]) -> Name:
        """Write the steps of an operation's formula, and return the name of the result.

        Args:
            op: the operation, from the graph or from the formula of another operation.
            printed: the operation whose formula is written: `op` itself, or a variant of it with correct derivatives in
                other libraries (see `_differentiable`).
            names: the operands, as names, constants or comparisons.
        """
        known = [name if isinstance(name, float) else None for name in names]
        formula = self._formulas.of(printed, "formula", known)
        [result] = formula.traced.run(names, lambda step, operands: self.apply(step, operands, op in SMOOTH), float)
        return result

    def _define_by_formula(self, op: Op, count: int) -> None:
        """Add the definition of a function that some libraries lack to `helpers`.

        The defined function is the library's own one if the library has it, and otherwise computes the formula of `op`.
        `count` is the number of the operation's operands.
        """
        name, operands = op.lowerings.array, [f"x{i}" for i in range(count)]
        if name in self.helpers:
            return
        inside = PythonWriter([], operands, self._formulas)
        result = inside.text(inside._formula(op, op, operands))
        self.helpers |= inside.helpers
        lines = textwrap.indent("\n".join([*inside.lines, f"return {result}"]), 8 * " ")
        self.helpers[name] = DEFINE_BY_FORMULA.format(
            name=name, known=BY_FORMULA[name], operands=", ".join(operands), lines=lines
        )

    def text(self, name: Name) -> str:
        """Return the Python text of a value as a number. A comparison becomes 1.0 or 0.0."""
        return self.choice(name, 1.0, 0.0) if isinstance(name, PythonComparison) else literal(name)

    def choice(self, condition: str | PythonComparison, a: Name, b: Name) -> str:
        """Write an expression that is `a` where a condition holds and `b` elsewhere, and return the name of its value.

        If `condition` is the name of a variable, it holds where the variable is not 0.
        """
        self.helpers["where"] = DEFINE_WHERE
        self.require_array(condition)
        test = condition.text if isinstance(condition, PythonComparison) else f"{condition} != 0"
        if isinstance(a, float) and isinstance(
            b, float
        ):  # torch would make an array in single precision of two plain numbers
            texts = [self.array(a), self.array(b)]
        else:
            self.require_array(a, b)
            texts = [self.text(a), self.text(b)]
        return self.assign(f"where({test}, {', '.join(texts)})", (condition, a, b))

    def array(self, name: Name) -> str:
        """Return the Python text of a value that must be an array. A plain number is converted to an array."""
        if isinstance(name, float):
            self.helpers["array"] = DEFINE_ARRAY
            return f"array({literal(name)})"
        self.require_array(name)
        return self.text(name)

    def require_array(self, *names: Name) -> None:
        """Make sure that at least one of the values is an array when the printed function runs.

        If all of them depend on parameters alone, or all on inputs alone, they may be plain numbers. Then the printed
        function gets a line that converts these parameters or inputs to arrays.
        """
        leaves = self.leaves_of(names)
        if leaves != self._all_leaves:
            self.converted |= leaves
            self.helpers["array"] = DEFINE_ARRAY

    def leaves_of(self, names: Iterable[Name]) -> frozenset[str]:
        """Return which leaves some values depend on: "parameters", "inputs" or both."""
        used = [name for name in names if not isinstance(name, float)]
        known = [name.depends_on if isinstance(name, PythonComparison) else self.depends_on[name] for name in used]
        return frozenset[str]().union(*known)

    def function(self, name: str) -> str:
        """Return the Python text of the function `name` of `xp`, the library that computes, such as math or torch.

        If the function has different names in different libraries, is missing in some, or has other derivatives there,
        a definition that suits all libraries is added to `helpers`.
        """
        if name == "abs":
            name = "absolute"
        if name in DEFINITIONS:
            if "where(" in DEFINITIONS[name]:
                self.helpers["where"] = DEFINE_WHERE
            self.helpers[name] = DEFINITIONS[name]
            return name
        if name in ("asin", "acos", "atan", "atan2"):
            self.helpers[name] = f'{name} = getattr(xp, "{name}", None) or xp.arc{name[1:]}  # numpy before 2'
            return name
        return f"xp.{name}"


def literal(x: str | float) -> str:
    """Return a number as Python text; return a name unchanged.

    >>> literal("x"), literal(-1.0), literal(float("inf"))
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
    users_formulas: dict[Any, FormulaSteps] | None = None,
) -> str:
    """Return the text of a function `f(xp, parameters, inputs)`, in which `xp` is the library that computes.

    Args:
        outputs: the nodes whose values the function returns.
        inputs: the leaves that are inputs.
        parameters: the leaves that are parameters.
        constants: the values of the leaves that are constants.
        single: whether the function returns one number instead of a list of numbers.
        named: the parameters by name, if the function shall take its parameters as a dict. If this is None, the
            function takes a list.
        users_formulas: the formulas of users' operations that were traced before, see `Formulas`.

    Raises:
        TypeError: `named` is neither a module nor a dict, or has an entry that is not a `Value`; or an operation cannot
            be printed.
        ValueError: a parameter that the graph reads has no name in `named`, or a parameter has two names; or the graph
            has a `detach()`.
    """
    entries = None if named is None else named_entries(named)
    if entries is not None:
        parameters = in_order_of_names(entries, parameters, outputs)
    ws, xs = [f"w{i}" for i in range(len(parameters))], [f"x{i}" for i in range(len(inputs))]
    writer = PythonWriter(ws, xs, Formulas(users_formulas))
    leaves = dict(zip([*parameters, *inputs], [*ws, *xs], strict=True))
    names: dict[Value, Name] = {**constants, **leaves}
    for node in evaluation_order(outputs):
        if node.op and node not in names:
            operands = [names.get(x, x._data) if isinstance(x, Value) else x for x in node.operands]
            names[node] = writer.apply(node.op, operands)
    results = ", ".join([writer.text(names[output]) for output in outputs])
    converted, helpers = writer.converted, writer.helpers
    body = [helpers.pop("array")] if converted else []
    every_w, every_x = _list_pattern(", ".join(ws)), _list_pattern(", ".join(xs))
    if entries is None:
        body.append(f"{every_w} = {'map(array, parameters)' if 'parameters' in converted else 'parameters'}")
    else:
        body += _unpacking(entries, "parameters", {leaf: leaves[leaf] for leaf in parameters})
        body += [f"{every_w} = map(array, {every_w})"] if "parameters" in converted else []
    body.append(f"{every_x} = {'map(array, inputs)' if 'inputs' in converted else 'inputs'}")
    body += [*helpers.values(), *writer.lines]
    body.append(f"return {results}" if single else f"return [{results}]")
    return "def f(xp, parameters, inputs):\n" + textwrap.indent("\n".join(body), "    ") + "\n"


def named_entries(named: ParameterNames, language: str = "python") -> dict[str, Any]:
    """Return `named` as a dict from names to parameters or nested lists of them; `named` is a module, or such a dict.

    `language` is the argument of `Program.source`, for messages.

    Raises:
        TypeError: `named` is neither a module nor a dict.
    """
    if isinstance(named, Module):
        return named.entries()
    if isinstance(named, Mapping):
        return dict(named)
    raise TypeError(
        f'source("{language}"): parameters must be a module, or a dict that names them, got {type(named).__name__}'
    )


def in_order_of_names(
    entries: dict[str, Any], parameters: Sequence[Value], outputs: Sequence[Value], language: str = "python"
) -> list[Value]:
    """Return the program's parameters in the order in which `entries` names them.

    A parameter without a name is left out if the graph does not read it. A named `Value` that is not a parameter of the
    program is left out, too.

    Args:
        entries: a dict from names to parameters or nested lists of them.
        parameters: the program's parameters.
        outputs: the outputs of the graph.
        language: the argument of `Program.source`, for messages.

    Raises:
        TypeError: a name belongs to something that is not a `Value`.
        ValueError: a parameter that the graph reads has no name, or a parameter has two names.
    """
    wanted, places, read = set(parameters), dict[Value, str](), traverse(*outputs)[1].union(outputs)
    for path, leaf in flatten(entries, "parameters")[0]:
        if not isinstance(leaf, Value):
            raise TypeError(f'source("{language}"): {path} must be a Value, got {type(leaf).__name__} {leaf!r}')
        if leaf in places:
            raise ValueError(
                f'source("{language}"): {places[leaf]} and {path} are the same parameter, for which a dict would hold '
                "two numbers; give a dict that names it once"
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


def _unpacking(entry: Any, given: str, words: Mapping[Value, str]) -> Iterator[str]:
    """Yield the assignments that unpack a nested entry, so each leaf in `words` is in a variable of its own.

    Args:
        entry: a leaf, or nested lists and dicts of leaves.
        given: the Python expression whose value is the entry.
        words: a dict from leaves to the names of their variables.
    """
    if isinstance(entry, dict):
        for key, item in entry.items():
            text = _quoted(key) if isinstance(key, str) else repr(key)
            yield from _unpacking(item, f"{given}[{text}]", words)
    elif (pattern := _nested_pattern(entry, words)) is None:
        for i, item in enumerate(entry):
            yield from _unpacking(item, f"{given}[{i}]", words)
    elif pattern.strip("[_, ]"):
        yield f"{_list_pattern(pattern[1:-1]) if pattern.startswith('[') else pattern} = {given}"


def _quoted(name: str) -> str:
    """Return a name as a Python string literal in one line. Line ends that JSON does not escape are escaped, too.

    >>> print(_quoted("重"), _quoted("a" + chr(0x2028) + "b"))
    "重" "a\\u2028b"
    """
    return re.sub("[\x85\u2028\u2029]", lambda end: f"\\u{ord(end[0]):04x}", json.dumps(name, ensure_ascii=False))


def _nested_pattern(entry: Any, words: Mapping[Value, str]) -> str | None:
    """Return the assignment target that unpacks nested lists, with "_" for leaves that are not in `words`.

    Return None if the lists contain a dict, since no assignment target can unpack a dict.
    """
    if isinstance(entry, (list, tuple)):
        inside = [_nested_pattern(item, words) for item in entry]
        return None if None in inside else f"[{', '.join(map(str, inside))}]"
    return None if isinstance(entry, dict) else words.get(entry, "_")


def _list_pattern(names: str) -> str:
    """Return `names`, a string with commas between names, in brackets. A long string is broken into several lines."""
    if len(names) < 80:
        return f"[{names}]"
    return f"[\n{textwrap.fill(names, 92, initial_indent='    ', subsequent_indent='    ')}\n]"
