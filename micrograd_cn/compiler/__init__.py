"""Compile a function, or a recorded graph, to machine code. This needs llvmlite.

A function is recorded for one sample, and the machine code of the recorded graph then computes all samples. These
folders and modules are in the order in which a first call reaches them, apart from a few helpers. After the last one,
the call returns to `runtime`, which runs the code:

    function       records the function as a graph of `Value`s, and records it again for arguments that are nested
                   in another way, for other static arguments, and for another branch; its docstring lists its modules
    data           reads samples and parameters into flat arrays of doubles, and returns results
    surroundings   finds what the function can read besides its arguments, and sees whether this has changed
    guards         says for which samples the comparisons in a function have their recorded outcome
    program        defines `Program`, a recorded graph with the methods forward, backward, fit, check and source, and
                   with derivatives for each row, such as gradient and hessian
    runtime        makes the code of a program when it is first needed, holds its memory, and runs it by drivers
    instructions   checks the graph when a program is made (`Graph`), and lowers it (`Lowering`), and its gradient
                   (`differentiate`), to instructions without duplicates (`Code`); has `StraightLineWriter`, which walks
                   straight-line code, for LLVM and for C
    loops          has `Schedule`, which finds loops and orders the instructions, and `Plan`; see "plan" below. In four
                   steps, instructions become code: each of the classes `Schedule`, `Plan` and `Tables` takes an object
                   of the one before, and `Threaded` or `NativeCode` adds straight-line code to the last
    tables         writes loops (`Tables`) and straight-line code (`Threaded`) as tables, and their kernels
    llvm           writes LLVM text, and compiles it, for all folders and modules that need machine code

These are the other folders and modules:

    native         writes native code (`NativeCode`), which replaces threaded code once a program has run for long
    derivatives    finds the entries of a gradient, Jacobian or Hessian, and their positions (`Structure`)
    wrt            reads `wrt`, the variables that a method differentiates with respect to
    agreement      says whether results that were computed in two ways agree
    threads        runs tasks in parallel, in the background, or without the garbage collector, and has locks that a
                   fork does not leave locked
    training       implements `fit`, which splits a batch into sub-batches if several programs compute its samples, and
                   takes single steps in machine code
    c, python      print text for use elsewhere: a C file, whose loops `c.loops` finds by the classes `Schedule` and
                   `Vectorizer`, but with other settings; and the graph as a Python function of arrays

A multiplication passes through eight files on its way to machine code. They use a few more, which the steps name. Take
`f = compile(lambda x, y: x * y)` and the call `f(2.0, 3.0)`. The example below shows what the files make of it.

    1 function.jit           `CompiledFunction.__call__` reads the arguments as a row of numbers. File 2 finds a
                             recording for the row. Then the recording's program computes the row: its attribute
                             `compiled` is a `CompiledGraph`, whose method `outputs_of` is called (file 4).
    2 function.store         `RecordingStore.dispatch` finds no recording for the row, and so has one made (file 3).
                             `_publish` has it compiled, and adds it to the recordings that later calls find.
    3 function.recorder      `Recorder.record_repeatable` makes a `Recording` (in `function.recording`), which calls the
                             lambda with two `Value`s. The engine makes a node, whose operation is `mul`, and the hooks
                             of `function.hooks` note what the graph does not show. If the function may do something
                             else in each call, or for numbers, it is called again, and the results are compared. Last,
                             `Recording.compile` makes a `Program` of the recording.
    4 runtime.executable     In `CompiledGraph.outputs_of`, `select_executable` finds no code, so `Tiers.get` makes an
                             `Executable`, in steps 5 to 7. Only then does `Executable.forward` run: it calls a driver
                             (in `runtime.drivers`), which is machine code that loads the row, goes through a list of
                             tables (`Drivers.run`), calls for each of them the kernel that reads it, and returns the
                             outputs.
    5 instructions.lowering  `Lowering` calls `CodeBuilder.apply` for each node. In the table of operations, `mul` has
                             the opcode "fmul". So `apply` calls `Code.emit` (in `instructions.code`), which appends
                             the instruction ("fmul", 0, 1), if there is no equal one; 0 and 1 are the numbers of the
                             operands.
    6 loops.plan             `Plan` puts the multiplication into a stage of straight-line code, since no loop is found
                             for it (in `loops.schedule`), and gives its value a place in memory.
    7 tables.threaded        `Threaded` writes the stage as a table. Its entry for the multiplication names a kernel, a
                             function that all programs share. `_write_entry` writes the kernel: it loads the operands,
                             has `llvm.lanes` write LLVM's instruction `fmul`, and stores the result. At last, file 4
                             calls `Tables.link` (in `tables.tables`). Unless another program has used the kernel
                             before, this has LLVM compile it (`Machine.compile_kernels`). Then it puts the kernel's
                             address into the table.
    8 native                 In `runtime.prepared`, later calls now and then note how long they took. After many calls,
                             `select_executable` (file 4) has a background thread make another `Executable`. Now
                             `NativeCode` writes a function for this program alone (`NativeFunction.write`), again with
                             `fmul`, and has it compiled by `Machine.compile`.

The example reads what each of these files has made, and the comments have the numbers of the files. An offset is in
bytes from the beginning of the program's memory. The first word of the table becomes the address of the kernel.

    >>> f = compile(lambda x, y: x * y)
    >>> f(2.0, 3.0)
    6.0
    >>> compiled = f.recording_of(2.0, 3.0).program.compiled
    >>> [op.name for node, op in compiled.graph.operations]  # 3: the recorded graph
    ['mul']
    >>> executable = compiled.tiers("forward", rows_in_lanes=False).get(native=False)  # 4
    >>> plan, tables = executable.plan, executable.tables
    >>> plan.code.instructions[:3]  # 5
    [('input', 0), ('input', 1), ('fmul', 0, 1)]
    >>> [*plan.stages.values()], [plan.offset(i) for i in (0, 1, 2)]  # 6: the stages of three phases, and the offsets
    ([[], [StraightLine(numbers=[2])], []], [256, 264, 272])
    >>> tables.all[0][1:-1].tolist()  # 7: the table without its first and last word
    [272, 256, 264]
    >>> kernel = str(tables.kernels["micrograd_cn.threaded_fmul_1_2"]())  # a name with 1 lane and 2 operands
    >>> [line.strip() for line in kernel.splitlines() if "double" in line]
    ['%v3 = load double, ptr %v2, align 8', '%v7 = load double, ptr %v6, align 8', '%v8 = fmul double %v3, %v7', \
'store double %v8, ptr %v12, align 8']

A second call finds the recording, checks its guards, and calls `program.row`, a `PreparedRunner` (`runtime.prepared`).
The runner takes a prepared call that no other thread uses, or makes one: an object that has memory of its own, and that
calls a driver, which all programs share, and which the first call of the process has compiled. The runner copies the
numbers of the arguments into the memory, and calls the object. It also measures some calls, and then has
`select_executable` choose the code of later calls.

A batch, as in `f.forward([(1.0, 2.0), (3.0, 4.0), (5.0, 6.0)])`, goes the same way. But `CompiledFunction._map_samples`
takes the place of `__call__`: `Arguments.buckets_of` makes rows of all samples, and `RecordingStore.dispatch` finds the
recording for each row. Its program's method `Program.forward` calls `CompiledGraph.write_outputs`. One or two rows are
computed one at a time, so all values are scalars. From three rows on, they are computed in the lanes of vectors.

The gradient of a mean, as in `f.backward` and `f.fit`, goes the same way, with `CompiledGraph.gradient_of` in place
of `outputs_of`: after step 5, `instructions.gradient.differentiate` appends the instructions of the chain rule. For the
multiplication, they multiply the gradient of the product by the other factor. A derivative for each row, as in
`f.gradient`, is a graph of its own, which is compiled like any other. Its instructions begin with those of the
function. The graph is made by `micrograd_cn.derivatives`, as Jacobians and Hessians are. This folds constant factors
and leaves out what is 0 for all numbers, which `differentiate` does not, so the program of a stencil is smaller.

If the instructions of a program equal those of an earlier one, steps 6 to 8 are left out: `shared_tiers` finds the
code. The numbers of parameters are not part of it, but those of constants are.

Native code is made once the threaded code has run for about as long as native code takes to compile: `Tiers.select`
then begins a background task, and returns native code when it exists. `fit` also has it made if training will probably
go on for as long. A program that would take too long to compile keeps threaded code, and so does a large program if its
native code is slower. Native code is made at once by `Program.prepare` if the program is not large (by
`Tiers.fastest`), by `source("llvm")`, and for the update of an optimiser, which is always native code.

An `Executable` has four lists of calls (of kernels or native code), which the drivers `forward`, `gradient` and
`update` run; see `runtime.drivers`. They begin with "batch", for what depends on parameters alone, and "broadcast",
which copies to all lanes of a vector each scalar, such as a parameter, that threaded code or a loop reads as a vector.
Native code does this when it loads the scalar. For each panel of rows, the drivers load the numbers of the rows, and
run "sample", which also adds to the totals of a gradient. For a gradient, "after" comes last. If rows are computed one
at a time, a panel is one row.

Many products are computed by loops instead. If `x * y` is a term of `sum`, or one of the products of `dot`, it becomes
one of the pairs of `Code.dot`. `loops.schedule.Schedule` collects the sums of many products, and `loops.chains` finds
chains of additions that are such sums, as Python's `sum` and numpy's `@` record them. If values are not in lanes,
`loops.vectorizer.Vectorizer` collects other instructions of one opcode into maps, which are fastest if their operands
are one after the other in memory, or all the same. `tables.sums` and `tables.maps` write the kernels that compute sums
and maps. They use the operators of `llvm.operands`, so a kernel reads as arithmetic in Python: `x * y` or
`x.multiply_add(y, total)` of vectors and doubles, and `block[first + k]` of addresses and integers.

These are the ideas of this package, in the order in which a first call meets them, and then those of later calls and of
training. Each comes with the words that belong to it:

    sample          the arguments of one call; its numbers, one after the other, are a row, and a batch has several
                    rows. Their numbers may be in columns, which are arrays such as one for each argument. Machine code
                    then gets the address of a table of these arrays, and the bit `TABLE_BIT` of the address says so
    treedef         how an argument is nested in lists, tuples, dicts and arrays; a `Bucket` has the rows of samples
                    with the same treedefs and the same static arguments
    identity        the key of a static argument, by which its recordings are found. It differs between values that
                    Python calls equal, such as 1 and 1.0, and it changes if the value's attributes do; see
                    `data.static_values`
    recording       the graph of one call
    leaf            a node that no operation of the recording computes. There are five kinds: an input stands for a
                    number of the arguments, a `CapturedValue` for a node that was computed before the call, and others
                    are made anew in each call, or are constants or parameters. `function.leaves` says what a program
                    does with each. A constant's number is part of the program, so a constant is watched if somebody may
                    change it: a call raises an error if it has another number now
    traced value    a `Value` in a recording. Code can neither read nor copy its number, which is that of one sample
    hooks           methods that the engine calls while a function is recorded. They note what the graph does not show,
                    such as comparisons and the constants that the function reads, and refuse what a program cannot
                    repeat
    reach           all code that a function may run, and its surroundings: the variables and objects that this code can
                    read besides the arguments, and may change. What the code draws, changes or asks decides how the
                    function is recorded. `Contents` have what they hold, and put back what a rerun changes
    rerun           a further call of a function that was just recorded, for the same sample. If the function may do
                    something else in each call, it is recorded again, and refused if the two graphs differ. If it may
                    tell a `Value` from a number, it is called with numbers, and a warning says if the results differ
    guard           a comparison that must have its recorded outcome; the outcomes decide which branch a row takes, and
                    a merged program computes all branches and selects. The `Program` of one branch, as users get it,
                    has guards: it raises `GuardError` for rows that take another branch
    stale           a recording is stale if the function would be recorded otherwise now. A snapshot has what the
                    function can read besides its arguments. Once this has changed, the recording is compared with a
                    new one, before `fit` trains and in calls
    sub-batch       the rows of a batch that one program computes, if the samples have several programs
    program         a recorded graph, compiled: a `Program` with its `CompiledGraph`; a `CompiledDerivative` has a
                    further program, and its `Structure` the positions of a matrix's entries
    tier            threaded code or native code. Both compute straight-line code. Threaded code is a table of entries,
                    each with the address of a kernel and the offsets in bytes of its result and operands; each kernel
                    jumps to the next. Native code is functions for one program alone, which keep values in registers
                    and also compute short maps. Both use the same kernels for other loops. A program that is so large
                    that native code takes long to make stays threaded for long; see `Schedule.stays_threaded`
    executable      code in one tier for one kind of work ("forward", "gradient" or "gated" of a program, or "update" of
                    an optimiser), for lanes or for single rows; each thread that runs it has its own `Buffers`
    instruction     an opcode with the numbers of earlier instructions, its operands; `Code` has each instruction only
                    once, and an instruction is live if a wanted value depends on it
    formula         a computation as a list of simpler steps. Formulas of operations, of their derivatives and of an
                    optimiser's update are found by running their Python code with symbols. If a formula has few steps
                    and operands, it becomes one opcode, else (as the updates of SGD, RMSprop and Adam) the instructions
                    of its steps. In a program that stays threaded, an instruction in phase SAMPLE and operands that
                    nothing else reads form a tree. `MIN_OCCURRENCES` or more trees of one shape get an opcode that is a
                    formula
    gate            if an operation such as `where` does not select a node, the node's gradient is 0, and its product
                    with an infinite partial derivative would be nan. A gate is an instruction, or in the graph of a
                    derivative for each row a node, that has 0 instead where no gradient reaches the node (see
                    `gradients.GradientReach`). Gates are rarely needed and cost time, so they are left out at first. If
                    a result is nan, code that has all gates computes it anew
    phase           when an instruction is computed: before the rows (BATCH), for each row (SAMPLE), or after all rows
                    (AFTER). The value of an instruction in phase SAMPLE is a row value, and all others are scalars; if
                    rows are computed one at a time, all values are scalars. An instruction that is taken out of phase
                    SAMPLE is hoisted
    total           a sum over the rows of a batch, from which gradients of parameters are computed; many totals form an
                    `OuterProduct`, or a `Scatter`, in which each row adds a value to one of them by an index
    rank            instructions of a phase that do not depend on each other, so a loop may compute them; the ranks of a
                    phase are in the order of their computation, with long sums and gathers as late as possible
    stage           a part of a phase: straight-line code (instructions one after the other, without a loop), or a loop.
                    A loop computes long sums (of many products, as a matrix times a vector where they have the same
                    right factors), a map (instructions of one opcode on values that are not in lanes), or gathers (each
                    loads one of its operands, by an index that is known only at run time)
    plan            the stages of a program, and the places of its values in memory, which `Plan` finds for a `Schedule`
    lane            the position of a row in vectors that hold the values of several rows; a block is memory for as many
                    rows, with a vector for each value, and a panel is the blocks that a stage computes before the next
                    stage begins. The place of a value is the index of a scalar, or of a vector in a block
    table           64-bit words that machine code reads: the operands of a loop, the entries of threaded code, a list
                    of calls, or the header of an executable
    kernel          a machine-code function that all programs share; the kernel of a stage reads in a table where its
                    operands are. It may be compiled twice, quickly and then with optimisations
    operand         an integer, a condition, a double, a vector or an address in an LLVM function that is being written.
                    Its operators write instructions, so kernels, drivers and node access read as arithmetic in Python
    driver          a function in machine code that all programs share, and that runs the code of one of them: it loads
                    rows into the program's memory, runs lists of calls, and copies the outputs or gradients
    prepared call   a call whose code and memory are ready, so Python does little in it; `Program.row` and
                    `Program.prepare` make it, and so does a call after more than 10 with equally many rows or equal
                    shapes of arrays, which `FrequentCalls` counts, once its driver is compiled; see
                    `function.array_calls`. In repeated calls, machine code also reads the array objects; see
                    `data.array_reader`
    explained nan   where a result is nan, `Program.explain_nan` looks for an index or target that is out of range, and
                    `function.plain_errors` calls the plain function, whose error may say why
    data version    a number that changes when somebody assigns the data of a node. As long as it is the same, the
                    numbers of parameters are not read again
    update          the `update` of an optimiser, whose formula `training.tracing` finds, compiled as code whose rows
                    are the parameters; single steps and `fit` share it
    training state  copies of the parameters and of the optimiser's state, on which `fit` works. `write_back` copies the
                    results to Python's objects. The layout says at which place a parameter is, and a packed state has
                    the optimiser's state as arrays until somebody reads it
    fixed part      what depends on the row, but on no parameter that `fit` trains, such as the layers below the first
                    one that is trained. If many epochs are left, `fit` computes it once, and trains with a program
                    whose rows have these numbers; see `training.fixed`
    observers       the user's functions that run between the steps of `fit`, such as a schedule. If one of them can
                    reach the parameters, the results are written back before it is called
    single step     a step that a loop of the user's own takes, by `optimizer.step()`, in machine code
    node access     machine code that reads or writes the data or the gradients of many nodes in one call, which other
                    threads and Ctrl-C cannot interrupt; see `data.nodes`
    at once         changes that are made in one call into C, so Ctrl-C cannot leave them half done (`at_once`)
    turn            `in_turn` lets one thread after the other do work that may call the user's code. No thread waits for
                    longer than half a second, since the user's code may itself wait for it

To print programs in another language, write a function like `c.file.source`, and call it in `Program.source`.
It may print the loops of a schedule in the same way as `c.loops.Loops`. If an `OpcodeWriter` says how the language
writes an opcode, a `StraightLineWriter` writes formulas and the update as `c` does.

A compiled sum is added up term by term, so it may overflow on the way to a finite result; `Program.check` finds this.
In C, and in a derivative that `Program.derivative` returns, the factors in a sum of products, such as `dot`, have no
gates, except constants in C that are infinite or nan. So if an operation such as `where` did not select the sum, an
infinite factor makes a gradient nan, as in the matrix products of PyTorch and jax, while the engine gives 0.

The first code that is made may give nan where slower code gives a number. There are three such shortcuts, each with a
test for nan of its own. Where it finds nan, the slower code computes the result anew. It has all gates, and computes
one branch, not all of them.

    mean            the gradient of a mean; multiplications and sums of products have no gates for their factors, but
                    all other gates are there. If a total is not finite, the driver `finish` leaves nan in a number that
                    `Executable.mend` reads; in training, the driver `fit` reads it; see
                    `instructions.gradient.differentiate`
    each row        a derivative for each row without gates, whose entries are searched for nan (in calls with arrays,
                    by `finds_nan`, as are the results of merged programs); see `Program.derivative_for_calls`
    merged          a program that computes all branches that were recorded; its first output is nan for a row of
                    another branch. Then the rows are sorted by their branches; see `function.merged` and
                    `function.merged_calls`
"""

import sys as _sys
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import NoReturn as _NoReturn

from ..optim import optimizer as _optimizer
from .data.captured import CapturedValue as _CapturedValue
from .data.parameters import parameters_to_vector, vector_to_parameters
from .derivatives import Structure
from .function.jit import CompiledFunction, compile
from .function.minimize import scipy_functions
from .guards import GuardError
from .program import CompiledDerivative, Mismatch, Program
from .training.single_steps import SingleSteps as _SingleSteps

__all__ = [
    "CompiledDerivative",
    "CompiledFunction",
    "GuardError",
    "Mismatch",
    "Program",
    "Structure",
    "compile",
    "parameters_to_vector",
    "scipy_functions",
    "vector_to_parameters",
]

if not _TYPE_CHECKING:

    def __getattr__(name: str) -> _NoReturn:
        """Raise an error for a name that this module does not have. It says what to write."""
        from ..text.public_names import missing_name

        raise missing_name(name, _sys._getframe(1), __name__)


_optimizer.machine_code = _SingleSteps()  # for steps that a loop of the user's own takes
_optimizer.stand_in = _CapturedValue
