"""Derivatives of functions: arguments become `Value`s, and sparse derivatives follow from the graph.

`tree` flattens nested arguments, and `calls` turns them into leaves and back. `elements` finds which derivatives are
zero, `elimination` accumulates the others by eliminating nodes, and `sparse` returns them as sparse matrices.
"""
