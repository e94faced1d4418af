"""Estimate how wide a text may become in the font of a viewer.

An SVG is drawn in whatever font its viewer has. A renderer without that font can only guess how wide a text will be. So
each cell is wide enough for its text in the widest of DejaVu Sans, Verdana, Noto Sans and Noto Sans CJK.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

# The widths of the characters from the space to "~", in thousandths of the font size.
REGULAR = (
    *(352, 401, 474, 838, 636, 1076, 780, 278, 455, 455, 635, 838, 364, 455, 364, 455),
    *(636, 636, 636, 636, 636, 636, 636, 636, 636, 636, 455, 455, 838, 838, 838, 545),
    *(1000, 684, 686, 698, 771, 633, 575, 775, 752, 421, 535, 693, 557, 907, 760, 787),
    *(633, 787, 695, 684, 616, 732, 684, 989, 685, 615, 685, 455, 455, 455, 838, 635),
    *(635, 613, 635, 550, 635, 615, 352, 635, 634, 278, 345, 592, 284, 974, 634, 612),
    *(635, 635, 426, 521, 394, 634, 592, 818, 592, 592, 525, 636, 551, 636, 838),
)
BOLD = (
    *(348, 456, 587, 867, 711, 1272, 872, 332, 543, 543, 711, 867, 380, 480, 380, 689),
    *(711, 711, 711, 711, 711, 711, 711, 711, 711, 711, 402, 402, 867, 867, 867, 617),
    *(1007, 776, 762, 734, 830, 683, 683, 821, 837, 546, 568, 775, 637, 995, 847, 850),
    *(733, 850, 782, 720, 682, 812, 774, 1128, 771, 737, 725, 543, 689, 543, 867, 711),
    *(711, 675, 716, 593, 716, 678, 435, 716, 712, 343, 403, 671, 343, 1058, 712, 687),
    *(716, 716, 497, 595, 478, 712, 652, 979, 669, 652, 597, 712, 551, 712, 867),
)
CHINESE, EMOJI = 1000, 1400
OTHERS = {False: 1100, True: 1350}  # enough for most other letters and signs; the key is whether the text is bold


@lru_cache(4096)
def width(text: str, size: float, bold: bool = False) -> float:
    """Return the largest width that `text` may have at the font size `size`, in the unit of `size`.

    `bold` says whether the text is bold.

    >>> width("data", 10)
    22.55
    >>> width("权重", 10, bold=True)
    20.0
    """
    return sum(_thousandths(c, bold) for c in text) * size / 1000


def _thousandths(c: str, bold: bool) -> int:
    if " " <= c <= "~":
        return (BOLD if bold else REGULAR)[ord(c) - ord(" ")]
    if ord(c) >= 0x1F000:
        return EMOJI
    if unicodedata.category(c) in ("Mn", "Me", "Cf"):  # drawn over another character, or not at all
        return 0
    return CHINESE if unicodedata.east_asian_width(c) in "WF" else OTHERS[bold]
