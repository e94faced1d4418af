"""Find the functions of a package whose gradients are written by hand, so that a test can check all of them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any


def find_functions(module: ModuleType | type | str) -> dict[str, Any]:
    """Return the functions with a hand-written gradient in a module and in all modules inside it, keyed by full name.

    These are the classes derived from PyTorch's `autograd.Function`, and the functions with jax's `custom_vjp` or
    `custom_jvp`. PyTorch and jax are not imported here, since a package with such functions imports them itself. A
    module named `__main__` is not searched, since importing it would run a program.

    Args:
        module: a package, a module or a class, or the name of a package or module. If it is a class, the class and its
            attributes are searched.

    Raises:
        TypeError: `module` is none of these.

    Warns:
        RuntimeWarning: a module in the package cannot be imported, and is left out. Python's option `-W error` makes an
            error of this warning.

    >>> import math
    >>> find_functions(math)
    {}
    """
    top = importlib.import_module(module) if isinstance(module, str) else module
    found: dict[str, Any] = {}
    if not isinstance(top, (type, ModuleType)):
        raise TypeError(
            f"find_functions() takes a module, a class or a module's name, got {top!r}; write find_functions(package)"
        )
    if isinstance(top, type):
        full = f"{top.__module__}.{top.__qualname__}"
        own: dict[str, Any] = {full: top} if _has_own_gradient(top) else {}
        for name, x in vars(top).items():
            x = x.__func__ if isinstance(x, staticmethod) else x
            own |= {f"{full}.{name}": x} if _has_own_gradient(x) else {}
        return own
    for inside in _modules(top):
        for name, x in vars(inside).items():
            owner = getattr(x, "__module__", None)
            if _has_own_gradient(x) and owner in (None, inside.__name__):
                found[f"{inside.__name__}.{name}"] = x
    return found


def _modules(top: ModuleType) -> Iterator[ModuleType]:
    """Yield the module `top` and, if it is a package, the modules in it, except those named `__main__`.

    Warn of modules that cannot be imported.
    """
    yield top
    for info in pkgutil.walk_packages(getattr(top, "__path__", []), f"{top.__name__}.", onerror=lambda name: None):
        if info.name.rpartition(".")[2] == "__main__":
            continue  # importing it would run the program
        try:
            yield importlib.import_module(info.name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a module may ask for an extra, skip tests, or exit
            left_out = (
                f"find_functions: {info.name} cannot be imported, and is left out: {type(error).__name__}: {error}"
            )
            warnings.warn(left_out, RuntimeWarning, stacklevel=3)


def _has_own_gradient(x: Any) -> bool:
    """Return whether `x` is an autograd.Function of PyTorch, or a function with jax's `custom_vjp` or `custom_jvp`."""
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    if torch is not None and inspect.isclass(x):
        return issubclass(x, torch.autograd.Function) and x is not torch.autograd.Function
    kinds = tuple(kind for kind in (getattr(jax, name, None) for name in ("custom_vjp", "custom_jvp")) if kind)
    return bool(kinds) and isinstance(x, kinds)
