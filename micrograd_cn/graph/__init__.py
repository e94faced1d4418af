"""A node of a computation graph, and the context in which it is recorded.

An expression such as `a + b` calls a method in `operators`, which applies an operation to nodes. The engine makes a
node (`node`) of the result, with its operands and local derivatives. `closures` has the operation of a node for which
user code has written a `_backward`, as in micrograd, and `subclasses` the operators of a subclass of `Value` that
overrides some of them. `operand_sets` has the set of operands for micrograd's code. `numpy_methods` has the methods
that numpy's functions call. `nan_order` says what a comparison with nan returns to numpy's functions, `callers` finds
out which function is comparing, and `conversion` has the error for `float(x)`. `numpy_errors` says what to write where
numpy itself raises an error, and `unsupported` where a `Value` lacks an operator or method. `value_arrays` has the
arrays of `Value`s that a differentiated or compiled function gets, and `plain_numbers` says which nodes are compared as
numbers there. `array_updates` has the errors for arrays of leaves whose items are replaced inside `no_grad()`, and
`outdated` the warning about nodes that are older than an optimiser's step.

`context` says how nodes are recorded: `with` blocks may switch recording off, check every number, call hooks, or name a
scope. `scopes` has the block that names a scope, which is a `Group` (`groups`) that pictures draw as a box. `anomaly`
has the checks and messages of `detect_anomaly`, and `stepwise` runs a decorated generator or coroutine inside a `with`
block, one step at a time. `interrupts` makes changes that Ctrl-C cannot leave half done. `references` finds leaves to
which nothing but a graph refers.
"""
