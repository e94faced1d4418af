"""A node of a computation graph, and the context in which it is recorded.

An expression such as `a + b` reaches `operators`, which applies an operation to nodes, and the engine makes a `node` of
the result, with its operands and local derivatives. `numpy_methods` has the methods that numpy's functions call, and
`conversion` the error for `float(x)`. `context` says how: `with` blocks may switch recording off, check
every number, call hooks, or name a scope. `scopes` is the block that names one, a `Group` of `groups`, by which
pictures fold. `anomaly` has the checks and messages of `detect_anomaly`, and `stepwise` runs a decorated generator or
coroutine inside a block, one step at a time.
"""
