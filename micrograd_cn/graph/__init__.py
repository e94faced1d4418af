"""What a node of a computation graph is, and what surrounds its recording.

`operators` gives a node Python's operators, and `node` says what it stores and how it is shown. `context` says how the
operations inside `with` blocks are recorded: by modes, hooks and a scope. `scopes` names parts of a computation, which
are the `groups` that pictures fold by. `anomaly` has the messages of `detect_anomaly`, and `stepwise` runs generators
and coroutines inside such a block.
"""
