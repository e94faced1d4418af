"""Print operations as JavaScript functions, which compute values and partial derivatives on a page."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ..ops.number import number
from ..ops.operation import Op
from ..text.formula import FormulaError, Term, expand, formula_steps, trace

IEEE = "./stepper/ieee.js"  # the module of functions that operations call, but JavaScript does not have


class Rows:
    """Collect operations, which are rows of the table of operations, and print them as JavaScript functions.

    If the formula of an operation uses other operations, these are added too. Each operation gets a unique name.

    >>> from micrograd_cn import relu
    >>> rows = Rows()
    >>> rows.add(relu, 1)
    'relu'
    >>> print(rows.module())
    export const forward = {
      "relu": (x0) => { return forward.where(forward.less(x0, 0.0), 0.0, x0); },
      "less": (a, b) => (a < b ? 1 : 0),
      "where": (c, a, b) => (c !== 0 ? a : b),
      "less_equal": (a, b) => (a <= b ? 1 : 0),
    };
    export const partials = {
      "relu": (y, x0) => { return [forward.where(forward.less_equal(x0, 0.0), 0.0, 1.0)]; },
    };
    <BLANKLINE>
    """

    def __init__(self) -> None:
        self._names: dict[tuple[Op, int], str] = {}
        self._forward: dict[str, str] = {}
        self._partials: dict[str, str] = {}

    def add(self, op: Op, count: int) -> str:
        """Add the operation `op` for `count` operands, and return the name of its two JavaScript functions.

        Raises:
            FormulaError: the operation uses functions other than the operations of this package. The message names the
                operation.
        """
        name = self._add_forward(op, count)
        if name not in self._partials:
            y, operands = Term("y"), _operands(count)
            results = _formula(lambda: trace(op.local_derivatives, y, *operands, of=op), op)
            self._partials[name] = self.function((y, *operands), results, "[{}]")
        return name

    def module(self) -> str:
        """Return a JavaScript module with the objects `forward` and `partials`.

        `forward` has functions for the values of operations, by the operations' names. `partials` has functions that
        return arrays of all partial derivatives.
        """
        named = sorted({form for form in self._forward.values() if form.isidentifier()})
        imported = f'import {{ {", ".join(named)} }} from "{IEEE}";\n' if named else ""
        tables = {"forward": self._forward, "partials": self._partials}
        return imported + "".join([f"export const {name} = {_table(table)};\n" for name, table in tables.items()])

    def _add_forward(self, op: Op, count: int) -> str:
        key = (op, count)
        if key in self._names:
            return self._names[key]
        name, taken = op.name if op.arity is not None else f"{op.name}/{count}", set(self._names.values())
        while name in taken:
            name += "'"
        self._names[key] = name
        self._forward[name] = op.lowerings.javascript  # before the rows that its formula adds
        if not op.lowerings.javascript:
            try:
                operands = _operands(count)
                result = _formula(lambda: expand(op, *operands), op)
                self._forward[name] = self.function(operands, (result,), "{}")
            except FormulaError:
                del self._names[key], self._forward[name]
                raise
        return name

    def function(self, inputs: Sequence[Term], results: tuple[Any, ...], form: str) -> str:
        """Return a JavaScript function that computes the terms `results`. A term that occurs twice is computed once.

        The parameters of the function are `inputs`. `form` is the JavaScript text of the returned value, with `{}` in
        place of the results, such as "[{}]" for an array of the results.
        """
        lines, values = self._lines(inputs, results, [term.name for term in inputs])
        body = "".join([f"{line} " for line, _ in lines])
        value = form.format(", ".join(values))
        return f"({', '.join([term.name for term in inputs])}) => {{ {body}return {value}; }}"

    def loop(self, fixed: Sequence[Term], arrays: Sequence[Term], results: Sequence[tuple[Term, Any]]) -> str:
        """Return a JavaScript function that updates arrays element by element.

        The function takes the `fixed` inputs and then the arrays. Each of `results` is an array and a formula: for each
        index, the function computes the formula from the fixed inputs and the arrays' elements, and stores the result
        in the array. A term that depends on the fixed inputs alone is computed once, before the loop.
        """
        names = [term.name for term in (*fixed, *arrays)]
        texts = [*[term.name for term in fixed], *[f"{term.name}[i]" for term in arrays]]
        lines, values = self._lines((*fixed, *arrays), [x for _, x in results], texts, len(fixed))
        before = "".join([f"{line} " for line, varies in lines if not varies])
        inside = "".join([f"{line} " for line, varies in lines if varies])
        # A store changes an element that another result may depend on, so all results are computed before the stores.
        temporary = "".join([f"const y{k} = {value}; " for k, value in enumerate(values)])
        stores = "".join([f"{term.name}[i] = y{k}; " for k, (term, _) in enumerate(results)])
        each = f"for (let i = 0; i < {arrays[0].name}.length; i++) {{ {inside}{temporary}{stores}}}"
        return f"({', '.join(names)}) => {{ {before}{each} }}"

    def _lines(
        self, inputs: Sequence[Term], results: Sequence[Any], texts: list[str], fixed: int = 0
    ) -> tuple[list[tuple[str, bool]], list[str]]:
        """Return two lists: lines that compute the terms `results`, and the JavaScript expressions of the results.

        `texts` has the JavaScript text of each of `inputs`. Each line is in a pair with a bool, which says whether the
        line varies, that is, whether it depends on inputs other than the first `fixed` ones. A term that is used
        several times becomes a named constant, which has its own line. A term that is used once is written where it is
        used. But a term that does not vary becomes a named constant, too, if a term that varies uses it, so a loop need
        not compute it again.
        """
        steps, values = formula_steps(inputs, results)
        used = [x for _, operands in steps for x in operands] + values
        uses = Counter([x for x in used if isinstance(x, int)])
        varies = [i >= fixed for i in range(len(inputs))]
        for _, operands in steps:
            varies.append(any(varies[x] for x in operands if isinstance(x, int)))
        named = {x for (_, operands), late in zip(steps, varies[len(inputs) :], strict=True) if late for x in operands}
        lines: list[tuple[str, bool]] = []

        def text(x: int | float) -> str:
            return texts[x] if isinstance(x, int) else _literal(x)

        for op, operands in steps:
            number = len(texts)
            name = self._add_forward(op, len(operands))
            call = f"forward{_member(name)}({', '.join(map(text, operands))})"
            if uses[number] > 1 or (number in named and not varies[number]):
                lines.append((f"const t{len(lines)} = {call};", varies[number]))
                call = f"t{len(lines) - 1}"
            texts.append(call)
        return lines, [text(x) for x in values]


def _operands(count: int) -> list[Term]:
    return [Term(f"x{i}") for i in range(count)]


def _formula(traced: Callable[[], Any], op: Op) -> Any:
    """Return the formula that `traced()` returns.

    Raises:
        FormulaError: `traced` raised an error of any kind, or the result contains something other than `Term`s and
            numbers. The message names the operation `op`.
    """
    try:
        formula = traced()
        for x in formula if isinstance(formula, tuple) else (formula,):
            if not isinstance(x, Term):
                number(x)
    except FormulaError:
        raise
    except Exception as error:
        raise FormulaError(f"the operation {op.name!r} is not written in the table's operations: {error}") from error
    return formula


def _literal(x: float) -> str:
    text = "NaN" if math.isnan(x) else "Infinity" if math.isinf(x) else repr(math.fabs(x))
    return f"(-{text})" if math.copysign(1.0, x) < 0.0 else text


def _member(name: str) -> str:
    return f".{name}" if name.isascii() and name.isidentifier() else f"[{json.dumps(name)}]"


def _table(functions: dict[str, str]) -> str:
    lines = "".join([f"  {json.dumps(name)}: {function},\n" for name, function in functions.items()])
    return f"{{\n{lines}}}"
