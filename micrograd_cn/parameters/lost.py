"""Raise an error, or warn, if an item of a collection was a parameter, and is now something that nothing trains."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ..engine import Value, traverse
from ..graph.callers import warn_at_user
from ..ops.operation import Op
from .members import ONLY_VALUES, code_of, contents, elements, is_array, leaves_to_train, values_in
from .model import Model, beginning, is_checked, names_its_parameters
from .records import (
    Arrays,
    Places,
    are_same,
    arrays_in,
    collections_of,
    is_flat,
    is_kept,
    places_in,
    record_of,
    records,
    watch_arrays,
)
from .states import is_computed, is_of_constants, mark_kept
from .unheld import with_unheld_leaves


def refuse_lost(model: Model, root: Model, is_new: bool = False) -> None:
    """Raise TypeError if an item of a collection in `model` was a parameter, but is now never trained.

    Three things are never trained: a number, a constant that an operation computed, and a value whose only leaves are
    those that were replaced. If a value also depends on other leaves, there is only a warning.

    If there is no error, the function records where the collections have parameters now. It also marks the
    states: constants computed by an operation or by `detach` that calls of the model have put into a collection without
    parameters, or beside parameters at a place that had no `Value` before. States are not parameters.

    Args:
        model: a module of a user's class. Its attributes are looked at, and not the modules inside it.
        root: the model whose parameters are listed.
        is_new: whether `model` has just been made, by `__init__` or as a copy.
    """
    if names_its_parameters(type(model)):
        return
    known = records.get(id(model))
    places: dict[Any, Places] = {}
    items: dict[Any, list[Any]] = {}
    arrays: dict[Any, Arrays] = {}
    frozen: set[Any] = set()
    for name, x in collections_of(model, known.places if known else ()):
        old = known.places.get(name) if known is not None else None
        if type(x) is list:
            if ONLY_VALUES.issuperset(map(type, x)):
                items[name] = x.copy()
        elif is_array(x) and x.dtype.kind == "O":
            items[name] = elements(x)
            arrays[name] = [(f".{name}", x, items[name], x.tobytes())]
        if known and old and name in items and are_same(known.items.get(name), items[name]) and is_flat(old, x):
            places[name] = old
            continue
        if name not in arrays and (found := arrays_in(name, x)):
            arrays[name] = found
        new = places_in(x)
        if old is not None and not is_new and any(new.ids) and (states := _states_beside(model, x, old)):
            mark_kept(states)
            new = places_in(x)
        if old is not None and old[:2] != new[:2]:
            _compare_places(model, name, x, old, new.numbers, root)
        if any(new.ids):
            places[name] = new
            if is_new:
                _warn_of_repeated(model, name, x, new)
        elif old is not None or new.ids:
            constants = [p for p in values_in(x) if p.op is None and not is_kept(p)]
            if old is not None or (is_new and constants):
                frozen.add(name)
            elif known is not None and name in known.frozen:
                for p in filter(is_of_constants, constants):  # parameters that are not trained, see `note_kept`
                    p._da = None
            elif not is_new and is_checked(type(model)):
                mark_kept(filter(is_computed, constants))
    if places or frozen or known is not None:
        record = record_of(model)
        record.frozen |= frozen
        record.places, record.items, record.arrays = places, items, arrays
        if arrays:
            watch_arrays(model, record)


def _warn_of_repeated(model: Model, name: Any, x: Any, places: Places) -> None:
    """Warn if a list or an array in `x` has one and the same parameter in all its places, as in `[Value(0.0)] * 2`.

    `x` is the attribute `name` of `model`, which has just been made, and `places` says where it has parameters. That a
    parameter is in some places of a list, or in several lists, is no mistake: weights may be shared.
    """
    groups = defaultdict[Any, list[int]](list)
    for path, known in places.all():
        if isinstance(path[-1], int) or is_array(x):  # but no value of a dict, whose keys were written one by one
            groups[path[:-1]].append(known)
    for path, group in groups.items():
        if len(group) > 1 and group[0] and group.count(group[0]) == len(group):
            code = f"model{'' if name is None else f'.{name}'}{code_of(x, path) if path else ''}"
            warn_at_user(
                f"{code.replace('model', type(model).__name__, 1)} has one and the same parameter in all {len(group)} "
                "places, as after [Value(0.0)] * n or np.full, so it is trained as one number; for a parameter in each "
                f"place, write [Value(0.0) for _ in range({len(group)})]"
            )
            return


def mark_states(model: Model) -> None:
    """Mark the states among the constants in collections of `model`, as `refuse_lost` does, and look at nothing else.

    This is called before the model is copied, so a state of the model is also a state of the copy.
    """
    if id(model) in beginning or names_its_parameters(type(model)) or not is_checked(type(model)):
        return
    known = records.get(id(model))
    with_parameters = {*known.places, *known.frozen} if known else set[Any]()
    for name, x in collections_of(model, ()):
        if name not in with_parameters:
            mark_kept([p for p in values_in(x) if is_computed(p)])
        elif known and name in known.places:
            mark_kept(_states_beside(model, x, known.places[name]))


def _states_beside(model: Model, x: Any, old: Places) -> list[Value]:
    """Return the constants that an operation or `detach` gave, and that are in `x` where `old` has no `Value`.

    `x` is a collection in an attribute of `model`, and also has parameters. Calls of the model have put the constants
    beside them, where a number or nothing was.
    """
    constants = [p for p in values_in(x) if is_computed(p)]
    if not constants or not is_checked(type(model)):
        return []
    places = {path for path, _ in old.all()}
    return [p for path, p in contents(x) if isinstance(p, Value) and path not in places and is_computed(p)]


def _compare_places(model: Model, name: Any, x: Any, old: Places, numbers: int, root: Model) -> None:
    """Raise TypeError, or warn, if something in `x` was a parameter, and is now something that is never trained.

    Args:
        model: the module that has the collection.
        name: the name of the attribute, or None if the module itself is the collection.
        x: the collection.
        old: where the parameters were in the collection when it was last looked at.
        numbers: how many plain numbers are in the collection now. A number in place of a parameter is a mistake
            only if there are more of them than before.
        root: the model whose parameters are listed.
    """
    now = dict(contents(x))
    made: list[tuple[str, Value]] = []
    for path, _ in old.trained():
        item = now.get(path)
        if item is None:
            around = [path[:k] for k in range(1, len(path)) if is_array(now.get(path[:k]))]
            if around:  # an array of numbers, whose elements have no places
                code = f"model{'' if name is None else f'.{name}'}{code_of(x, around[0])}"
                raise TypeError(
                    f"{type(model).__name__}{code.removeprefix('model')} is an array of numbers, where an array of "
                    f"parameters was, and numbers are neither trained nor saved; keep the array, and write for w, x in "
                    f"zip({code}.flat, new.flat): w.data = x"
                )
            continue  # the collection is shorter, or has something other than a number in this place
        code = code_of(x, path) if name is None else f".{name}{code_of(x, path)}"
        where = f"{type(model).__name__}{code}"
        if not isinstance(item, Value):
            if numbers > old.numbers:
                raise TypeError(
                    f"{where} is {item!r}, where a parameter was, and a number is neither trained nor saved; write "
                    f"model{code} = Value({item!r}), with requires_grad=False for a constant; to change the number of "
                    f"a parameter, write model{code}.data = {item!r}"
                )
        elif item._is_constant_result:
            raise TypeError(
                f"{where} is a constant that an operation computed, where a parameter was, so nothing trains it; "
                f"change the number of the parameter, as in model{code}.data *= 0.5, or write Value(x.data) for a new "
                "parameter x, with requires_grad=False for a constant"
            )
        elif item.op is not None and item.requires_grad:
            made.append((code, item))
    del now
    lost = {*old.ids} - {id(p) for p in leaves_to_train(root)} if made else set[int]()
    wrong = with_unheld_leaves(made, lost=lost)
    for code, item in wrong:
        assert item.op
        raise TypeError(
            f"{type(model).__name__}{code} is computed ({item.op.name}) from the parameter that was there, so nothing "
            f"trains it; change the number of the parameter, as in model{code}.data *= 0.5, or assign a new leaf, as "
            "in Value(x.data); for a state that the model computes, begin with numbers"
        )
    for code, item in made:
        if item.op and not lost.isdisjoint(map(id, traverse(item)[1])):
            warn_of_computed(type(model), code, item.op)
            return


def warn_of_computed(kind: type[Model], code: str, op: Op) -> None:
    """Warn that an attribute or item was a parameter, and is now a value that is computed from this parameter.

    The value may be a state of the model, so this is no error.

    Args:
        kind: the class of the model.
        code: the code that leads from the model to the attribute or item, as in ".h".
        op: the operation that computed the value.
    """
    where = f"{kind.__name__}{code}"
    warn_at_user(
        f"{where} was a parameter, and is now computed from it ({op.name}), so training the parameter no longer "
        f"changes {where}; for a state that calls compute, begin with a number, as in self{code} = 0.0; to compute "
        f"with a weight, write y = ... for the result; for fast weights, as in MAML, write a function that takes the "
        f"weights as arguments, and call it with the new ones; to change its number, write self{code}.data = ...; to "
        f"give the parameter up, write del model{code} first"
    )
