"""Find what a function can read besides its arguments: variables outside of it, and the objects that these hold.

A compiled program does not read them again. So a function that changes them while it is recorded, or that draws random
numbers or reads a clock, may do something else in each call. A `Recorder` (in `function.recorder`) records such a
function twice, and compares the recordings.

`facts` says what a code object reads and writes, and `reachable_code` finds all code that a function may run.
`surroundings` keeps the objects that a function can read as they are before it is recorded, to see what it has changed
and to put this back. `snapshot` notes the content of objects, to see in a later call whether it is still the same. Both
look at the objects with `objects`, which runs no code of the user, and at arrays with `memory`. `reach` has both for a
function, its code and the surroundings that this code can read.
"""
