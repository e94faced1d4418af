"""Turn formulas in TeX into MathML, which browsers show without a script."""

import html
import re


def mathml(text: str) -> str:
    """Return the formulas between `$` signs as MathML, each on a line of its own.

    Args:
        text: what Jupyter stores of `IPython.display.Math`: formulas between `$` signs, as text or as HTML.
    """
    from latex2mathml.converter import convert

    formulas = re.findall(r"\$(?:\\displaystyle )?(.*?)\$", html.unescape(text), re.DOTALL)
    made = "".join(convert(formula, display="block") for formula in formulas)
    for side, bracket in (("prefix", "(<mtable>"), ("postfix", "</mtable>)")):  # brackets as high as the matrix
        old = bracket.replace("(", "<mo>&#x00028;</mo>").replace(")", "<mo>&#x00029;</mo>")
        made = made.replace(old, old.replace("<mo>", f'<mo form="{side}" stretchy="true">'))
    return made
