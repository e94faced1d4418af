"""Tell the parameters of a model from other leaves in it: states and constants that calls compute, and inputs.

An input is an argument of a call, which the call keeps in an attribute of the model.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..engine import Value
from .members import COLLECTIONS, may_hold_leaves, members_of_known, of_module, values_in
from .model import Model, running_models
from .records import is_kept, record_of, records


def mark_kept(constants: Iterable[Value]) -> None:
    """Mark constants that a model keeps but that are none of its parameters. `is_kept` then returns True for them."""
    for x in constants:
        x._da = x._db = 0.0


def is_computed(x: Value) -> bool:
    """Return whether `x` is a constant that an operation or `detach` gave, and that is not marked by `mark_kept`."""
    return x.op is None and x._da is not x._db and not x.requires_grad


def is_of_constants(x: Value) -> bool:
    """Return whether an operation has computed the constant `x` from constants alone."""
    return bool(x._is_constant_result and not x._is_of_parameters)


def is_input(leaf: Value) -> bool:
    """Return whether `leaf` is an input: each call of the model puts a new leaf in its place (see `note_kept`)."""
    return leaf._db == 1.0


def _is_no_leaf(x: Any) -> bool:
    return type(x) is float or (type(x) is Value and x.op is not None)


def _leaves_in(x: Any) -> list[Value]:
    """Return the leaves in `x`, which may be a `Value`, a collection, an array or an object, without those in modules.

    For speed, a list whose first and last items are numbers or computed values counts as one without leaves.
    """
    if type(x) is Value:
        return [x] if x.op is None else []
    if type(x) is list and (not x or (_is_no_leaf(x[0]) and _is_no_leaf(x[-1]))):
        return []
    if not members_of_known(type(x)) or isinstance(x, Model) or not may_hold_leaves(x):
        return []
    return [p for p in values_in(x) if p.op is None]


def note_added(model: Model, name: str, x: Any) -> None:
    """Mark states and inputs among the leaves in `x`, which becomes a new attribute `name` of `model`.

    Marked leaves do not count as parameters; `note_kept` defines states and inputs. If no call of a model is running,
    only constants that were computed from constants alone are marked.
    """
    if not (leaves := _leaves_in(x)):
        return
    if any(True for _ in running_models()):
        note_kept(model, name, dict(of_module(model)).get(name), x)  # the class may have __slots__
    elif name not in dict(of_module(model)):
        mark_kept(filter(is_of_constants, leaves))
        if type(x) is not Value and any(map(is_computed, leaves)):
            record_of(model).frozen.add(name)  # the user, and no call, has put these constants there


def note_kept(model: Model, name: str, old: Any, x: Any) -> None:
    """Mark the leaves in `x` that are not parameters. `x` replaces `old` as the attribute `name` of `model`.

    The attribute is replaced after `__init__`. Two kinds of leaves are marked:

    - A state: a constant that an operation or `detach` gave. It is a parameter, however, and not marked, if it takes
      the place of one: if `old` has parameters, trained or not, or if `old` was itself computed and has replaced a
      parameter that is not trained.
    - An input: a leaf that requires a gradient, and that each call of the model makes anew. The user looks at the
      gradient of an input, so `warn_of_replaced` must not take it for a lost parameter.
    """
    if not (leaves := _leaves_in(x)):
        return
    before = _leaves_in(old) if type(old) is Value or type(old) in COLLECTIONS else values_in(old)
    constants = [*filter(is_computed, leaves)]
    record = records.get(id(model)) if constants else None
    was_frozen = record is not None and name in record.frozen
    if constants and not was_frozen and all(p.op is not None or is_kept(p) for p in before):
        mark_kept(constants)
    elif not any(p.requires_grad for p in before):
        for p in constants:  # these take the place of parameters that are not trained, such as a running mean
            p._da = None
    inputs = [p for p in leaves if p.requires_grad]
    if inputs and all(p._db is not None for p in before) and any(True for _ in running_models()):
        for p in inputs:
            p._db = 1.0 if before else 0.0
