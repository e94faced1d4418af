"""What a node of a computation graph is, and what surrounds its recording.

`operators` gives a node Python's operators, and `node` says what it stores and how it is shown. `modes`, `watching` and
`scopes` say how the operations of a `with` block are recorded. `anomaly` has the messages of `detect_anomaly`, and
`stepwise` runs generators and coroutines inside such a block.
"""
