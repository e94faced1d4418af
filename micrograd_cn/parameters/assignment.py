"""Assign to an attribute of a model, unless parameters of the model would be lost by this."""

from __future__ import annotations

import sys
import warnings
from collections import deque
from collections.abc import Sequence
from types import FrameType
from typing import Any

from ..engine import Value, traverse
from ..graph import context
from ..graph.callers import PACKAGE, local_variables
from ..text.absent import refuse_misspelt
from . import changes
from .hidden import refuse_hidden
from .lost import warn_of_computed
from .members import (
    COLLECTIONS,
    OF_HIDING,
    code_of,
    contents,
    descends_always,
    has_number,
    is_array,
    items_if_values,
    leaves_beside,
    leaves_to_train,
    may_hold_leaves,
    members_of_known,
    of_leaf,
    of_module,
    of_opaque,
    values_in,
    walk,
)
from .model import NAMES_OF_CALLS, Model, beginning, names_its_parameters, running_models
from .records import arrays_in, is_kept, places_in, record_of, records, renew_arrays
from .states import note_added, note_kept
from .unheld import with_unheld_leaves

set_attribute = object.__setattr__  # a name of its own, for speed


def assign(model: Model, name: str, x: Any) -> None:
    """Set the attribute `name` of `model` to `x`, unless `x` would replace parameters and is never trained.

    This is the `__setattr__` of `Module` and of users' classes. If `x` would replace parameters, it raises TypeError
    for numbers and constants. For values computed from these parameters, it raises TypeError, or warns if they may be a
    state that the model computes.
    """
    held = model.__dict__
    if name in held and (old := held[name]) is not x:
        if context.active and context.here().no_grad:
            _refuse_constants(model, name, old, x)
        if type(x) is not Value or type(old) is not Value:
            _before_replacing(model, name, old, x)
            if members_of_known(type(x)) in OF_HIDING and id(model) not in beginning:
                _refuse_hidden(model, name, x)
            if type(x) is Value and x.op is None and id(model) not in beginning:
                _warn_of_argument(model, name, x)
        elif old.op is None and (x.op is not None or x._da is not None):
            if old.requires_grad:
                _refuse_computed(model, name, old, x)
            elif x.op is not None and not is_kept(old):
                record_of(model).frozen.add(name)
        elif x.op is None and not changes.is_noted and id(model) not in beginning:
            changes.note_change()
        kept = x.op is None if type(x) is Value else type(x) in COLLECTIONS or is_array(x)
        if kept and id(model) not in beginning:
            note_kept(model, name, old, x)
    elif type(x) is not Value and id(model) not in beginning:  # after `__init__`, or in that of a dataclass
        _note_new(model, name, x)
    elif type(x) is Value and x.op is None and id(model) not in beginning and name not in held:
        _warn_of_argument(model, name, x)
    set_attribute(model, name, x)


def assign_beside(model: Model, name: str, x: Any) -> None:
    """Set the attribute `name` of `model` to `x`. Check `x` as `assign` does if a user's class has added the attribute.

    This is the `__setattr__` of the classes of this package. Attributes that their own `__init__` makes are set without
    a check: `Neuron` itself looks at its weights when parameters are listed, so `n.b = Value(0)` needs no other check.

    Raises:
        AttributeError: the name is spelt nearly like an attribute that has an effect, and so would have none.
    """
    if name in model.made_by_init:
        if not changes.is_noted and name in model.__dict__:
            changes.note_change()
        set_attribute(model, name, x)
    else:
        if name not in model.__dict__:
            refuse_misspelt(type(model), name, model.made_by_init)
        assign(model, name, x)


def assign_with_slots(model: Model, name: str, x: Any) -> None:
    """Set the attribute `name` of `model` to `x`, as `assign` does, for a class that has `__slots__`.

    This is the `__setattr__` of users' classes that have `__slots__`.
    """
    old: Any = dict(of_module(model)).get(name, x)
    if old is not x and name not in model.__dict__:
        if context.active and context.here().no_grad:
            _refuse_constants(model, name, old, x)
        _before_replacing(model, name, old, x)
    assign(model, name, x)


