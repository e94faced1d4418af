"""Hold what the demos share: options, mini-batches, running means, the look of figures, and saving them.

It is imported by the scripts beside it, `python demos/digits.py` and `python demos/moons.py`.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from micrograd_cn.module import Module

# Three colours of Okabe & Ito (2008), which colour-blind people tell apart, and a grey for what stays behind.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8A8A"

matplotlib.rcParams.update(
    {
        "axes.grid": True,
        "axes.labelsize": 12,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 13,
        "font.size": 11,
        "grid.color": "#E4E4E4",
        "legend.frameon": False,
        "savefig.dpi": 150,
    }
)


def options(description: str, steps: int, compiled: bool = False) -> argparse.Namespace:
    """Return the command line's `steps`, `seed` and `out`, a directory that exists.

    Args:
        description: the script's docstring; its first paragraph is the help text.
        steps: how many training steps are taken without --steps.
        compiled: whether there is a --compiled too.
    """
    parser = argparse.ArgumentParser(
        description=description.partition("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--steps", type=_positive, default=steps, help="training steps (mini-batches)")
    parser.add_argument("--seed", type=int, default=0, help="decides the data, their order and the initial weights")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out", help="directory for the pictures")
    if compiled:
        parser.add_argument("--compiled", action="store_true", help="train once more, compiled, and compare")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    return chosen


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {number}")
    return number


def batches(count: int, size: int, seed: int) -> Iterator[list[int]]:
    """Yield mini-batches of `size` indices below `count` for ever, shuffled anew each time through."""
    shuffler = random.Random(seed)
    waiting: list[int] = []
    while True:
        if len(waiting) < size:
            waiting = shuffler.sample(range(count), count)
        yield [waiting.pop() for _ in range(size)]


def largest(xs: Sequence[Any]) -> int:
    """Return the index of the largest: the class that was chosen."""
    return max(range(len(xs)), key=xs.__getitem__)


def recent(xs: Sequence[float]) -> float:
    """Return the mean of the last 20, or of all if they are fewer."""
    return fmean(xs[-20:])


def running(xs: Sequence[float]) -> list[float]:
    """Return what `recent` was after each element."""
    return [recent(xs[max(i - 20, 0) : i]) for i in range(1, len(xs) + 1)]


def side_by_side(eager: float, compiled: float, losses: Sequence[float], models: Sequence[Module]) -> None:
    """Print how long the eager and the compiled training took, and how far apart they ended."""
    apart = max(abs(p.data - q.data) for p, q in zip(*(model.parameters() for model in models), strict=True))
    print(f"{'':10}{'seconds':>10}{'last loss':>14}")
    print(f"{'eager':10}{eager:10.3f}{losses[0]:14.9f}")
    print(f"{'compiled':10}{compiled:10.3f}{losses[1]:14.9f}")
    print(f"{eager / compiled:.0f} times as fast, compilation included; parameters differ by at most {apart:.1e}")


def save(figure: Figure, path: Path) -> None:
    """Write the figure to `path` and print the path."""
    figure.savefig(path)
    print(f"wrote {path}")
