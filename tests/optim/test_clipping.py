"""Clipping scales all gradients by one factor, and returns the norm that they had."""

import math

import pytest

from micrograd_cn import Value
from micrograd_cn.optim import clip_grad_norm


def test_clipping_scales_all_gradients_alike_and_returns_the_norm():
    a, b = Value(0), Value(0)
    a.grad, b.grad = 3.0, -4.0
    for enough in (5.001, 10.0):
        assert clip_grad_norm([a, b], enough) == 5.0
        assert (a.grad, b.grad) == (3, -4)
    assert clip_grad_norm(iter([a, b]), 0.5) == 5.0
    factor = 0.5 / (5.0 + 1e-6)
    assert [a.grad, b.grad] == pytest.approx([3 * factor, -4 * factor], rel=1e-15)
    assert clip_grad_norm([a, b], 0) == pytest.approx(0.5)
    assert (a.grad, b.grad) == (0, 0)


def test_clipping_refuses_what_it_cannot_do():
    a = Value(0)
    a.grad = math.inf
    with pytest.raises(ValueError, match="norm of the gradients is inf"):
        clip_grad_norm([a], 1.0)
    with pytest.raises(ValueError, match="max_norm must be 0 or more, got -1"):
        clip_grad_norm([a], -1)
    for wrong in ("a", None, Value(1)):
        with pytest.raises(TypeError, match="clip_grad_norm: max_norm: expected a real number"):
            clip_grad_norm([a], wrong)