def delete(model: Model, name: str) -> None:
    """Delete the attribute `name` of `model`, and forget where parameters were in it.

    So a later attribute of the same name may have anything where the deleted one had parameters. This function is the
    `__delattr__` of `Module` and of users' classes.
    """
    object.__delattr__(model, name)
    if (record := records.get(id(model))) is not None:
        record.places.pop(name, None)
        record.arrays.pop(name, None)


def _before_replacing(model: Model, name: str, old: Any, x: Any) -> None:
    """Raise TypeError, or warn, if `model` would lose parameters when `x` replaces `old`, its attribute `name`.

    If there is no error, record where `x` has parameters.
    """
    if type(old) is not list and not may_hold_leaves(old):  # asked first, since the other questions take longer
        _note_arrays(model, name, x)
        return
    record: Any = records.get(id(model))
    known = record is not None and name in record.places
    if type(old) is not list or not old or type(old[0]) is not Value or old[0].op is not None:
        items = items_if_values(old)
        if all(p.op is not None for p in items) if items else not may_hold_leaves(old):  # no parameter can be lost
            if known:
                record.places.pop(name)
                record.arrays.pop(name, None)
            _note_arrays(model, name, x)
            return
    if not changes.is_noted and id(model) not in beginning:
        changes.note_change()
    places = places_in(x) if type(x) is list or known else None
    if places is None or places.numbers or not places.ids or not all(places.ids):
        if has_number(x):
            _refuse_numbers(model, name, old, x, _assignment(f"model.{name}", old, "x"))
        _refuse_computed(model, name, old, x)
        if id(model) not in beginning:
            _compare_objects(model, name, old, x)
    if known:
        record.places[name] = places
        renew_arrays(model, record, name, x)


def _compare_objects(model: Model, name: str, old: Any, x: Any) -> None:
    """Raise TypeError, or warn, if an object in `x` has a number or computed value where `old` has a parameter.

    `old` is the attribute `name` of `model`, and `x` is the new one. The objects are modules and objects of users'
    classes, such as dataclasses. If a module in `x` is of another class than the one in `old`, it may have a number
    there.
    """
    if isinstance(old, Model) and type(x) is not type(old):
        return
    before = [(path, p) for path, p in contents(old, in_modules=True) if isinstance(p, Value)]
    trained = {path: p for path, p in before if p.op is None and p.requires_grad}
    if not trained:
        return
    now = dict(contents(x, in_modules=True))
    kept = {id(p) for p in now.values()}
    looked_at = {id(p) for p in values_in(x)}
    for path, p in trained.items():
        place = next((path[:k] for k in range(len(path), 0, -1) if path[:k] in now), None)
        if place is None or id(p) in kept or id(item := now[place]) in looked_at or not _are_alike(old, x, place):
            continue
        code = code_of(old, path)
        if not isinstance(item, Value):
            number = "x" if is_array(item) else repr(item)
            _refuse_numbers(model, name, old, x, _assignment(f"model.{name}{code}", p, number))
        elif place == path:
            _refuse_computed(model, name, p, item, code)


def _are_alike(old: Any, x: Any, path: tuple[Any, ...]) -> bool:
    """Return whether `old` and `x` have modules of the same classes on the way to `path`.

    `path` is a tuple of names, keys and indices, which exists in both.
    """
    for key in path:
        if isinstance(old, Model) and type(x) is not type(old):
            return False
        old, x = (dict(members(y))[key] if (members := members_of_known(type(y))) else None for y in (old, x))
    return True


