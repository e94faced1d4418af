"""Wrap four methods of a user's class of models, so each new object is checked.

The methods are `__init__`, `__copy__`, `__deepcopy__` and `__setstate__`. After `__init__`, the model is checked for
values that would never be trained. After each of the four methods, it is recorded where the model has its parameters.
So a later check can tell whether something else is where a parameter was.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..engine import Value
from . import changes
from .class_attributes import refuse_shared
from .hidden import refuse_hidden
from .lost import refuse_lost
from .members import of_module, walk
from .model import Model, beginning, names_its_parameters, of_this_package
from .states import is_of_constants, mark_kept
from .unheld import may_hold_computed, refuse_computed


def check_after(init: Callable[..., None]) -> Callable[..., None]:
    """Return an `__init__` that runs `init`, the `__init__` of a user's class, and then checks the whole model.

    It raises TypeError if a value in the model would never be trained. Otherwise, it records where the model has
    parameters. If the `__init__` of a subclass calls this one, only the `__init__` of the subclass checks the model.
    """

    @functools.wraps(init)
    def initialise(self: Any, *args: Any, **kwargs: Any) -> None:
        outermost = type(self).__init__ is initialise
        if outermost:
            beginning.add(id(self))
        try:
            init(self, *args, **kwargs)
        finally:
            if outermost:
                beginning.discard(id(self))
        if outermost and not names_its_parameters(type(self)):
            _refuse_untrainable(self)
            refuse_hidden(self, of_module(self))
            refuse_lost(self, self, is_new=True)
            refuse_shared([self], self)
        if outermost and not changes.is_noted:
            changes.note_change()

    return initialise


def note_places(model: Model) -> None:
    """Record where `model`, which is a copy, has its parameters, and let optimisers know of the copy.

    The record is left out for a class of this package whose object has no attributes other than those that its
    `__init__` makes.
    """
    if not changes.is_noted:
        changes.note_change()
    if type(model) not in of_this_package or not vars(model).keys() <= model.made_by_init:
        refuse_lost(model, model, is_new=True)


def note_copy(copy: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that runs `copy`, a user's `__copy__` or `__deepcopy__`, and returns the copy.

    If the copy is a model, the method also records where it has parameters.
    """

    @functools.wraps(copy)
    def copied(self: Any, *args: Any) -> Any:
        found = copy(self, *args)
        if isinstance(found, Model):
            note_places(found)
        return found

    return copied


def note_after(set_state: Callable[..., None]) -> Callable[..., None]:
    """Return a `__setstate__` that runs `set_state`, the `__setstate__` of a user's class.

    Afterwards, it records where the model has parameters.
    """

    @functools.wraps(set_state)
    def restore(self: Any, *args: Any) -> None:
        set_state(self, *args)
        note_places(self)

    return restore


def _refuse_untrainable(model: Model) -> None:
    """Raise TypeError if `model` has a computed value whose leaves are found nowhere but in its own graph.

    Such leaves can never be trained, and the computed value was probably meant to be a parameter. In contrast, values
    that were computed from the parameters of another model (a hypernetwork, or a step of an inner loop) are no mistake.
    Constants that were computed from constants alone are no mistake either. They are marked as constants that the model
    keeps, and do not count as parameters later.
    """
    if not may_hold_computed(model, constants=True):
        return
    inside = walk(model, lambda x: x is model or not isinstance(x, Model))  # modules inside have been checked
    values = [(path, x) for path, x in inside if isinstance(x, Value)]
    mark_kept([x for _, x in values if is_of_constants(x)])
    computed = [(path, x) for path, x in values if x.op is not None and x.requires_grad]
    refuse_computed(model, computed)
