"""Print a recorded graph as one C file, with functions for the outputs, the gradient and a training step.

The C functions neither allocate memory nor keep static state.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from ...derivatives.selected import Gates
from ...engine import Value
from ...graph.callers import warn_at_user
from ...optim import Optimizer
from ...parameters.tree import flatten
from ..instructions.code import AFTER, BATCH, SAMPLE, Code, Pair, Scatter
from ..instructions.gradient import differentiate
from ..instructions.lowering import Lowering
from ..loops.schedule import Schedule
from ..loops.totals import Totals
from ..python import ParameterNames, in_order_of_names, named_entries
from ..training.update import lower_update, used_state_indices
from .arrays import Access, Element, index_expression, linear
from .comment import Interface
from .loops import Loops
from .text import Text, VariableWriter, block, wrapped

PRECISIONS = ("double", "float")
WEIGHTS = ("passed", "embedded")
MOST_SHOWN = 3  # a warning names only so many values


class Options(NamedTuple):
    """The options of a C file, which `Program.source` explains.

    Attributes:
        name: the prefix of all names in the file.
        precision: the C type of numbers, "double" or "float".
        weights: "passed" if the parameters are passed to the functions, "embedded" if they are constants in the file.
        optimizer: the optimiser for which the file gets a function that takes a step; None adds no such function.
    """

    name: str = "f"
    precision: str = "double"
    weights: str = "passed"
    optimizer: Optimizer | None = None


class File:
    """The C file of one recorded graph.

    Args:
        lowering: the graph, lowered to instructions.
        inputs: the leaves that are inputs.
        outputs: the nodes that are computed.
        named: a module or a dict with the parameters by name, in the order that they get in the C arrays. None keeps
            the order of the program's parameters.
        options: the options of the file.
    """

    def __init__(
        self,
        lowering: Lowering,
        inputs: Sequence[Value],
        outputs: Sequence[Value],
        named: ParameterNames | None,
        options: Options,
    ) -> None:
        self.lowering, self.inputs, self.options = lowering, inputs, options
        self.parameters = lowering.parameters
        names = [repr(p.label) if p.label else "" for p in self.parameters]
        if named is not None:
            entries = named_entries(named, "c")
            self.parameters = in_order_of_names(entries, lowering.parameters, outputs, "c")
            names = _names(entries, self.parameters)
            if options.weights == "passed":
                _warn_of_left_out(entries, self.parameters)
        passed = options.weights == "passed"
        output, *others = outputs
        trains = passed and not others and output.requires_grad and bool(self.parameters)
        optimizer = options.optimizer
        self.update: tuple[Code, list[int]] = (
            (Code(), []) if optimizer is None else lower_update(optimizer, some_fixed=False)
        )
        self.interface = Interface(
            name=options.name,
            number_type=options.precision,
            inputs=[repr(x.label) if x.label else "" for x in inputs],
            outputs=len(outputs),
            parameters=names,
            passed=passed,
            trains=trains,
            optimizer=optimizer,
            state_names=[]
            if optimizer is None
            else [optimizer.state_names[k] for k in used_state_indices(*self.update)],
        )
        weights = "parameters" if passed else f"{options.name}_weights"
        self.text = Text(options.name, options.precision, lowering.code.op_names, weights)
        self.number_type, self.size = options.precision, f"{options.name.upper()}_PARAMETERS"
        self.work = 1

    def __str__(self) -> str:
        functions = [self.forward()]
        if self.interface.trains:
            functions.append(self.gradient())
        if self.options.optimizer is not None:
            functions.append(self.step(self.options.optimizer))
        if self.parameters and not self.interface.passed:
            self.text.table([p.data for p in self.parameters], self.text.weights)
        shared = [definition for _, definition in (*self.text.tables.values(), *self.text.functions.values())]
        sizes = self.interface.sizes() | {"WORK": self.work}
        macros = "\n".join([f"#define {self.options.name.upper()}_{name} {size}" for name, size in sizes.items()])
        return "\n\n".join([self.interface.comment(), "#include <math.h>", macros, *shared, *functions]) + "\n"

    # Functions.

    def function(self, result_type: str, name: str, arguments: Sequence[str], lines: Sequence[str]) -> str:
        """Return the definition of a C function. It casts unused arguments to void, so compilers do not warn.

        Args:
            result_type: the type of the result.
            name: the name, to which the file's prefix is added.
            arguments: the declarations of the arguments.
            lines: the lines of the body.
        """
        text = "\n".join(lines)
        words = [re.findall(r"\w+", argument)[-1] for argument in arguments]
        unused = [f"(void){word};" for word in words if not re.search(rf"\b{word}\b", text)]
        head = f"{result_type} {self.options.name}_{name}({', '.join(arguments)})"
        return "\n".join([short for line in [head, *block("", [*unused, *lines])] for short in wrapped(line)])

    def arguments(self, given: str, changes: bool = False) -> list[str]:
        """Return the declarations of a function's first arguments: the parameters, if they are passed, and the inputs.

        Args:
            given: the name of the argument that points to the inputs: "inputs" for one sample, "rows" for several.
            changes: whether the function changes the parameters. If so, they are not declared `const`.
        """
        passed = [f"{'' if changes else 'const '}{self.number_type} *parameters"] * self.interface.passed
        return [*passed, f"const {self.number_type} *{given}"]

    def make_loops(self, roots: Sequence[int], totals: Sequence[tuple[Pair, ...] | Scatter] = ()) -> Loops:
        """Return a `Loops` for a C function that computes the values of `roots` and the totals in `totals`.

        `roots` has instruction numbers. A total is a sum over the rows of a batch. In `totals`, it is given by a tuple
        of pairs of factors, whose products are added up, or by the `Scatter` that it belongs to.
        """
        of = self.lowering.number_of
        leaves: dict[int, Element] = {of[p]: ("weights", i) for i, p in enumerate(self.parameters) if p in of}
        leaves |= {of[x]: ("inputs", i) for i, x in enumerate(self.inputs) if x in of}
        schedule = Schedule(self.lowering.code.copy(), roots, totals, rows_in_lanes=False, for_c=True)
        return Loops(self.text, schedule, leaves)

    def forward(self) -> str:
        """Return the text of the C function that computes the outputs for one row of inputs."""
        roots = self.lowering.outputs
        loops = self.make_loops(roots)
        loops.write((BATCH, SAMPLE), {*roots})
        loops.copy([("outputs", k) for k in range(len(roots))], roots)
        self.work = max(self.work, loops.work)
        arguments = [*self.arguments("inputs"), f"{self.number_type} *outputs", f"{self.number_type} *work"]
        return self.function("void", "forward", arguments, loops.take_lines())

    def gradient(self) -> str:
        """Return the text of the C function that computes the mean output of some rows and this mean's gradient."""
        lowering = self.lowering
        if not lowering.gradients:
            differentiate(lowering, Gates.NOT_FOR_SUMS)
        loops = self.make_loops([*lowering.outputs, *lowering.gradients], lowering.totals)
        schedule, code = loops.schedule, loops.code
        sums, phase = schedule.totals, code.phase
        instructions = code.instructions
        totals = {i: instructions[i][1] for i in schedule.leaves if instructions[i][0] == "mean"}
        totals_at, in_work = self._totals(loops, sums, totals)
        loops.assign({i: totals_at[k] for i, k in totals.items()})
        kept = {*schedule.roots, *sums.factors()}
        kept.update(j for i in schedule.computed for j in code.operands[i] if phase[j] != phase[i])  # needed later

        loops.write([BATCH], kept)
        lines = [*loops.take_lines(), *_for_each_parameter(self.size, "gradient[i] = 0;")]
        many = f"for (long i = {in_work.start}; i < {in_work.stop}; i++)" if in_work else ""
        lines += [many, "    work[i] = 0;"] if many else []

        loops.write([SAMPLE], kept)
        for group in sums.outer_products:
            loops.add_outer(group, totals_at)
        loops.add_scatters(sums.scatters, totals_at)
        loops.add_each(sums.single, totals_at)
        loss = loops.expression(Access([lowering.outputs]))
        row = f"const {self.number_type} *inputs = rows + {len(self.inputs)} * row;"
        each = [*loops.take_lines(), f"loss += {loss};"]
        reads = re.search(r"\binputs\b", "\n".join(each))
        lines += block("for (long row = 0; row < n; row++)", [row] * bool(reads) + each)

        lines += _for_each_parameter(self.size, f"gradient[i] /= ({self.number_type})n;")
        lines += [many, f"    work[i] /= ({self.number_type})n;"] if many else []
        loops.write([AFTER], kept)
        found = dict(zip(lowering.parameters, lowering.gradients, strict=True))
        gradients = [found[p] for p in self.parameters]
        moved = [i for i, j in enumerate(gradients) if loops.element(j) != ("gradient", i)]
        loops.copy([("gradient", i) for i in moved], [gradients[i] for i in moved])
        lines = [f"{self.number_type} loss = 0;", *lines, *loops.take_lines(), f"return loss / ({self.number_type})n;"]
        self.work = max(self.work, loops.work)
        arguments = [*self.arguments("rows"), "long n", f"{self.number_type} *gradient", f"{self.number_type} *work"]
        return self.function(self.number_type, "gradient", arguments, lines)

    def _totals(self, loops: Loops, sums: Totals, totals: dict[int, int]) -> tuple[dict[int, Element], range]:
        """Return the element of a C array for each total, and the range of the indices of `work` that hold totals.

        The first result is a dict, whose keys are the indices of totals in `Lowering.totals`.

        A total is a sum over the rows of a batch. If a total divided by the number of rows is a parameter's gradient,
        the total is in the array `gradient`. All other totals are in the array `work`. If one total of a matrix or a
        scatter must be in `work`, all totals of this matrix or scatter are in `work`.

        Args:
            loops: the writer of loops, in whose `work` elements are allocated.
            sums: the totals, grouped into matrices of totals, scatters and single totals.
            totals: a dict from the instruction number of each instruction "mean" to the total's index in
                `Lowering.totals`.
        """
        lowering, element = self.lowering, dict[int, Element]()
        index = {p: i for i, p in enumerate(self.parameters)}
        for p, i in zip(lowering.parameters, lowering.gradients, strict=True):
            if i in totals:
                element[totals[i]] = "gradient", index[p]
        groups = [[k for row in group.totals for k in row] for group in sums.outer_products]
        for numbers in (*groups, *(scatter.totals for scatter in sums.scatters)):
            if any(k not in element for k in numbers):
                for k in numbers:
                    element.pop(k, None)
        others = [k for k in range(len(lowering.totals)) if k not in element]
        loops.places.allocate(len(others))  # at the beginning of `work`
        in_work = range(loops.work)
        return element | {k: ("work", at) for k, at in zip(others, in_work, strict=True)}, in_work

    def step(self, optimizer: Optimizer) -> str:
        """Return the text of the C function that takes one training step.

        It computes the loss and its gradient, changes each parameter by the formula of the optimiser's `update`, and
        returns the loss.
        """
        code, results = self.update
        numbers = range(len(code.instructions))
        words = ["rate", "steps", "p", "g", *(f"s{k}" for k in range(len(optimizer.state_names)))]
        leaves = [i for i in numbers if code.instructions[i][0] in ("parameter", "input")]
        names = dict(zip(leaves, words, strict=True))
        writer = VariableWriter(self.text, code, names)
        writer.write_all([i for i in numbers if i not in code.per_sample])
        hoisted = writer.take_lines()
        writer.write_all([i for i in numbers if i in code.per_sample])
        data, *slots = map(writer.name_of, results)
        body = writer.take_lines()
        changed = {"parameters[i]": data}
        elements = {"p": "parameters[i]", "g": "gradient[i]"}
        for at, k in enumerate(used_state_indices(code, results)):
            element = f"state[{linear(1, (at, self.size), (1, 'i'))}]"
            elements[f"s{k}"], changed[element] = element, slots[k]

        def read(elements: dict[str, str], lines: Sequence[str]) -> list[str]:
            used = " ".join(lines)
            return [
                f"const {self.number_type} {x} = {at};" for x, at in elements.items() if re.search(rf"\b{x}\b", used)
            ]

        body = [*read(elements, [*body, *changed.values()]), *body, *(f"{at} = {x};" for at, x in changed.items())]
        those = {p for p in optimizer.parameters if p.requires_grad}
        if those.issuperset(self.parameters):
            loop = block(f"for (long i = 0; i < {self.size}; i++)", body)
        else:
            indices = [[i] for i, p in enumerate(self.parameters) if p in those]
            index = index_expression(self.text, indices, "k")
            loop = block(f"for (long k = 0; k < {len(indices)}; k++)", [f"const long i = {index};", *body])
        call = f"{self.options.name}_gradient(parameters, rows, n, gradient, work)"
        lines = [f"const {self.number_type} loss = {call};", f"state[0] += {self.text.constant(1.0)};"]
        lines += [*read({"steps": "state[0]"}, [*hoisted, *body]), *hoisted, *loop, "return loss;"]
        parameters, rows = self.arguments("rows", changes=True)
        arguments = [parameters, f"{self.number_type} *state", rows, "long n", f"{self.number_type} rate"]
        return self.function(
            self.number_type, "step", [*arguments, f"{self.number_type} *gradient", f"{self.number_type} *work"], lines
        )


