"""Plant a wrong derivative and let a property test find it: `python demos/check_your_gradient.py`.

The operation is a smooth bump, 1 / (1 + x*x). Its derivative is written twice: once as a tired author might, with the
sign lost for negative x, and once right. The same ten lines check both.
"""

from hypothesis import given, settings

from micrograd_cn import Op, add, div, mul, sin
from micrograd_cn.testing import Expression, check_op, expressions, gradcheck

wrong = Op("bump", lambda x: div(1.0, 1.0 + x * x), (lambda y, x: -2.0 * abs(x) * y * y,))
right = Op("bump", lambda x: div(1.0, 1.0 + x * x), (lambda y, x: -2.0 * x * y * y,))


def check(bump: Op) -> None:
    """Compare gradients through `bump` with numerical ones, in 200 random expressions, to second order."""

    @settings(max_examples=200, database=None, derandomize=True, deadline=None)
    @given(expressions([bump, add, mul, sin]))
    def every_gradient_is_right(f: Expression) -> None:
        gradcheck(f, *f.point, order=2)

    every_gradient_is_right()


def main() -> None:
    print("The wrong derivative. Hypothesis looks for a failing expression and makes it as small as it can:\n")
    try:
        check(wrong)
    except AssertionError as mismatch:
        print(mismatch)
    else:
        raise SystemExit("the wrong derivative was not found")

    check(right)
    check_op(right, reference=lambda x: 1 / (1 + x * x))
    print("\nThe right derivative: 200 random expressions and the battery for operations agree with it.")


if __name__ == "__main__":
    main()
