"""Compile a function, or a recorded graph, to machine code. This needs llvmlite.

A function is recorded for one sample, and the machine code of the recorded graph then computes all samples. On its way,
a function passes through these folders and modules:

    function       records the function as a graph of `Value`s, once for each argument structure and each branch
    program        defines `Runnable`, a recorded graph with the methods forward, backward, fit, check and source
    derivatives    defines `Program`, a `Runnable` that can also compute its gradient, Jacobian and Hessian
    instructions   lowers the graph, and its gradient, to instructions, without duplicates
    loops          finds loops among the instructions, orders the stages, and gives values places in memory
    pipeline       composes the steps from instructions to code that runs: `loops`, then `tables` or `native`
    tables         writes threaded code, which is ready at once: tables that kernels, shared by all programs, read
    native         writes native code, machine code for one program alone, once the program has run for long enough
    llvm           writes LLVM text for `tables` and `native`, and compiles it
    runtime        runs programs: it holds their code and buffers, and writes the drivers
    training       implements `fit`: a compiled loop of training steps, and the choice of a program for each sample
    data           reads samples and parameters into flat arrays of doubles, and returns results
    threads        runs tasks in parallel
    c, python      print text for use elsewhere: the same loops as a C file, the graph as a Python function of arrays

Each of these words has one meaning in this package:

    sample         the arguments of one call
    row            the numbers in the arguments of one sample, one after the other
    structure      how arguments are nested in lists, tuples, dicts and arrays, without their numbers
    bucket         samples with the same structure and the same static arguments, as rows
    recording      the graph of one call, with a guard for each comparison of values that the call made
    guard          a comparison that must have its recorded outcome for each sample that the recording is used for
    program        a recorded graph, compiled
    merged program a program for several recordings, which selects the results of the one whose guards hold
    phase          when an instruction is computed: once for a batch, once for each row, or after all rows of a batch
    straight line  straight-line code: instructions that are computed one after the other, without a loop
    map            instructions of one opcode, which a loop computes as vectors
    stage          a part of a phase: a straight line, a map, sums of many products, or gathers
    place          where a value is in memory: the index of a scalar, or of a vector in a block
    lane           the position of a row in vectors that hold the values of several rows
    block          memory for as many rows as there are lanes: a vector for each value that depends on the row
    panel          several blocks; each stage is computed for all of them before the next stage
    total          a sum over the rows of a batch, from which gradients of parameters are computed
    gather         an instruction that loads one of its operands, by an index that is known at run time
    scatter        several totals; each row adds a value to one of them, by an index: the gradient of a gather
    gate           an instruction that replaces a node's partial derivative by 0 where no gradient reaches the node
    kernel         a machine-code function that all programs share; it reads in a table where its operands are
    threaded code  tables that kernels read, in the place of code for one program; it has nothing to do with threads
    driver         a kernel that loops over rows, batches or epochs
    tier           how a program runs: as threaded code, or as native code, which is faster but takes longer to make

Two of these words are also used for matrices. The class `Structure` has the positions of those entries of a Jacobian or
Hessian that can be nonzero; it is not the structure of arguments. A "row of the matrix" is not the row of a sample, and
neither is an operation's row in the table of operations, `micrograd_cn.ops`. In the folders `instructions`, `loops`,
`tables` and `llvm`, a value that depends on the row is called a sample, too, and any other value a scalar.

A multiplication `w * x` in a user's function becomes machine code in these modules:

    function.jit              `Recording` calls the function with `Value`s, so the engine makes a node for `w * x`.
    instructions.lowering     `Lowering` passes the operation of each node to `CodeBuilder.apply`.
    instructions.builder      `apply` emits an instruction with the opcode "fmul", and the numbers of `w` and `x`.
    pipeline                  `make_tables` calls `Schedule`, `Plan` and `Tables`, in which the instruction becomes a
                              part of a stage. `StageLists` then writes the stages, in one of two tiers:
    tables.threaded           `Threaded` writes an entry of a table, which names the kernel that multiplies.
    native                    `PartWriter` writes the multiplication into a function for this program alone.
    llvm.straight_line        `compute`, which writes a kernel's multiplication and that of a native function alike,
                              calls `Lanes.apply` in `llvm.lanes`, which writes LLVM's instruction `fmul`.
    llvm.machine              `Machine` lets LLVM compile the text of kernels and of native functions.

`runtime.executable.CompiledGraph` calls `Lowering`, `make_tables` and `StageLists`, and chooses the tier. The drivers
in `runtime.drivers` loop over the rows, and call the code of all stages for each block.

Many products are computed by loops instead. If `w * x` is a term of a sum, it becomes one of the pairs of `Code.dot`.
`loops.schedule.Schedule` collects the sums of many products. Sums with the same right factors are computed as a matrix
times a vector. `loops.vectorizer.Vectorizer` collects other instructions of one opcode into maps, which are fastest if
their operands have constant strides. `tables.tables.Tables` prints sums and maps for the kernels in `tables.sums` and
`tables.maps`, which write multiplications by `Lanes.multiply_add` and `compute`. In all modules that write LLVM text,
`llvm.operands` has the operators that compute integers and addresses.

Parameters stay nodes, whose data and gradients are Python floats. `data.nodes` reads and writes those of many nodes in
one call of machine code, which other threads and Ctrl-C cannot interrupt. So does `training.single_steps`, which takes
the steps of a loop of the user's own.

To print programs in another language, write a printer like `c.file.source`, and call it in `program.Runnable.source`.
It may print the loops of a schedule in the same way as `c.loops.Loops`.

A compiled sum is added up term by term, so it may overflow on the way to a finite result. `Runnable.check` finds such a
sum.

If an operation such as `where` did not select a sum of products, the gradient of that sum is 0, and compiled code
multiplies this 0 by the factors of the products. So an infinite factor makes a gradient nan, as in the matrix products
of PyTorch and jax, while `backward` of the engine gives 0.

The factors of single multiplications have gates, which prevent this. A program is first compiled without these gates.
Code with them is made, and computes a gradient anew, where a total is not finite; see `Lowering.differentiate`.
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
