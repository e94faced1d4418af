"""Define `Recorded`, the type of a `Recording` for the modules that combine recordings and programs.

`Recording` itself is in `jit`, which imports these modules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..data.indices import Indices
from ..data.samples import TreeDef
from ..derivatives import Program
from .guards import CompiledGuards


class Recorded(Protocol):
    """The attributes of a `Recording` that `merged` and `gradients` use."""

    program: Program
    guards: CompiledGuards
    single: bool
    rebuild: Callable[..., Any]

    @property
    def result_paths(self) -> Sequence[str]:
        """The Python expressions that read the numbers from the function's result."""

    @property
    def indices(self) -> Indices:
        """The indices by which operations of the program, such as `take`, select one of several operands."""

    @property
    def loss(self) -> Program:
        """A program that computes the first output alone."""

    @property
    def arguments(self) -> dict[str, tuple[slice, TreeDef]]:
        """A dict from the name of each argument to a pair: the slice of a row that has its numbers, and its treedef.

        A treedef describes how an argument is nested, without its numbers.
        """
