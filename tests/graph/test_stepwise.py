"""A decorated function, generator, coroutine or async generator runs in the mode; its caller does not."""

import asyncio
import gc

import pytest

from micrograd_cn import no_grad
from micrograd_cn.graph import context

from .modes import both_modes


@both_modes
def test_a_decorated_generator_runs_in_the_mode_and_its_caller_does_not(mode, holds):
    @mode()
    def steps(n):
        """Count."""
        seen = []
        try:
            for i in range(n):
                seen.append((i, holds(), (yield i)))
        except KeyError:
            seen.append(("thrown", holds(), (yield "caught")))
        finally:
            closed.append(holds())
        return seen

    closed = []
    assert (steps.__name__, steps.__doc__) == ("steps", "Count.")
    running = steps(3)
    assert next(running) == 0
    assert not holds()
    assert running.send("a") == 1
    assert running.throw(KeyError) == "caught"
    assert not holds()
    with pytest.raises(StopIteration) as end:
        running.send("b")
    assert end.value.value == [(0, True, "a"), ("thrown", True, "b")]

    abandoned = steps(3)
    next(abandoned)
    assert not context.active
    del abandoned
    gc.collect()
    stopped = steps(3)
    next(stopped)
    stopped.close()
    assert closed == [True, True, True]
    failing = steps(2)
    next(failing)
    with pytest.raises(ValueError, match="thrown in"):
        failing.throw(ValueError("thrown in"))
    assert not holds()


@both_modes
def test_a_decorated_coroutine_runs_in_the_mode_and_other_tasks_do_not(mode, holds):
    @mode()
    async def inside(turn, others):
        seen = [holds()]
        turn.set()
        await others.wait()
        seen.append(holds())
        with pytest.raises(ZeroDivisionError):
            await failing()
        return [*seen, holds()]

    @mode()
    async def failing():
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async def outside(turn, others):
        await turn.wait()
        seen = holds(), context.active
        others.set()
        return seen

    async def run():
        turn, others = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(inside(turn, others), outside(turn, others))

    assert asyncio.run(run()) == [[True, True, True], (False, 0)]


@both_modes
def test_a_cancelled_decorated_coroutine_leaves_the_mode(mode, holds):
    @mode()
    async def forever():
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(holds())

    async def run():
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return holds()

    cleaned = []
    assert asyncio.run(run()) is False
    assert cleaned == [True]


@both_modes
def test_a_decorated_async_generator_runs_in_the_mode_and_its_caller_does_not(mode, holds):
    @mode()
    async def steps(n):
        try:
            for i in range(n):
                await asyncio.sleep(0)
                try:
                    got = yield i, holds()
                except KeyError:
                    got = yield "caught", holds()
                received.append(got)
        finally:
            await asyncio.sleep(0)
            closed.append(holds())

    async def run():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
        seen = []
        async for step in steps(2):
            seen.append((step, holds(), context.active))
        running = steps(3)
        seen += [await running.asend(None), await running.asend("sent"), await running.athrow(KeyError)]
        await running.aclose()
        async for _ in steps(3):
            break  # abandoned: the event loop closes it
        for _ in range(5):
            await asyncio.sleep(0)
        seen.append(holds())
        abandoned.append(steps(3))
        seen.append(await abandoned[0].asend(None))
        return [*seen, holds(), context.active]

    received, closed, abandoned, errors = [], [], [], []
    assert asyncio.run(run()) == [
        *[((i, True), False, 0) for i in range(2)],
        *[(0, True), (1, True), ("caught", True)],
        *[False, (0, True), False, 0],
    ]
    assert received == [None, None, "sent"]
    assert closed == [True] * 4
    assert errors == []


@both_modes
def test_generators_in_a_mode_may_be_run_in_turns_and_end_in_any_order(mode, holds):
    @mode()
    def steps():
        yield holds()
        yield holds()

    first, second = steps(), steps()
    assert [next(first), next(second), next(first)] == [True, True, True]
    assert list(first) == []
    assert [holds(), next(second), holds()] == [False, True, False]
    with mode():
        assert list(second) == []
        assert holds()


def test_what_is_decorated_keeps_its_name_and_documentation():
    def plain():
        """Do it."""

    def generator():
        """Do it."""
        yield

    async def coroutine():
        """Do it."""

    async def async_generator():
        """Do it."""
        yield

    for function in (plain, generator, coroutine, async_generator):
        decorated = no_grad()(function)
        assert decorated is not function
        assert (decorated.__name__, decorated.__doc__, decorated.__wrapped__) == (
            function.__name__,
            "Do it.",
            function,
        )