def _refuse_numbers(model: Model, name: str, old: Any, x: Any, write: str) -> None:
    """Raise TypeError if `x`, which has numbers, would replace parameters in `old`, the attribute `name` of `model`.

    It is no error if the rest of the model still has these parameters, or if `x` has as many parameters as `old`.
    `write` is code for the message: it changes the numbers of the parameters, which is what the user should do instead.
    """
    held = leaves_to_train(old)
    if len(leaves_to_train(x)) >= len(held) or held <= leaves_beside(model, name):
        return
    path = f"model.{name}"
    raise TypeError(
        f"{type(model).__name__}.{name} = ... would replace parameters by numbers, which are neither trained nor "
        f"saved; change the numbers of the parameters, as in {write}, or write del {path} first; "
        "for a Value that is no parameter, write Value(x, requires_grad=False)"
    )


def _refuse_computed(model: Model, name: str, old: Any, x: Any, inside: str = "") -> None:
    """Raise TypeError if values in `x` were computed from parameters in `old`, which `model` would lose.

    `old` is the attribute `name` of `model`, and `x` replaces it. If `inside` is not "", `old` and `x` are objects
    inside the old and the new attribute, and `inside` is the code that leads to them, such as ".w".

    There is a warning and no error if the value may be a state of the model. This is so in three cases: a model is
    being called; the value also depends on another leaf, to which something refers; or a variable has the old
    parameter. In `__init__`, after which the model is checked anyway, there is no error. A value that does not depend
    on the lost parameters is refused only if it is a constant, or if nothing but its graph refers to its leaves.
    """
    values = values_in(x)
    made = [item for item in values if item.op is not None or (item._da is not None and item._is_constant_result)]
    if not made:
        return
    held = {id(item): item for item in values_in(old) if item.op is None and item.requires_grad}
    lost = held.keys() - {id(item) for item in values}
    if not lost or names_its_parameters(type(model)):
        return
    lost -= {id(item) for item in (*leaves_beside(model, name), *leaves_to_train(values))}
    if not lost:
        return
    parameters = [held[known] for known in lost]
    del held
    if in_init := id(model) in beginning:
        made = [item for item in made if item.op is not None]
    allowed = in_init or any(True for _ in running_models()) or _is_in_a_variable(parameters)
    del parameters
    computed = [("", item) for item in made if item.op is not None]
    wrong = {id(item) for _, item in with_unheld_leaves(computed, lost=() if allowed else lost)}
    for item in made:
        depends = item.op is not None and not lost.isdisjoint(map(id, traverse(item)[1]))
        if not in_init and not (allowed and depends) and (item.op is None or id(item) in wrong):
            by = f"what is computed ({item.op.name})" if item.op else "a constant that an operation computed"
            raise TypeError(
                f"{type(model).__name__}.{name} = ... would replace parameters by {by}, which nothing trains; change "
                f"their numbers, as in {_assignment(f'model.{name}{inside}', x, 'x.data')}, or assign leaves, as in "
                f"Value(x.data); for a state that the model computes, begin with a number, as in self.{name} = 0.0; to "
                f"give the parameters up, write del model.{name} first"
            )
        if depends and not (in_init and id(item) in wrong):
            assert item.op
            warn_of_computed(type(model), f".{name}{inside}", item.op)
            return


def _refuse_constants(model: Model, name: str, old: Any, x: Any) -> None:
    """Raise TypeError if `x`, which replaces `old`, has constants, and lacks some of the parameters in `old`.

    `old` is the attribute `name` of `model`. The constants are the results of operations inside `no_grad()`, as in
    `m.w = m.w - lr * m.w.grad`.
    """
    new = [item for _, item in walk(x, descends_always) if isinstance(item, Value)]
    if not any(item._is_constant_result for item in new):
        return
    kept = {id(item) for item in new}
    held = [item for _, item in walk(old, descends_always) if isinstance(item, Value)]
    if any(item.op is None and item.requires_grad and id(item) not in kept for item in held):
        raise TypeError(
            f"{type(model).__name__}.{name} = ... inside no_grad() would replace parameters by constants, which "
            f"nothing trains; change their numbers, as in {_assignment(f'model.{name}', x, 'x.data')}; for a state "
            f"that the model computes, begin with a number, as in self.{name} = 0.0"
        )


