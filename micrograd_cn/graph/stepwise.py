"""Make a decorated function run inside a `with` block; a generator or coroutine is in the block only while it runs.

A generator pauses at each `yield`. Its caller, which runs in the meantime, must not be inside the block, so the block
is left at each pause and entered again for the next step.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AbstractContextManager
from functools import wraps
from types import coroutine
from typing import Any, TypeAlias, TypeVar, cast

__all__ = ["run_inside"]

F = TypeVar("F", bound=Callable[..., Any])
Steps: TypeAlias = Generator[Any, Any, Any]
Block: TypeAlias = AbstractContextManager[Any]


def run_inside(block: Block, function: F) -> F:
    """Return `function`, decorated to enter `block` for each call, or for each step of a generator or coroutine."""
    if inspect.isgeneratorfunction(function):

        @wraps(function)
        def decorated(*args: Any, **kwargs: Any) -> Any:
            return (yield from _stepwise(block, function(*args, **kwargs)))

    elif inspect.iscoroutinefunction(function):

        @wraps(function)
        async def decorated(*args: Any, **kwargs: Any) -> Any:
            return await _awaited(block, function(*args, **kwargs))

    elif inspect.isasyncgenfunction(function):

        @wraps(function)
        async def decorated(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            steps = function(*args, **kwargs)
            hooks = sys.get_asyncgen_hooks()
            sys.set_asyncgen_hooks(None, None)  # the event loop must know, and close, only the decorated generator
            try:
                step = steps.asend(None)
            finally:
                sys.set_asyncgen_hooks(*hooks)
            while True:
                try:
                    result = await _awaited(block, step)
                except StopAsyncIteration:
                    return
                try:
                    step = steps.asend((yield result))
                except GeneratorExit:
                    await _awaited(block, steps.aclose())
                    raise
                except BaseException as error:
                    step = steps.athrow(error)

    else:

        @wraps(function)
        def decorated(*args: Any, **kwargs: Any) -> Any:
            with block:
                return function(*args, **kwargs)

    return cast(F, decorated)


def _stepwise(block: Block, steps: Steps) -> Steps:
    """Run `steps`, a generator or another object with `send`, `throw` and `close`, with each step inside the block."""
    step, given = steps.send, None
    while True:
        try:
            with block:
                result = step(given)
        except StopIteration as end:
            return end.value
        try:
            step, given = steps.send, (yield result)
        except GeneratorExit:
            with block:
                steps.close()
            raise
        except BaseException as error:
            step, given = steps.throw, error


def _awaited(block: Block, steps: Any) -> Awaitable[Any]:
    return coroutine(_stepwise)(block, steps)