def _names(entries: dict[str, Any], parameters: Sequence[Value]) -> list[str]:
    """Return, for each parameter, the name of the entry in `entries` that is or contains the parameter."""
    names = {leaf: repr(key) for key, entry in entries.items() for _, leaf in flatten({key: entry}, "")[0]}
    return [names[p] for p in parameters]


def _warn_of_left_out(entries: dict[str, Any], parameters: Collection[Value]) -> None:
    """Warn of those `Value`s in `entries`, a dict with their names, that are not in `parameters`.

    The C functions read the parameters' numbers from one array, which has only those of `parameters`. A user who fills
    this array with the numbers of all named `Value`s would get wrong results.
    """
    placed = {*parameters}
    missing = [path for path, p in flatten(entries, "parameters")[0] if p not in placed]
    if missing:
        shown = ", ".join(missing[:MOST_SHOWN]) + ", ..." * (len(missing) > MOST_SHOWN)
        warn_at_user(
            f'source("c"): the file has no places for {shown}, because the program does not read them, or they are '
            "constants. So an array of all named numbers does not fit it: its comment lists the places. Pass a dict "
            "of the others alone"
        )


def _for_each_parameter(size: str, line: str) -> list[str]:
    return [f"for (long i = 0; i < {size}; i++)", f"    {line}"]


