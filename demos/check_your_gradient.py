"""Plant a wrong derivative and let a property test find it: `python demos/check_your_gradient.py`.

The operation is a smooth bump, 1 / (1 + x*x). Its derivative is written twice: first as a tired author might write it,
with the wrong sign for negative x, then right. The same ten lines check both. After that come gradients of other
libraries, if they are installed: layer normalisation in numpy whose backward pass lacks a term, and a PyTorch
`autograd.Function` whose backward pass lacks a factor. With `--lang zh` the text around the reports is Chinese; the
reports themselves are English.
"""

import argparse
from importlib.util import find_spec
from typing import Any

from hypothesis import given, settings

from micrograd_cn import Op, add, div, mul, sin
from micrograd_cn.testing import Expression, check_op, expressions, gradcheck
from shared.language import add_language_option, set_language_from_arguments, text

wrong = Op("bump", lambda x: div(1.0, 1.0 + x * x), (lambda y, x: -2.0 * abs(x) * y * y,))
right = Op("bump", lambda x: div(1.0, 1.0 + x * x), (lambda y, x: -2.0 * x * y * y,))


def check(bump: Op) -> None:
    """Compare first and second derivatives of 200 random expressions in `bump` with numerical ones."""

    @settings(max_examples=200, database=None, derandomize=True, deadline=None)
    @given(expressions([bump, add, mul, sin]))
    def every_gradient_is_right(f: Expression) -> None:
        gradcheck(f, *f.point, order=2)

    every_gradient_is_right()


def layer_norm_in_numpy(mistake: bool) -> None:
    """Check layer normalisation of float32 arrays, with or without a term missing from its backward pass."""
    import numpy as np

    def layer_norm(x: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True))

    def backward(x: Any, upstream: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        scale = 1 / np.sqrt((centred**2).mean(-1, keepdims=True))
        y = centred * scale
        along = 0 if mistake else y * (upstream * y).mean(-1, keepdims=True)
        return scale * (upstream - upstream.mean(-1, keepdims=True) - along)

    x = np.random.default_rng(0).normal(size=(32, 64)).astype(np.float32)
    gradcheck(layer_norm, x, vjp=backward)


def swish_in_torch(mistake: bool) -> None:
    """Check an `autograd.Function` on a tensor of bfloat16, with or without a factor missing.

    `gradcheck` finds the backward pass of a PyTorch function by itself.
    """
    import torch

    class Swish(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * torch.sigmoid(x)

        @staticmethod
        def backward(ctx: Any, upstream: Any) -> Any:
            (x,) = ctx.saved_tensors
            s = torch.sigmoid(x)
            return upstream * (s + x * s) if mistake else upstream * (s + x * s * (1 - s))

    torch.manual_seed(0)
    gradcheck(Swish.apply, torch.randn(16, 8).bfloat16())


OTHERS = {"numpy": layer_norm_in_numpy, "torch": swish_in_torch}


def main() -> None:
    set_language_from_arguments()
    about = text(str(__doc__).partition("\n\n")[0], "故意写错一个导数，让基于性质的测试把它找出来")
    parser = argparse.ArgumentParser(description=about)
    add_language_option(parser)
    parser.parse_args()

    print(
        text(
            "The wrong derivative. Hypothesis looks for a failing expression and makes it as small as it can:\n",
            "先看写错的导数。Hypothesis 寻找出错的表达式，并尽量把它缩小（报告是英文）：\n",
        )
    )
    try:
        check(wrong)
    except AssertionError as mismatch:
        print(mismatch)
    else:
        raise SystemExit(text("the wrong derivative was not found", "写错的导数没有被找出来"))

    check(right)
    check_op(right, reference=lambda x: 1 / (1 + x * x))
    print(
        text(
            "\nThe right derivative: 200 random expressions and the battery for operations agree with it.",
            "\n再看正确的导数：200 个随机表达式和针对运算的全套检查都与它一致。",
        )
    )

    for library, case in OTHERS.items():
        if find_spec(library) is None:
            print(text(f"\n{library} is not installed.", f"\n没有安装 {library}。"))
            continue
        print(text(f"\nA mistake in {library}:\n", f"\n{library} 里的一个错误：\n"))
        try:
            case(True)
        except AssertionError as mismatch:
            print(mismatch)
        else:
            raise SystemExit(text(f"the mistake in {library} was not found", f"{library} 里的错误没有被找出来"))
        case(False)
        print(text("\nWithout it, all derivatives agree.", "\n改正之后，所有导数都一致。"))


if __name__ == "__main__":
    main()
