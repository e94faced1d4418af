"""The frame of a page of the site: its head, its Content-Security-Policy, its links to style and scripts."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import tomllib
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

PROJECT = Path(__file__).parents[2] / "pyproject.toml"

# Scripts and styles are files of the site, and pages load nothing from elsewhere. Python runs in a worker, which has no
# page around it; pages themselves need neither `eval` nor WebAssembly.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "worker-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'"
)
PAGE = Template("""<!doctype html>
<html lang="$lang">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>$title</title>
<meta name="description" content="$description">
<meta property="og:type" content="website">
<meta property="og:title" content="$title">
<meta property="og:description" content="$description">
<meta property="og:image" content="$preview">
<link rel="icon" type="image/svg+xml" href="icon.svg">
<link rel="stylesheet" href="site.css">
$styles$scripts</head>
<body$kind>
$body
</body>
</html>
""")
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path d="M9 16H23" stroke="#0072b2" stroke-width="4"/>'
    '<path d="M5 16l9-7v14z" fill="#0072b2"/>'
    '<circle cx="25" cy="16" r="6" fill="#f5b800" stroke="#1a1c1f" stroke-width="2"/></svg>\n'
)
# Browsers set the style of single elements while somebody types in an editor, and report it where that is forbidden.
EDITED = POLICY.replace("style-src 'self'; ", "style-src 'self'; style-src-attr 'unsafe-inline'; ")
LANGUAGES = {"en": "en", "zh": "zh-CN"}


def reference_policy(text: str) -> str:
    """Return the Content-Security-Policy of a page of the reference, which allows the page's own inline scripts alone.

    >>> reference_policy("<script>let a</script>")[:46]
    "default-src 'none'; script-src 'self' 'sha256-"
    """
    digests = [hashlib.sha256(script.encode()).digest() for script in re.findall(r"<script>(.*?)</script>", text, re.S)]
    scripts = " ".join(["'self'", *[f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; "
        "form-action 'none'"
    )


def with_policy(text: str) -> str:
    """Return a page of the reference with its Content-Security-Policy (see `reference_policy`)."""
    mark = '<meta charset="utf-8">'
    policy = f'<meta http-equiv="Content-Security-Policy" content="{reference_policy(text)}">'
    return text.replace(mark, f"{mark}\n    {policy}", 1)


@cache
def address() -> str:
    """Return the site's own address, with a slash at its end, from pyproject.toml; "" if it has none."""
    found = str(tomllib.loads(PROJECT.read_text("utf-8"))["tool"]["site"]["address"])
    return found if found.endswith("/") or not found else f"{found}/"


def preview(short: str) -> str:
    """Return the address of the picture that a link to a page shows; it is relative where the site has no address."""
    return f"{html.escape(address())}preview.{short}.png"


def with_preview(text: str, short: str) -> str:
    """Return a page of another program, such as the playground, with the picture that a link to it shows."""
    if 'property="og:image"' in text:
        return text
    mark = '<meta property="og:type"'
    return text.replace(mark, f'<meta property="og:image" content="{preview(short)}">\n{mark}', 1)


def page(
    short: str,
    title: str,
    body: str,
    *,
    description: str,
    scripts: tuple[str, ...] = (),
    styles: tuple[str, ...] = (),
    data: dict[str, Any] | None = None,
    kind: str = "",
) -> str:
    """Return the text of a page.

    Args:
        short: the language, "en" or "zh".
        title: the title, which the browser shows in the tab.
        body: the page in HTML.
        description: one or two sentences, for search engines and for whoever gets a link.
        scripts: names of scripts.
        styles: names of style sheets that the page needs besides site.css.
        data: what a script of the page reads as JSON.
        kind: the body's class.
    """
    if data is not None:
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
        body += f'\n<script type="application/json" id="cells_data">{text}</script>'
    return PAGE.substitute(
        lang=LANGUAGES[short],
        policy=EDITED if data is not None else POLICY,
        title=html.escape(title),
        description=html.escape(description),
        preview=preview(short),
        styles="".join(f'<link rel="stylesheet" href="{name}">\n' for name in styles),
        scripts="".join(f'<script src="{name}" defer></script>\n' for name in scripts),
        kind=f' class="{kind}"' * bool(kind),
        body=body,
    )
