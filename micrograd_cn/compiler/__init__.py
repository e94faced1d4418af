"""Compile a function, or a recorded graph, to machine code. This needs llvmlite.

A function is recorded for one sample, and the machine code of the recorded graph then computes all samples. A first
call passes through these folders and modules in this order, and ends in `runtime` again, which runs the code:

    function       records the function as a graph of `Value`s, and records it again for another structure of the
                   arguments, for other static arguments, and for another branch; its docstring lists its modules
    derivatives    defines `Program`, a `Runnable` that adds derivatives for each row: gradient, Jacobian and Hessian
    program        defines `Runnable`, a recorded graph with the methods forward, backward, fit, check and source
    runtime        makes the code of a program when it is first needed, holds its memory, and runs it by drivers
    instructions   lowers the graph, and its gradient, to instructions, without duplicates; has `StraightLineWriter`,
                   which walks straight-line code, for LLVM and for C
    pipeline       composes the steps from instructions to code: `loops`, `tables`, then threaded or native code
    loops          finds loops among the instructions, orders the stages, and gives values places in memory
    tables         writes loops as tables, and the kernels that read them; `tables.threaded` does this for straight-line
                   code
    llvm           writes LLVM text, and compiles it, for all folders and modules that need machine code

These are the other folders and modules:

    native         writes native code, which replaces threaded code once a program has run for long
    data           reads samples and parameters into flat arrays of doubles, returns results, and finds what a function
                   can read besides its arguments
    threads        runs tasks in parallel or in the background, and has locks that a fork does not leave locked
    training       implements `fit`, which splits a batch into sub-batches if several programs compute its samples, and
                   takes single steps in machine code
    c, python      print text for use elsewhere: a C file, whose loops `c.loops` finds by the classes `Schedule` and
                   `Vectorizer`, but with other settings; and the graph as a Python function of arrays

Take `f = compile(lambda x: w * x)` with a parameter `w`. The first call of `f.forward` with a batch of three samples,
such as `f.forward([(1.0,), (2.0,), (3.0,)])`, leads through these files in this order:

    1 function.jit            `forward` calls `CompiledFunction._map_samples`. `Arguments.buckets_of` (in
                              `function.arguments`) makes a `Bucket` of the samples, with a row of numbers for each.
                              `RecordingStore.dispatch` (in `function.store`) finds no recording for these rows. So
                              `Recorder.record` (in `function.recording`) makes a `Recording`, which calls the lambda
                              with a `Value` for `x`. The engine (the module `quick`) multiplies, and a hook makes the
                              node: `RecordingHooks.new_node` (in `function.hooks`).
                              `Recording.compile` makes a `Program`. Then `Runnable.forward` is called with the rows.
    2 program                 `Runnable` makes a `CompiledGraph`. `Runnable.forward` calls `_write_outputs`,
                              which asks `CompiledGraph.select_tier` for code, and runs it by `Executable.forward`.
    3 runtime.executable      `CompiledGraph` makes a `Graph` (4) when the program is made. `select_tier` finds no code,
                              so `get` makes a `Lowering` (4 and 5), calls `make_tables` (6), and makes an `Executable`
                              (7 and 8). From three rows on, the code is for rows in the lanes of vectors.
    4 instructions.lowering   `Graph` sorts the leaves into inputs, parameters and constants. `Lowering` appends the
                              instruction ("input", 0) for `x`, in phase SAMPLE, and ("parameter", 0) for `w`, in phase
                              BATCH. It passes the multiplication to `CodeBuilder.apply` (in `instructions.builder`),
                              which finds the opcode "fmul" in the row of `mul` in the table of operations.
    5 instructions.code       `apply` calls `Code.emit`, which simplifies products such as x * 1. `emit` calls
                              `Code.add`, which appends the instruction unless the list has an equal one. It is in phase
                              SAMPLE, the later one of its operands.
    6 pipeline                `make_tables` makes a `Schedule`, which puts the instructions that must be computed in
                              order, here only the product. It makes a `Plan`, which gives `x` and the product a vector
                              each, with a lane for each row, and has one stage, of straight-line code. `Tables` writes
                              the tables of all other stages, here none.
    7 tables.threaded         `Executable` makes `CallLists` (in `pipeline`), which lets `Threaded` write the
                              straight-line code: a table, here with an entry that names the kernel that multiplies. An
                              operand must be a vector, too, so `Places.block_offset` gives one to `w`, to whose lanes
                              the program copies `w` before the rows. Then `Executable` calls `Tables.link`, which has
                              missing kernels compiled, and puts addresses into the tables.
    8 llvm.machine            `Machine.compile_kernels` calls the functions that write the missing kernels. Here
                              `_write_entry` (in `tables.threaded`) writes the LLVM instruction `fmul`, by
                              `StraightLineLanes` (in `llvm.lanes`). `Compiled` then lets LLVM compile the kernels.

The first call with a single sample, such as `f(2.0)`, makes code in the same way. But `CompiledFunction.__call__` looks
for the recording itself, and calls `Runnable.outputs_of`, which calls `_write_outputs`. One or two rows are computed
one at a time, so all values are scalars, and `w` is not copied to lanes.

The second call with a single sample finds the recording, checks its guards, and calls `program.row`, a `FlatRunner`
(`runtime.prepared`). The runner takes a prepared call that no other thread uses, or makes one: a function in machine
code, with memory of its own. The runner copies the numbers of the arguments into this memory, and calls the function.

All these calls run threaded code. Native code is made once the threaded code has run for about as long as native code
takes to compile: `select_tier` then begins a background task, and returns native code when it exists. `fit` also has it
made if training will probably go on for as long. A program that would take too long to compile keeps threaded code, and
so does a large program if its native code is slower. Native code is made at once by `Runnable.prepare` if the program
is not large (by `fastest_tier`), by `source("llvm")`, and for the update of an optimiser, which is always native code.

To see how native code is written, read `native` in the place of `tables.threaded`. `parts_of` divides the stages into
`Part`s: single stages that a kernel computes, and stages that become a function. `PartWriter`, a `StraightLineWriter`
(`instructions.straight_line`), writes the multiplication into such a function, as the same LLVM instruction.

An `Executable` has five lists of calls (of kernels or native code), which the drivers `forward` and `gradient` run; see
`runtime.drivers`. They begin with "batch", for what depends on parameters alone, and "broadcast", which copies scalars
such as `w` to lanes. For each panel of rows, they load the numbers of the rows, and run "sample" and, for a gradient,
"totals". For a gradient, "after" comes last. If rows are computed one at a time, a panel is a single row.

Many products are computed by loops instead. If `w * x` is a term of `sum`, or one of the products of `dot`, it becomes
one of the pairs of `Code.dot`. `loops.schedule.Schedule` collects the sums of many products. If values are not in
lanes, `loops.vectorizer.Vectorizer` collects other instructions of one opcode into maps, which are fastest if their
operands are one after the other in memory, or all the same. `tables.sums` and `tables.maps` write the kernels that
compute sums and maps. To write a multiplication, they call `Lanes.multiply_add` or `Lanes.apply`. To write a
computation of integers or addresses, they use the operators of `llvm.operands`, in Python's notation.

These are the ideas of this package, each with the words that belong to it:

    sample          the arguments of one call; its numbers, one after the other, are a row, and a batch has several rows
    structure       how arguments are nested in lists, tuples, dicts and arrays; a treedef describes it, and a `Bucket`
                    has the rows of samples with the same structure and the same static arguments
    columns         the numbers of rows in several arrays, such as one for each argument; machine code gets the address
                    of a table of these arrays, in which `TABLE_BIT` is set
    recording       the graph of one call; its leaves are inputs, parameters and constants, and a `CapturedValue` stands
                    for a node that was computed before the call
    guard           a comparison that must have its recorded outcome; the outcomes decide which branch a row takes, and
                    a merged program computes all branches and selects
    snapshot        the variables, collections and arrays that a function can read besides its arguments, with what they
                    held; `fit` records the function again, and compares, if they hold something else now; see
                    `function.stale`
    program         a recorded graph, compiled: a `Runnable` with its `CompiledGraph`; a `CompiledDerivative` has a
                    further program, and its `Structure` the positions of a matrix's entries
    executable      the code of a program for one kind of work ("forward", "gradient" or "gated"), for lanes or for
                    single rows, in one tier: threaded code or native code; each thread that runs it has its own
                    `Buffers`
    prepared call   a call whose code and memory are ready, so Python does little in it; `Runnable.row` and
                    `Runnable.prepare` make it, and so does a call after about 50 with equally many rows or equal
                    shapes of arrays; see `function.array_calls`
    instruction     an opcode with the numbers of earlier instructions, its operands; `Code` has each instruction only
                    once, and an instruction is live if a wanted value depends on it
    formula         an operation, its derivatives or an optimiser's update in simpler steps, which are found by running
                    its Python code with symbols; several instructions that one opcode computes are a formula, too
    hoisting        an instruction of a formula or a sum that does not depend on the row is computed once for a batch
    fusion          in a large program, an instruction and operands that nothing else reads become one instruction,
                    whose opcode is a formula; see `instructions.fusion`
    phase           when an instruction is computed: when the program is compiled (CONSTANT), before the rows (BATCH),
                    for each row (SAMPLE), or after all rows (AFTER)
    row value       the value of an instruction in phase SAMPLE, which depends on the row; all other values are scalars,
                    and so are row values if rows are computed one at a time
    total           a sum over the rows of a batch, from which gradients of parameters are computed; many totals form an
                    `OuterProduct`, or a `Scatter`, in which each row adds a value to one of them by an index
    gate            an instruction that replaces a partial derivative by 0 where no gradient reaches the node; a mask is
                    a node that does this in the graph of a derivative for each row
    layer           instructions of a phase, none of which depends on a long sum or a gather of the same layer, so the
                    long sums and then the gathers are computed last; a level has instructions of a layer that do not
                    depend on each other
    stage           a part of a phase: straight-line code (instructions one after the other, without a loop), long
                    sums, a map, or gathers
    long sum        a sum of many products, which a loop computes; long sums with the same right factors are computed
                    together, as a matrix times a vector, unless their left factors are in lanes
    map             instructions of one opcode on values that are not in lanes, computed together as SIMD vectors
    gather          an instruction that loads one of its operands, by an index that is known only at run time
    place           where a value is in memory: the index of a scalar, or of a vector in a block
    lane            the position of a row in vectors that hold the values of several rows; a block is memory for as many
                    rows, with a vector for each value, and a panel is the blocks that a stage computes before the next
                    stage begins
    table           64-bit words that machine code reads: the operands of a loop, the entries of threaded code, a list
                    of calls, or the header of an executable
    kernel          a machine-code function that all programs share; the kernel of a stage reads in a table where its
                    operands are; it may be compiled twice, quickly and then with optimisations
    threaded code   straight-line code as a table of entries, each with the address of a kernel and the offsets in bytes
                    of its result and operands; each kernel jumps to the next; it has nothing to do with threads
    native code     straight-line code and some short maps as functions for one program alone, which keep values in
                    registers; other loops use the same kernels as threaded code
    driver          one of the kernels in `runtime.drivers`, such as `gradient`, which loads rows and runs lists of
                    calls, or `fit`, which takes training steps in one thread
    update          the `update` of an optimiser, whose formula `training.tracing` finds, compiled as code whose rows
                    are the parameters; single steps and `fit` share it
    node access     machine code that reads or writes the data or the gradients of many nodes in one call, which other
                    threads and Ctrl-C cannot interrupt; see `data.nodes`

Some of these words have a second meaning. The class `Structure` has the positions of those entries of a Jacobian or
Hessian that can be nonzero; it is not the structure of arguments. A row is also a row of such a matrix, or an
operation's entry in the table of operations, `micrograd_cn.ops`. A mask is also the result of a comparison of vectors
(in `llvm`), or a list with 0 for each parameter that training must not change (in `training`). The value of the
instruction ("total", k) is a mean: total k, divided by the count of rows. A level is also how well LLVM optimises
(`SCALAR_LEVEL` and `VECTOR_LEVEL`). The argument `fused` in `llvm` says whether the machine has FMA, which multiplies
and adds with one rounding.

To print programs in another language, write a function like `c.file.source`, and call it in `program.Runnable.source`.
It may print the loops of a schedule in the same way as `c.loops.Loops`. If an `OpcodeWriter` says how the language
writes an opcode, a `StraightLineWriter` writes formulas and the update as `c` does.

A compiled sum is added up term by term, so it may overflow on the way to a finite result. `Runnable.check` finds such a
sum.

If an operation such as `where` did not select a sum of products, the gradient of that sum is 0, and compiled code
multiplies this 0 by the factors of the products. So an infinite factor that is no constant makes a gradient nan, as in
the matrix products of PyTorch and jax, while `backward` of the engine gives 0.

In single multiplications, gates and masks prevent this. But they are rarely needed, and cost time. So the first code is
optimistic: it leaves them out, and gives nan where one was needed. Whoever finds a nan lets careful code compute the
result anew. Careful code has all gates and masks, and computes a single branch. There are three kinds of optimistic
code, each with a test for nan of its own:

    without gates   the gradient of a mean; gates are left out in multiplications that are computed for each row. If a
                    total is not finite, the driver `finish` leaves nan in a number among the scalars, which
                    `Executable.mend` reads, and in training the driver `fit`; see `Lowering.differentiate`
    without masks   a derivative for each row, whose entries are searched for nan; see `Program.derivative_for_calls`
    merged          a program that computes all branches that were recorded; its first output is nan for a row of
                    another branch, and a gradient of a mean is nan if a branch that was not selected has an infinite
                    factor. Then the rows are sorted by their branches; see `function.merged` and
                    `function.merged_calls`

When a function is called with arrays, `finds_nan` (`runtime.arrays`) looks for the nan of merged programs, and of
derivatives without masks.
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
