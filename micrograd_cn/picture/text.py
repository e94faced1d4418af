"""Fit texts into a picture: labels in one line, numbers in four digits, or more lest they seem whole."""

from __future__ import annotations

import unicodedata

LONGEST_LABEL = 40  # columns
MOST_DIGITS = 9


def number(x: float) -> str:
    """Return a number in four digits; in as many more as show that it is not whole, if at most `MOST_DIGITS` do.

    >>> number(2 / 3), number(-0.99997), number(3 + 1e-12), number(-0.0)
    ('0.6667', '-0.99997', '3', '-0')
    """
    for digits in range(4, MOST_DIGITS + 1):
        text = f"{x:.{digits}g}"
        if not text.lstrip("-").isdigit() or float(text) == x:
            return text
    return f"{x:.4g}"


def signed(x: float) -> str:
    """Return a number in four digits with its sign, which 0 and nan have not.

    >>> signed(2), signed(-0.0), signed(float("nan"))
    ('+2', '0', 'nan')
    """
    return f"+{number(x)}" if x > 0 else number(x + 0.0)  # which makes -0 a plain 0


def clean(label: str) -> str:
    r"""Return the label in one line, cut where it is very long, without what XML may not hold (section 2.2).

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
    """Return the text's width in columns of a monospaced font, where a Chinese character takes two.

    >>> columns("权重 w")
    6
    """
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def drawn(symbol: str) -> str:
    """Return an operation's symbol as one writes it by hand.

    >>> drawn("*"), drawn("tanh")
    ('×', 'tanh')
    """
    return {"*": "×", "-": "−"}.get(symbol, symbol)
