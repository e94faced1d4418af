"""Implement `fit`, and single steps of an optimiser in machine code. Several programs may compute the samples of `fit`.

`run` is one call of `fit`, and `epochs` is the part of it that is in Python. `shuffling` puts the rows in random order.
`state` is the memory that the compiled loop works on. `tracing` finds the formula of an optimiser's step, and `update`
compiles it. `observers` finds the functions of the user's that may read the results of training between steps. `fixed`
computes once what no step changes, such as the layers below the first one that is trained. `single_steps` takes the
steps of a loop that the user has written.
"""
