"""A JavaScript engine, if one is installed: Node.js, or the package quickjs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

from ...picture.render import TIMEOUT

POLYFILL = "Array.prototype.at = function (i) { return this[i < 0 ? this.length + i : i]; };"  # quickjs lacks it


def javascript_engine() -> Callable[[str], str] | None:
    """Return a function that evaluates a JavaScript expression to a string; None if no engine is installed.

    >>> run = javascript_engine()
    >>> run("String(1 / 0)") if run else "Infinity"
    'Infinity'
    """
    if program := shutil.which("node"):
        return lambda text: _node(program, text)
    try:
        import quickjs
    except ImportError:
        return None
    return lambda text: str(quickjs.Context().eval(POLYFILL + text))


def _node(program: str, text: str) -> str:
    """Return the string that the JavaScript expression `text` evaluates to, as computed by Node.js."""
    done = subprocess.run(
        [program, "-"],
        input=f"process.stdout.write({text})",
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{program} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
