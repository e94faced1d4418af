"""A notebook as one page that opens and prints without the site, such as `demos/pictures/teacher.en.html`.

It lies beside the playground, so its links open the playground from the same folder.
"""

from __future__ import annotations

import re
from pathlib import Path

from .notebook import exported, first_words, read
from .page import POLICY, page
from .texts import TEXTS

HERE = Path(__file__).parent
ALONE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def saved(kind: str, short: str) -> str:
    """Return the page of a notebook that was run: its texts and outputs, without the code.

    Args:
        kind: the beginning of the notebook's name, such as "teacher".
        short: its language, "en" or "zh".
    """
    name = f"{kind}.{short}"
    cells = "".join(exported(read(HERE.parent / f"{name}.ipynb"), name, short).cells)
    cells = re.sub(r'<details class="hidden_code">.*?</details>', "", cells, flags=re.DOTALL)
    cells = re.sub(r'<a class="anchor-link".*?</a>', "", cells)
    cells = re.sub(r'href="(\w+\.\w+\.ipynb)"', r'href="../\1"', cells)
    title = TEXTS[short][kind]
    body = f"<main>\n{cells}</main>"
    return _in_one_file(
        page(short, f"{title} · micrograd_cn", body, description=first_words(cells) or title, kind="notebook")
    )


def _in_one_file(text: str) -> str:
    """Return a page of the site with its style inside, and without what points to other files of the site."""
    style = (HERE / "site.css").read_text("utf-8")
    text = re.sub(r'<link rel="icon".*\n|<meta property="og:image".*\n', "", text)
    for old, new in (('<link rel="stylesheet" href="site.css">', f"<style>\n{style}</style>"), (POLICY, ALONE)):
        assert old in text
        text = text.replace(old, new, 1)
    return text
