"""Shorten texts for a picture: a label to one line, and a number to four digits, or more if four would mislead."""

from __future__ import annotations

import unicodedata

LONGEST_LABEL = 40  # columns
MOST_DIGITS = 9


def number(x: float) -> str:
    """Return `x` with four significant digits, or up to `MOST_DIGITS` if it would look like a whole number but is none.

    >>> number(2 / 3), number(-0.99997), number(3 + 1e-12), number(-0.0)
    ('0.6667', '-0.99997', '3', '-0')
    """
    for digits in range(4, MOST_DIGITS + 1):
        text = f"{x:.{digits}g}"
        if not text.lstrip("-").isdigit() or float(text) == x:
            return text
    return f"{x:.4g}"


def signed(x: float) -> str:
    """Return `x` as `number` does, but with the sign + if it is positive. 0 and nan have no sign.

    >>> signed(2), signed(-0.0), signed(float("nan"))
    ('+2', '0', 'nan')
    """
    return f"+{number(x)}" if x > 0 else number(x + 0.0)  # -0.0 + 0.0 is 0.0


def clean(label: str) -> str:
    r"""Return the label in one line, cut if it is very long, and with � for characters that XML forbids.

    >>> clean("two\nlines")
    'two lines'
    """
    shown = "".join(" " if c in "\t\n\r" else "�" if _forbidden(c) else c for c in str(label)[: 2 * LONGEST_LABEL])
    while columns(shown) > LONGEST_LABEL:
        shown = shown[:-2] + "…"
    return shown


def _forbidden(c: str) -> bool:
    return unicodedata.category(c) in ("Cc", "Cs") or c in "\ufffe\uffff"


def columns(text: str) -> int:
    """Return the width of a text in columns of a monospaced font. A Chinese character takes two columns.

    >>> columns("权重 w")
    6
    """
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def drawn(symbol: str) -> str:
    """Return an operation's symbol as people write it on paper.

    >>> drawn("*"), drawn("tanh")
    ('×', 'tanh')
    """
    return {"*": "×", "-": "−"}.get(symbol, symbol)
