"""Find out whether code would catch an arithmetic error, such as ZeroDivisionError, at the instruction it is running.

Python's float operators raise ZeroDivisionError and OverflowError, while those of this package give inf or nan. Code
that catches such an error does something else for a float than for a `Value` or a `Term` (the symbol of a formula). The
exception table of the code says which handlers belong to an instruction, and the code of a handler says which errors it
catches.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, FrameType

from .callers import CALLS, PACKAGE

__all__ = ["catching_place"]


def catching_place(frame: FrameType | None, error: type[Exception], calls: bool = False) -> str:
    """Return the file and line of the operator in the user's code that runs now, if code there catches `error`.

    Return "" if no handler catches such an error, or if the user's code calls a function instead of an operator:
    `div(x, y)` and `np.divide(x, y)` raise no error for floats.

    Args:
        frame: the frame of the code that runs. Frames of this package are left out until one of the user's is found.
            A handler counts in this frame and in the frames that call it, up to the next frame of this package, which
            is the one that calls the user's code.
        error: the class of the error that the operator would raise for floats.
        calls: whether the call of a function counts as well as an operator.

    >>> import sys
    >>> class X:
    ...     def __rtruediv__(self, other):
    ...         return catching_place(sys._getframe(1), ZeroDivisionError)
    >>> def f(x):
    ...     try:
    ...         return 1 / x
    ...     except (KeyError, ArithmeticError):
    ...         return 0
    >>> f(X())  # doctest: +ELLIPSIS
    '<doctest ...>, line 3'
    """
    while frame and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    if frame is None or (_is_call(frame) and not calls):
        return ""
    place = f"{frame.f_code.co_filename}, line {frame.f_lineno}"
    while frame and not frame.f_code.co_filename.startswith(PACKAGE):
        if frame.f_code.co_exceptiontable and _catches(frame, error):
            return place
        frame = frame.f_back
    return ""


def _is_call(frame: FrameType) -> bool:
    code, at = frame.f_code.co_code, frame.f_lasti
    while at > 0 and not code[at]:  # CPython 3.11 and 3.12 stop at the caches behind a call of Python code
        at -= 2
    return code[at] in CALLS


def _catches(frame: FrameType, error: type[Exception]) -> bool:
    for names in _handlers(frame.f_code, frame.f_lasti):
        for name in names:
            found = frame.f_globals.get(name, getattr(builtins, name, None))
            classes = found if isinstance(found, tuple) else (found,)
            if any(isinstance(kind, type) and issubclass(error, kind) for kind in classes):
                return True
    return False


@lru_cache(256)
def _handlers(code: CodeType, at: int) -> list[tuple[str, ...]]:
    """Return, for each handler of the instruction with the offset `at`, the names of the errors that it catches.

    The innermost handler is the first. A bare `except:` catches BaseException. For a `with` statement, the names are
    all names in the code, since `contextlib.suppress` catches the errors that are passed to it; but if the code does
    not use this function, there are none.
    """
    import dis  # imported here, because correct programs do not need it

    found, seen, table = list[tuple[str, ...]](), set[int](), [*_exception_table(code)]
    instructions = [*dis.get_instructions(code)]
    index_of = {instruction.offset: i for i, instruction in enumerate(instructions)}
    while True:
        target = next((target for start, end, target in table if start <= at < end), None)
        if target is None or target in seen:
            return found
        seen.add(target)
        at, i, names = target, index_of[target], list[str]()
        if instructions[i].opname != "PUSH_EXC_INFO":  # the end of a handler, which raises the error again
            continue
        begins = True  # whether the instruction is the first of an `except` clause
        while True:
            i += 1
            kind, argument = instructions[i].opname, instructions[i].argval
            if kind == "WITH_EXCEPT_START":
                names = [*code.co_names] if "suppress" in code.co_names else []
                break
            if kind == "POP_TOP" and begins:  # `except:`
                names.append("BaseException")
                break
            begins = False
            if kind.startswith("LOAD") and isinstance(argument, str):
                names.append(argument)
            elif "JUMP" in kind and "IF_FALSE" in kind:  # to the next clause
                i, begins = index_of[argument] - 1, True
            elif kind not in ("CHECK_EXC_MATCH", "BUILD_TUPLE", "NOP", "NOT_TAKEN"):
                break
        found.append(tuple(names))


def _exception_table(code: CodeType) -> Iterator[tuple[int, int, int]]:
    """Yield the entries of a code object's exception table: the offsets of a block's start, its end, and its handler.

    Numbers are stored in groups of six bits, the highest group first; see `Objects/exception_handling_notes` in the
    source of CPython.
    """
    numbers, x = list[int](), 0
    for byte in code.co_exceptiontable:
        x = x << 6 | byte & 63
        if not byte & 64:
            numbers.append(2 * x)  # offsets are counted in instructions of 2 bytes
            x = 0
    for k in range(0, len(numbers), 4):
        start, length, target, _ = numbers[k : k + 4]
        yield start, start + length, target
