"""The page "Check my gradient": fields for a function, its gradient and a point, with examples."""

from __future__ import annotations

import html
from string import Template
from typing import Any

from .page import page

BODY = Template("""<main class="own">
<header><b>micrograd_cn</b><a href="$start">$back</a></header>
<h1>$title</h1>
<p class="lead">$lead</p>
<p id="needs_script">$missing</p>
<form id="own" hidden>
<p><label for="example">$example</label> <select id="example"></select></p>
<p><label for="function">$function</label></p>
<textarea id="function" rows="8" spellcheck="false" autocapitalize="off" autocomplete="off"></textarea>
<p><label for="gradient">$gradient</label></p>
<textarea id="gradient" rows="8" spellcheck="false" autocapitalize="off" autocomplete="off"></textarea>
<p><label for="point">$point</label></p>
<textarea id="point" rows="1" spellcheck="false" autocapitalize="off" autocomplete="off"></textarea>
<p class="actions"><button type="button" id="check" class="run">$check</button>
<button type="button" id="stop" disabled>$stop</button>
<progress id="progress" aria-label="$progress" hidden></progress>
<b id="said" role="status"></b></p>
</form>
<div id="verdict" class="output" aria-live="polite"></div>
<p>$more</p>
</main>""")
NEURON = "import math\n\n\ndef f(w, x, b):\n    return math.tanh(w * x + b)"
RIGHT = """def gradient(w, x, b):
    y = math.tanh(w * x + b)
    slope = 1 - y * y
    return slope * x, slope * w, slope"""
SOFTMAX = "import numpy as np\n\n\ndef f(x):\n    e = np.exp(x - x.max())\n    return e / e.sum()"
FORGOTTEN = "def gradient(x, upstream):\n    y = f(x)\n    return y * upstream  # is there a term missing?"
EXAMPLES = {
    "wrong": (NEURON, RIGHT.replace("1 - y * y", "y * y - 1"), "0.5, 2.0, -0.75"),
    "right": (NEURON, RIGHT, "0.5, 2.0, -0.75"),
    "softmax": (SOFTMAX, FORGOTTEN, "np.array([0.2, -0.4, 1.0])"),
    "cubes": (
        "import numpy as np\n\n\ndef f(x):\n    return (x**3).sum()",
        "def gradient(x):\n    return 3 * x**2",
        "np.linspace(-1, 1, 20)",
    ),
}


def own_gradient(
    short: str, start: str, words: dict[str, str], facts: dict[str, Any] | None, script: dict[str, str]
) -> str:
    """Return the HTML of the page "Check my gradient".

    Args:
        short: the language, "en" or "zh".
        start: the name of the start page.
        words: the page's texts.
        facts: what `packages.lay_into` returned, or None if Python does not run in the site.
        script: the texts that the script shows.
    """
    texts = {key.removeprefix("own_"): html.escape(text) for key, text in words.items() if key.startswith("own_")}
    body = BODY.substitute(texts, start=start, back=words["back"], more=words["own_more"])
    data = None
    if facts is not None:
        body = body.replace(' id="own" hidden', ' id="own"').replace(
            f'<p id="needs_script">{texts["missing"]}</p>\n', ""
        )
        examples = [
            {"title": words[f"own_example_{name}"], "function": f, "gradient": gradient, "point": point}
            for name, (f, gradient, point) in EXAMPLES.items()
        ]
        data = {key: facts[key] for key in ("sizes", "wheels", "cdn")} | {"words": script, "examples": examples}
    scripts = ("gradient.js",) if data else ()
    return page(short, words["own_title"], body, description=words["own_lead"], scripts=scripts, data=data)
