"""Write the parts that all functions of a C file need: numbers, expressions, tables, and C functions for formulas.

A formula is an operation that is defined by simpler operations.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from ctypes import c_float
from itertools import count
from math import inf, isnan

from ..instructions.code import FORMULAS, SUM_OPCODES, Code

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
    long k = 0;
    for (; k + 3 < n; k += 4) {{
        y += a[k * da] * b[k * db];
        y1 += a[(k + 1) * da] * b[(k + 1) * db];
        y2 += a[(k + 2) * da] * b[(k + 2) * db];
        y3 += a[(k + 3) * da] * b[(k + 3) * db];
    }}
    for (; k < n; k++)
        y += a[k * da] * b[k * db];
    return (y + y1) + (y2 + y3);
}}"""
INDEX = """\
static long {name}({number_type} x, long n)
{{
    return x >= 0 && x < ({number_type})n && x == ({number_type})(long)x ? (long)x : -1;
}}"""


class Text:
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

    def literal(self, x: float) -> str:
        """Return a number as C text.

        If the C type of numbers is float, the text has just enough digits to tell the number from all other floats.

        >>> double, single = Text("f", "double", {}), Text("f", "float", {})
        >>> double.literal(0.1), double.literal(-0.0), single.literal(0.1), single.literal(-1e300)
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

    def expression(self, opcode: str, xs: Sequence[str]) -> str:
        """Return the C expression of an instruction with this opcode. `xs` has the operands as C text.

        The opcode must not be "sum" or "dot".

        Raises:
            ValueError: C99 has no function for the opcode.

        >>> Text("f", "float", {}).expression("llvm.sqrt", ["x"])
        'sqrtf(x)'
        """
        if opcode == "fmul":
            return product(xs[0], xs[1], self.literal(1.0))
        if opcode in OPERATORS:
            return OPERATORS[opcode].format(*xs)
        if opcode in COMPARISON_TEXTS:
            return f"{COMPARISON_TEXTS[opcode].format(*xs)} ? {self.literal(1.0)} : {self.literal(0.0)}"
        if opcode == "select":
            return f"{xs[0]} != {self.literal(0.0)} ? {xs[1]} : {xs[2]}"
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

    # Straight-line code.

    def straight_line(self, code: Code, names: dict[int, str], numbers: Iterable[int]) -> list[str]:
        """Return the lines that define variables for the values of some instructions.

        A comparison gets no variable. Its C text is repeated wherever its value is used.

        Args:
            code: the instructions.
            names: a dict from instruction numbers to the C text of the instructions' values. The instructions that are
                written here are added to it.
            numbers: the numbers of the instructions to write.
        """
        lines: list[str] = []
        conditions: dict[int, str] = {}

        def name_of(i: int) -> str:
            if i not in names and (x := code.constant_value(i)) is not None:
                return self.literal(x)
            return names[i]

        for i in numbers:
            opcode, *rest = code.instructions[i]
            if not code.operands[i]:
                continue
            name = names[i] = f"v{i}"
            if opcode in SUM_OPCODES:
                pairs, terms = rest
                products = [(name_of(a), name_of(b)) for a, b in pairs]
                lines.append(f"const {self.number_type} {name} = {self.sum([*map(name_of, terms)], products)};")
            elif opcode in COMPARISON_TEXTS:
                conditions[i] = COMPARISON_TEXTS[opcode].format(*map(name_of, rest))
                names[i] = f"({self.expression(opcode, [*map(name_of, rest)])})"
            elif opcode == "select" and rest[0] in conditions:
                a, b = map(name_of, rest[1:])
                lines.append(f"const {self.number_type} {name} = {conditions[rest[0]]} ? {a} : {b};")
            else:
                lines.append(f"const {self.number_type} {name} = {self.expression(opcode, [*map(name_of, rest)])};")
        return lines

    def sum(self, terms: Sequence[str], products: Sequence[tuple[str, str]]) -> str:
        """Return the C expression of a sum of terms and products. Terms and factors are C text."""
        one = self.literal(1.0)
        return " + ".join([*terms, *(product(a, b, one) for a, b in products)]) or self.literal(-0.0).strip("()")

    # Functions and tables.

    def formula(self, opcode: str) -> str:
        """Return the name of the C function that computes the formula with this opcode; define it at the first call."""
        if opcode not in self.functions:
            code, result = FORMULAS[opcode]
            operands = [i for i, instruction in enumerate(code.instructions) if instruction[0] == "input"]
            names = {i: f"x{k}" for k, i in enumerate(operands)}
            lines = self.straight_line(code, names, range(len(code.instructions)))
            name = f"{self.prefix}_formula{sum(key in FORMULAS for key in self.functions)}"
            arguments = ", ".join([f"{self.number_type} {names[i]}" for i in operands])
            head = f"static {self.number_type} {name}({arguments})"
            self.functions[opcode] = name, "\n".join([head, *block("", [*lines, f"return {names[result]};"])])
        return self.functions[opcode][0]

    def dot(self) -> str:
        """Return the name of the C function that adds an inner product of two strided arrays to a number."""
        name = f"{self.prefix}_dot"
        text = DOT.format(number_type=self.number_type, name=name, zero=self.literal(-0.0).strip("()"))
        return self.functions.setdefault(name, (name, text))[0]

    def index(self) -> str:
        """Return the name of the C function that converts a double to an index of one of n items, or else to -1."""
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
        texts = [str(x) if numbers else re.sub(r"^\((.*)\)$", r"\1", self.literal(x)) for x in values]
        listed = textwrap.fill(", ".join(texts), 100, initial_indent="    ", subsequent_indent="    ")
        key = name or listed  # a table with a given name is not shared
        if key not in self.tables:
            name = name or f"{self.prefix}_table{len(self.tables)}"
            self.tables[key] = name, f"static const {element_type} {name}[{len(values)}] = {{\n{listed}\n}};"
        return self.tables[key][0]


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
