"""Write the parts that all functions of a C file need: numbers, expressions, tables, and C functions for formulas.

A formula is several instructions that one opcode stands for.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from ctypes import c_float
from itertools import count
from math import inf, isnan

from ..instructions.code import FORMULAS, Code
from ..instructions.straight_line import OpcodeWriter, StraightLineWriter

MAX_LINE = 110  # characters in a line, at most
SUFFIXES = {"double": "", "float": "f"}  # the suffix of numbers, and of functions in math.h
OPERATORS = {"fadd": "{0} + {1}", "fsub": "{0} - {1}", "fdiv": "{0} / {1}", "fneg": "-{0}"}
COMPARISON_TEXTS = {
    **{"fcmp oeq": "{0} == {1}", "fcmp olt": "{0} < {1}", "fcmp ole": "{0} <= {1}", "fcmp une": "{0} != {1}"},
    **{"fcmp ogt": "{0} > {1}", "fcmp oge": "{0} >= {1}", "fcmp ugt": "!({0} <= {1})", "fcmp uge": "!({0} < {1})"},
    **{"fcmp ult": "!({0} >= {1})", "fcmp ule": "!({0} > {1})", "fcmp one": "({0} < {1} || {0} > {1})"},
    **{"fcmp ueq": "!({0} < {1} || {0} > {1})", "fcmp ord": "({0} == {0} && {1} == {1})"},
    "fcmp uno": "({0} != {0} || {1} != {1})",
}
# The functions of C99's math.h whose operands and result are real numbers.
# fmt: off
MATH_H = frozenset([
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "copysign", "cos", "cosh",
    "erf", "erfc", "exp", "exp2", "expm1", "fabs", "fdim", "floor", "fma", "fmax", "fmin", "fmod", "hypot",
    "lgamma", "log", "log10", "log1p", "log2", "logb", "nearbyint", "nextafter", "pow", "remainder", "rint",
    "round", "sin", "sinh", "sqrt", "tan", "tanh", "tgamma", "trunc",
])
# fmt: on
C_NAMES = {"llvm.minnum": "fmin", "llvm.maxnum": "fmax"}  # functions that have another name in C than in LLVM
DOT = """\
static {number_type} {name}({number_type} y, const {number_type} *a, long da, const {number_type} *b, long db, long n)
{{
    {number_type} y1 = {zero}, y2 = {zero}, y3 = {zero};
    const long whole = n - n % 4;
    for (long k = 0; k < whole; k += 4) {{
        y += a[k * da] * b[k * db];
        y1 += a[(k + 1) * da] * b[(k + 1) * db];
        y2 += a[(k + 2) * da] * b[(k + 2) * db];
        y3 += a[(k + 3) * da] * b[(k + 3) * db];
    }}
    for (long k = whole; k < n; k++)
        y += a[k * da] * b[k * db];
    return (y + y1) + (y2 + y3);
}}"""
INDEX = """\
static long {name}({number_type} x, long n)
{{
    return x >= 0 && x < ({number_type})n && x == ({number_type})(long)x ? (long)x : -1;
}}"""


class Text(OpcodeWriter):
    """Write the numbers and expressions of one C file, and collect the C functions and tables that they need.

    Args:
        prefix: the prefix of all names in the file.
        number_type: the C type of numbers, "double" or "float".
        op_names: a dict from opcodes to the names of the operations that are lowered to these opcodes, for error
            messages.
        weights: the name of the array of parameters.

    Attributes:
        tables: a dict with the name and the definition of each table. The key is the text of the contents, or the name
            if the caller chose it.
        functions: a dict with the name and the definition of each shared function. The key is the opcode of a formula,
            or the function's name.
    """

    def __init__(self, prefix: str, number_type: str, op_names: Mapping[str, str], weights: str = "parameters") -> None:
        self.prefix, self.number_type, self.op_names, self.weights = prefix, number_type, op_names, weights
        self.suffix = SUFFIXES[number_type]
        self.tables: dict[str, tuple[str, str]] = {}
        self.functions: dict[str, tuple[str, str]] = {}

    # Numbers and expressions.

    def constant(self, x: float) -> str:
        """Return a number as C text.

        If the C type of numbers is float, the text has just enough digits to tell the number from all other floats.

        >>> double, single = Text("f", "double", {}), Text("f", "float", {})
        >>> double.constant(0.1), double.constant(-0.0), single.constant(0.1), single.constant(-1e300)
        ('0.1', '(-0.0)', '0.1f', '(-HUGE_VALF)')
        """
        if self.suffix:
            x = c_float(x).value
        if isnan(x):
            return "NAN"
        text = repr(x)
        if x in (inf, -inf):
            text = text.replace("inf", "HUGE_VAL" + self.suffix.upper())
        elif self.suffix:
            text = next(t for t in (f"{x:.{digits}g}" for digits in count(1)) if c_float(float(t)).value == x)
            text += self.suffix if "." in text or "e" in text else f".0{self.suffix}"
        return f"({text})" if text.startswith("-") else text

    def compare(self, opcode: str, xs: Sequence[str]) -> str:
        """Return the C expression of a comparison. `xs` has the operands as C text."""
        return COMPARISON_TEXTS[opcode].format(*xs)

    def select(self, condition: str, a: str, b: str) -> str:
        """Return the C expression of a choice between `a`, if a condition holds, and `b`."""
        return f"{condition} ? {a} : {b}"

    def operation(self, opcode: str, xs: Sequence[str]) -> str:
        """Return the C expression of an operation. `xs` has the operands as C text.

        Raises:
            ValueError: C99 has no function for the opcode.

        >>> Text("f", "float", {}).operation("llvm.sqrt", ["x"])
        'sqrtf(x)'
        """
        if opcode == "fmul":
            return product(xs[0], xs[1], self.constant(1.0))
        if opcode in OPERATORS:
            return OPERATORS[opcode].format(*xs)
        name = self.formula(opcode) if opcode in FORMULAS else self._of_math_h(opcode)
        return f"{name}({', '.join(xs)})"

    def _of_math_h(self, opcode: str) -> str:
        name = C_NAMES.get(opcode, opcode.removeprefix("llvm."))
        if name not in MATH_H:
            raise ValueError(
                f'source("c"): the operation {self.op_names.get(opcode, opcode)!r} has lowerings.machine={opcode!r}, '
                "which is no function of C99's math.h; write its lowerings.formula instead"
            )
        return name + self.suffix

    def sum(self, opcode: str, pairs: Iterable[tuple[str, str]], terms: Iterable[str]) -> str:
        """Return the C expression of a sum of terms and products. Terms and factors are C text."""
        one = self.constant(1.0)
        return " + ".join([*terms, *(product(a, b, one) for a, b in pairs)]) or self.constant(-0.0).strip("()")

    # Functions and tables.

    def formula(self, opcode: str) -> str:
        """Return the name of the C function that computes the formula with this opcode; define it at the first call."""
        if opcode not in self.functions:
            code, result, _ = FORMULAS[opcode]
            operands = [i for i, instruction in enumerate(code.instructions) if instruction[0] == "input"]
            names = {i: f"x{k}" for k, i in enumerate(operands)}
            writer = VariableWriter(self, code, names)
            writer.write_all(range(len(code.instructions)))
            value = writer.name_of(result)
            name = f"{self.prefix}_formula{sum(key in FORMULAS for key in self.functions)}"
            arguments = ", ".join([f"{self.number_type} {names[i]}" for i in operands])
            head = f"static {self.number_type} {name}({arguments})"
            self.functions[opcode] = name, "\n".join([head, *block("", [*writer.take_lines(), f"return {value};"])])
        return self.functions[opcode][0]

    def dot(self) -> str:
        """Return the name of the C function that adds the inner product of two strided arrays to its first argument."""
        name = f"{self.prefix}_dot"
        text = DOT.format(number_type=self.number_type, name=name, zero=self.constant(-0.0).strip("()"))
        return self.functions.setdefault(name, (name, text))[0]

    def index(self) -> str:
        """Return the name of the C function that converts a number x to an integer.

        It returns -1 if x is not an index: an integer from 0 to n - 1, where n is its second argument.
        """
        name = f"{self.prefix}_index"
        return self.functions.setdefault(name, (name, INDEX.format(number_type=self.number_type, name=name)))[0]

    def table(self, values: Sequence[int] | Sequence[float], name: str = "") -> str:
        """Return the name of a constant array with these elements. The first call defines the array.

        Args:
            values: the elements, which are all integers, or all numbers of the file's type.
            name: the name of the array. By default a name is chosen, and calls with equal elements share an array.
        """
        numbers = all(isinstance(x, int) for x in values)
        small = numbers and min(values) >= 0 and max(values) < 1 << 16
        element_type = ("unsigned short" if small else "long") if numbers else self.number_type
        texts = [str(x) if numbers else re.sub(r"^\((.*)\)$", r"\1", self.constant(x)) for x in values]
        listed = textwrap.fill(", ".join(texts), 100, initial_indent="    ", subsequent_indent="    ")
        key = name or listed  # a table with a given name is not shared
        if key not in self.tables:
            name = name or f"{self.prefix}_table{len(self.tables)}"
            self.tables[key] = name, f"static const {element_type} {name}[{len(values)}] = {{\n{listed}\n}};"
        return self.tables[key][0]


class VariableWriter(StraightLineWriter):
    """Write instructions as lines of C, each of which defines a variable with the value of an instruction.

    A condition gets no variable: it is written out where it is used.

    Args:
        text: the writer of expressions.
        code: the instructions.
        names: a dict from the numbers of leaves to the C text of their values.
    """

    def __init__(self, text: Text, code: Code, names: Mapping[int, str]) -> None:
        super().__init__(text, code)
        self.names.update(names)
        self._declaration = f"const {text.number_type}"
        self._lines: list[str] = []

    def define(self, i: int, value: str) -> None:
        """Write the line that defines a variable with the value of instruction `i`."""
        self.names[i] = f"v{i}"
        self._lines.append(f"{self._declaration} v{i} = {value};")

    def take_lines(self) -> list[str]:
        """Return the lines that were written since the last call."""
        found, self._lines = self._lines, []
        return found


def product(a: str, b: str, one: str) -> str:
    """Return the C expression of a product. A factor that is equal to `one`, the C text of the number 1, is left out.

    >>> product("x", "y", "1.0"), product("1.0", "y", "1.0")
    ('x * y', 'y')
    """
    return b if a == one else a if b == one else f"{a} * {b}"


def wrapped(line: str) -> list[str]:
    """Break a line of C into several lines if it is longer than MAX_LINE characters."""
    indent = " " * (len(line) - len(line.lstrip()))
    more = indent + 8 * " "
    wrapper = textwrap.TextWrapper(MAX_LINE, indent, more, break_long_words=False, break_on_hyphens=False)
    return wrapper.wrap(line.strip())


def block(head: str, lines: Iterable[str]) -> list[str]:
    """Return lines in braces. `head`, such as a `for`, is written before the opening brace; it may be empty.

    >>> block("for (;;)", ["x++;"])
    ['for (;;) {', '    x++;', '}']
    >>> block("", ["x++;"])
    ['{', '    x++;', '}']
    """
    inside = [f"    {line}" if line else line for line in lines]
    return [f"{head} {{".lstrip(), *inside, "}"]
