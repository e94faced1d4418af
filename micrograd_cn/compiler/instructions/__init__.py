"""Lower a graph and its gradient to a list of instructions without duplicates, and fuse some of the instructions.

`graph` sorts the nodes of a recorded graph. `lowering` makes instructions of its operations, for which `formulas`
traces the formulas of operations. `gradient` appends the instructions of the gradient. `code` is the list of
instructions. `fusion` makes one instruction of several, and `straight_line` writes instructions as text.
"""
