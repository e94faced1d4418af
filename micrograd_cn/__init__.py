"""A minimal scalar autograd engine: it records a computation, and backpropagation runs through the record.

>>> from micrograd_cn import Value, tanh
>>> x = Value(0.5, "x")
>>> y = tanh(2 * x)
>>> y.backward()
>>> f"{y:.4f} {x.grad:.4f}"
'0.7616 0.8399'

`from micrograd_cn import *` also replaces Python's `sum`, `abs` and `pow` by the operations of the same names. These
return floats, even if all their arguments are ints.
"""

from os import environ
from typing import TYPE_CHECKING

from . import ops, quick
from .engine import Value
from .gradients import gradients
from .graph.context import detect_anomaly, no_grad
from .graph.scopes import scope
from .sequences import *  # noqa: F403 -- seven functions, with types for lists of Values and numbers

# isort: split
from .ops import *  # type: ignore[assignment,no-redef]  # noqa: F403 -- all operations, these seven too, the same objects

for _path in [*__path__]:  # noqa: F405 -- pickles of version 0.2 name modules that have moved since
    __path__.append(f"{_path}/moved")  # noqa: F405

if not environ.get("MICROGRAD_CN_PLAIN"):
    quick.install()

if TYPE_CHECKING:  # these are the names that `__getattr__` imports
    from . import compiler as compiler
    from . import flow as flow
    from . import functional as functional
    from . import init as init
    from . import losses as losses
    from . import module as module
    from . import nn as nn
    from . import optim as optim
    from . import picture as picture
    from . import testing as testing
    from .flow.flow import Tape, draw_flow
    from .flow.playground import playground
    from .handwritten import compare_gradients
    from .picture import draw_dot
else:

    def __getattr__(name: str) -> object:
        """Import and return the module, class or function `name`, such as `draw_dot`, when a program first uses it."""
        if name == "draw_dot":
            from .picture import draw_dot

            return draw_dot
        if name == "compare_gradients":
            from .handwritten import compare_gradients

            return compare_gradients
        if name in ("Tape", "draw_flow", "playground"):
            from . import flow

            return getattr(flow, name)
        from importlib import import_module, util  # imported here, because most programs do not need it

        if not name.startswith("_") and util.find_spec(f"{__name__}.{name}"):
            return import_module(f"{__name__}.{name}")
        import sys

        from .text.public_names import missing_name

        raise missing_name(name, sys._getframe(1))


__version__ = "0.2.0"

__all__ = [
    "Tape",
    "Value",
    "compare_gradients",
    "detect_anomaly",
    "draw_dot",
    "draw_flow",
    "gradients",
    "no_grad",
    "playground",
    "scope",
]
__all__ += ops.__all__