def _assignment(path: str, x: Any, new: str) -> str:
    """Return code, for a message, that assigns to the data of each parameter in `x`, such as "model.w.data = 0.5".

    `path` is the code for `x`, such as "model.w", and `new` is the code for the number that is assigned.
    """
    if isinstance(x, Value):
        return f"{path}.data = {new}"
    if is_array(x):
        return f"for w, x in zip({path}.flat, new.flat): w.data = {new}"
    if isinstance(x, (list, tuple, deque)):
        return f"for w, x in zip({path}, new): w.data = {new}"
    return f"w.data = {new} for each parameter w in {path}"


def _warn_of_argument(model: Model, name: str, x: Value) -> None:
    """Warn if the leaf `x` becomes the attribute `name` of `model` in a call of `model` that got it as an argument.

    The leaf becomes a parameter, although the user probably only wants to look at an input later. There is no warning
    if the leaf is a parameter of a model whose call is running, because it is a parameter already.
    """
    if name not in model.__dict__:
        note_added(model, name, x)
    if not changes.is_noted:
        changes.note_change()
    if x._is_constant_result or names_its_parameters(type(model)):
        return
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    code = frame.f_code
    held = local_variables(frame)
    given = [held.get(variable) for variable in code.co_varnames[: code.co_argcount]]
    if code.co_name not in NAMES_OF_CALLS or not given or given[0] is not model or not any(y is x for y in given):
        return
    if any(x in leaves_to_train(running) for running in running_models()):
        return
    warnings.warn(
        f"{type(model).__name__}.{name} is now the leaf that a call got as an argument, so it is a parameter of the "
        f"model, which parameters() and save() have; to look at the number later, write self.{name} = x.data for an "
        "argument x",
        stacklevel=level,
    )


def _refuse_hidden(model: Model, name: str, x: Any) -> None:
    """Raise TypeError if `x`, a new attribute `name`, has parameters where none are looked for; see `refuse_hidden`.

    No error is raised if the class of `model` has its own method `parameters` or `named_parameters`: it may then keep
    other `Value`s as it likes.
    """
    if not names_its_parameters(type(model)):
        refuse_hidden(model, [(name, x)])


def _note_new(model: Model, name: str, x: Any) -> None:
    """Record where `x`, which becomes a new attribute `name` of `model`, has parameters.

    Raises:
        TypeError: `x` has parameters where none are looked for, such as the keys of a dict.
    """
    members = members_of_known(type(x))
    if name not in model.__dict__:
        note_added(model, name, x)
    if members is None or members is of_leaf or isinstance(x, Model) or names_its_parameters(type(model)):
        return
    _refuse_hidden(model, name, x)
    if members is not of_opaque:
        _note_places(model, name, x)
    if not changes.is_noted and may_hold_leaves(x):
        changes.note_change()


def _note_arrays(model: Model, name: str, x: Any) -> None:
    """Record where `x`, which replaces an attribute without parameters, has parameters in arrays.

    In `__init__`, nothing is recorded, since the model is looked at afterwards.
    """
    if type(x) is not Value and id(model) not in beginning and arrays_in(name, x):
        _note_places(model, name, x)


def _note_places(model: Model, name: str, x: Any) -> None:
    """Record where `x`, which becomes the attribute `name` of `model`, has parameters, if it has any."""
    if any((places := places_in(x)).ids):
        record = record_of(model)
        record.places[name] = places
        renew_arrays(model, record, name, x)


def _is_in_a_variable(parameters: Sequence[Value]) -> bool:
    """Return whether each of `parameters` is in a variable of some running function, or in a dict in such a variable.

    Functions of this package do not count, and neither do dicts with over 100 items more than `parameters`.
    """
    wanted = {id(p) for p in parameters}
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and wanted:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            for x in [*local_variables(frame).values()]:
                if isinstance(x, Value):
                    wanted.discard(id(x))
                elif type(x) is dict and len(x) <= len(parameters) + 100:
                    wanted.difference_update(map(id, x.values()))
        frame = frame.f_back
    return not wanted
