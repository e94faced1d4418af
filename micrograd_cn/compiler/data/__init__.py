"""Convert the data that a program reads and returns.

The data are samples, rows, parameters, and nodes that were computed before a call. `samples` reads tuples of arguments
into rows of numbers. The module `treedef` describes how an argument is nested. The module `static_values` makes keys,
by which programs are found, for static arguments, which the function gets unchanged.
"""
