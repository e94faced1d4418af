"""Differentiate Python functions: bind the arguments, record a graph, differentiate it, and restore the structure.

`tree` flattens nested lists, dicts and arrays, and `argument_binding` puts fresh variables in the place of their
numbers. Dense derivatives then come from `gradients`. For sparse derivatives, `sparse` turns the recorded graph into
edges with local derivatives, and `elimination` removes the interior nodes until only edges between variables and
outputs are left. `arithmetic` multiplies and adds the derivatives on the edges, and `finite_field` finds the
derivatives that are zero whatever numbers the variables have.
"""
