"""Give all figures one look: colours, fonts with Chinese characters where they are needed, and saving."""

from contextlib import suppress
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import findSystemFonts, fontManager

from shared.language import text

# Colour-blind people can tell these three colours of Okabe & Ito (2008) apart. Grey is for the background of a figure.
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


# Fonts with Chinese characters on Linux, macOS and Windows. The Noto CJK fonts come as one file for several languages,
# which matplotlib lists by its first font alone, "JP"; that font has the Chinese characters too.
FONTS = ["Noto Sans CJK SC", "Noto Sans SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Micro Hei"]
FONTS += ["PingFang SC", "Hiragino Sans GB", "Heiti TC", "Microsoft YaHei", "SimHei"]


def use_chinese_font() -> None:
    """Let all figures made from now on use a font with Chinese characters, if the reader's language is Chinese."""
    if text("en", "zh") == "zh" and (font := _chinese_font()):
        matplotlib.rcParams["font.family"] = ["DejaVu Sans", font]


def label(english: str, chinese: str) -> str:
    """Return the text for a figure: Chinese if that is the reader's language and a font has its characters."""
    return text(english, chinese if text("en", "zh") == "zh" and _chinese_font() else english)


@cache
def _chinese_font() -> str | None:
    """Return the first of `FONTS` that is installed, or None.

    Matplotlib keeps a list of fonts from its first run, so fonts that were installed later are added to it here.
    """
    for path in set(findSystemFonts()) - {font.fname for font in fontManager.ttflist}:
        with suppress(OSError, RuntimeError):  # matplotlib cannot read every font file
            fontManager.addfont(path)
    known = {font.name for font in fontManager.ttflist}
    return next((name for name in FONTS if name in known), None)


def save(figure: Figure, path: Path) -> None:
    """Write the figure to `path` and print the path."""
    figure.savefig(path)
    print(f"{text('wrote', '已写入')} {path}")
