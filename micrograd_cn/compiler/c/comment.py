"""The comment at the top of a C file: what its functions are, how they are called, and what their arrays hold."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...optim import Optimizer
from .text import LINE, block

MOST_NAMES = 40  # lines that say what the elements of an array are

ABOUT = """\
Written by micrograd_cn, as C99 or C++, from a recorded graph; it needs math.h alone. The caller owns all arrays; what
is written to need not be set before. Compilers that make one fused operation of a * b + c, as gcc does without
-std=c99 or -ffp-contract=off, give slightly other numbers."""
FORWARD = "{name}_forward({parameters}inputs, outputs, work) computes the outputs of one row of inputs."
GRADIENT = """\
{name}_gradient(parameters, rows, n, gradient, work) returns the mean output of n rows, one after the other, n being at
least 1, and sets the derivative of this mean with respect to every parameter."""
STEP = """\
{name}_step(parameters, state, rows, n, rate, gradient, work) returns the mean output of n rows, sets its gradient, and
takes one step of {optimizer}, whose learning rate was {rate}. The state is all 0 before the first step."""


class Interface(NamedTuple):
    """What a caller sees of a file.

    Attributes:
        name: before the names of functions and macros.
        kind: "double" or "float".
        inputs, parameters: the names of their elements, "" for what has none.
        outputs: how many there are.
        passed: whether the parameters are passed to the functions.
        trains: whether there is a gradient.
        optimizer: whose step there is.
        kept: the names of what it keeps of each parameter.
    """

    name: str
    kind: str
    inputs: Sequence[str]
    outputs: int
    parameters: Sequence[str]
    passed: bool
    trains: bool
    optimizer: Optimizer | None
    kept: Sequence[str] = ()

    def sizes(self) -> dict[str, int]:
        """Return the macros' names and the sizes, but for that of the array `work`."""
        sizes = {"INPUTS": len(self.inputs), "OUTPUTS": self.outputs, "PARAMETERS": len(self.parameters)}
        if self.optimizer is not None:
            sizes["STATE"] = len(self.state())
        return sizes

    def state(self) -> list[str]:
        """Return the names of the numbers of the optimiser's state."""
        return ["steps taken", *(name for name in self.kept for _ in self.parameters)]

    def comment(self) -> str:
        """Return the comment.

        >>> print(Interface("f", "double", ["x"], 1, [], True, False, None).comment())
        /*
        Written by micrograd_cn, as C99 or C++, from a recorded graph; it needs math.h alone. The caller owns all
        arrays; what is written to need not be set before. Compilers that make one fused operation of a * b + c, as
        gcc does without -std=c99 or -ffp-contract=off, give slightly other numbers.
        <BLANKLINE>
        f_forward(parameters, inputs, outputs, work) computes the outputs of one row of inputs.
        <BLANKLINE>
        inputs: 1
            [0] x
        parameters: 0
        <BLANKLINE>
        An example, which may stand at the end of this file:
        <BLANKLINE>
        #include <stdio.h>
        <BLANKLINE>
        int main(void)
        {
            static double inputs[F_INPUTS];
            static double outputs[F_OUTPUTS];
            static double work[F_WORK];
            f_forward(0, inputs, outputs, work);
            printf("%g\\n", (double)outputs[0]);
            return 0;
        }
        */
        """
        functions = [FORWARD] + [GRADIENT] * self.trains + [STEP] * (self.optimizer is not None)
        words: dict[str, Any] = {"name": self.name, "parameters": "parameters, " * self.passed}
        if self.optimizer is not None:
            words |= {"optimizer": type(self.optimizer).__name__, "rate": repr(self.optimizer.lr)}
        lines = [
            *textwrap.wrap(ABOUT, LINE),
            "",
            *(line for text in functions for line in textwrap.wrap(text.format(**words), LINE)),
            "",
            *_described("inputs", self.inputs),
            *_described("parameters" if self.passed else f"{self.name}_weights", self.parameters),
            *(_described("state", self.state()) if self.optimizer is not None else ()),
            "",
            "An example, which may stand at the end of this file:",
            "",
            *self.example(),
        ]
        text = "\n".join(lines).replace("*/", "* /").replace("/*", "/ *")
        return f"/*\n{text}\n*/"

    def example(self) -> list[str]:
        """Return a short program that calls every function."""
        count = {"inputs": len(self.inputs), "outputs": self.outputs}
        count |= {"parameters": self.passed * len(self.parameters), "gradient": int(self.trains)}
        count["state"] = int(self.optimizer is not None)
        prefix = self.name.upper()
        macros = {name: f"{prefix}_{name.upper()}" for name in (*count, "work")}
        macros["gradient"] = f"{prefix}_PARAMETERS"
        arrays = [name for name, n in count.items() if n]
        lines = [f"static {self.kind} {name}[{macros[name]}];" for name in (*arrays, "work")]
        inputs, parameters = ("inputs" if self.inputs else "0"), ("parameters" if self.parameters else "0")
        lines.append(f"{self.name}_forward({f'{parameters}, ' * self.passed}{inputs}, outputs, work);")
        numbers = ["outputs[0]"]
        if self.trains:
            numbers.append(f"{self.name}_gradient(parameters, {inputs}, 1, gradient, work)")
        if self.optimizer is not None:
            rate = f"({self.kind}){self.optimizer.lr!r}"
            numbers.append(f"{self.name}_step(parameters, state, {inputs}, 1, {rate}, gradient, work)")
        lines += [f'printf("%g\\n", (double){number});' for number in numbers]
        return ["#include <stdio.h>", "", "int main(void)", *block("", [*lines, "return 0;"])]


def _described(array: str, names: Sequence[str]) -> list[str]:
    """Return how many elements there are, and which have which names; neighbours of one name are one line.

    >>> _described("inputs", ["x", "y", "y", ""])
    ['inputs: 4', '    [0] x', '    [1] to [2] y']
    """
    spans: list[tuple[int, int, str]] = []
    for i, name in enumerate(names):
        if spans and spans[-1][2] == name:
            spans[-1] = spans[-1][0], i, name
        else:
            spans.append((i, i, name))
    lines = [f"    [{a}]{f' to [{b}]' * (b > a)} {name}" for a, b, name in spans if name]
    more = [f"    and {len(lines) - MOST_NAMES} more lines"] if len(lines) > MOST_NAMES else []
    return [f"{array}: {len(names)}", *lines[:MOST_NAMES], *more]
