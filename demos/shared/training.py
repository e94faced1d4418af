"""Help a training loop: draw mini-batches, average recent losses, and compare eager training with compiled training."""

import random
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from micrograd_cn.module import Module
from shared.language import align_right, text

RECENT = 20  # mini-batches; the loss of a single one is noisy


def batches(count: int, size: int, seed: int) -> Iterator[list[int]]:
    """Yield mini-batches of `size` indices below `count` without end; each epoch has a new random order."""
    shuffler = random.Random(seed)
    waiting: list[int] = []
    while True:
        if len(waiting) < size:
            waiting = shuffler.sample(range(count), count)
        yield [waiting.pop() for _ in range(size)]


def argmax(xs: Sequence[Any]) -> int:
    """Return the index of the largest element: the class that a network chooses by its logits."""
    return max(range(len(xs)), key=xs.__getitem__)


def recent_mean(xs: Sequence[float]) -> float:
    """Return the mean of the last `RECENT` elements, or of all elements if there are fewer."""
    return fmean(xs[-RECENT:])


def running_means(xs: Sequence[float]) -> list[float]:
    """Return, for each element of `xs`, the mean of it and of the elements before it, but of at most `RECENT`."""
    return [recent_mean(xs[max(i - RECENT, 0) : i]) for i in range(1, len(xs) + 1)]


def print_comparison(eager: float, compiled: float, losses: Sequence[float], models: Sequence[Module]) -> None:
    """Print the seconds of eager and of compiled training, their last losses, and how far their parameters differ."""
    apart = max(abs(p.data - q.data) for p, q in zip(*(model.parameters() for model in models), strict=True))
    print(f"{'':10}{align_right(text('seconds', '秒'), 10)}{align_right(text('last loss', '最后的损失'), 14)}")
    names = text("eager", "动态图"), text("compiled", "编译后")
    for name, seconds, loss in zip(names, (eager, compiled), losses, strict=True):
        print(f"{align_right(name, 10)}{seconds:10.3f}{loss:14.9f}")
    print(
        text(
            f"{eager / compiled:.1f} times as fast, compilation included; parameters differ by at most {apart:.1e}",
            f"速度是 {eager / compiled:.1f} 倍，含编译时间；参数最多相差 {apart:.1e}",
        )
    )
