"""Compile a function, or a recorded graph, to machine code: one sample is recorded, all samples run (needs llvmlite).

The way of a function through the folders and modules here, each of which is one idea:

    function       records the function: a graph of `Value`s for each argument structure and branch, and guards
    program        `Runnable`: what a recorded graph can do, which is forward, backward, fit, check, source
    derivatives    `Program`: a `Runnable` with gradient, Jacobian and Hessian, each of which is a program too
    instructions   lowers the graph, and its gradient, to instructions, without duplicates
    loops          finds loops among the instructions, orders everything in stages, gives values places in memory
    tables         prints the stages as tables for kernels that all programs share: threaded code, ready at once
    native         prints straight lines as native code of one program, once it has run long enough
    llvm           writes LLVM text for `tables` and `native`, and compiles it
    runtime        runs a program: code, buffers, and the drivers that loop over rows, batches and epochs
    training       `fit`: a compiled loop of steps, and which program computes each sample of a batch
    data           reads samples and parameters into flat arrays of doubles, and returns results
    threads        runs tasks in parallel
    c, python      print for others: the same loops as a C file, the graph as a Python function of arrays

Each word has one meaning in this package:

    sample     the arguments of one call; its numbers, flat, are a row
    bucket     samples with the same argument structure, as rows
    recording  the graph of one call, with guards for the comparisons of values that it made
    program    a recorded graph, compiled
    phase      when an instruction is computed: once a batch, once a row, or after all rows of a batch
    stage      a part of a phase: a straight line, a map, long sums, or gathers
    map        instructions of one opcode, computed as vectors
    lane       the position of a row in vectors; a block has a row in each lane, a panel consists of blocks
    total      a sum over the rows of a batch, from which gradients of parameters are computed
    kernel     a machine-code function that all programs share; a table tells it where its operands are
    driver     a kernel that loops over rows, batches or epochs
    tier       threaded code or native code

To follow a multiplication: `instructions.lowering.Lowering` makes it an instruction, by `CodeBuilder.apply` and
`Code.emit`; as a term of a sum it is one of the pairs of `Code.dot`. `loops.schedule.Schedule` collects long sums, and
those with the same right factors are a matrix times a vector. `loops.vectorizer.Vectorizer` collects instructions of
one opcode into maps, which are best if their operands have constant strides. `loops.plan.Plan` makes stages of these,
with places from `loops.places.Places`. `tables.tables.Tables` prints them for the kernels in `tables.sums` and
`tables.maps`; `tables.threaded` or `native` prints the straight lines between them. Both write machine code by
`llvm.lanes.Lanes`, whose methods for it are `apply` and `multiply_add`. `runtime.executable.CompiledGraph` chooses the
tier.

A printer for another language begins in `program.Runnable.source`, as `c.file.source` does, and prints the maps of a
schedule as `c.loops.Loops` does.

A compiled sum is added up term by term, so it may overflow on the way to a finite result; `check` tells.
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
