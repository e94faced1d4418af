"""Run a function, or a recorded graph, at the machine's speed: one sample is recorded, all samples run (llvmlite).

The way through the rooms:

    a function       `jit` records it for each form of `samples`, its branches and what it reads are for `guards`,
                     what was computed before for `captured`
    a graph of Values
      lowering       its operations, and those of its gradient, as `instructions`, each once, by `formulas`
      fusion         of a large graph, instructions that a single other one needs become part of it
      schedule       what is done in which order: stretches of instructions, long sums together, loads by an index
      plan           where each value lies (`places`), and the tables of `products` and `takes`; of single rows, `maps`
                     finds like instructions, which `gathers` computes as vectors
      threaded       a stretch as a table of small functions, at once; or
      native         as LLVM's text, when the program has run for long; both by `straight` and `lanes`
      machine        text to functions (LLVM); those that all programs share are compiled once; `forks` has locks
      drivers        the loops around: rows in lanes, panels of blocks, batches, epochs
      executable     all of that for one graph; `program` is its face, and `builtin` makes a function of Python of it,
                     by which `calling` computes a row at a time; `anomalies` are looked for by the engine
      mixture        `fit`, on samples of one program or several: by `epochs`, in the loop of `training`, with `update`
      derivatives    gradient, Jacobian and Hessian of a program, each a program; `minimize` for scipy

`source` writes a graph as text for others: `python` by its operations; `c` by its instructions, which `c_loops` makes
loops over the arrays of `c_elements`, of expressions by `c_text`, under a comment by `c_comment`. What makes like
instructions one loop, there and here, is that their operands lie at `even` distances.

A multiplication becomes an instruction in `instructions.Code.machine`, and LLVM's in `lanes.Lanes.apply`.
A compiled sum is added up term by term, so that it may overflow on its way to a finite number, which `check` tells.
"""

from .derivatives import CompiledDerivative, Structure
from .guards import GuardError
from .jit import CompiledFunction, compile
from .minimize import scipy_functions
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
