"""Say what to write instead, in errors that a function raises while it is recorded, with `Value`s as its arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...graph.numpy_errors import NO_ARRAY, NO_COLLECTION, NO_LABELS, numpy_advice

# The errors of Python and numpy where a plain number is needed: an index, int(), range(), round(), //, math.exp()
PLAIN_NUMBER_ERRORS = (
    r"not '?Value\b|cannot be interpreted|doesn't define|for (//|divmod\(\))|indices|non-int"
    r"|integer array|dtype\('O'\) to dtype\('int64'|no callable|of a Value would"
    r"|there is no operation(?! for \S+ of a Value and a)|has no attribute .*; write .*\.data"
)
SEVERAL_INPUTS = "takes one list of inputs, got"  # the error of a neuron, layer or network for several arguments
NO_INDEX = "only integers, slices"  # the error of numpy for an index that is a Value
# The errors of Python for the text of a Value in the place of the text of a number
TEXT_ERRORS = r"(could not convert string to float|invalid literal for int\(\)).*\bValue\("
TEXT_INSTEAD = (
    "the text of a Value has no number, which would be the same for every sample: write the Value itself, and "
    'compile(f, static=["x"]) for a program for each value of x whose digits the function reads'
)
WRITE_INSTEAD = "write take(xs, index) for xs[index], and the table's operations, such as exp(), for math's"
FURTHER_ADVICE = {
    r"\.data": "a number that is read by .data would be the same for every sample: write where(condition, a, b), or "
    'compile(f, static=["x"]) for a program for each value of x',
    r"must be of integer \(or boolean\) type": "x > 0 is an array of Values, which is no index of an array b that "
    "is no argument: write np.where(x > 0, b, 0.0), or b[np.array(x > 0, dtype=bool)], by which the program branches",
    r"indices|integer array|dtype\('O'\) to dtype\('int64'": "an array in an index would be the same for every sample: "
    "write [take(xs, i) for i in index] for integers, and np.array(m > 0, dtype=bool) for a mask m of 0 and 1",
    r"(array|astype|float)\(": "an array that holds Values is made with dtype=object",
}
VECTOR_INSTEAD = (
    "call it with a list or an array for a vector, and pass vectors to forward() and the like as an array with a "
    "sample in each row, or as [(x,)] for the one vector x"
)
# The errors of numpy's arrays where the code uses them as tensors of PyTorch
TENSOR_ERRORS = (
    r"'int' object is not callable|keyword argument '(dim|keepdim|unbiased|correction)'|as a data type"
    r"|'ValueArray' object has no attribute"
)
TENSOR_INSTEAD = (
    "a numpy array is in the place of each tensor: write x.shape[0] for x.size(0), x.reshape(-1) for x.view(-1), and "
    "axis= for dim=, which tensors take, too"
)


def add_advice(name: str, error: Exception, of_tensors: bool, counts: Mapping[str, int | None]) -> None:
    """Add a note to `error`, which the function `name` has raised.

    If it was raised because the function got `Value`s where it needs numbers, the note says what to write. For another
    IndexError or ValueError it says what the arguments are, since these may have another form than the user thinks.

    `of_tensors` says whether the function was to get tensors of PyTorch. `counts` has the count of numbers in each
    argument, or None for an argument that is one number.

    Raises:
        TypeError: the function needs a collection in place of a number.
    """
    text = str(error)
    if re.search(NO_COLLECTION, text):
        raise TypeError(
            f"{text}: a Value is in the place of each number in the arguments of {name}; {VECTOR_INSTEAD}"
        ) from error
    advice = numpy_advice(error)
    if not advice and re.search(NO_ARRAY, text):
        advice = "a list stays a list: pass np.array(x) for an array"
    if not advice and re.search(PLAIN_NUMBER_ERRORS, text):
        advice = "; ".join([WRITE_INSTEAD, *[also for found, also in FURTHER_ADVICE.items() if re.search(found, text)]])
    if re.search(SEVERAL_INPUTS, text):
        advice = "a sample is a tuple of arguments: write [(x,) for x in samples] if each x is a vector"
    if re.search(NO_INDEX, text):
        advice += ', or compile(f, static=["i"]) for a program for each i'
    if of_tensors and not advice and re.search(TENSOR_ERRORS, text):
        advice = TENSOR_INSTEAD
    if not advice and re.search("'ValueArray' object has no attribute", text):
        advice = f"a row of a table is an array, which has no labels: {NO_LABELS}"
    if re.search(TEXT_ERRORS, text):
        advice = TEXT_INSTEAD
    if not advice and isinstance(error, (IndexError, ValueError)) and "write " not in text:
        numbers = [f"{'a number' if n is None else f'{n} numbers'} in {argument}" for argument, n in counts.items()]
        note = f"{name} is recorded with {' and '.join(numbers) or 'no arguments'}"
        if "was given" in text and counts:  # for example, a model got a number in the place of a vector
            several, of_each = [", ".join(x) + "," * (len(counts) == 1) for x in (counts, map(str.upper, counts))]
            note += f"; samples are [({several}), ...], or ({of_each}) with all values of each argument"
        error.add_note(note)
    elif advice:
        error.add_note(f"{name} is recorded with Values in its arguments' place; {advice}")
