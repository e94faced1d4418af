"""Functions of this machine: operations on vectors as LLVM's text, and that text as code in memory."""
