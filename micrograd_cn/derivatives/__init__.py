"""Differentiate Python functions: put variables into the arguments, record a graph, and differentiate the graph.

`argument_binding` puts fresh variables in place of the numbers in the arguments. Dense derivatives then come from
`micrograd_cn.gradients`. For sparse derivatives, `sparse` turns the recorded graph into edges with local derivatives,
and `elimination` removes the interior nodes until only edges between variables and outputs are left. `arithmetic`
multiplies and adds the derivatives on the edges, `selected` makes them 0 where an operation such as `relu` did not
select an operand, and `finite_field` finds the derivatives that are zero whatever numbers the variables have.
"""
