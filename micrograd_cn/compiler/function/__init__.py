"""Compile functions.

A function is recorded again for arguments that are nested in a new way, for new static arguments, and for a new branch.
A call, or a batch of samples, finds its code in one of three ways, which are tried in this order: `ArrayCalls` may have
code for arrays of the same shapes, `MergedCalls` a program that computes all branches, and `RecordingStore` has the
recording for each row, or makes it. The methods of the first two return None where they have no code, or where it gave
nan. A call passes through these modules in this order, but skips those that it does not need:

    jit             defines `compile`, and `CompiledFunction`, the object that it returns, with its public methods
    array_calls     computes samples in arrays at once, if it has code for arrays of these shapes
    arguments       reads the arguments of a call, or samples, as rows of numbers; also calls the function with a row
    merged_calls    computes all branches at once, if `merged` has made a program that does this
    merged          makes such programs from the recordings of all branches
    store           finds for each row the recording that computes it, and has missing ones made
    recorder        records the function for a row, and calls it again if a program may be unable to replace it
    recording       a `Recording` is the graph of one call
    hooks           note the comparisons of the call, and refuse what a program could not repeat
    leaves          says what a program does with each leaf of a recording
    traced          defines the values that the function computes, whose numbers it cannot read
    batch           divides a batch into sub-batches, each computed by one recording, and joins their results
    sub_batches     computes the gradient of a mean over several sub-batches at once, after some calls of this kind
    variables       reads `wrt`, and returns values and gradients of samples, nested as the variables in it are

These are the other modules:

    advice          says what to write instead, in an error that the function raises while it is recorded
    reruns          records a function again if it may do something else in each call, and calls it with numbers if it
                    may tell a `Value` from a number
    differences     says how two recordings differ
    number_calls    calls a function with numbers, and says where it computes something else for them
    fitting         finds the program for each row while `fit` trains
    short_fits      takes the steps of a call of `fit` that has few, or a callback after each, by code that
                    `array_calls` and optimisers keep
    stale           checks that the function is still what it was when it was recorded: before `fit` trains, after each
                    of its callbacks, before a derivative with respect to a leaf that no recording uses, and in calls,
                    which spend a hundredth of their time with this
    plain_errors    calls the plain function if a result is nan, since its error may say why
    refusals        raises errors that several methods have in common
    minimize        gives functions to the optimisers of scipy
"""
