"""Define `PlainErrors`, which calls the plain function where a program gives nan, since its error may say why.

The plain function is the user's Python function, which was compiled.
"""

from __future__ import annotations

from array import array
from math import isnan

from ...engine import Value
from ..data.indices import rows_out_of_range
from ..data.samples import Bucket
from .arguments import Arguments
from .recording import Recording


class PlainErrors:
    """Calls of the plain function, the user's Python function, for rows for which its program does not give the result.

    The program gives nan for such a row, or would give a wrong derivative. The plain function may raise an error that
    tells the user why.

    Args:
        arguments: the function and its arguments.
    """

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments

    def call_where_nan(
        self, name: str, recording: Recording, bucket: Bucket, rows: array[int], kind: str = "sample"
    ) -> None:
        """Call the plain function with the first row whose result is nan, since its error may say why.

        `rows` has the indices of some rows of the bucket, which the recording computes. A message begins with `name`,
        and calls row i "`kind` i".

        Raises:
            IndexError, TypeError, ValueError: the plain function raises such an error.
        """
        results = recording.program.compiled.outputs_of(bucket.numbers, rows)
        for row, result in zip(rows, results, strict=True):
            if isnan(result):
                return self._call_with_row(name, bucket, row, kind)

    def refuse_missing_classes(self, name: str, recording: Recording, bucket: Bucket, rows: array[int]) -> None:
        """Raise the plain function's IndexError if a row has a class label that is out of range for `cross_entropy`.

        The loss is nan then, but its derivatives are not. Nothing is raised for other indices that are out of range,
        since the plain function raises nothing: `take` gives nan. A label that the function computes from arguments is
        not checked. A label that is an argument is checked, unless it equals the `ignore_index`.

        Raises:
            IndexError, TypeError, ValueError: the plain function raises such an error. The message begins with `name`,
                and names the sample.
        """
        counts, _, ignored = recording.indices
        for place, count in counts.items():
            first = bucket.numbers[rows[0] * bucket.width + place]
            if len(rows) == 1 and 0.0 <= first < count and first.is_integer():  # a shortcut, for speed
                continue
            wrong = rows_out_of_range({place: count}, bucket.numbers, bucket.width, rows)
            if place in ignored:
                wrong = {row for row in wrong if bucket.numbers[row * bucket.width + place] != ignored[place]}
            if wrong:
                self._call_with_row(name, bucket, min(wrong))

    def _call_with_row(self, name: str, bucket: Bucket, row: int, kind: str = "sample") -> None:
        """Call the plain function with the numbers of a row, since it may raise an error that explains a nan.

        A message begins with `name`, and calls the row a `kind`, such as "sample".

        Raises:
            IndexError, TypeError, ValueError: the plain function raises such an error.
        """
        try:
            self._arguments.flat_function(bucket)(*map(Value, bucket.row(row)))
        except (IndexError, TypeError, ValueError) as error:
            raise type(error)(f"{name}(): {kind} {bucket.samples[row]}: {error}") from error
