"""Find what a function can read besides its arguments: variables outside of it, and the objects that these hold.

A compiled program does not read them again. So a function that changes them while it is recorded, or that draws random
numbers or reads a clock, may do something else in each call. A `Recorder` (in `function.recorder`) records such a
function twice, and compares the recordings.

`facts` says what a code object reads and writes, and `reachable_code` finds all code that a function may run.
`surroundings` finds the places that a function can read, such as variables and collections, which are listed in a
`readable.Readable`. Their `contents` before the function is recorded say what has changed since, and can be put back. A
`snapshot` is quicker, and only says in a later call whether the places hold the same. All look at objects with
`objects`, which runs no code of the user, and at arrays with `memory`. A `reach.Reach` consists of the code of a
function and the surroundings that this code can read.
"""
