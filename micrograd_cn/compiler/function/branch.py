"""Define `Branch`, a program for one branch of a function. It refuses rows for which another branch is taken."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from math import nan
from typing import Any

from ... import ops
from ...engine import Value
from ...graph.context import recording
from ..data.columns import Numbers
from ..data.rows import row_numbers
from ..derivatives import Kind
from ..program import CompiledDerivative, Program
from ..variables import Variables
from .guards import CompiledGuards, raise_guard_error


class Branch(Program):
    """The program of one branch of a function, which raises GuardError for rows for which another branch is taken.

    A guard is a comparison that must have the same outcome for each row as for the sample that was recorded. A `Branch`
    runs the compiled graph of a recording's program, but checks the guards for all rows that it is given.

    Args:
        program: the program of the recording, which checks no guards.
        guards: the guards of the recording.
        name: the name of the function, for messages.

    >>> from micrograd_cn.compiler import compile
    >>> size = compile(lambda x: x if x > 0 else -x)
    >>> size.program(2.0).forward([[3.0]])
    [3.0]
    >>> size.program(2.0).forward([[3.0], [-1.0]])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    micrograd_cn.compiler.function.guards.GuardError: <lambda>, row 1: <doctest ...>, line 1: x > 0 does not hold, ...
    """

    def __init__(self, program: Program, guards: CompiledGuards, name: str) -> None:
        output = program.outputs[0] if program.has_one_output else program.outputs
        super().__init__(output, program.inputs, compiled=program.compiled)
        self.siblings = program.siblings
        self._program, self._guards, self._name = program, guards, name
        self._guarded: dict[CompiledDerivative, CompiledDerivative] = {}  # for the derivatives of `program`
        self.row: Any = partial(_checked_row, program, guards, name)  # no bound method, which would be a cycle

    def _read_rows(self, rows: Any) -> tuple[Numbers, int]:
        data, n = super()._read_rows(rows)
        _refuse_broken(self._program, self._guards, self._name, data, n)
        return data, n

    def with_outputs(
        self, output: Value | Sequence[Value], first: Sequence[Value] = (), extends: bool = False
    ) -> Program:
        """Return a program that computes other outputs, as `Program.with_outputs` does, and refuses the same rows."""
        return Branch(self._program.with_outputs(output, first, extends), self._guards, self._name)

    def prepare(self, rows: Any, out: Any) -> Callable[[], Any]:
        """Return a function that computes the outputs, as `Program.prepare` does. Each call checks the rows first.

        Raises:
            GuardError: the function takes another branch for a row. A call of the returned function may raise it, too.
        """
        run = super().prepare(rows, out)
        data, n = super()._read_rows(rows)
        assert self._guards.program
        found, expected = array("d", bytes(8 * n * len(self._guards.program.outputs))), self._guards.expected * n
        compare = self._guards.program.prepare(rows, found)

        def checked() -> Any:
            compare()
            if found != expected:
                _refuse_broken(self._program, self._guards, self._name, data, n)
            return run()

        return checked

    def fit(self, rows: Any, *arguments: Any, **options: Any) -> Any:
        """Train as `Program.fit` does.

        Raises:
            ValueError: as for `Program.fit`; or a comparison depends on a parameter, so training may change its
                outcome.
        """
        if not self._guards.parameter_free:
            raise ValueError(
                f"fit(): training may change which branch {self._name} takes; write {self._name}.fit(samples, ...), "
                "which checks it in each step"
            )
        return super().fit(rows, *arguments, **options)

    def _derivative(
        self, kind: Kind, wrt: Variables, lower: bool, gated: bool, data: Numbers | None = None
    ) -> CompiledDerivative:
        """Return a derivative of this program. The programs of the derivative refuse the same rows as this one."""
        found = self._program._derivative(kind, wrt, lower, gated, data)
        if found not in self._guarded:
            program = found.program and Branch(found.program, self._guards, self._name)
            self._guarded[found] = CompiledDerivative(found.entries, program, found.gated)
        return self._guarded[found]

    def source(self, language: str = "llvm", *arguments: Any, **options: Any) -> str:
        """Return the text of the program in a language, as `Program.source` does.

        A comment says which comparisons the text assumes. In C and Python, the text checks them: the outputs and their
        derivatives are nan for numbers for which the function takes another branch. The text in LLVM checks nothing.

        >>> from micrograd_cn.compiler import compile
        >>> size = compile(lambda x: x if x > 0 else -x)
        >>> size(2.0)
        2.0
        >>> print(size.source("python"))  # doctest: +ELLIPSIS
        # One branch of <lambda>, for which the following comparisons hold. Otherwise the results are nan.
        #     x > 0 (<doctest ...>, line 1)
        def f(xp, parameters, inputs):
            ...
        """
        for program in (self._program, self._guards.program):
            if program:
                program.compiled.data.check_constants()
        checked = language in ("c", "python")
        text = (self._with_nan if checked else self._program).source(language, *arguments, **options)
        otherwise = "Otherwise the results are nan." if checked else "They are not checked."
        lines = [f"One branch of {self._name}, for which the following comparisons hold. {otherwise}"]
        for guard in self._guards.guards:
            location = re.split(r"[\\/]", guard.location)[-1]  # without folders, which are those of this machine
            lines.append(f"    {'' if guard.held else 'not '}{guard.text} ({location})")
        lines = [" ".join(line.splitlines()) for line in lines]
        if language == "c":
            comment = "\n".join([line.replace("*/", "* /").replace("/*", "/ *") for line in lines])
            return text.replace("/*\n", f"/*\n{comment}\n\n", 1)
        mark = "#" if language == "python" else ";"
        return "".join([f"{mark} {line}\n" for line in lines]) + text

    @cached_property
    def _with_nan(self) -> Program:
        """A program whose outputs are nan if a comparison has another outcome than for the recorded sample.

        The outputs are multiplied by nan, so their derivatives are nan, too.
        """
        factor: Any = 1.0
        with recording():
            for guard in self._guards.guards:
                factor = ops.where(guard.node, *((factor, nan) if guard.held else (nan, factor)))
            outputs: list[Any] = [factor * y for y in self.outputs]
        return Program(outputs[0] if self._single else outputs, self.inputs, self.parameters)


def _checked_row(program: Program, guards: CompiledGuards, name: str, numbers: Numbers) -> array[float]:
    """Return the outputs of a program for one row; see `_refuse_broken`, which may raise GuardError."""
    if not guards.hold(numbers):
        _refuse_broken(program, guards, name, numbers, 1)
    return program.row(numbers)


def _refuse_broken(program: Program, guards: CompiledGuards, name: str, data: Numbers, n: int) -> None:
    """Raise `GuardError` if a guard is broken in one of `n` rows: the function `name` takes another branch.

    `data` has the numbers of the rows, which are inputs of `program`.
    """
    _, broken = guards.split(data, row_numbers(n))
    if broken:
        row, width = broken[0], len(program.inputs)
        guard = guards.first_broken(array("d", data[row * width : (row + 1) * width]))
        raise_guard_error(name, f"row {row}", guard)
