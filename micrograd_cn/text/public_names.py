"""Say which module of the package has a public name, for users who look for it in the package itself."""

from __future__ import annotations

import ast
from functools import cache
from opcode import opmap
from pathlib import Path
from types import FrameType

__all__ = ["missing_name"]

PACKAGE = Path(__file__).parents[1]
# The modules that are searched, in this order, so `Module` is found in `nn` and `constant` in `engine`
SEARCHED = "nn", "losses", "optim", "functional", "compiler", "testing", "engine", "init", "picture"


def missing_name(name: str, caller: FrameType) -> Exception:
    """Return the error for a name that the package does not have; it says where the name is, if another module has it.

    Args:
        name: the name.
        caller: the frame that looks for it. If that is at `from micrograd_cn import name`, the error is an ImportError,
            since Python would replace an AttributeError by an ImportError of its own.

    >>> import micrograd_cn
    >>> micrograd_cn.MLP
    Traceback (most recent call last):
    AttributeError: module 'micrograd_cn' has no attribute 'MLP'; write micrograd_cn.nn.MLP
    """
    package, module = PACKAGE.name, _modules().get(name, "")
    if module and caller.f_code.co_code[caller.f_lasti] == opmap["IMPORT_FROM"]:
        write = f"from {package}.{module} import {name}"
        return ImportError(f"cannot import name {name!r} from {package!r}; write {write}", name=package)
    write = f"; write {package}.{module}.{name}" if module else ""
    return AttributeError(f"module {package!r} has no attribute {name!r}{write}", name=name)


@cache
def _modules() -> dict[str, str]:
    """Return a dict from public names to the modules that have them. It imports no module, since that may take long."""
    found: dict[str, str] = {}
    for module in SEARCHED:
        path = next((p for p in (PACKAGE / f"{module}.py", PACKAGE / module / "__init__.py") if p.exists()), None)
        for statement in ast.parse(path.read_bytes()).body if path else ():
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            if any(isinstance(x, ast.Name) and x.id == "__all__" for x in targets):
                for text in ast.walk(statement):
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        found.setdefault(text.value, module)
    return found
