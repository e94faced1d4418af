"""The failures of `check_op`. Each has a title of one line, and code that shows the failure when it is run.

Some also have a table of derivatives.
"""

from __future__ import annotations

import math
import textwrap
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...ops.operation import Op
from ..drawing.expressions import call_name, is_public
from ..report import ORDER_FOOTER

MAX_WIDTH = 100  # columns of the code, and of the point in the title
MAX_TABLE_LINES = 9

Point = tuple[float, ...]


def op_failure(
    op: Op, xs: Point, what: str, code: str, table: Sequence[str] = (), kind: type[AssertionError] = AssertionError
) -> AssertionError:
    """Return an exception whose message says what is wrong with an operation, and has code to paste that shows it.

    Args:
        op: the operation that has failed the check.
        xs: the operands at which something is wrong.
        what: what is wrong.
        code: the code to paste, in which `OP` stands for the operation, and `XS` for the operands.
        table: the lines of a table of derivatives.
        kind: the class of the exception.

    >>> from micrograd_cn import Op
    >>> own = Op("own", lambda x: 2 * x, (lambda y, x: 2.0,))
    >>> print(op_failure(own, (float("inf"),), "it is wrong", "OP(XS)"))
    check_op of own at inf: it is wrong
    <BLANKLINE>
    from math import inf
    # own is an operation of your own
    own(inf)
    """
    at = f" at {_shown_point(xs)}" if xs else ""
    return kind(
        "\n".join(
            [
                f"check_op of {op.name}{at}: {_shortened(what)}",
                *_shortened_table(table),
                "",
                *op_reproduction(op, xs, code),
            ]
        )
    )


def op_reproduction(op: Op, xs: Point, code: str) -> list[str]:
    """Return the lines of `code`, imports first. The operation's name replaces `OP`, and its operands replace `XS`."""
    names = [name for name, found in (("inf", any(map(math.isinf, xs))), ("nan", any(map(math.isnan, xs)))) if found]
    name = call_name(op)
    known = [f"from micrograd_cn import {name}"] if is_public(op) else []
    own = [] if known else [f"# {name} is an operation of your own"]
    lines = code.splitlines()
    imports = sorted([*known, *(line for line in lines if line.startswith("from "))])
    if names:
        imports.insert(0, f"from math import {', '.join(names)}")
    body = [line for line in lines if not line.startswith("from ")]
    filled = [line.replace("OP", name).replace("XS", ", ".join(map(repr, xs))) for line in body]
    wrapped = [
        part
        for line in filled
        for part in textwrap.wrap(line, MAX_WIDTH, subsequent_indent="    ", break_long_words=False)
    ]
    return [*imports, *own, *wrapped]


@contextmanager
def reraise_as_failure(op: Op, xs: Point, what: str, code: str) -> Iterator[None]:
    """Turn an error that is raised inside the `with` block into a failure of `check_op`, as `op_failure` makes it.

    The message names the function that raised the error.

    Args:
        op: the operation that is being checked.
        xs: the operands that the block gives to the operation.
        what: the name, for messages, of the function that the block runs.
        code: code to paste that raises the error, in which `OP` stands for the operation, and `XS` for the operands.
    """
    try:
        yield
    except Exception as error:
        raise op_failure(
            op, xs, f"{what} raised {type(error).__name__}: {error}", code, _error_location(error)
        ) from None


def _error_location(error: Exception) -> list[str]:
    """Return a list with the line of Python code that raised an error.

    The list is empty if a C function that `check_op` called, such as `math.sqrt`, raised the error.
    """
    frame = traceback.extract_tb(error.__traceback__)[-1]
    ours = Path(__file__).parents[1] in Path(frame.filename).parents
    return [] if ours else [f"at {Path(frame.filename).name}, line {frame.lineno}: {frame.line}"[:MAX_WIDTH]]


def _shown_point(xs: Point) -> str:
    """Return the operands as text; it is shortened if there are many."""
    text = repr(xs[0] if len(xs) == 1 else xs)
    return text if len(text) <= MAX_WIDTH else f"{len(xs)} operands {text[: MAX_WIDTH - 20]}..."


def _shortened(text: str) -> str:
    """Return a string in one line, shortened if it is long."""
    text = " ".join(text.split())
    return text if len(text) <= 2 * MAX_WIDTH else f"{text[: 2 * MAX_WIDTH]}..."


def _shortened_table(table: Sequence[str]) -> list[str]:
    """Return the lines of a table of derivatives, shortened if there are many.

    The head of the table, its first wrong derivatives, and its footer are kept.
    """
    lines = [line if len(line) <= 2 * MAX_WIDTH else f"{line[: 2 * MAX_WIDTH]}..." for line in table]
    if len(lines) <= MAX_TABLE_LINES:
        return lines
    footer = [ORDER_FOOTER] if lines[-1] == ORDER_FOOTER else []
    wrong = [line for line in lines[1:] if line.startswith("WRONG")] or lines[1:]
    kept = [lines[0], *wrong[: MAX_TABLE_LINES - 2]]
    return [*kept, f"... {len(lines) - len(kept) - len(footer)} lines more", *footer]
