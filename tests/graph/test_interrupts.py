"""Where Python handles Ctrl-C, the handlers of `try` and `with` blocks run."""

import dis
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import CodeType

import pytest

import micrograd_cn

ROOT = Path(micrograd_cn.__file__).parent


def codes_in(code: CodeType) -> Iterator[CodeType]:
    """Yield `code`, and the code of all functions and classes in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_in(constant)


def lines_without_handler(code: CodeType) -> Iterator[int | None]:
    """Yield the lines of jumps back, at which signals are handled, inside a block whose handler does not see them."""
    instructions = [*dis.get_instructions(code)]
    entries = dis._parse_exception_table(code)

    def handler(offset):
        return max(((x.start, x.target) for x in entries if x.start <= offset < x.end), default=(0, None))[1]

    at = {x.offset: x for x in instructions}
    for before, jump in pairwise(instructions):
        if jump.opname == "JUMP_BACKWARD":
            found = handler(before.offset)
            # Handlers that begin otherwise are those that Python adds to comprehensions and generators
            is_of_block = found is not None and at[found].opname == "PUSH_EXC_INFO"
            if is_of_block and found == handler(jump.argval) != handler(jump.offset):
                yield jump.positions.lineno


def test_the_scan_finds_a_loop_in_a_block():
    source = "def f(lock, xs):\n    with lock:\n        while len(xs) > 3:\n            xs.pop()\n"
    found = [line for code in codes_in(compile(source, "f", "exec")) for line in lines_without_handler(code)]
    assert found in ([], [3])  # some versions of Python run the handler
    assert found == [3] or sys.version_info[:2] != (3, 13)


# Python 3.11 runs all handlers. In 3.12, even some `for` loops jump back without them.
@pytest.mark.skipif(sys.version_info < (3, 13), reason="the code of Python 3.13 is looked at")
def test_no_loop_in_a_block_jumps_back_without_its_handler():
    found = [
        f"{path.relative_to(ROOT)}, line {line}"
        for path in sorted(ROOT.rglob("*.py"))
        for code in codes_in(compile(path.read_text("utf-8"), str(path), "exec"))
        for line in lines_without_handler(code)
    ]
    assert not found
