"""Tell before which lines a signal, such as that of Ctrl-C, can be handled.

Python handles a signal, such as that of Ctrl-C, only after a call, at the beginning of a function, and where a loop
starts again. So an exception before a line without calls, which no signal can cause, is not tried. Nor is one between
the end of a `try` block and the first call in its `except` or `finally` block, or just before a `with` block ends:
Python promises that these clean up. The function `leave` is the `__exit__` of a block, and Python promises nothing
for the moment in which a method `__exit__` that is written in Python begins.
"""

import ast
import dis
from functools import cache
from pathlib import Path
from types import CodeType, FrameType


@cache
def cleanup_lines(file: str) -> set[int]:
    """Return the lines of a file at which an `except` or `finally` block begins."""
    found = set()
    for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Try):
            found.update([body[0].lineno for body in (node.finalbody, *[h.body for h in node.handlers]) if body])
            found.update([handler.lineno for handler in node.handlers])
    return found


@cache
def interruptible_lines(code: CodeType) -> set[int]:
    """Return the lines of a code object with a call or the end of a loop, and the line at which it begins."""
    line, found, begun, began = code.co_firstlineno, set[int](), False, 0
    for step in dis.get_instructions(code):
        line = step.positions.lineno or line if step.positions else line
        if any(name in step.opname for name in ("CALL", "JUMP_BACKWARD", "FOR_ITER", "SEND")):
            found.add(line)
        if step.opname == "RESUME" and not begun:
            begun = True
        elif begun and not began and line != code.co_firstlineno:
            found.add(line)
            began = line
    if code.co_name == "leave":
        found.discard(began)
    return found - cleanup_lines(code.co_filename)


@cache
def with_exits(code: CodeType) -> set[int]:
    """Return the offsets at which a `with` statement leaves its block."""
    steps = [*dis.get_instructions(code)]
    found = {step.offset for step in steps if step.opname in ("PUSH_EXC_INFO", "WITH_EXCEPT_START")}
    for k in range(len(steps) - 2):
        if all(step.opname == "LOAD_CONST" and step.argval is None for step in steps[k : k + 3]):  # for `__exit__`
            while steps[k - 1].opname in ("SWAP", "COPY", "NOP"):  # the result of a `return` in the block
                k -= 1
            found.add(steps[k].offset)
    return found


@cache
def comprehension_steps(code: CodeType) -> set[int]:
    """Return the offsets of the steps of comprehensions that Python has inlined, as it does from 3.12 on.

    An exception that a trace function raises there does not reach the `with` block around the comprehension, at least
    in CPython 3.13, so its lock would stay held. An exception of the comprehension itself, or of a signal, does.
    """
    if code.co_name.startswith("<"):  # before 3.12, a comprehension has a code object of its own
        return set()
    steps = [*dis.get_instructions(code)]
    added = {k for k, step in enumerate(steps) if step.opname in ("LIST_APPEND", "SET_ADD", "MAP_ADD")}
    jumps = {k for k, step in enumerate(steps) if step.opname.startswith("JUMP_BACKWARD")}
    lines = {steps[k].positions.lineno for k in added if steps[k].positions}
    return {steps[k].offset for k in jumps if steps[k].positions and steps[k].positions.lineno in lines}


def is_interruptible(frame: FrameType) -> bool:
    """Return whether a signal can be handled before the line that a frame is about to run."""
    code = frame.f_code
    left_out = with_exits(code) | comprehension_steps(code)
    return frame.f_lineno in interruptible_lines(code) and frame.f_lasti not in left_out
