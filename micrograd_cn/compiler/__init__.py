"""Run a function, or a recorded graph, at the machine's speed: one sample is recorded, all samples run (llvmlite).

The way of a program through the rooms, each of which is one idea:

    function       records a function for each form of its arguments and each branch: a graph of Values, and guards
    program        `Runnable`, what a recorded graph can do: forward, backward, fit, check, source
    derivatives    `Program`: that, and gradient, Jacobian and Hessian, each of which is a program
    instructions   the graph, and its gradient, as instructions, each once
    loops          instructions of one kind as maps, long sums as matrices by vectors; their order, and where values lie
    tables         prints them as tables that functions of all programs go through: ready at once (threaded code)
    native         prints what is left, straight lines and short maps, as code once a program has run long enough
    llvm           text to machine code: what `tables` and `native` write with, vectors, elementary functions
    run            code and memory of one program, and the `drivers`, loops over rows, batches and epochs
    training       `fit`: which program computes each sample of a batch, and the compiled loop of steps
    data           numbers that go in and come out
    threads        several at a time
    c, python      the other printers: the same loops, or the graph, as text for others

A multiplication becomes an instruction in `instructions.lowering.Lowering`, by `code.Code.emit`; as a term of a sum
it is one of the pairs of `Code.dot`. `llvm.lanes.Lanes` writes it (`apply`, `multiply_add`). Long sums become loops in
`loops.schedule.Schedule`, those with the same right factors a matrix by a vector, which `tables.sums` writes;
instructions of one opcode become a map in `loops.vectorizer.Vectorizer`, best if their operands have a constant stride.
`loops.plan.Plan` asks for the places of all values, `loops.places.Places` gives them. `run.executable.Executables`
chooses between threaded and native code. Another printer would begin in `program.Runnable.source`, as `c.file.source`
does, and print the maps of a schedule as `c.loops.Loops` does; `python` prints the graph, without loops.

A compiled sum is added up term by term, so that it may overflow on its way to a finite number, which `check` tells.
"""

from .derivatives import CompiledDerivative, Program, Structure
from .function.guards import GuardError
from .function.jit import CompiledFunction, compile
from .function.minimize import scipy_functions
from .program import Mismatch, Runnable

__all__ = [
    "CompiledDerivative",
    "CompiledFunction",
    "GuardError",
    "Mismatch",
    "Program",
    "Runnable",
    "Structure",
    "compile",
    "scipy_functions",
]
