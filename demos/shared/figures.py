"""Hold what the demos share: options, the reader's language, mini-batches, the look of figures, and saving them.

It is imported by the scripts beside it, `python demos/digits.py` and `python demos/moons.py`. `options` finds the
language, by `--lang` or the locale; from then on `text(english, chinese)` of `speech` is what to print, and
`drawn(english, chinese)` what to write into a picture.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import findSystemFonts, fontManager

from micrograd_cn.module import Module
from shared.language import add_lang, need, right, speak_as_asked, text

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


# Fonts with Chinese characters, those of Linux, macOS and Windows; of Noto's, matplotlib knows a collection's first.
FONTS = ["Noto Sans CJK SC", "Noto Sans SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Micro Hei"]
FONTS += ["PingFang SC", "Hiragino Sans GB", "Heiti TC", "Microsoft YaHei", "SimHei"]


def use_font() -> None:
    """Let the figures that are made from now on use a font with Chinese characters, for a reader of Chinese."""
    if text("en", "zh") == "zh" and (font := _chinese_font()):
        matplotlib.rcParams["font.family"] = ["DejaVu Sans", font]


def drawn(english: str, chinese: str) -> str:
    """Return what to write into a picture: Chinese for a reader of it, if there is a font with its characters."""
    return text(english, chinese if text("en", "zh") == "zh" and _chinese_font() else english)


@cache
def _chinese_font() -> str | None:
    """Return the first of `FONTS` that is installed, also since matplotlib made its list of fonts, or None."""
    for path in set(findSystemFonts()) - {font.fname for font in fontManager.ttflist}:
        with suppress(OSError, RuntimeError):  # what matplotlib cannot read
            fontManager.addfont(path)
    known = {font.name for font in fontManager.ttflist}
    return next((name for name in FONTS if name in known), None)


def options(description: str, chinese: str, steps: int, compiled: bool = False) -> argparse.Namespace:
    """Return the command line's `steps`, `seed` and `out`, a directory that exists, and speak its language.

    Args:
        description: the script's docstring; its first paragraph is the help text.
        chinese: the help text in Chinese.
        steps: how many training steps are taken without --steps.
        compiled: whether there is a --compiled too.
    """
    speak_as_asked()
    use_font()
    parser = argparse.ArgumentParser(
        description=text(description.partition("\n\n")[0], chinese),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add, out = parser.add_argument, Path(__file__).parents[1] / "out"
    meaning = text("decides the data, their order and the initial weights", "决定数据、数据的顺序和初始权重")
    add("--steps", type=positive, default=steps, help=text("training steps (mini-batches)", "训练步数（小批量数）"))
    add("--seed", type=int, default=0, help=meaning)
    add("--out", type=Path, default=out, help=text("directory for the pictures", "存放图片的目录"))
    add_lang(parser)
    if compiled:
        meaning = text("train once more, compiled, and compare", "编译后再训练一次，并作比较")
        add("--compiled", action="store_true", help=meaning)
    chosen = parser.parse_args()
    if compiled and chosen.compiled:
        need("llvmlite", "native")
    chosen.out.mkdir(parents=True, exist_ok=True)
    return chosen


def positive(given: str) -> int:
    """Return the number that an option is given, for argparse."""
    number = int(given)
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
    print(f"{'':10}{right(text('seconds', '秒'), 10)}{right(text('last loss', '最后的损失'), 14)}")
    names = text("eager", "动态图"), text("compiled", "编译后")
    for name, seconds, loss in zip(names, (eager, compiled), losses, strict=True):
        print(f"{right(name, 10)}{seconds:10.3f}{loss:14.9f}")
    print(
        text(
            f"{eager / compiled:.1f} times as fast, compilation included; parameters differ by at most {apart:.1e}",
            f"速度是 {eager / compiled:.1f} 倍，含编译时间；参数最多相差 {apart:.1e}",
        )
    )


def save(figure: Figure, path: Path) -> None:
    """Write the figure to `path` and print the path."""
    figure.savefig(path)
    print(f"{text('wrote', '已写入')} {path}")
