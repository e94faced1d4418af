"""Run a recorded graph at the machine's speed: record one sample, compile it, run all samples (needs llvmlite).

The way of a graph through the rooms:

    a graph of Values
      lowering       its operations, and those of its gradient, as `instructions`, each once
      schedule       what is done in which order: stretches of instructions, long sums together, loads by an index
      plan           where every value lies in memory, and the tables by which `products` and `takes` find theirs
      threaded       a stretch as a table of small functions, at once; or
      native         as LLVM's text, when the program has run for long; both by `straight` and `lanes`
      machine        text to functions (LLVM); those that all programs share are compiled once a process
      drivers        the loops around: rows in lanes, panels of blocks, batches, epochs
      executable     all of that for one graph; `program` is its face, `training` and `update` are `fit`

A multiplication becomes an instruction in `instructions.Code.machine`, and LLVM's in `lanes.Lanes.apply`.
"""

from .program import Mismatch, Program, compile

__all__ = ["Mismatch", "Program", "compile"]
