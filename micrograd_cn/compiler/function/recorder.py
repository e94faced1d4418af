"""Define `Recorder`, which records a function for a row, twice if the function may do something else in each call."""

from __future__ import annotations

import functools
from collections.abc import Container, Iterable
from typing import Any

from ...engine import Value
from ..data.captured import CapturedValue
from ..data.samples import Bucket
from ..data.surroundings import ReachableCode, Surroundings
from .arguments import Arguments
from .recording import Recording


class Recorder:
    """Record a function for rows of numbers. All recordings share the leaves that stand for captured values.

    Args:
        arguments: the function and its arguments.

    Attributes:
        captured: a dict from values that were computed before the function was called to the leaves that stand for
            them in recordings.
    """

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self.captured: dict[Value, CapturedValue] = {}

    def record(self, bucket: Bucket, row: int, plain: bool = False, hides_numbers: bool = False) -> Recording:
        """Return a new recording for a row of a bucket.

        If `plain` is set, the function gets plain `Value`s, whose numbers it can read and whose type is `Value`. If
        `hides_numbers` is set, texts of parameters hide their numbers, unless they go to a log.
        """
        numbers = bucket.numbers[row * bucket.width : (row + 1) * bucket.width]
        call = functools.partial(self._arguments.call, bucket.static)
        return Recording(self._arguments.name, call, bucket.treedef, numbers, self.captured, plain, hides_numbers)

    def record_repeatable(self, bucket: Bucket, row: int) -> tuple[Recording, bool]:
        """Return a recording for a row, and whether a second recording, in the same way, was compared with it.

        This is done if the function may do something else in each call, or has changed something. If it has made texts
        of parameters, except for a log, it is also recorded with other texts.

        Raises:
            TypeError: the recordings differ, or the function raises an error when it is recorded again.
        """
        roots = (self._arguments.function, *[x.value for _, x in bucket.static])
        code, is_twice = ReachableCode(roots), False
        twice, around = code.may_change or code.has_iterators or code.asks_for_types, None
        held: set[Value] | None = None
        if code.writes or twice:
            around = Surroundings(roots)
            before, held = around.state(), {*around.leaves}
        made = self.record(bucket, row)
        if around and (twice or around.has_changed(before)):
            is_twice = True
            difference, cause = self._difference_if_again(made, bucket, row, roots, held)
            if difference:
                raise TypeError(
                    f"{self._arguments.name} does not do the same in each call: of two recordings for the same "
                    f"arguments, {difference}. Pass whatever changes from call to call, such as random numbers, a time "
                    "or a count, as an argument; compute a Value anew in each call, without a cache such as "
                    "functools.cached_property; and write isinstance(x, Value) for type(x) is Value"
                ) from cause
        if made.refused_text:
            difference, cause = self._difference_if_again(made, bucket, row, roots, held, hides_numbers=True)
            if difference:
                raise made.refused_text from cause
        return made, is_twice

    def _difference_if_again(
        self,
        made: Recording,
        bucket: Bucket,
        row: int,
        roots: Iterable[Any],
        held: Container[Value] | None,
        hides_numbers: bool = False,
    ) -> tuple[str, Exception | None]:
        """Record the function again, and return how the recording `made` differs, and an error that was raised, if any.

        What the function changes meanwhile is put back. `held` contains the leaves that it could read before; it is
        None if the function changes nothing. `roots` are objects through which it reads others.
        """
        around = Surroundings(roots)
        after = around.state()
        known = {*around.leaves} if held is None else held
        try:
            again = self.record(bucket, row, True, hides_numbers)
        except Exception as error:  # whatever the function raises, since the first recording raised nothing
            return f"one of them raises {type(error).__name__}: {error}", error
        else:
            return made.difference(again, known), None
        finally:
            around.restore(after)