def source(
    lowering: Lowering,
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    named: ParameterNames | None,
    options: Options,
) -> str:
    """Return the text of a C file, as `Program.source` does for "c".

    Args:
        lowering: the graph, lowered to instructions.
        inputs: the leaves that are inputs.
        outputs: the nodes that are computed.
        named: a module or a dict with the parameters by name, or None.
        options: the options of the file.

    Raises:
        TypeError: `options.optimizer` is not an optimiser, or its `update` cannot be compiled; or `named` is neither a
            module nor a dict of parameters.
        ValueError: another option is wrong, the optimiser does not suit the program, a parameter has no name or two
            names in `named`, or C's library has no function for an operation.
    """
    name, precision, weights, optimizer = options
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        raise ValueError(f'source("c"): name must be a letter, then letters, digits and _, got {name!r}')
    for option, given, known in (("precision", precision, PRECISIONS), ("weights", weights, WEIGHTS)):
        if given not in known:
            raise ValueError(f'source("c"): {option} must be {" or ".join(map(repr, known))}, got {given!r}')
    if not (optimizer is None or isinstance(optimizer, Optimizer)):
        raise TypeError(f'source("c"): optimizer must be one of micrograd_cn.optim, got {type(optimizer).__name__}')
    file = File(lowering, inputs, outputs, named, options)
    if optimizer is not None:
        _check_step(optimizer, file)
    return str(file)


def _check_step(optimizer: Optimizer, file: File) -> None:
    """Raise ValueError if the C file cannot have a function that takes a training step of this optimiser."""
    if not file.interface.passed:
        raise ValueError('source("c"): embedded weights are constants; write weights="passed" for a training step')
    if not file.interface.trains:
        raise ValueError('source("c"): a training step needs one output, which depends on parameters')
    known = set(file.parameters)
    for i, p in enumerate(optimizer.parameters):
        if p not in known:
            raise ValueError(
                f'source("c"): parameters[{i}] of the optimizer, {p!r}, is no parameter of the program; make the '
                "optimizer of program.parameters"
            )
    if not any(p.requires_grad for p in optimizer.parameters):
        raise ValueError('source("c"): all parameters of the optimizer are frozen, so a step would change nothing')
