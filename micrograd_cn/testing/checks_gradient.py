"""Make a pytest test of a gradient in one line; Hypothesis draws the points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .drawing.float_strategies import import_strategies
from .gradcheck import gradcheck
from .report import collected_noise, raise_or_warn_of


def checks_gradient(f: Any, *arguments: Any, examples: int = 20, **how: Any) -> Callable[[], None]:
    """Return a test that checks the gradient of `f` at points that Hypothesis draws.

    The points are numpy arrays. To check a PyTorch or jax function, let the strategy convert the arrays by `map`, for
    example `points((2, 3)).map(torch.from_numpy)`. The message of a failure has code that reproduces the failure. The
    test may also stand in the body of a class of pytest or of a `unittest.TestCase`.

    At some points, rounding may hide derivatives, as where a softmax is saturated. The test warns of that, or raises
    `TooNoisy`, only if it happens at more than half of the points.

    Args:
        f: the function whose gradient is checked.
        arguments: for each argument of `f`, one of three things. A Hypothesis strategy, such as `points((2, 3))`, draws
            the argument. A tuple of ints is a shape; it stands for arrays of doubles whose elements are near neither 0
            nor each other. Any other object is passed to `f` unchanged, at all points. The docstring of `gradcheck`
            says which arguments the function is differentiated with respect to; `static=` names arguments that are
            constants.
        examples: how many points are drawn.
        how: keyword arguments that are passed on to `gradcheck`, such as `vjp=`, `rtol=` and `order=`.

    >>> test_square = checks_gradient(lambda x: (x * x).sum(), (3,), gradient=lambda x: 2 * x)
    >>> test_square()
    """
    st = import_strategies()  # first, since its error says what to install
    from hypothesis import HealthCheck, Phase, given, settings

    from .drawing.array_strategies import points

    drawn = [
        x
        if isinstance(x, st.SearchStrategy)
        else points(x, min_value=-4.0, max_value=4.0, apart=2.0**-6)
        if isinstance(x, tuple) and all(isinstance(n, int) for n in x)
        else st.just(x)
        for x in arguments
    ]

    points_checked = 0

    def check(args: tuple[Any, ...]) -> None:
        nonlocal points_checked
        points_checked += 1
        gradcheck(f, *args, **how)

    # The function may be slow, so there is no deadline. The message names the wrong element, so there is no search
    # for a simpler point, which could take minutes.
    phases = [Phase.explicit, Phase.reuse, Phase.generate]
    quiet = settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), phases=phases)
    test: Any = quiet(given(st.tuples(*drawn))(check))  # type: ignore[no-untyped-call]  # `settings` has no types

    def run(*of_test_case: Any) -> None:
        """Check the gradient at points that Hypothesis draws.

        `of_test_case` is not used. It has the instance if the test is in the body of a class, since it is a method
        then.
        """
        nonlocal points_checked
        points_checked = 0
        with collected_noise() as hidden:
            test()
        if 2 * len(hidden) > points_checked:
            raise_or_warn_of(hidden[0], stacklevel=2)

    run.__name__ = run.__qualname__ = f"test_gradient_of_{getattr(f, '__name__', 'f')}"
    return run
