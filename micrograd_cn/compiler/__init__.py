"""Compile a function, or a recorded graph, to machine code. This needs llvmlite.

A function is recorded for one sample, and the machine code of the recorded graph then computes all samples. These
folders and modules turn a function into code, and run it, in this order:

    function       records the function as a graph of `Value`s, once for each argument structure and each branch
    derivatives    defines `Program`, a `Runnable` that can also compute its gradient, Jacobian and Hessian
    program        defines `Runnable`, a recorded graph with the methods forward, backward, fit, check and source
    runtime        makes the code of a program when it is first needed, holds its memory, and runs it by drivers
    instructions   lowers the graph, and its gradient, to instructions, without duplicates; has the class that walks
                   straight-line code, for LLVM and for C
    pipeline       composes the steps from instructions to code: `loops`, `tables`, then threaded or native code
    loops          finds loops among the instructions, orders the stages, and gives values places in memory
    tables         writes the tables that kernels read, and the kernels; `tables.threaded` does this for threaded code
    native         writes native code
    llvm           writes LLVM text, and compiles it, for all folders and modules that need machine code

Others serve these:

    data           reads samples and parameters into flat arrays of doubles, returns results, and finds what a function
                   can read besides its arguments
    threads        runs tasks in parallel or in the background, and has locks that a fork does not leave locked
    training       implements `fit`, a compiled loop of training steps, and takes single steps in machine code
    c, python      print text for use elsewhere: a C file, whose loops `c.loops` finds by the classes `Schedule` and
                   `Vectorizer`, but with other settings; and the graph as a Python function of arrays

The first call of `f = compile(lambda a, b: a * b)`, such as `f(2.0, 3.0)`, leads through these files. With this page,
they suffice to follow it, in this order:

    1 function.jit            `CompiledFunction.__call__` finds no recording. `_record_rows` calls the lambda with
                              `Value`s, so the engine makes a node for `a * b`, and the result is a `Recording`.
                              `Recording.compile` makes a `Program`, which has a `CompiledGraph`. Then `__call__` calls
                              `Runnable.outputs_of` (in `program`).
    2 runtime.executable      `outputs_of` asks `CompiledGraph.select_tier` for code. Since there is none, `get` makes
                              it: `Lowering` (3 and 4), `make_tables` (5) and then `Executable` (5 to 7) are called.
                              `Executable.forward` runs the code.
    3 instructions.lowering   `Lowering` passes the operation of each node to `CodeBuilder.apply`. Only for a sum whose
                              terms may be products, it calls `Code.dot` instead.
    4 instructions.builder    `apply` computes an operation of constants at once. Here it finds the opcode "fmul" in the
                              row of `mul` in the table of operations, and calls `Code.emit`. This simplifies products
                              such as x * 1, and calls `Code.add`, which appends the instruction unless the list has an
                              equal one.
    5 pipeline                `make_tables` makes a `Schedule`, which orders the instructions, and a `Plan`, in which
                              each instruction becomes a part of a stage, here of straight-line code. `Tables` writes
                              the tables of all other stages, and `StageLists` the straight-line code.
    6 tables.threaded         `Threaded` writes an entry of a table, which names the kernel that multiplies.
                              `_write_entry` writes this kernel with the LLVM instruction `fmul`, by
                              `llvm.lanes.StraightLineLanes`. `Tables.link`, which `Executable` calls, has missing
                              kernels compiled, and puts their addresses into the tables.
    7 llvm.machine            `Machine.compile_kernels` joins kernels to a text, and `Compiled` lets LLVM compile it.

The second call finds the recording, checks its guards, and calls `program.row`, a `FlatRunner` (`runtime.prepared`).
When this is first called, it makes a prepared call: a function in machine code, with memory of its own. This call of
`f` and all later ones copy the numbers of the arguments into this memory, and call that function.

Both calls run threaded code. Native code is made once the threaded code has run for about as long as native code takes
to compile: `select_tier` then begins a background task, and returns native code when it exists. `fit` also has it made
if training will probably go on for as long. A program that would take too long to compile keeps threaded code, and so
does a large program if its native code is slower. Native code is made at once by `Runnable.prepare` if the program is
not large (by `fastest_tier`), by `source("llvm")`, and for the update of an optimiser, which is always native code.

To see how native code is written, read `native` in the place of `tables.threaded`. `parts_of` divides the stages into
`Part`s: single stages that a kernel computes, and stages that become a function. `PartWriter`, a `StraightLineWriter`
(`instructions.straight_line`), writes the multiplication into such a function, as the same LLVM instruction.

An `Executable` has lists of calls, each of which computes one or several stages. A driver (`runtime.drivers`) runs
these lists. It begins with "batch" and "broadcast". For each panel of rows, it runs "sample" and, for a gradient,
"totals"; these calls loop over the blocks of the panel. For a gradient, "after" comes last.

Many products are computed by loops instead. If `w * x` is a term of `sum`, or one of the products of `dot`, it becomes
one of the pairs of `Code.dot`. `loops.schedule.Schedule` collects the sums of many products. If values are not in
lanes, `loops.vectorizer.Vectorizer` collects other instructions of one opcode into maps, which are fastest if their
operands are one after the other in memory, or all the same. The kernels in `tables.sums` and `tables.maps` compute sums
and maps. They write multiplications by `Lanes.multiply_add` and `Lanes.apply`, and compute integers and addresses by
the operators of `llvm.operands`, in Python's notation.

These are the ideas of this package, each with the words that belong to it:

    sample          the arguments of one call; its numbers, one after the other, are a row, and a batch has several rows
    structure       how arguments are nested in lists, tuples, dicts and arrays; a treedef describes it, and a `Bucket`
                    has the rows of samples with the same structure and the same static arguments
    columns         the numbers of rows in several arrays, such as one for each argument; a bit of the address that
                    machine code gets then tells it that this is the address of a table of arrays
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
    prepared call   a call whose code and memory are ready, so Python does little in it; for one row it is made by the
                    first call of `Runnable.row`, otherwise by `Runnable.prepare`, or after many calls with the same
                    count of rows or with arrays of the same shapes
    tier            how an executable runs: as threaded code or as native code
    instruction     an opcode with the numbers of earlier instructions, its operands; `Code` has each instruction only
                    once, and an instruction is live if a wanted value depends on it
    formula         an operation, its derivatives or an optimiser's update in simpler steps, which are found by running
                    its Python code with symbols; an opcode that stands for several instructions is a formula, too,
                    made from a few such steps, from a tree of instructions in a large program, or for a power such
                    as x**0.5
    phase           when an instruction is computed: when the program is compiled (CONSTANT), before the rows (BATCH),
                    for each row (SAMPLE), or after all rows (AFTER)
    total           a sum over the rows of a batch, from which gradients of parameters are computed; many totals form an
                    `OuterProduct`, or a `Scatter`, in which each row adds a value to one of them by an index
    gate            an instruction that replaces a partial derivative by 0 where no gradient reaches the node; a mask is
                    a node that does this, in the graph of a gradient, Jacobian or Hessian for each row
    layer           the instructions between two rounds of long sums and gathers; a level has instructions of a layer
                    that do not depend on each other
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
                    operands are; kernels are first compiled quickly, and once more with optimisations for native code,
                    or in the background if threaded code runs for long
    threaded code   straight-line code as a table of entries, each with the name of a kernel and the places of its
                    result and operands; each kernel jumps to the next; it has nothing to do with threads
    native code     straight-line code and short maps as functions for one program alone, which keep values in
                    registers; other loops use the same kernels as threaded code
    driver          a kernel that runs an executable, or a loop of training steps: it loads rows into blocks, and runs
                    the lists of calls
    update          the `update` of an optimiser, compiled as code whose rows are the parameters; single steps and `fit`
                    share it
    fit             a compiled loop of training steps; each batch is split into a part for each program
    node access     code that reads and writes the data and the gradients of many nodes, which are Python floats, in one
                    call, which other threads and Ctrl-C cannot interrupt; see `data.nodes`
    printer         a function that writes a recorded graph as text for use elsewhere, in C or in Python

Some of these words have a second meaning. The class `Structure` has the positions of those entries of a Jacobian or
Hessian that can be nonzero; it is not the structure of arguments. A "row of the matrix" is not the row of a sample, and
neither is an operation's row in the table of operations, `micrograd_cn.ops`, which is no table of words. A mask is also
the result of a comparison of vectors (in `llvm`), or a list with 0 for each parameter that training must not change (in
`training`). In `instructions`, `loops`, `tables` and `llvm`, a value that depends on the row is called a sample, too,
and any other value a scalar. If rows are computed one at a time, samples are scalars, too.

To print programs in another language, write a printer like `c.file.source`, and call it in `program.Runnable.source`.
It may print the loops of a schedule in the same way as `c.loops.Loops`. If an `OpcodeWriter` says how the language
writes an opcode, a `StraightLineWriter` writes formulas and the update as `c` does.

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
