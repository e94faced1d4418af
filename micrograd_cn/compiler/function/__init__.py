"""Compile functions.

A function is recorded again for arguments that are nested in a new way, for new static arguments, and for a new branch.
The object that `compile` returns, a `CompiledFunction` (`jit`), reads samples with `arguments`. It finds their
recordings in `store`, which has those that are missing made by `recorder`. If a result is nan, `plain_errors` calls the
plain function, whose error may say why. Samples in arrays of shapes that were seen often are computed by `array_calls`.
For `fit`, `fitting` finds the program for each row, after `stale` has checked that the function is still what it was
when it was recorded. `refusals` has errors of several methods.
"""
