"""Compile a function, or a recorded graph, to machine code. This needs llvmlite.

A function is recorded for one sample, and the machine code of the recorded graph then computes all samples. On its way,
a function passes through these folders and modules:

    function       records the function as a graph of `Value`s, once for each argument structure and each branch
    program        defines `Runnable`, a recorded graph with the methods forward, backward, fit, check and source
    derivatives    defines `Program`, a `Runnable` that can also compute its gradient, Jacobian and Hessian
    instructions   lowers the graph, and its gradient, to instructions, without duplicates, and walks those of
                   straight-line code, for LLVM and for C
    loops          finds loops among the instructions, orders the stages, and gives values places in memory
    pipeline       composes the steps from instructions to code that runs: `loops`, `tables`, then one of the tiers
    tables         writes the tables of loops, for both tiers, and threaded code (`tables.threaded`), which is ready at
                   once: tables that kernels, shared by all programs, read
    native         writes native code, machine code for one program alone, once the program has run for long enough
    llvm           writes LLVM text for `tables` and `native`, and compiles it
    runtime        runs programs: it holds their code and buffers, and writes the drivers
    training       implements `fit`: a compiled loop of training steps, and the choice of a program for each sample
    data           reads samples and parameters into flat arrays of doubles, returns results, and finds what a function
                   can read besides its arguments
    threads        runs tasks in parallel
    c, python      print text for use elsewhere: the same loops as a C file, the graph as a Python function of arrays

These are the ideas of this package, each with the words that belong to it:

    sample          the arguments of one call; its numbers, one after the other, are a row, and a batch has several rows
    structure       how arguments are nested in lists, tuples, dicts and arrays; a treedef describes it, and a `Bucket`
                    has the rows of samples with the same structure and the same static arguments
    recording       the graph of one call; its leaves are inputs, parameters and constants, and a `CapturedValue` stands
                    for a node that was computed before the call
    guard           a comparison that must have its recorded outcome; the outcomes decide which branch a row takes, and
                    a merged program computes all branches and selects
    snapshot        the variables, collections and arrays that a function can read besides its arguments, with what they
                    held; `fit` records the function again, and compares, if they hold something else now
    program         a recorded graph, compiled: a `Runnable` with its `CompiledGraph`; a `CompiledDerivative` has a
                    further program, and its `Structure` the positions of a matrix's entries
    executable      the code of a program for one kind of work ("forward", "gradient" or "gated"), for lanes or for
                    single rows, in one tier; each thread that runs it has its own `Buffers`
    prepared call   a call whose code and memory are ready, so Python does little in it; it is made once there were many
                    calls with the same count of rows, or with arrays of the same shapes
    tier            how an executable runs: as threaded code, which is ready at once, or as native code, which is faster
                    and is made in the background once the program has run for long enough
    instruction     an opcode with the numbers of earlier instructions, its operands; `Code` has each instruction only
                    once, and an instruction is live if a wanted value depends on it
    formula         an operation written in simpler steps, which are found by running its Python code with symbols; a
                    short formula becomes one opcode
    phase           when an instruction is computed: when the program is compiled (CONSTANT), once for a batch (BATCH),
                    once for each row (SAMPLE), or after all rows (AFTER)
    total           a sum over the rows of a batch, from which gradients of parameters are computed; many totals form an
                    `OuterProduct`, or a `Scatter`, in which each row adds a value to one of them by an index
    gate            an instruction that replaces a partial derivative by 0 where no gradient reaches the node; in the
                    graph of a gradient, Jacobian or Hessian for each row, a node does so, which is called a mask
    stage           a part of a phase: straight-line code (instructions one after the other, without a loop), long
                    sums, a map, or gathers
    long sum        a sum of many products, which a loop computes; long sums with the same right factors are computed
                    together, as a matrix times a vector, unless their left factors are in lanes
    map             instructions of one opcode on values that are not in lanes, which a loop computes as SIMD vectors
    gather          an instruction that loads one of its operands, by an index that is known only at run time
    place           where a value is in memory: the index of a scalar, or of a vector in a block
    lane            the position of a row in vectors that hold the values of several rows; a block is memory for as many
                    rows, with a vector for each value, and a panel is the blocks that a stage computes before the next
                    stage begins
    table           64-bit words that machine code reads: the operands of a loop, the entries of threaded code, a list
                    of calls, or the header of an executable
    kernel          a machine-code function that all programs share; the kernel of a stage reads in a table where its
                    operands are
    threaded code   straight-line code as a table of entries, each with the name of a kernel and the places of its
                    result and operands; each kernel jumps to the next; it has nothing to do with threads
    native code     straight-line code and short maps as functions for one program alone, which keep values in
                    registers; other loops use the same kernels as threaded code
    driver          a kernel that runs an executable, or a loop of training steps: it loads rows into blocks, and calls
                    the code of each phase as often as it has to
    update          the `update` of an optimiser, compiled as code whose rows are the parameters; single steps and `fit`
                    share it
    fit             a compiled loop of training steps; each batch is split into a part for each program
    node access     code that reads and writes the data and the gradients of many nodes in one call, which other threads
                    and Ctrl-C cannot interrupt
    printer         a function that writes a recorded graph as text for use elsewhere, in C or in Python

Some of these words have a second meaning. The class `Structure` has the positions of those entries of a Jacobian or
Hessian that can be nonzero; it is not the structure of arguments. A "row of the matrix" is not the row of a sample, and
neither is an operation's row in the table of operations, `micrograd_cn.ops`. In the folders `instructions`, `loops` and
`tables`, a value that depends on the row is called a sample, too, and any other value a scalar.

A multiplication `w * x` in a user's function becomes machine code in these modules:

    function.jit              `CompiledFunction._record_rows` makes a `Recording` for a row without one. This calls the
                              function with `Value`s, so the engine makes a node for `w * x`.
                              `Recording.compile` makes a `Program`, and this a `CompiledGraph` (`runtime.executable`).
    instructions.lowering     `Lowering` passes the operation of each node to `CodeBuilder.apply`.
    instructions.builder      The row of `mul` in the table of operations names the opcode "fmul". `apply` passes it to
                              `Code.emit`, which folds constants and uses an equal instruction again.
    pipeline                  `make_tables` calls `Schedule`, `Plan` and `Tables`, in which the instruction becomes a
                              part of a stage. If it depends on the row and rows are in lanes, this is always
                              straight-line code. `StageLists` then writes the stages, in one of two tiers:
    tables.threaded           `Threaded` writes an entry of a table, which names the kernel that multiplies.
                              `Tables.link` has missing kernels compiled, and puts their addresses into the tables.
    native                    `parts_of` divides the stages among functions for this program alone, the `Part`s, and
                              `PartWriter` writes the multiplication into one of them. It is a `StraightLineWriter`
                              (`instructions.straight_line`), which walks instructions one after the other.
    llvm.lanes                `StraightLineLanes` writes a kernel's multiplication and that of a native function alike,
                              as LLVM's instruction `fmul`.
    llvm.machine              `Machine` lets LLVM compile the text of kernels and of native functions.

`runtime.executable.CompiledGraph` calls `Lowering` and `make_tables`, and its `Executable` calls `StageLists`. It
chooses the tier: it begins with threaded code, and has native code made in the background once the threaded code has
run for about as long as that takes. The drivers in `runtime.drivers` run an executable: for each panel of rows, they
call the code of each stage, which loops over the panel's blocks.

Many products are computed by loops instead. If `w * x` is a term of `sum`, or one of the products of `dot`, it becomes
one of the pairs of `Code.dot`. `loops.schedule.Schedule` collects the sums of many products. If values are not in
lanes, `loops.vectorizer.Vectorizer` collects other instructions of one opcode into maps, which are fastest if their
operands are one after the other in memory, or all the same.
`tables.tables.Tables` writes the tables of sums and maps for the kernels in `tables.sums` and `tables.maps`, which
write multiplications by `Lanes.multiply_add` and `Lanes.apply`. `llvm.operands` has the operators by which kernels
compute integers and addresses.

Parameters stay nodes, whose data and gradients are Python floats. `data.nodes` reads and writes those of many nodes in
one call of machine code, which other threads and Ctrl-C cannot interrupt. So does `training.single_steps`, which takes
the steps of a loop of the user's own.

To print programs in another language, write a printer like `c.file.source`, and call it in `program.Runnable.source`.
It may print the loops of a schedule in the same way as `c.loops.Loops`, and straight-line code by a
`StraightLineWriter`, if an `OpcodeWriter` says how the language writes an opcode.

A compiled sum is added up term by term, so it may overflow on the way to a finite result. `Runnable.check` finds such a
sum.

If an operation such as `where` did not select a sum of products, the gradient of that sum is 0, and compiled code
multiplies this 0 by the factors of the products. So an infinite factor that is no constant makes a gradient nan, as in
the matrix products of PyTorch and jax, while `backward` of the engine gives 0.

The factors of single multiplications have gates, which prevent this. A program is first compiled without these gates.
Code with them is made, and computes a gradient anew, where a total is not finite; see `Lowering.differentiate`. In the
same way, a derivative for each row is first made without masks, and with them where an entry is nan; see
`Program.derivative_for_calls`.
"""

from ..optim import optimizer as _optimizer
from .data.parameters import parameters_to_vector, vector_to_parameters
from .derivatives import CompiledDerivative, Program, Structure
from .function.guards import GuardError
from .function.jit import CompiledFunction, compile
from .function.minimize import scipy_functions
from .program import Mismatch, Runnable
from .training.single_steps import SingleSteps as _SingleSteps

__all__ = [
    "CompiledDerivative",
    "CompiledFunction",
    "GuardError",
    "Mismatch",
    "Program",
    "Runnable",
    "Structure",
    "compile",
    "parameters_to_vector",
    "scipy_functions",
    "vector_to_parameters",
]

_optimizer.machine_code = _SingleSteps()  # for steps that a loop of the user's own takes
