"""Derivatives of Python functions: bind the arguments, record a graph, differentiate it, give back the structure.

`tree` flattens nested lists, dicts and arrays, and `argument_binding` puts fresh variables in the place of their
numbers. Dense derivatives then follow from `gradients`. For sparse ones, `sparse` turns the recorded graph into edges
with local derivatives, and `elimination` removes the interior nodes until edges from outputs to variables remain.
`arithmetic` multiplies and adds on the way; `finite_field` tells it which results are zero for all numbers.
"""
