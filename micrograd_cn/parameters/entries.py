"""The entries of a model's state: their names and numbers, and the reason if a state lacks an entry."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from ..engine import Value, traverse
from .lost import refuse_lost
from .members import (
    COLLECTIONS,
    ONLY_VALUES,
    code_of,
    contents,
    is_array,
    leaves_to_train,
    members_of_known,
    of_module,
    walk,
)
from .model import Model, of_this_package, overrides
from .records import is_kept
from .states import is_computed
from .tree import arrays_to_lists, flatten, tuple_like
from .unheld import may_hold_computed, with_unheld_leaves

ONLY_FLOATS = {float}


def as_lists(entry: Any) -> Any:
    """Return a copy of `entry` with lists in place of arrays and deques.

    An entry is a parameter, or parameters in nested lists, as the method `entries` of a module returns it.
    """
    if is_array(entry):
        entry = entry.tolist()
    if isinstance(entry, (list, deque)):
        return [as_lists(x) for x in entry]
    if isinstance(entry, dict):
        return {key: as_lists(x) for key, x in entry.items()}
    if isinstance(entry, tuple):
        return tuple_like(entry, [as_lists(x) for x in entry])
    return entry


def data_of(entry: Any) -> Any:
    """Return the numbers of `entry`, nested like `entry`: the data of each leaf in its place.

    An entry is a parameter, or parameters in nested lists, as the method `entries` of a module returns it.
    """
    if isinstance(entry, Value):
        return entry.data
    if type(entry) is list:
        return [data_of(x) for x in entry]
    leaves, unflatten = flatten(as_lists(entry))
    return unflatten([leaf.data for _, leaf in leaves])


def leaves_of(entry: Any) -> list[Value]:
    """Return a list of the leaves in `entry`.

    An entry is a parameter, or parameters in nested lists, as the method `entries` of a module returns it.
    """
    if type(entry) is list:
        return entry if ONLY_VALUES.issuperset(map(type, entry)) else [p for x in entry for p in leaves_of(x)]
    return [x for _, x in flatten(as_lists(entry))[0]]


def pairs_of_floats(entry: Any, given: Any) -> list[tuple[Value, float]] | None:
    """Return pairs (leaf, number) if `entry` is nested lists of leaves, and `given` is floats in lists nested like it.

    Return None in all other cases. This is faster than `flatten` and `flatten_like`, since it makes no paths.

    >>> x, y = Value(1.0), Value(2.0)
    >>> pairs_of_floats([[x], [y]], [[3.0], [4.0]]) == [(x, 3.0), (y, 4.0)], pairs_of_floats([x, y], [3.0])
    (True, None)
    """
    if type(entry) is not list or type(given) is not list or len(entry) != len(given):
        return None
    if ONLY_VALUES.issuperset(map(type, entry)):
        return [*zip(entry, given, strict=True)] if ONLY_FLOATS.issuperset(map(type, given)) else None
    found: list[tuple[Value, float]] = []
    for part, x in zip(entry, given, strict=True):
        pairs = pairs_of_floats(part, x)
        if pairs is None:
            return None
        found += pairs
    return found


def is_entry(x: Any, around: frozenset[int] = frozenset()) -> bool:
    """Return whether `x` becomes one entry of a model's state: a leaf, or nested sequences or arrays of leaves alone.

    A constant that is a state of the model is not an entry, and neither is an empty sequence.

    Args:
        x: the object in question.
        around: the ids of the sequences that contain `x`. A sequence that contains itself is not an entry.
    """
    if isinstance(x, Value):
        return x.op is None and not is_kept(x)
    if isinstance(x, Model):  # its class may also be a list
        return False
    if isinstance(x, (list, tuple, deque)) and (type(x) in COLLECTIONS or not of_module(x)):
        items: Any = x
    elif is_array(x) and x.dtype == object and (type(x).__module__ == "numpy" or not leaves_to_train(of_module(x))):
        items = x.reshape(-1).tolist()
    else:
        return False
    around |= {id(x)}
    return bool(items) and all(id(item) not in around and is_entry(item, around) for item in items)


def defines_entries(x: object) -> bool:
    """Return whether `x` is a module that overrides `entries`."""
    return isinstance(x, Model) and overrides(type(x), "entries")


def shape_in_words(tree: object) -> str:
    """Return words for the shape of `tree`, which is nested lists or arrays, such as "a list of 2 x 3"."""
    lengths, tree = [], arrays_to_lists(tree)
    while isinstance(tree, (list, tuple)):
        lengths.append(str(len(tree)))
        if len({len(item) if isinstance(item, (list, tuple)) else -1 for item in tree}) > 1:
            lengths.append("ragged")
            break
        tree = tree[0] if tree else None
    return f"a list of {' x '.join(lengths)}" if lengths else "a number" if not isinstance(tree, dict) else "a dict"


def why_no_entry(model: Model, entries: Mapping[str, Any], names: list[str]) -> str:
    """Return the end of an error message about entries that `model` has and a saved state lacks, or vice versa.

    The text says how calls of the model may be the reason; it is "" if they are not. For example, a call of a recurrent
    model may replace its first state, which is a leaf, by a value that it computes. The leaf is an entry of the model's
    state, but a computed value is not.

    Args:
        model: the model whose entries differ from those of the saved state.
        entries: the entries of the model, by name.
        names: the names of the entries that only the model or only the saved state has.
    """
    for name in names:
        owner: Any = model
        *around, last = name.split(".")
        for key in around:
            members = members_of_known(type(owner))
            owner = {str(each): x for each, x in members(owner)}.get(key) if members else None
        if isinstance(owner, Model) and type(owner) not in of_this_package and last in vars(owner):
            held, where = vars(owner)[last], f"{type(owner).__name__}.{last}"
            if isinstance(held, Value) or name not in entries:
                why = f"if calls of the saved model assigned {where}" if name in entries else f"{where} is no parameter"
                return (
                    f"; {why}: for a state that calls compute, write self.{last} = 0.0 in __init__ and before you save"
                )
    return ""


def refuse_unsaved(model: Model, entries: Mapping[str, Any]) -> bool:
    """Raise TypeError if a saved state would lack a computed value that was probably meant to be a parameter.

    Otherwise, return whether `model` has constants that operations have computed. If so, the caller must list the
    entries again: some of these constants may now be known as states of the model, which are no entries. `entries` has
    the entries that were listed before.

    A value was probably meant to be a parameter if only graphs refer to its leaves, as after
    `m.w = m.w - 0.1 * m.w.grad` in a call of the model. The error is also raised if an item of a collection was a
    parameter, and is now something that is never trained.
    """
    modules: list[Model] = []
    computed: list[tuple[str, Value]] = []
    constants = False
    if may_hold_computed(model, in_modules=True, modules=modules, constants=True):
        seen: set[int] = set()
        modules.clear()
        for path, x in walk(model, lambda x: id(x) not in seen):
            if id(x) not in seen and isinstance(x, Model):
                modules.append(x)
            elif id(x) not in seen and isinstance(x, Value) and x.op is not None and x.requires_grad:
                computed.append((path, x))
            elif isinstance(x, Value) and is_computed(x):
                constants = True
            seen.add(id(x))
    for module in modules:
        if type(module) not in of_this_package:
            refuse_lost(module, model)
    if not computed:
        return constants
    saved = {id(x) for entry in entries.values() for x in leaves_of(entry)}
    computed = [(path, x) for path, x in computed if saved.isdisjoint(map(id, traverse(x)[1]))]
    for path, x in with_unheld_leaves(computed, in_any_graph=True):
        assert x.op
        name = f"{type(model).__name__}.{path}"
        code = next(f"model{code_of(model, keys)}" for keys, held in contents(model, in_modules=True) if held is x)
        raise TypeError(
            f"{name} is computed ({x.op.name}), so it is no parameter, and the state would lack it; to train a "
            f"parameter, change its number, as in {code}.data -= lr * {code}.grad; for a result that the model keeps, "
            "write .detach() after it; for a state that it computes, begin with a number, as in self.h = 0.0"
        )
    return constants
