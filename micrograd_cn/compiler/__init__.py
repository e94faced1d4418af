"""Compile a function, or a recorded graph, to machine code. This needs llvmlite.

A function is recorded for one sample, and the machine code of the recorded graph then computes all samples. A first
call passes through these folders and modules in this order, and ends in `runtime` again, which runs the code:

    function       records the function as a graph of `Value`s, and records it again for another structure of the
                   arguments, for other static arguments, and for another branch; its docstring lists its modules
    derivatives    defines `Program`, a `Runnable` that adds derivatives for each row: gradient, Jacobian and Hessian
    variables      reads `wrt`, the variables that a method differentiates with respect to
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

A multiplication passes through eight files on its way to machine code. Take `f = compile(lambda x, y: x * y)` and the
call `f(2.0, 3.0)`. The files 2 and 5 to 8 have examples of what they make of the multiplication.

    1 function.jit           `CompiledFunction.__call__` reads the arguments as a row of numbers. It finds no recording
                             for them, and so has its `RecordingStore` make one. Then the recording's program computes
                             the row, by `Runnable.outputs_of`.
    2 function.recording     `Recorder.record` makes a `Recording`, which calls the lambda with two `Value`s. The engine
                             makes a node, whose operation is `mul`. `Recording.compile` makes a `Program` of it.
    3 program                `Runnable` makes a `CompiledGraph`. `outputs_of` asks this for code, and runs the code.
    4 runtime.executable     `CompiledGraph.select_tier` finds no code, so `get` makes an `Executable`, in steps 5 to 7.
    5 instructions.lowering  `Lowering` makes an instruction of each node, by `CodeBuilder.apply`. Here it is ("fmul",
                             0, 1), since "fmul" is the opcode in the row of `mul` in the table of operations.
    6 pipeline               `make_tables` puts the instruction into a stage of straight-line code, and gives its value
                             a place in memory. `CallLists` writes the stage as threaded code or as native code.
    7 tables.threaded        `Threaded` writes a table. Its entry for the multiplication names a kernel, a function that
                             all programs share, in which `_write_entry` writes LLVM's instruction `fmul`. LLVM compiles
                             the kernel (by `Machine.compile_kernels`) unless another program has used it before.
    8 native                 After many calls, a background thread makes another `Executable`. Now `write_part` writes a
                             function for this program alone, with the same instruction `fmul`, and LLVM compiles it
                             (by `Machine.compile`).

A second call finds the recording, checks its guards, and calls `program.row`, a `FlatRunner` (`runtime.prepared`). The
runner takes a prepared call that no other thread uses, or makes one: a function in machine code, with memory of its
own. The runner copies the numbers of the arguments into this memory, and calls the function.

A batch, as in `f.forward([(1.0, 2.0), (3.0, 4.0), (5.0, 6.0)])`, goes the same way. But `CompiledFunction._map_samples`
takes the place of `__call__`: `Arguments.buckets_of` makes rows of all samples, and `RecordingStore.dispatch` finds the
recording for each row. One or two rows are computed one at a time, so all values are scalars. From three rows on, they
are computed in the lanes of vectors. A parameter is then copied to all lanes of a vector before the rows.

Native code is made once the threaded code has run for about as long as native code takes to compile: `select_tier` then
begins a background task, and returns native code when it exists. `fit` also has it made if training will probably go on
for as long. A program that would take too long to compile keeps threaded code, and so does a large program if its
native code is slower. Native code is made at once by `Runnable.prepare` if the program is not large (by
`fastest_tier`), by `source("llvm")`, and for the update of an optimiser, which is always native code.

An `Executable` has five lists of calls (of kernels or native code), which the drivers `forward` and `gradient` run; see
`runtime.drivers`. They begin with "batch", for what depends on parameters alone, and "broadcast", which copies scalars
to lanes. For each panel of rows, they load the numbers of the rows, and run "sample" and, for a gradient, "totals". For
a gradient, "after" comes last. If rows are computed one at a time, a panel is a single row.

Many products are computed by loops instead. If `x * y` is a term of `sum`, or one of the products of `dot`, it becomes
one of the pairs of `Code.dot`. `loops.schedule.Schedule` collects the sums of many products. If values are not in
lanes, `loops.vectorizer.Vectorizer` collects other instructions of one opcode into maps, which are fastest if their
operands are one after the other in memory, or all the same. `tables.sums` and `tables.maps` write the kernels that
compute sums and maps. To write a multiplication, they call `Lanes.multiply_add` or `Lanes.apply`. To write a
computation of integers or addresses, they use the operators of `llvm.operands`, in Python's notation.

These are the ideas of this package, each with the words that belong to it:

    sample          the arguments of one call; its numbers, one after the other, are a row, and a batch has several
                    rows. Their numbers may be in columns, which are arrays such as one for each argument; machine code
                    then gets the address of a table of these arrays, in which `TABLE_BIT` is set
    structure       how arguments are nested in lists, tuples, dicts and arrays; a treedef describes it, and a `Bucket`
                    has the rows of samples with the same structure and the same static arguments
    recording       the graph of one call; its leaves are inputs, parameters and constants, and a `CapturedValue` stands
                    for a node that was computed before the call
    guard           a comparison that must have its recorded outcome; the outcomes decide which branch a row takes, and
                    a merged program computes all branches and selects
    stale           a recording is stale if the function would be recorded otherwise now; a snapshot has what the
                    function can read besides its arguments, and if this has changed, `fit` compares a new recording
    program         a recorded graph, compiled: a `Runnable` with its `CompiledGraph`; a `CompiledDerivative` has a
                    further program, and its `Structure` the positions of a matrix's entries
    tier            threaded code or native code. Both compute straight-line code. Threaded code is a table of entries,
                    each with the address of a kernel and the offsets in bytes of its result and operands; each kernel
                    jumps to the next. Native code is functions for one program alone, which keep values in registers
                    and also compute short maps. Both use the same kernels for other loops
    executable      the code of a program in one tier for one kind of work ("forward", "gradient" or "gated"), for lanes
                    or for single rows; each thread that runs it has its own `Buffers`
    prepared call   a call whose code and memory are ready, so Python does little in it; `Runnable.row` and
                    `Runnable.prepare` make it, and so does a call after about 50 with equally many rows or equal
                    shapes of arrays; see `function.array_calls`
    instruction     an opcode with the numbers of earlier instructions, its operands; `Code` has each instruction only
                    once, and an instruction is live if a wanted value depends on it
    formula         several instructions that one opcode computes. An operation, its derivatives or an optimiser's
                    update become formulas, which are found by running their Python code with symbols. In a large
                    program, an instruction and operands that nothing else reads are fused into a formula, too
    phase           when an instruction is computed: when the program is compiled (CONSTANT), before the rows (BATCH),
                    for each row (SAMPLE), or after all rows (AFTER). The value of an instruction in phase SAMPLE is a
                    row value, and all others are scalars; if rows are computed one at a time, all values are scalars.
                    An instruction that is taken out of phase SAMPLE is hoisted
    total           a sum over the rows of a batch, from which gradients of parameters are computed; many totals form an
                    `OuterProduct`, or a `Scatter`, in which each row adds a value to one of them by an index
    gate            an instruction that replaces a partial derivative by 0 where no gradient reaches the node; a mask is
                    a node that does this in the graph of a derivative for each row
    layer           instructions of a phase, none of which depends on a long sum or a gather of the same layer, so the
                    long sums and then the gathers are computed last; a rank has instructions of a layer that do not
                    depend on each other
    stage           a part of a phase: straight-line code (instructions one after the other, without a loop), or a loop.
                    A loop computes long sums (of many products, as a matrix times a vector where they have the same
                    right factors), a map (instructions of one opcode on values that are not in lanes), or gathers (each
                    loads one of its operands, by an index that is known only at run time)
    lane            the position of a row in vectors that hold the values of several rows; a block is memory for as many
                    rows, with a vector for each value, and a panel is the blocks that a stage computes before the next
                    stage begins. The place of a value is the index of a scalar, or of a vector in a block
    table           64-bit words that machine code reads: the operands of a loop, the entries of threaded code, a list
                    of calls, or the header of an executable
    kernel          a machine-code function that all programs share; the kernel of a stage reads in a table where its
                    operands are, and a driver (`runtime.drivers`) runs lists of calls; a kernel may be compiled twice,
                    quickly and then with optimisations
    update          the `update` of an optimiser, whose formula `training.tracing` finds, compiled as code whose rows
                    are the parameters; single steps and `fit` share it
    node access     machine code that reads or writes the data or the gradients of many nodes in one call, which other
                    threads and Ctrl-C cannot interrupt; see `data.nodes`

Three of these words are also used in a second meaning, which is that of numpy, of LLVM or of mathematics: the class
`Structure` has the positions of those entries of a Jacobian or Hessian that can be nonzero, a row is also a row of such
a matrix or of the table of operations, and a mask is also the result of a comparison of vectors (in `llvm`).

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
