"""Find what a function can read besides its arguments: variables outside of it, and the objects that these hold.

A compiled program does not read them again. So a function that changes them while it is recorded, or that draws random
numbers or reads a clock, may do something else in each call. A `Recorder` (in `function.recorder`) records such a
function twice, and compares the recordings.

`facts` says what a code object reads and writes, and `reachable_code` finds all code that a function may run.
`surroundings` finds the places that a function can read, such as variables and collections, and lists them in a
`readable.Readable`. `contents` keeps what these places hold before the function is recorded. Afterwards it tells which
of them have changed, and can put back what they held. A `snapshot` takes less time. It only tells, in a later call,
whether the places still hold the same objects and numbers. All these modules look at objects with `objects`, which runs
no code of the user, and at arrays with `memory`. A `reach.Reach` consists of the code of a function and the
surroundings that this code can read.
"""
