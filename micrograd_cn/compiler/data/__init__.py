"""Convert the data that a program reads and returns.

The data are samples, rows, parameters, and nodes that were computed before a call. `samples` reads tuples of arguments
into rows of numbers. How each argument is nested is its `treedef`, and `static_values` gives arguments that are no
numbers their keys.
"""
