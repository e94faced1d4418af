"""Run a function, or a recorded graph, at the machine's speed: one sample is recorded, all samples run (llvmlite).

The way of a program through the rooms, each of which is one idea:

    function       records a function for each form of `samples` and each branch: a graph of Values, and guards
    program        a recorded graph and all that it can do: forward, backward, fit, derivatives, source
    instructions   the graph, and its gradient, as instructions, each once
    loops          like instructions as maps, long sums as matrices by vectors; their order, and where values lie
    tables         printed as tables that shared functions go through: ready at once (threaded code)
    native         printed as code of their own, where a program runs long enough
    llvm           text to machine code, on vectors of `lanes`; what both are written with
    run            code and memory of one program, and the `drivers`, loops over rows, batches and epochs
    training       `fit`: which program computes each sample of a batch, and the compiled loop of steps
    derivatives    gradient, Jacobian and Hessian of a program, each of which is a program
    data           numbers that go in and come out
    threads        several at a time
    c, python      the other printers: the same loops, or the graph, as text for others

A multiplication becomes an instruction in `instructions.code.Code.machine`, and LLVM's in `llvm.lanes.Lanes.apply`. A
sum of many products becomes a loop in `loops.schedule.Schedule`, like instructions do in `loops.maps.Maps`; what makes
them one is that their operands lie at `even` distances. Every value has its place from `loops.places.Places`. A printer
begins with `Program.source`; `c.loops.Loops` shows what one has to do with the maps of a schedule.

A compiled sum is added up term by term, so that it may overflow on its way to a finite number, which `check` tells.
"""

from .derivatives import CompiledDerivative, Structure
from .function.guards import GuardError
from .function.jit import CompiledFunction, compile
from .function.minimize import scipy_functions
from .program import Mismatch, Program

__all__ = [
    "CompiledDerivative",
    "CompiledFunction",
    "GuardError",
    "Mismatch",
    "Program",
    "Structure",
    "compile",
    "scipy_functions",
]
