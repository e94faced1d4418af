"""Write the playground of the site in several files: the page, its script and style, and what it may not need at all.

The playground is one file elsewhere, and it has all words in both languages. In the site both languages share the
script and the style, and the page fetches two parts of its data when a reader wants them: the words of the other
language, and the names from which the language model learns. What is usual for an operation is left out of the data.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from .page import POLICY

HERE = Path(__file__).parent
OTHER = {"en": "zh", "zh": "en"}
# The usual facts about an operation that is called "@"; "#" is "/n" if these are its facts for n operands.
USUAL = '{"row":"@#","symbol":"@","text":"@({0})","still":[],"listed":true}'


def apart(page: str, short: str) -> dict[str, str]:
    """Take the playground, which is a page in one file, apart; return the texts of several files by their names.

    Args:
        page: the text of the page.
        short: its language, "en" or "zh".
    """
    found = re.fullmatch(
        r"(?P<head>.*)<style>(?P<style>.*)</style>(?P<body>.*)"
        r'<script type="application/json" id="data">(?P<data>.*?)</script>\n<script>(?P<script>.*)</script>(?P<end>.*)',
        page,
        re.DOTALL,
    )
    assert found
    data, other = json.loads(found["data"]), OTHER[short]
    parts = {other: {"words": {other: data["words"].pop(other)}}, "names": {"names": data.pop("names")}}
    data["later"] = {name: f"playground.part.{name}.js" for name in parts}
    data["usual"] = USUAL
    data["operations"] = {
        name: [_short(name, f"/{n}", each) for n, each in enumerate(facts)]
        if isinstance(facts, list)
        else _short(name, "", facts)
        for name, facts in data["operations"].items()
    }
    body = re.sub(r"\n\s+", "\n", found["body"])  # without its indentation, which no element shows
    head = re.sub(r'(http-equiv="Content-Security-Policy" content=")[^"]*', rf"\g<1>{POLICY}", found["head"])
    files = {
        f"playground.{short}.html": f'{head}<link rel="stylesheet" href="playground.css">{body}'
        f'<script type="application/json" id="data">{_json(data)}</script>\n<script src="playground.js"></script>'
        f"{found['end']}",
        "playground.css": found["style"] + (HERE / "embedded.css").read_text("utf-8"),
        "playground.js": found["script"],
    }
    for name, part in parts.items():
        files[data["later"][name]] = f"(globalThis.pageParts??={{}}).{name}={_json(part)};\n"
    return files


def _short(name: str, count: str, facts: dict[str, object] | None) -> dict[str, object] | None:
    """Return `facts`, which describe the operation `name`, without the usual ones, which `page.js` fills in.

    `count` is "/n" if these are the facts for n operands, and "" if the operation has one list of operands.
    """
    usual = json.loads(USUAL.replace("@", name).replace("#", count))
    return facts and {key: x for key, x in facts.items() if not (key in usual and x == usual[key])}


def _json(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
