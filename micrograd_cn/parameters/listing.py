"""List the parameters of a model, each with its path, and remember which models were listed."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from ..engine import Value
from .class_attributes import has_holders, message_of_class, parameters_in_class, refuse_shared
from .lost import refuse_lost
from .members import (
    OF_HIDING,
    ONLY_VALUES,
    descends_always,
    known_members,
    leaves_in_set,
    members_of,
    of_module,
    of_object,
    walk,
)
from .model import Model, beginning, lists_its_parameters, names_its_parameters, of_this_package, overrides
from .records import additions, is_kept, record_of, records
from .states import is_computed
from .unheld import refuse_computed


def find_parameters(model: Model) -> list[tuple[str, Value]]:
    """Return a list of pairs (path, parameter), which `model.named_parameters()` yields.

    Raises:
        TypeError: the model has a parameter that cannot be listed, such as one in a set, or has lost a parameter.
    """
    found: list[tuple[str, Value]] = []
    seen: set[int] = set()
    sets: list[tuple[str, Any]] = []
    modules: list[tuple[str, Model]] = []
    objects: list[Any] = []  # those that are neither modules nor containers
    computed: list[str] = []  # the paths of values that an operation computed
    with_gradient: list[str] = []  # the paths of those among them that require a gradient
    asked: set[int] = set()

    def descends(x: object) -> bool:
        if id(x) in seen:
            return False
        if isinstance(x, Model) and x is not model and lists_its_parameters(x):
            asked.add(id(x))
            return False
        return True

    for path, x in walk(model, descends):
        if (known := id(x)) not in seen:
            seen.add(known)
            if type(x) is Value or isinstance(x, Value):
                if x.op is not None:
                    computed.append(path)
                    if x.requires_grad:
                        with_gradient.append(path)
                    continue
                if is_kept(x):
                    continue
                found.append((path, x))
                if x._da is not x._db and is_computed(x):
                    computed.append(path)
            elif isinstance(x, Model):
                if known not in asked:
                    modules.append((path, x))
                    continue
                for name, p in listed_parameters(x):
                    if id(p) not in seen:
                        seen.add(id(p))
                        found.append((f"{path}.{name}", p))
            elif isinstance(x, (set, frozenset)):
                sets.append((path, x))
            elif known_members[type(x)] is of_object:
                objects.append(x)
    for path, x in sets:
        if any(id(leaf) not in seen for leaf in leaves_in_set(x)):
            raise TypeError(
                f"{type(model).__name__}.{path} is a set with parameters, and a set has no order; keep them in "
                "a list, a tuple or a dict"
            )
    in_class: dict[type, list[tuple[str, Value]]] = {}
    for path, module in modules:
        cls = type(module)
        if cls not in in_class:
            in_class[cls] = parameters_in_class(cls)
        for name, held in in_class[cls]:
            if vars(module).get(name, held) is held:
                raise TypeError(message_of_class(cls, name, name))
        module._refuse_untrained(path, seen, bool(computed))
        if cls not in of_this_package or id(module) in additions:
            refuse_lost(module, model)
            if has_holders(cls):  # `parameters_in_class` has just looked
                objects.append(module)
    if objects:
        refuse_shared(objects, model)
    refuse_dotted(model)
    if with_gradient:
        _refuse_untrained_values(model, modules, with_gradient)
    if computed:  # `refuse_lost` may have found states among them
        found = [(path, p) for path, p in found if not is_kept(p)]
    if found:
        note_listed(model, found[0][1], found[-1][1], len(found))
    return found


def _refuse_untrained_values(model: Model, modules: list[tuple[str, Model]], paths: list[str]) -> None:
    """Raise TypeError if a value in `model` was probably meant to be a parameter, but is computed and never trained.

    This is assumed if only the graph of such values refers to their leaves, and if no call of a model stores values in
    the attribute: the results that a call keeps are no mistake.

    Args:
        model: the model whose parameters are listed.
        modules: pairs (path, module) of the modules in it, and of the model itself.
        paths: the paths of the computed values in it.
    """
    from .stored import stored_by_calls  # imported here, because it imports `inspect`, and most models do not need it

    classes = tuple(dict.fromkeys([type(module) for _, module in modules]))
    for find in (stored_by_calls, stored_by_calls.__wrapped__):  # a method may have been replaced since the first call
        stored = find(classes)
        if stored is None or not [path for path in paths if stored.isdisjoint(path.split("."))]:
            return
    assert stored is not None
    made: list[tuple[str, Value]] = []
    for prefix, module in modules:
        cls = type(module)
        if names_its_parameters(cls) or id(module) in beginning:
            continue
        members = known_members[cls]
        assert members  # modules have some
        for name, held in members(module):
            if name in stored or isinstance(held, Model):
                continue
            for inside, x in walk(held, lambda x: not isinstance(x, Model) and known_members[type(x)] is not of_object):
                if isinstance(x, Value) and x.op is not None and x.requires_grad:
                    made.append((".".join(filter(None, (prefix, str(name), inside))), x))
    refuse_computed(model, made)


def usual_parameters(model: Model) -> list[Value] | None:
    """Return the parameters of a model that consists of modules, lists and leaves alone; None for any other model.

    This function is faster than the method `named_parameters`, because it makes no paths. If it returns None, call the
    method, which may raise an error about the model.
    """
    if "." in "".join(model.__dict__):
        return None
    found: dict[Value, None] = {}
    modules: list[Model] = []
    lists: list[list[Any]] = []
    entered: set[int] = set()
    waiting: list[Any] = [model]
    while waiting:
        x = waiting.pop()
        cls = type(x)
        if cls is Value:
            if x.op is not x._da or (x._db is not None and not x.requires_grad):
                return None
            found[x] = None
        elif cls is list:
            if ONLY_VALUES.issuperset(map(type, x)):
                for p in x:
                    # Both are None for a leaf that no operation computed, and so is `_db` unless `detach` made the leaf
                    if p.op is not p._da or (p._db is not None and not p.requires_grad):
                        return None
                    found[p] = None
                lists.append(x)
            elif id(x) not in entered:
                entered.add(id(x))
                held: list[Any] = [*map(type, x)]
                if Value in held:
                    held = [p if type(p) is Value else type(p) for p in x]
                lists.append(held)
                waiting += x[::-1]
        else:
            members = known_members[cls] if cls in known_members else members_of(cls)
            if members is None or members in OF_HIDING:
                continue
            if members is not of_module or (x is not model and lists_its_parameters(x)):
                return None
            if id(x) not in entered:
                entered.add(id(x))
                modules.append(x)
                waiting += [item for _, item in of_module(x)][::-1]
    try:
        for module in modules:
            module._refuse_untrained("", entered, computed=False)
    except TypeError:  # `named_parameters` raises it with the path
        return None
    users = {type(module) for module in modules} - of_this_package
    if users or (additions and not additions.isdisjoint(map(id, modules))):
        if any(map(parameters_in_class, users)):
            return None
        if any(map(has_holders, users)):  # `parameters_in_class` has just looked
            refuse_shared(modules, model)
        record = records.get(id(model))
        if record is None or record.lists != lists:
            for module in modules:
                if type(module) in users or id(module) in additions:
                    refuse_lost(module, model)
            record_of(model).lists = [x.copy() for x in lists]
    listed = list(found)
    if listed:
        note_listed(model, listed[0], listed[-1], len(listed))
    return listed


def refuse_dotted(model: Model) -> None:
    """Raise TypeError if an attribute of `model` has the path of a parameter, such as "layers.0.b", as its name.

    The user has probably called `setattr(model, path, p)`. This adds a parameter p, but does not change the one at the
    path.
    """
    held = vars(model)
    for name, x in held.items():
        if "." in name and isinstance(x, Value) and (keys := name.split("."))[0] in held:
            code = "".join(f"[{key}]" if key.isdecimal() else f".{key}" for key in keys)
            raise TypeError(
                f"{type(model).__name__} has an attribute whose name is the path {name!r}, which changes nothing at "
                f"this path; write model{code} = p for a parameter p, model{code}.data = p.data for its number, or "
                "model.load_state_dict(other.state_dict()) for the numbers of all parameters"
            )


# The ids of the modules whose own method `parameters` is running. Two such modules may refer to each other.
_asked: ContextVar[frozenset[int]] = ContextVar("micrograd_cn_asked", default=frozenset())


def listed_parameters(module: Model) -> list[tuple[str, Value]]:
    """Return pairs (path, parameter) for the parameters that a user's own method of `module` returns.

    The paths begin in `module`. The method is `named_parameters` if the class overrides it, and `parameters` otherwise.
    If this method is running already, the list is empty. This happens if it asks for the parameters of another module
    that contains `module`.

    Raises:
        TypeError: `parameters` returns something other than `Value`s.
    """
    asked = _asked.get()
    if id(module) in asked:  # the caller is this module's own method, which will list these parameters
        return []
    token = _asked.set(asked | {id(module)})
    try:
        if overrides(type(module), "named_parameters") and "parameters" not in vars(module):
            return list(module.named_parameters())
        listed = call_parameters(module)
    finally:
        _asked.reset(token)
    for p in listed:
        if not isinstance(p, Value):
            raise TypeError(f"{type(module).__name__}.parameters() must return Values, got {type(p).__name__} {p!r}")
    paths = {id(x): path for path, x in walk(module, lambda _: True) if isinstance(x, Value)}
    return [(paths.get(id(p), f"parameters.{i}"), p) for i, p in enumerate(listed)]


def call_parameters(module: Model) -> list[Value]:
    """Return a list of the parameters that `module.parameters()` returns, which may be a user's method.

    Raises:
        TypeError: the class has an attribute `parameters` that is not a method, such as a property.
    """
    method = module.parameters
    if not callable(method):
        name = type(module).__name__
        raise TypeError(f"{name}.parameters is a {type(method).__name__}; make it a method, without @property")
    return list(method())


# The models whose parameters were listed, by id, while they exist: a weak reference to the model, the ids of its first
# and its last parameter then, and the count of its parameters. Python may drop a model here at any allocation
_listed: dict[int, tuple[weakref.ref[Model], int, int, int]] = {}
_by_first: dict[int, int] = {}  # for the id of each such first parameter, the id of the model that was listed last


def note_listed(model: Model, first: Value, last: Value, count: int) -> None:
    """Record the first and the last parameter that `model` had when its parameters were listed, and their count."""
    known, begin = id(model), id(first)
    if known in _listed:
        reference = _listed[known][0]
    elif isinstance(model, tuple):  # Python does not tell when such an object is gone, see `record_of`
        return
    else:

        def forget(_: object) -> None:
            dropped = _listed.pop(known, None)
            if dropped and _by_first.get(dropped[1]) == known:
                del _by_first[dropped[1]]

        reference = weakref.ref(model, forget)
    _listed[known] = reference, begin, id(last), count
    _by_first[begin] = known


def models_in(parameters: Sequence[Value]) -> list[tuple[weakref.ref[Model], list[Value]]]:
    """Return the models whose parameters are in `parameters`, each as a pair: a weak reference, and its parameters.

    A model is found by its first and its last parameter: they must be as far apart in `parameters` as they were when
    the parameters of the model were last listed. To be fast, the search ends after MAX_OTHERS parameters at which no
    model begins.
    """
    found, i, others = [], 0, 0
    while i < len(parameters) and others < MAX_OTHERS:
        listed = _listed.get(_by_first.get(id(parameters[i]), 0))
        reference, first, last, count = listed or (None, 0, 0, 0)
        part = parameters[i : i + count]
        ends = (id(part[0]), id(part[-1]), len(part)) if part else None
        # A leaf may have the id of a former one, which the model has given up since
        if reference and ends == (first, last, count) and _has_leaf(reference(), part[0]):
            found.append((reference, [*part]))
            i += count
        else:
            i, others = i + 1, others + 1
    return found


MAX_OTHERS = 4


def _has_leaf(model: Model | None, leaf: Value) -> bool:
    return any(x is leaf for _, x in walk(model, descends_always))


class ParametersOfModels:
    """A cache of the parameters of models: `parameters()` of each model is called once, since it takes long."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Model, list[Value]]] = {}  # by the ids of the models, which are kept alive

    def of(self, model: Model) -> list[Value]:
        """Return the result of `model.parameters()`, which this object calls only once for each model.

        Raises:
            TypeError: `model.parameters()` raises this error. The next call of this method for the model then calls it
                again.
        """
        found = self._known.get(id(model))
        if found is None:
            found = self._known[id(model)] = model, model.parameters()
        return found[1]


def refuse_lost_parameters(parameters: Sequence[Value], listed: ParametersOfModels) -> None:
    """Raise TypeError, or warn, if a model has lost some of the parameters that it had when they were last listed.

    The models are those whose first parameter was one of `parameters`. A model with a method `parameters` of its own is
    left out. The parameters of the other models are listed again by `listed`, which raises the error or warns.
    """
    begin, wanted = id(next(iter(parameters), None)), set[int]()
    for reference, first, _, _ in [*_listed.values()]:
        if first != begin and first not in (wanted := wanted or {*map(id, parameters)}):
            continue
        model = reference()
        if model is not None and not lists_its_parameters(model):
            listed.of(model)
