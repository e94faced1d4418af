"""`Module`, the base class of models: it finds the parameters in its attributes, saves them and loads them."""

from __future__ import annotations

import functools
import gc
import json
import math
import operator
import os
import stat
import sys
import warnings
import weakref
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from decimal import Decimal
from functools import partial
from itertools import product
from numbers import Number
from operator import is_
from pathlib import Path
from types import FrameType, MappingProxyType, MemberDescriptorType, MethodType
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex, TypeAlias

from .derivatives.tree import arrays_to_lists, flatten, flatten_like
from .engine import Value, traverse
from .graph import context
from .graph.array_updates import Remembered, may_fill_arrays
from .graph.callers import PACKAGE, local_variables, warn_at_user
from .graph.node import assign_data
from .ops.number import flag, number
from .ops.operation import Op

__all__ = ["Module"]


class Module:
    """A model. Its parameters are the leaf `Value`s in its attributes, also inside other objects.

    Parameters are found inside modules, lists, tuples, deques, dicts, numpy arrays and objects of your own classes,
    however nested, in attributes and `__slots__`. They are not found in closures of functions, nor in iterators and
    other objects of the standard library. A set has no order, so it is an error if a parameter is in a set and nowhere
    else. It is also an error if `__init__`, or an assignment to a new attribute, puts a parameter only into the keys or
    a view of a dict, a `functools.partial`, a pandas Series or DataFrame, an attribute of a class or of a `Value`, or
    the object of a bound method.

    A computed value, such as `Value(0.5) * 0.1`, is no leaf and therefore no parameter. It is an error if `__init__`
    computes a value from leaves that nothing else refers to, because nothing would ever train these leaves. Values that
    a call of the model computes and keeps in an attribute are no parameters either, and they are allowed. This also
    holds for constants, inside `no_grad()` or from `detach()`, in an attribute that had no parameters before, and for
    constants that are computed from constants alone, as in `self.k = self.c * 3`. A call may also put constants that it
    computes inside `no_grad()` into a collection that had no parameters at the end of `__init__`.

    A parameter may be replaced by another leaf, as in `m.w = Value(0.5)`, but make the optimiser anew then. One that
    was made before warns after its first step, and after 30, 1000, ... steps. It is an error if an assignment
    replaces a parameter by a number, by a constant that an operation computed, or by a value that is computed from it,
    as in `m.w = m.w * 0.5`, because the model would lose a parameter without a word.

    It is a warning instead where the value may be the next state of a recurrent model: if a call of a model (`__call__`
    or `forward`) assigns it, if it also depends on other parameters, or if a variable has the old parameter, as in
    `theta = m.w; m.w = theta - 0.4 * theta`. If it is a state, begin with a number, as in `self.h = 0.0`. If it is a
    weight, as in `self.w = self.w / norm`, keep the parameter and write `w = self.w / norm`. To take a parameter out of
    a model, write `del m.w` first.

    After an assignment to an item of a collection, as in `m.ws[0] = 0.5`, the error is raised, or the warning given,
    when the parameters are next listed or saved, and by optimisers after their first step, and after 30, 1000,
    ... steps. A collection may have numbers beside parameters from the start.

    Parameters are looked for in each model object and not in its class, so it is an error if an attribute of the class
    has one, or if `__init__` puts parameters into a list of the class and the model has none of them. If a module
    inside this one overrides `parameters`, its parameters are those that this method returns.

    A subclass defines `__call__`, or, as in PyTorch, a method `forward`, which runs when the model is called.

    >>> class Line(Module):
    ...     def __init__(self):
    ...         self.slope, self.offset = Value(2), Value(1)
    >>> [name for name, _ in Line().named_parameters()]
    ['slope', 'offset']
    >>> Line()
    Line(), 2 parameters
    """

    expands_in_repr = True  # whether `repr` also shows the modules inside this one

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        forward, inherited = getattr(cls, "forward", None), cls.__call__
        ours = _is_of_this_package(inherited)
        if callable(forward) and (ours or hasattr(inherited, "runs_forward")) and "__call__" not in vars(cls):
            cls.__call__ = _run_forward(forward)  # type: ignore[method-assign]  # it has the signature of forward
        _refuse_class_attributes(cls)
        has_items = issubclass(cls, (list, dict, deque)) and not hasattr(cls.__init__, "__wrapped__")
        if ("__init__" in vars(cls) or has_items) and not _is_of_this_package(cls):
            cls.__init__ = _check_after(cls.__init__)  # type: ignore[method-assign]  # it has the signature of __init__
        if "__setstate__" in vars(cls):
            cls.__setstate__ = _note_after(cls.__setstate__)  # type: ignore[method-assign]  # it takes a state
        for name in ("__copy__", "__deepcopy__"):
            if name in vars(cls):
                setattr(cls, name, _note_copy(vars(cls)[name]))
        kind: Any = cls
        if _is_of_this_package(cls):
            _of_this_package.add(cls)  # these classes need no check
            kind.__setattr__, kind.__delattr__ = object.__setattr__, object.__delattr__
            return
        _members_of(cls)
        # A frozen dataclass refuses a class that has these methods itself, so inherit them where that is possible
        if cls.__setattr__ is object.__setattr__ or (_slots[cls] and cls.__setattr__ is Module.__setattr__):
            kind.__setattr__ = _assign_with_slots if _slots[cls] else _assign
        if cls.__delattr__ is object.__delattr__:
            kind.__delattr__ = _delete

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return super().__reduce_ex__(max(2, operator.index(protocol)))  # older protocols do not store slots

    def __setstate__(self, state: Any) -> None:
        """Set the attributes of a copy or an unpickled module, and take note of its parameters."""
        attributes, slots = state if isinstance(state, tuple) else (state, None)
        vars(self).update(attributes or {})
        for name, x in (slots or {}).items():  # the class may have __slots__
            _set_attribute(self, name, x)
        if type(self) not in _of_this_package:
            _refuse_lost(self, self, is_new=True)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what `forward` returns. A model may define either `__call__` or `forward`.

        Raises:
            TypeError: the model has no `forward`.
        """
        if forward := getattr(self, "forward", None):
            return forward(*args, **kwargs)
        name = type(self).__name__
        raise TypeError(f"{name} cannot be called: define __call__(self, x) or forward(self, x) in the class {name}")

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """Yield every parameter once, with its path.

        For a `Layer` or `Neuron`, the paths differ from the keys of `state_dict`, which are PyTorch's and have "weight"
        and "bias" in them. In a path, a weight of a `Neuron` is "w" with its index, and the bias is "b". The second
        example below leaves biases out.

        If a module inside this one overrides `parameters` or `named_parameters`, its own method says which parameters
        it has, as in micrograd.

        Raises:
            TypeError: parameters are in a set, and nowhere else in the model; or an attribute of a class is a
                parameter; or a weight of a `Neuron` is a number, or is computed from leaves that nothing would train;
                or an item of a collection was a parameter, and is now a number or computed from this parameter; or a
                module's own `parameters` returns something other than `Value`s; or an attribute has the path of a
                parameter as its name.

        >>> from micrograd_cn.nn import Layer
        >>> [name for name, _ in Layer(2, 1).named_parameters()]
        ['neurons.0.w.0', 'neurons.0.w.1', 'neurons.0.b']
        >>> [name for name, _ in Layer(2, 1).named_parameters() if not name.endswith("b")]
        ['neurons.0.w.0', 'neurons.0.w.1']
        """
        yield from self._find_parameters()

    def _find_parameters(self) -> list[tuple[str, Value]]:
        """Return a list of the parameters that `named_parameters` yields, each with its path."""
        found: list[tuple[str, Value]] = []
        seen: set[int] = set()
        sets: list[tuple[str, Any]] = []
        modules: list[tuple[str, Module]] = []
        objects: list[Any] = []  # those that are neither modules nor containers
        computed: list[str] = []  # the paths of values that an operation computed
        asked: set[int] = set()

        def descends(x: object) -> bool:
            if id(x) in seen:
                return False
            if isinstance(x, Module) and x is not self and _lists_its_parameters(x):
                asked.add(id(x))
                return False
            return True

        for path, x in _walk(self, descends):
            if (known := id(x)) not in seen:
                seen.add(known)
                if type(x) is Value or isinstance(x, Value):
                    if x.op is not None:
                        computed.append(path)
                        continue
                    if _is_kept(x):
                        continue
                    found.append((path, x))
                    if x._da is not None and x._is_constant_result:
                        computed.append(path)
                elif isinstance(x, Module):
                    if known not in asked:
                        modules.append((path, x))
                        continue
                    for name, p in _listed_parameters(x):
                        if id(p) not in seen:
                            seen.add(id(p))
                            found.append((f"{path}.{name}", p))
                elif isinstance(x, (set, frozenset)):
                    sets.append((path, x))
                elif _members[type(x)] is _of_object:
                    objects.append(x)
        for path, x in sets:
            if any(id(leaf) not in seen for leaf in _leaves_in_set(x)):
                raise TypeError(
                    f"{type(self).__name__}.{path} is a set with parameters, and a set has no order; keep them in "
                    "a list, a tuple or a dict"
                )
        in_class: dict[type, list[tuple[str, Value]]] = {}
        for path, module in modules:
            cls = type(module)
            if cls not in in_class:
                in_class[cls] = _parameters_in_class(cls)
            for name, held in in_class[cls]:
                if vars(module).get(name, held) is held:
                    raise TypeError(_in_class(cls, name, name))
            module._refuse_untrained(path, seen, bool(computed))
            if cls not in _of_this_package:
                _refuse_lost(module, self)
                if cls in _holders and _holders[cls][2]:  # `_parameters_in_class` has just looked
                    objects.append(module)
        if objects:
            _refuse_shared(objects, self)
        _refuse_dotted(self)
        if computed:  # `_refuse_lost` may have found states among them
            found = [(path, p) for path, p in found if not _is_kept(p)]
        if found:
            _note_listed(self, found[0][1], found[-1][1], len(found))
        return found

    def _refuse_untrained(self, path: str, found: set[int], computed: bool) -> None:
        """Do nothing. `Neuron` overrides this method, and raises TypeError if nothing would train one of its weights.

        It is called for the modules of a model when the parameters of the model are listed.

        Args:
            path: the path of this module in the model whose parameters are listed.
            found: the ids of the objects that were found in this model.
            computed: whether computed values were found in this model.
        """

    def parameters(self) -> list[Value]:
        """Return every parameter once, in the order of `named_parameters`.

        >>> from micrograd_cn.nn import MLP
        >>> len(MLP(2, [3, 1]).parameters())
        13
        """
        overridden = type(self).named_parameters is not Module.named_parameters or "named_parameters" in vars(self)
        if not overridden and (quickly := _usual_parameters(self)) is not None:
            return quickly
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Set the gradient of every parameter to 0, or to None if `set_to_none` is true, as PyTorch does.

        >>> from micrograd_cn.nn import Layer
        >>> layer = Layer(1, 1); layer.parameters()[0].grad = 5.0
        >>> layer.zero_grad(); layer.parameters()[0].grad
        0.0
        """
        if type(set_to_none) is not bool:
            set_to_none = flag("zero_grad(): set_to_none", set_to_none)
        grad: Any = None if set_to_none else 0.0
        for parameter in _call_parameters(self):
            parameter._grad = grad

    def entries(self) -> dict[str, Any]:
        """Return the entries of `state_dict` by name; an entry is a parameter, or parameters in nested lists.

        A list, tuple, deque or array that contains nothing but parameters is one entry. If an entry comes from a module
        inside this one, its name begins with the path of that module. A subclass may override this method, as `Layer`
        does.

        Raises:
            ValueError: two entries have the same name, as with a dict that has the keys 1 and "1".
            TypeError: parameters are in a set, and nowhere else in the model.

        >>> from micrograd_cn.nn import MLP
        >>> list(MLP(2, [3, 1]).entries())
        ['layers.0.weight', 'layers.0.bias', 'layers.1.weight', 'layers.1.bias']
        """
        found: dict[str, Any] = {}
        # An override of this method may call super().entries(), so `self.entries()` must not be called here.
        for path, x in _walk(self, lambda x: x is self or (not _defines_entries(x) and not _is_entry(x))):
            entries: dict[str, Any] = {}
            if x is not self and _defines_entries(x):
                entries = {f"{path}.{name}".removeprefix("."): entry for name, entry in x.entries().items()}
            elif _is_entry(x):
                entries = {path: x}
            elif isinstance(x, (set, frozenset)):
                self.parameters()  # this raises TypeError if parameters are in the set alone
            if twice := sorted(entries.keys() & found.keys()):
                raise ValueError(
                    f"{type(self).__name__}: two entries of the state have the name {', '.join(map(repr, twice))}; "
                    "rename one of the attributes or keys on the way to them"
                )
            found |= entries
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the data of the parameters by name, as floats in nested lists; tuples stay tuples.

        The names and shapes of a `Layer` are those of PyTorch's Linear, which loads them by
        `linear.load_state_dict({name: torch.tensor(x) for name, x in layer.state_dict().items()})`. As in PyTorch, the
        state does not tell how the numbers are used: the same numbers in a model with another activation function load
        without an error, and give other results.

        Raises:
            ValueError: two entries of this module have the same name.
            TypeError: an attribute is a computed value that should have been a parameter, so the state would lack it;
                or an item of a collection was a parameter, and is now a number or computed from this parameter; or
                parameters are in a set, and nowhere else; or an attribute has the path of a parameter as its name.

        >>> from micrograd_cn.nn import Layer
        >>> Layer(2, 3, init="zeros").state_dict()
        {'weight': [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]], 'bias': [0.0, 0.0, 0.0]}
        """
        state, entries = {}, self.entries()
        if _refuse_unsaved(self, entries):
            entries = self.entries()
        _refuse_dotted(self)
        for name, entry in entries.items():
            state[name] = _data_of(entry)
        return state

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Set the data of the parameters to the numbers in `state`. If `state` is wrong, nothing is changed.

        Args:
            state: numbers by name, in nested lists, arrays or tensors.
            strict: whether missing and unexpected entries are errors. If not, missing entries keep their data, and
                unexpected entries are ignored.

        Raises:
            ValueError: an entry is missing or unexpected, has another shape, or contains a number that is too large for
                a float; or two entries of this module have the same name.
            TypeError: `state` is not a mapping, or an entry contains something that is not a number.

        >>> from micrograd_cn.nn import Layer
        >>> Layer(2, 1).load_state_dict({"weight": [[1, 2]]})
        Traceback (most recent call last):
        ValueError: load_state_dict: 'bias' is missing
        """
        strict = flag("load_state_dict(): strict", strict)
        if not isinstance(state, Mapping):
            write = ""
            if isinstance(state, (str, os.PathLike)):
                write = f"; write model.load({os.fspath(state)!r}) for a file that save() wrote"
            elif isinstance(state, Module):
                write = "; write model.load_state_dict(other.state_dict())"
            elif isinstance(state, (list, tuple)):
                write = "; write for p, x in zip(model.parameters(), xs): p.data = x for a list xs of numbers"
            raise TypeError(f"load_state_dict takes a dict, got {type(state).__name__}{write}")
        entries = self.entries()
        if strict and entries.keys() != state.keys():
            self.parameters()  # which may find states among the constants in collections
            entries = self.entries()
        if strict:
            missing, unexpected = entries.keys() - state.keys(), state.keys() - entries.keys()
            for kind, names in (("missing", missing), ("unexpected", unexpected)):
                if names:
                    verb = "is" if len(names) == 1 else "are"
                    why = _why_no_entry(self, entries, sorted(names))
                    raise ValueError(f"load_state_dict: {', '.join(map(repr, sorted(names)))} {verb} {kind}{why}")
        updates: list[tuple[Value, float]] = []
        for name, held in entries.items():
            entry = _as_lists(held)
            if name in state:
                given = state[name].tolist() if hasattr(state[name], "tolist") else state[name]
                try:
                    found = flatten_like(given, entry, name)
                except ValueError as error:
                    wanted, got = shape_in_words(entry), shape_in_words(given)
                    of_another = got.count(" x ") == wanted.count(" x ") and not (" 0" in got or "ragged" in got)
                    of_another &= got.startswith("a list")
                    write = "; make the model with the sizes of the model that the state is from" if of_another else ""
                    raise ValueError(f"load_state_dict: {name!r} must be {wanted}, got {got}{write}") from error
                for (path, x), (_, leaf) in zip(found, flatten(entry)[0], strict=True):
                    if isinstance(x, bool) or not hasattr(x, "__float__"):
                        raise TypeError(f"load_state_dict: {path} must be a number, got {type(x).__name__} {x!r}")
                    try:
                        updates.append((leaf, number(x)))
                    except TypeError as error:
                        raise TypeError(f"load_state_dict: {path}: {error}") from error
                    except OverflowError:
                        raise ValueError(f"load_state_dict: {path} is too large for a float") from None
        assign_data([leaf for leaf, _ in updates], [x for _, x in updates])

    def save(self, path: str | os.PathLike[str] | None = None) -> None:
        """Write the dict that `state_dict` returns to the file `path` as JSON, exact to the last bit.

        The old file stays complete until the new one is complete, so a crash at any point leaves one of them. When
        several threads or processes save to one path, a reader finds the complete file of one of them. If `path` is a
        symbolic link, the file that it leads to is replaced. The new file has the permissions of the old one, and its
        owner and group where the system lets you set them.

        The file has the numbers of the parameters alone, and not the structure or the activation functions: build the
        model in the same way before you load them. A number that is not finite is written as NaN or Infinity.

        To save a model together with its optimiser, write `pickle.dump((model, optimizer), file)`, or save both states.
        `joblib` copies every numpy array apart, so parameters in arrays are no longer those that the loaded optimiser
        has; after `joblib.load` or in `joblib.Parallel`, make the optimiser anew.

        Raises:
            OSError: the file cannot be written, or `path` leads to something other than a regular file.
            ValueError: two entries of this module have the same name.
            TypeError: `state_dict` raises it for this module, or `path` is missing or is no path.

        >>> import tempfile
        >>> from micrograd_cn.nn import Neuron
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Neuron(1, init="zeros").save(f"{folder}/model.json")
        ...     json.loads(Path(f"{folder}/model.json").read_text())
        {'weight': [0.0], 'bias': 0.0}
        """
        path = _checked_path("save", self, path)
        target = Path(os.path.realpath(path))
        old = target.stat() if target.exists() else None
        if old and not stat.S_ISREG(old.st_mode):
            raise OSError(f"{path} is no regular file, and saving would replace it; save to another path")
        mode = stat.S_IMODE(old.st_mode) if old else 0o666
        # The name is random, so it is another one for every call, also on other machines that share the folder.
        temporary = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
        try:
            with open(temporary, "x", encoding="utf-8", opener=partial(os.open, mode=mode & 0o666)) as file:
                if old:
                    _restore_owner_and_mode(file.fileno(), temporary, old)
                json.dump(self.state_dict(), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            if isinstance(error, FileNotFoundError) and not target.parent.exists():
                error.filename = str(path)  # the folder is missing, and nobody has heard of the temporary file
            raise

    def load(self, path: str | os.PathLike[str] | None = None) -> None:
        """Set the data of the parameters to the numbers that `save` wrote. If the file is wrong, nothing is changed.

        Raises:
            OSError: the file cannot be read.
            ValueError: the file is not JSON (it may be truncated), its JSON is no object, an entry is there twice, or
                the entries do not fit this module; see `load_state_dict`.
            TypeError: an entry contains something that is not a number, or `path` is missing or is no path.

        >>> import tempfile
        >>> from micrograd_cn.nn import Neuron
        >>> trained, model = Neuron(1, seed=0), Neuron(1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trained.save(f"{folder}/model.json")
        ...     model.load(f"{folder}/model.json")
        >>> model.state_dict() == trained.state_dict()
        True
        """
        path = _checked_path("load", self, path)
        try:
            text = Path(path).read_text(encoding="utf-8")
            state = json.loads(text, parse_float=_written_float, object_pairs_hook=_unique_keys)
        except (ValueError, RecursionError) as error:  # RecursionError: brackets are nested too deeply
            raise ValueError(f"{path} is not a saved model, or was truncated: {error}") from error
        if not isinstance(state, dict):
            raise ValueError(f"{path} is not a saved model: its JSON is no object")
        self.load_state_dict(state)

    def summary(self) -> str:
        """Return the line that stands for this module in `repr`, without the lines for the modules inside it.

        >>> from micrograd_cn.nn import Layer
        >>> Layer(2, 3).summary()
        'Layer(2, 3, relu)'
        """
        return f"{type(self).__name__}()"

    def __repr__(self) -> str:
        """Return a line for this module, with the count of all parameters, and an indented line for each module inside.

        Modules inside one whose `expands_in_repr` is False get no line.
        """
        lines: list[str] = []
        waiting: list[tuple[int, str, Module, frozenset[int]]] = [(0, "", self, frozenset())]
        while waiting:
            depth, name, module, around = waiting.pop()
            lines.append("  " * depth + f"{name}: {module.summary()}".removeprefix(": "))
            around |= {id(module)}
            inside = _walk(module, partial(_is_part_of, module))
            parts = [(path, x) for path, x in inside if isinstance(x, Module) and id(x) not in around]
            waiting += [(depth + 1, path, part, around) for path, part in parts if module.expands_in_repr][::-1]
        count = len(_call_parameters(self))
        return "\n".join([f"{lines[0]}, {count} parameter{'s' * (count != 1)}", *lines[1:]])

    if not TYPE_CHECKING:  # a type checker shall go on saying that a module has no such attributes

        def __getattr__(self, name: str) -> Any:
            if name in _INSTEAD:
                raise AttributeError(f"{type(self).__name__} has no {name}; {_INSTEAD[name]}", name=name, obj=self)
            return object.__getattribute__(self, name)  # raises the usual error, or that of a property


_NO_MODES = "a model has no modes and computes the same in training and afterwards; leave the call out"
_NO_DEVICES = "all numbers are floats of the CPU; leave the call out"
# What users of PyTorch look for, and what to do instead.
_INSTEAD = {
    **dict.fromkeys(("train", "eval"), _NO_MODES),
    **dict.fromkeys(("to", "cpu", "cuda", "double", "float", "half"), _NO_DEVICES),
    **dict.fromkeys(("modules", "children", "named_modules", "named_children"), "read its attributes, or print it"),
    "requires_grad_": "write for p in model.parameters(): p.requires_grad = False",
    "apply": "write for p in model.parameters(): p.data = ..., or call f of each layer",
    "register_parameter": "assign a Value to an attribute, as in self.w = Value(0.5)",
    "register_buffer": "assign a number to an attribute, as in self.count = 0",
    "add_module": "assign the module to an attribute",
    "buffers": "read its attributes, because a number in an attribute is no parameter",
    "predict": "write model(x), or [model(x) for x in xs]",
    "fit": "write loss.fit(samples, optimizer, epochs=10), where loss is a function that you compiled",
    "freeze": "write for p in model.parameters(): p.requires_grad = False",
    "backward": "write y = model(x), and then y.backward()",
    **dict.fromkeys(("weights", "trainable_variables"), "write model.parameters()"),
}


def _written_float(text: str) -> float:
    """Return the float that `text`, a number in a JSON file, stands for.

    If it is too large for a float, return an int instead, for which `load_state_dict` raises an error.

    >>> _written_float("1.5"), _written_float("-1e400") == 10**400
    (1.5, True)
    """
    x = float(text)
    return 10**400 if math.isinf(x) else x  # json does not call this function for Infinity


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the entries of a JSON object as a dict.

    Raises:
        ValueError: a name is there twice, and the dict would have only the last entry of this name.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def _checked_path(name: str, model: Module, path: object) -> str | os.PathLike[str]:
    """Return `path`, the argument with which the method `name` of `model`, "save" or "load", was called.

    Raises:
        TypeError: `path` is no path, or the method was called through the class, so `model` is no module.
    """
    if not isinstance(model, Module):
        raise TypeError(
            f"{name}() is a method of a model, which has to be made first, as in model = MLP(2, [8, 1]); then write "
            f"model.{name}({model!r})"
        )
    if not isinstance(path, (str, os.PathLike)):
        found = "" if path is None else f", got {type(path).__name__}"
        write = (
            f"; write model.{name}_state_dict(state) for a dict" if name == "load" and isinstance(path, Mapping) else ""
        )
        raise TypeError(f"{name}() takes the path of a file, as in model.{name}('model.json'){found}{write}")
    return path


def _restore_owner_and_mode(file: int, path: Path, old: os.stat_result) -> None:
    """Give a new file the owner, group and permissions that `old` has, as far as the system allows.

    `file` is the file's descriptor, and `path` its path.
    """
    new = os.fstat(file)
    if hasattr(os, "fchown") and (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        for user, group in ((-1, old.st_gid), (old.st_uid, -1)):
            try:
                os.fchown(file, user, group)
            except PermissionError:
                continue
    os.chmod(path, stat.S_IMODE(old.st_mode))  # last, since a change of the owner may clear bits of it


def _run_forward(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `__call__` that runs a module's `forward`, and has its signature."""

    @functools.wraps(forward)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    call.runs_forward = True  # type: ignore[attr-defined]
    return call


def _why_no_entry(model: Module, entries: Mapping[str, Any], names: list[str]) -> str:
    """Return the end of the message for entries that only `model` or only a state has, if calls may be the reason.

    `names` are the names of these entries. A call of a recurrent model may replace its first state, which is a leaf, by
    a value that it computes. The leaf is an entry of the model's state, but a computed value is not.
    """
    for name in names:
        owner: Any = model
        *around, last = name.split(".")
        for key in around:
            members = _members_of_known(type(owner))
            owner = {str(each): x for each, x in members(owner)}.get(key) if members else None
        if isinstance(owner, Module) and type(owner) not in _of_this_package and last in vars(owner):
            held, where = vars(owner)[last], f"{type(owner).__name__}.{last}"
            if isinstance(held, Value) or name not in entries:
                why = f"if calls of the saved model assigned {where}" if name in entries else f"{where} is no parameter"
                return (
                    f"; {why}: for a state that calls compute, write self.{last} = 0.0 in __init__ and before you save"
                )
    return ""


class _Freezing:
    """The attribute `requires_grad`, which no module has. An assignment raises an error, since it would freeze nothing.

    The `__init__` of a user's class may set an attribute of this name.
    """

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is not None and "requires_grad" in vars(instance):
            return vars(instance)["requires_grad"]
        raise AttributeError(self._message(owner), name="requires_grad", obj=instance)

    def __set__(self, instance: Any, x: object) -> None:
        if "requires_grad" not in vars(instance) and id(instance) not in _beginning:
            raise AttributeError(self._message(type(instance)), name="requires_grad", obj=instance)
        vars(instance)["requires_grad"] = x

    def __delete__(self, instance: Any) -> None:
        self.__get__(instance, type(instance))
        del vars(instance)["requires_grad"]

    def _message(self, owner: type) -> str:
        return (
            f"{owner.__name__} has no requires_grad, and its assignment would freeze nothing; write "
            "for p in model.parameters(): p.requires_grad = False"
        )


if not TYPE_CHECKING:  # a type checker would allow any attribute of a class that has `__setattr__`
    Module.requires_grad = _Freezing()


class Absent:
    """An attribute that users look for, but that does not exist. Its use raises an error that says what to write.

    Without the error, an assignment such as `layer.activation = "tanh"` would silently have no effect. A user's
    subclass may have an attribute of this name.

    Args:
        instead: the end of the message, such as "write optimizer.lr".
    """

    def __init__(self, instead: str) -> None:
        self.instead = instead
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is not None and self.name in vars(instance):
            return vars(instance)[self.name]
        raise AttributeError(f"{owner.__name__} has no {self.name}; {self.instead}")

    def __set__(self, instance: object, x: object) -> None:
        if _is_of_this_package(type(instance)):
            self.__get__(None, type(instance))
        vars(instance)[self.name] = x


def _is_of_this_package(x: object) -> bool:
    """Return whether `x`, a class or function, is defined in this package."""
    defined_in = getattr(x, "__module__", None) or ""  # None for a class that exec() makes
    return defined_in.partition(".")[0] == __name__.partition(".")[0]


def _names_its_parameters(cls: type[Module]) -> bool:
    """Return whether a class overrides `parameters` or `named_parameters`.

    A model that was written for micrograd does, because micrograd's own `Module.parameters` finds no parameters.
    """
    return cls.parameters is not Module.parameters or cls.named_parameters is not Module.named_parameters


def _usual_parameters(model: Module) -> list[Value] | None:
    """Return the parameters of a model that consists of modules, lists and leaves alone; None for any other model.

    This function is faster than `named_parameters`, because it makes no paths. If it returns None, call that method,
    which may also raise an error about the model.
    """
    if "." in "".join(model.__dict__):
        return None
    found: dict[Value, None] = {}
    modules: list[Module] = []
    lists: list[list[Any]] = []
    entered: set[int] = set()
    waiting: list[Any] = [model]
    while waiting:
        x = waiting.pop()
        cls = type(x)
        if cls is Value:
            if x.op is not x._da:
                return None
            found[x] = None
        elif cls is list:
            if _ONLY_VALUES.issuperset(map(type, x)):
                for p in x:
                    if p.op is not p._da:  # both are None for a leaf that no operation computed
                        return None
                    found[p] = None
                lists.append(x)
            elif id(x) not in entered:
                entered.add(id(x))
                lists.append(x)
                waiting += x[::-1]
        else:
            members = _members[cls] if cls in _members else _members_of(cls)
            if members is None or members is _of_hiding:
                continue
            if members is not _of_module or (x is not model and _lists_its_parameters(x)):
                return None
            if id(x) not in entered:
                entered.add(id(x))
                modules.append(x)
                waiting += [item for _, item in _of_module(x)][::-1]
    try:
        for module in modules:
            module._refuse_untrained("", entered, computed=False)
    except TypeError:  # `named_parameters` raises it with the path
        return None
    users = {type(module) for module in modules} - _of_this_package
    if users:
        if any(map(_parameters_in_class, users)):
            return None
        record = _records.get(id(model))
        if record is None or record.lists != lists:
            for module in modules:
                if type(module) in users:
                    _refuse_lost(module, model)
            _refuse_shared(modules, model)
            _record_of(model).lists = [x.copy() for x in lists]
    listed = list(found)
    if listed:
        _note_listed(model, listed[0], listed[-1], len(listed))
    return listed


def _refuse_dotted(model: Module) -> None:
    """Raise TypeError if an attribute of `model` has the path of a parameter as its name.

    `setattr(model, path, p)` makes such an attribute: it adds a parameter p, and leaves the one at this path as it was.
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


def _lists_its_parameters(x: Module) -> bool:
    """Return whether the module `x` has a method `parameters` or `named_parameters` of its own."""
    return _names_its_parameters(type(x)) or callable(vars(x).get("parameters"))


# The ids of the modules whose own method `parameters` is running. Two such modules may refer to each other.
_asked: ContextVar[frozenset[int]] = ContextVar("micrograd_cn_asked", default=frozenset())


def _listed_parameters(module: Module) -> list[tuple[str, Value]]:
    """Return the parameters that a user's method of `module` returns, each with its path in `module`.

    The method is `named_parameters` if the class overrides it, and `parameters` otherwise. If it is running already, as
    where it asks for the parameters of another module that contains `module`, the list is empty.

    Raises:
        TypeError: `parameters` returns something other than `Value`s.
    """
    asked = _asked.get()
    if id(module) in asked:  # the caller is this module's own method, which will list these parameters
        return []
    token = _asked.set(asked | {id(module)})
    try:
        if type(module).named_parameters is not Module.named_parameters and "parameters" not in vars(module):
            return list(module.named_parameters())
        listed = _call_parameters(module)
    finally:
        _asked.reset(token)
    for p in listed:
        if not isinstance(p, Value):
            raise TypeError(f"{type(module).__name__}.parameters() must return Values, got {type(p).__name__} {p!r}")
    paths = {id(x): path for path, x in _walk(module, lambda _: True) if isinstance(x, Value)}
    return [(paths.get(id(p), f"parameters.{i}"), p) for i, p in enumerate(listed)]


def _call_parameters(module: Module) -> list[Value]:
    """Return what `parameters`, which may be a user's method, returns, as a list.

    Raises:
        TypeError: a user's class has a property of this name instead.
    """
    method = module.parameters
    if not callable(method):
        name = type(module).__name__
        raise TypeError(f"{name}.parameters is a {type(method).__name__}; make it a method, without @property")
    return list(method())


def _in_class(cls: type, name: str, path: str) -> str:
    """Return the error message for a parameter that is at `path`, in the attribute `name` of the class `cls`."""
    return (
        f"{cls.__name__}.{path} is an attribute of the class, where no parameters are looked for, and all instances "
        f"would share it; assign self.{name} in __init__ (in a dataclass, write field(default_factory=lambda: "
        "Value(x))), or write a number, or Value(x, requires_grad=False), for a constant"
    )


def _attributes_of(cls: type) -> dict[str, Any]:
    """Return the attributes of a user's class and of its bases, except for those of the classes of this package."""
    found: dict[str, Any] = {}
    for base in _users_bases(cls.__mro__):
        found.update(vars(base))
    return found


@functools.lru_cache(maxsize=1000)
def _users_bases(classes: tuple[type, ...]) -> list[type]:
    """Return the users' classes among `classes`, which are the `__mro__` of a class, with the most general first."""
    return [base for base in reversed(classes) if base is not object and not _is_of_this_package(base)]


def _refuse_class_attributes(cls: type[Module]) -> None:
    """Raise TypeError if an attribute of the class, or of a base that is no module, contains a `Value` to train.

    Parameters are looked for in the model object alone. For an attribute that is set after the class has been made, and
    for a default as in `field(default=Value(1))`, `named_parameters` raises the error.
    """
    if _names_its_parameters(cls):
        return
    own = vars(cls)
    for name, held in _attributes_of(cls).items():
        owner = next(base for base in cls.__mro__ if name in vars(base))
        if owner is not cls and issubclass(owner, Module):  # it may have instances and a list of them by now
            continue
        descends = _descends_always if name in own else _is_builtin_or_module
        if name in own and not name.startswith("__") and (hidden := _hidden_leaves(held, cls)):
            raise TypeError(_in_class(cls, name, f"{name}{hidden[0][0]}"))
        for path, x in () if name.startswith("__") else _walk(held, descends):
            if isinstance(x, Value) and x.requires_grad:
                raise TypeError(_in_class(cls, name, f"{name}.{path}".removesuffix(".")))


def _descends_always(x: object) -> bool:
    return True


def _is_builtin_or_module(x: object) -> bool:
    return isinstance(x, (list, tuple, dict, Module))


def _is_no_instance(owner: type, x: object) -> bool:
    return not isinstance(x, owner)


def _parameters_in_class(cls: type[Module]) -> list[tuple[str, Value]]:
    """Return the attributes of a user's class, and of its bases, that are parameters, each with its name.

    Parameters in containers are left out, because `_refuse_shared` looks for them.
    """
    if cls in _of_this_package or _names_its_parameters(cls):
        return []
    if not [x for _, _, x in _holders_in_class(cls) if isinstance(x, Value)]:  # for speed
        return []
    held = _attributes_of(cls).items()
    return [(name, x) for name, x in held if isinstance(x, Value) and x.op is None and x.requires_grad]


def _holders_in_class(cls: type) -> list[tuple[type, str, Any]]:
    """Return the attributes of a user's class and of its bases that are `Value`s, or in which there may be `Value`s.

    Each is a tuple of the class that has the attribute, the name, and the attribute itself.
    """
    bases = _users_bases(cls.__mro__)
    ids = [i for base in bases for i in map(id, vars(base).values())]
    if (known := _holders.get(cls)) is not None and known[0] == ids:
        return known[2]
    held = [(base, name, x) for base in bases for name, x in [*vars(base).items()]]
    found = [item for item in held if _members_of_known(type(item[2])) and not item[1].startswith("__")]
    _holders[cls] = [id(x) for _, _, x in held], held, found
    return found


# For each user's class the ids of all its attributes, the attributes themselves, so nothing else gets these ids, and
# what `_holders_in_class` returns while the class has these attributes.
_holders: dict[type, tuple[list[int], list[Any], list[tuple[type, str, Any]]]] = {}


def _refuse_shared(objects: Sequence[Any], model: Module) -> None:
    """Raise TypeError if an attribute of the class of one of `objects` contains parameters that a model lacks.

    `__init__` may have filled a list of the class, as in `self.layers.append(Layer(2, 1))` after `layers = []` in the
    class. It is no error if the model has some of the parameters in the attribute: a class may have a list of the
    parameters of all instances. What is in instances of the class does not count: a class may have a list of them.

    Args:
        objects: modules, and objects of other classes, in `model`.
        model: the model whose parameters are looked for.
    """
    for cls in {*map(type, objects)}:
        if cls in _of_this_package or (issubclass(cls, Module) and _names_its_parameters(cls)):
            continue
        for base, name, held in _holders_in_class(cls):
            if not _may_hold_leaves(held):
                continue
            inside = _walk(held, partial(_is_no_instance, base))
            lost = [(path, x) for path, x in inside if isinstance(x, Value) and x.op is None and x.requires_grad]
            in_class = next(vars(each)[name] for each in cls.__mro__ if name in vars(each))  # runs no descriptor
            if not lost or in_class is not held:
                continue
            if not _leaves_to_train(model).isdisjoint([x for _, x in lost]):
                continue
            if any(type(x) is cls and getattr(x, "__dict__", {}).get(name, held) is held for x in objects):
                raise TypeError(_in_class(cls, name, f"{name}.{lost[0][0]}".removesuffix(".")))


def _check_after(init: Callable[..., None]) -> Callable[..., None]:
    """Return an `__init__` that runs `init`, the `__init__` of a user's class, and then checks the whole model."""

    @functools.wraps(init)
    def initialise(self: Any, *args: Any, **kwargs: Any) -> None:
        outermost = type(self).__init__ is initialise
        if outermost:
            _beginning.add(id(self))
        try:
            init(self, *args, **kwargs)
        finally:
            if outermost:
                _beginning.discard(id(self))
        if outermost and not _names_its_parameters(type(self)):
            _refuse_untrainable(self)
            _refuse_hidden(self, _of_module(self))
            _refuse_lost(self, self, is_new=True)
            _refuse_shared([self], self)

    return initialise


def _is_checked(cls: type[Module]) -> bool:
    """Return whether `_check_after` looks at each object of the class `cls` after its `__init__`."""
    return hasattr(cls.__init__, "__wrapped__")


_beginning: set[int] = set()  # the ids of the modules whose `__init__` is running, after which `_check_after` looks


def _note_copy(copy: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that runs `copy`, a user's `__copy__` or `__deepcopy__`, and notes the parameters of the copy."""

    @functools.wraps(copy)
    def copied(self: Any, *args: Any) -> Any:
        found = copy(self, *args)
        if isinstance(found, Module) and type(found) not in _of_this_package:
            _refuse_lost(found, found, is_new=True)
        return found

    return copied


def _note_after(set_state: Callable[..., None]) -> Callable[..., None]:
    """Return a `__setstate__` that runs `set_state`, that of a user's class, and takes note of the parameters."""

    @functools.wraps(set_state)
    def restore(self: Any, *args: Any) -> None:
        set_state(self, *args)
        if type(self) not in _of_this_package:
            _refuse_lost(self, self, is_new=True)

    return restore


def _refuse_untrainable(model: Module) -> None:
    """Raise TypeError if `model` has a computed value whose leaves are found nowhere but in its own graph.

    Such leaves can never be trained, and the computed value was probably meant to be a parameter. In contrast, values
    that were computed from the parameters of another model (a hypernetwork, or a step of an inner loop) are no mistake.
    Constants that were computed from constants alone are none either, and become no parameters.
    """
    if not _may_hold_computed(model, constants=True):
        return
    inside = _walk(model, lambda x: x is model or not isinstance(x, Module))  # modules inside have been checked
    values = [(path, x) for path, x in inside if isinstance(x, Value)]
    _keep([x for _, x in values if _is_of_constants(x)])
    computed = [(path, x) for path, x in values if x.op is not None and x.requires_grad]
    for path, x in with_unheld_leaves(computed):
        assert x.op
        raise TypeError(
            f"{type(model).__name__}.{path} is computed ({x.op.name}), so it is no parameter and would never be "
            "trained; for a parameter, compute the number first, as in Value(0.1 * x); for a constant, write "
            ".detach() after it"
        )


_set_attribute = object.__setattr__  # a name of its own, for speed


def _assign(model: Module, name: str, x: Any) -> None:
    """Assign `x` to an attribute, unless it would replace parameters by something that is never trained.

    This is the `__setattr__` of `Module` and of users' classes. It raises TypeError for numbers and constants. For
    values computed from the parameters, it raises TypeError, or warns if they may be a state that the model computes.
    """
    held = model.__dict__
    if name in held and (old := held[name]) is not x:
        if context.active and context.here().no_grad:
            _refuse_constants(model, name, old, x)
        if type(x) is not Value or type(old) is not Value:
            _before_replacing(model, name, old, x)
            if type(x) is Value and x.op is None and id(model) not in _beginning:
                _warn_of_argument(model, name, x)
        elif old.op is None and (x.op is not None or x._da is not None):
            if old.requires_grad:
                _refuse_computed(model, name, old, x)
            elif x.op is not None and not _is_kept(old):
                _record_of(model).frozen.add(name)
        if (x.op is None if type(x) is Value else type(x) in _COLLECTIONS) and id(model) not in _beginning:
            _note_kept(model, name, old, x)
    elif type(x) is not Value and id(model) not in _beginning:  # after `__init__`, or in that of a dataclass
        _note_new(model, name, x)
    elif type(x) is Value and x.op is None and id(model) not in _beginning and name not in held:
        _warn_of_argument(model, name, x)
    _set_attribute(model, name, x)


if not TYPE_CHECKING:  # see `requires_grad`
    Module.__setattr__ = _assign


def _refuse_hidden(model: Module, attributes: Iterable[tuple[Any, Any]]) -> None:
    """Raise TypeError if there are parameters in `attributes` where none are looked for, such as the keys of a dict.

    It is no error if the model has some of the parameters in the same object also elsewhere.

    Args:
        model: the model.
        attributes: its attributes, with their names, or the new one of them.
    """
    entered = {id(model)}
    waiting = [(f"{name}", x) for name, x in attributes]
    while waiting:
        path, x = waiting.pop()
        members = _members_of_known(type(x))
        if members is None or type(x) is Value or id(x) in entered:
            continue
        entered.add(id(x))
        if (hidden := _hidden_leaves(x, model)) and _leaves_to_train(model).isdisjoint([p for _, p in hidden]):
            kind, write = _what_hides(x)
            raise TypeError(
                f"{type(model).__name__}.{path} is {kind}, where no parameters are looked for, but it has "
                f"{hidden[0][1]!r}, which would be neither trained nor saved; {write}"
            )
        if not isinstance(x, Module) and _may_hold_leaves(x) and _items_if_values(x) is None:
            waiting += [(f"{path}.{key}", item) for key, item in members(x)]


def _hidden_leaves(x: Any, owner: object) -> list[tuple[str, Value]]:
    """Return the leaves to train to which `x` refers where no parameters are looked for, each with the code behind x.

    `owner` is the model or the class that has `x`.
    """
    held: list[tuple[str, Any]] = []
    if isinstance(x, dict):
        held = [("", p) for p in x if isinstance(p, Value)]
    elif isinstance(x, Value):
        held = [(f".{name}", p) for name, p in getattr(x, "__dict__", {}).items() if type(x) is not Value]
    elif _members_of_known(type(x)) is not _of_hiding:
        return []
    elif isinstance(x, type):
        if not _is_of_this_package(x) and not issubclass(x, (Module, Value)):
            held = [(f".{name}", p) for name, p in [*vars(x).items()] if isinstance(p, Value)]
    elif isinstance(x, partial):
        if isinstance(x.func, MethodType):
            return _hidden_leaves(x.func, owner)
        held = [(".args", x.args), (".keywords", x.keywords)]
    elif isinstance(x, MethodType):
        held = [(".__self__", _leaves_of_bound(x.__self__, owner))]
    elif hasattr(x, "iloc"):
        held = [("", x.iloc[:FIRST_ROWS].to_numpy())]
    else:
        held = [("", [*x])]
    return [(code, p) for code, y in held for p in _values_in(y) if p.op is None and p.requires_grad]


def _leaves_of_bound(x: Any, owner: object) -> list[Value]:
    """Return the leaves to train of `x`, the object of a bound method that `owner` has.

    The list is empty if `x` contains `owner`, or is a model that is being made and may contain it. Of an object that is
    no module, only leaves and collections of leaves in its attributes count, because it may be a program that has
    several models.
    """
    if x is owner or id(x) in _beginning or isinstance(x, type) or _members_of_known(type(x)) is None:
        return []
    if isinstance(x, Module):
        found = [*_leaves_to_train(x)]
    else:
        held = [[y] if isinstance(y, Value) else _items_if_values(y) for _, y in _of_module(x)]
        found = [p for items in held if items is not None for p in items]
    return found if found and not any(y is owner for _, y in _walk(x, _descends_always)) else []


FIRST_ROWS = 100  # of a table are searched for parameters, since a table of texts may be long


def _what_hides(x: Any) -> tuple[str, str]:
    """Return words for `x`, an object in which no parameters are looked for, and what to write instead."""
    if isinstance(x, dict):
        return "a dict with a parameter as a key", "keep the parameters as its values"
    if isinstance(x, type):
        return f"the class {x.__name__}", f"assign an object, {x.__name__}(), whose __init__ makes the parameters"
    if isinstance(x, partial):
        return "a functools.partial", "keep the parameter in an attribute of its own, and pass it in the call"
    if isinstance(x, MethodType):
        kind = type(x.__self__).__name__
        return f"a method of a {kind}", f"keep the {kind} itself in an attribute, and call its method"
    if hasattr(x, "iloc"):
        return f"a pandas {type(x).__name__}", "write x.to_numpy() or a dict for x"
    if isinstance(x, Value):
        return f"a {type(x).__name__}, with a parameter in an attribute", "keep it in an attribute of the model"
    return f"a {type(x).__name__}", "write list(...), or keep the dict"


NAMES_OF_CALLS = ("__call__", "forward", "call")


def _warn_of_argument(model: Module, name: str, x: Value) -> None:
    """Warn if the leaf `x`, the new attribute `name` of `model`, is an argument of a call of `model` that is running.

    The leaf becomes a parameter, although the user probably wants to look at an input later. There is no warning if the
    leaf is a parameter of a model whose call is running, because this model has it anyway.
    """
    if name not in model.__dict__:
        _note_added(model, name, x)
    if x._is_constant_result or _names_its_parameters(type(model)):
        return
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    code = frame.f_code
    held = local_variables(frame)
    given = [held.get(variable) for variable in code.co_varnames[: code.co_argcount]]
    if code.co_name not in NAMES_OF_CALLS or not given or given[0] is not model or not any(y is x for y in given):
        return
    if any(x in _leaves_to_train(running) for running in _running_models()):
        return
    warnings.warn(
        f"{type(model).__name__}.{name} is now the leaf that a call got as an argument, so it is a parameter of the "
        f"model, which parameters() and save() have; to look at the number later, write self.{name} = x.data for an "
        "argument x",
        stacklevel=level,
    )


_COLLECTIONS = (list, tuple, dict, deque)


def _is_no_leaf(x: Any) -> bool:
    return type(x) is float or (type(x) is Value and x.op is not None)


def _leaves_in(x: Any) -> list[Value]:
    """Return the leaves in `x`, a `Value` or a collection, that are not in modules; [] for anything else.

    For speed, a list whose first and last items are numbers or computed values counts as one without leaves.
    """
    if type(x) is Value:
        return [x] if x.op is None else []
    if type(x) is list and (not x or (_is_no_leaf(x[0]) and _is_no_leaf(x[-1]))):
        return []
    if type(x) not in _COLLECTIONS or not _may_hold_leaves(x):
        return []
    return [p for p in _values_in(x) if p.op is None]


def _note_added(model: Module, name: str, x: Any) -> None:
    """Take note of the states and inputs in `x`, the new attribute `name` of `model`, if a call adds it.

    Otherwise, take note of constants that were computed from constants alone.
    """
    if not (leaves := _leaves_in(x)):
        return
    if any(True for _ in _running_models()):
        _note_kept(model, name, dict(_of_module(model)).get(name), x)  # the class may have __slots__
    elif name not in dict(_of_module(model)):
        _keep(filter(_is_of_constants, leaves))


def _note_kept(model: Module, name: str, old: Any, x: Any) -> None:
    """Take note of the states and inputs in `x`, which replaces the attribute `old` of a model after `__init__`.

    A state is a constant that an operation or `detach` gave. It is no parameter, unless `old` has parameters, also such
    that are not trained, or was computed in the place of a parameter that is not trained. An input is a leaf to train
    that a running call makes anew, as it has made those in `old`. Somebody looks at its gradient, so `warn_of_replaced`
    must not take it for a lost parameter.
    """
    if not (leaves := _leaves_in(x)):
        return
    before = _leaves_in(old) if type(old) is Value or type(old) in _COLLECTIONS else _values_in(old)
    constants = [p for p in leaves if p._da is not p._db and not p.requires_grad]
    record = _records.get(id(model)) if constants else None
    was_frozen = record is not None and name in record.frozen
    if constants and not was_frozen and all(p.op is not None or _is_kept(p) for p in before):
        _keep(constants)
    elif not any(p.requires_grad for p in before):
        for p in constants:  # in the place of parameters that are not trained, such as a running mean
            p._da = None
    inputs = [p for p in leaves if p.requires_grad]
    if inputs and all(p._db is not None for p in before) and any(True for _ in _running_models()):
        for p in inputs:
            p._db = 1.0 if before else 0.0


def _keep(constants: Iterable[Value]) -> None:
    """Mark constants that a model has as no parameters of it; see `_is_kept`."""
    for x in constants:
        x._da = x._db = 0.0


def _is_of_constants(x: Value) -> bool:
    """Return whether an operation has computed the constant `x` from constants alone."""
    return bool(x._is_constant_result and not x._is_of_parameters)


def is_input(leaf: Value) -> bool:
    """Return whether each call of a model puts a new leaf in the place of `leaf` (see `_note_kept`)."""
    return leaf._db == 1.0


def _is_kept(x: Value) -> bool:
    """Return whether `x` is a constant that is no parameter of its model (see `_note_kept` and `_note_added`)."""
    return x.op is None and x._da is not None and x._db is not None and not x.requires_grad


def _assign_with_slots(model: Module, name: str, x: Any) -> None:
    """Assign `x` to an attribute, as `_assign` does: the `__setattr__` of users' classes that have `__slots__`."""
    old: Any = dict(_of_module(model)).get(name, x)
    if old is not x and name not in model.__dict__:
        if context.active and context.here().no_grad:
            _refuse_constants(model, name, old, x)
        _before_replacing(model, name, old, x)
    _assign(model, name, x)


def _note_new(model: Module, name: str, x: Any) -> None:
    """Take note of the places of the parameters in `x`, which becomes a new attribute of `model`."""
    members = _members_of_known(type(x))
    if type(x) in _COLLECTIONS and name not in model.__dict__:
        _note_added(model, name, x)
    if members is None or members is _of_leaf or isinstance(x, Module) or _names_its_parameters(type(model)):
        return
    _refuse_hidden(model, [(name, x)])
    if any((places := _places_in(x)).ids):
        record = _record_of(model)
        record.places[name] = places
        _renew_arrays(model, record, name, x)


def _renew_arrays(model: Module, record: _Record, name: str, x: Any) -> None:
    """Forget the items of the attribute `name` of `model`, which becomes `x`, and take note of the arrays in `x`."""
    record.items.pop(name, None)
    record.arrays.pop(name, None)
    if arrays := _arrays_in(name, x):
        record.arrays[name] = arrays
        _watch_arrays(model, record)


def _delete(model: Module, name: str) -> None:
    """Delete an attribute, and forget the places of the parameters in it.

    This is the `__delattr__` of `Module` and of users' classes. A later attribute of the same name is not compared with
    these places.
    """
    object.__delattr__(model, name)
    if (record := _records.get(id(model))) is not None:
        record.places.pop(name, None)
        record.arrays.pop(name, None)


if not TYPE_CHECKING:  # see `requires_grad`
    Module.__delattr__ = _delete


def _before_replacing(model: Module, name: str, old: Any, x: Any) -> None:
    """Raise TypeError, or warn, if the model would lose parameters when `x` replaces `old`, its attribute `name`.

    Otherwise, take note of the places of the parameters in `x`.
    """
    if type(old) is not list and not _may_hold_leaves(old):  # asked first, since the other questions take longer
        return
    record: Any = _records.get(id(model))
    known = record is not None and name in record.places
    if type(old) is not list or not old or type(old[0]) is not Value or old[0].op is not None:
        items = _items_if_values(old)
        if all(p.op is not None for p in items) if items else not _may_hold_leaves(old):  # no parameter can be lost
            if known:
                record.places.pop(name)
                record.arrays.pop(name, None)
            return
    places = _places_in(x) if type(x) is list or known else None
    if places is None or places.numbers or not places.ids or not all(places.ids):
        if _has_number(x):
            _refuse_numbers(model, name, old, x, _assignment(f"model.{name}", old, "x"))
        _refuse_computed(model, name, old, x)
        if id(model) not in _beginning:
            _compare_objects(model, name, old, x)
    if known:
        record.places[name] = places
        _renew_arrays(model, record, name, x)


def _compare_objects(model: Module, name: str, old: Any, x: Any) -> None:
    """Raise TypeError, or warn, if an object in `x` has something never trained where one in `old` has a parameter.

    `old` is the attribute `name` of `model`, and `x` is the new one. The objects are those of users' classes, such as
    dataclasses, and modules. A module of another class may have a number where the old one has a parameter.
    """
    if isinstance(old, Module) and type(x) is not type(old):
        return
    before = [(path, p) for path, p in _contents(old, in_modules=True) if isinstance(p, Value)]
    trained = {path: p for path, p in before if p.op is None and p.requires_grad}
    if not trained:
        return
    now = dict(_contents(x, in_modules=True))
    kept = {id(p) for p in now.values()}
    looked_at = {id(p) for p in _values_in(x)}
    for path, p in trained.items():
        place = next((path[:k] for k in range(len(path), 0, -1) if path[:k] in now), None)
        if place is None or id(p) in kept or id(item := now[place]) in looked_at or not _are_alike(old, x, place):
            continue
        code = _in_code(old, path)
        if not isinstance(item, Value):
            number = "x" if _is_array(item) else repr(item)
            _refuse_numbers(model, name, old, x, _assignment(f"model.{name}{code}", p, number))
        elif place == path:
            _refuse_computed(model, name, p, item, code)


def _are_alike(old: Any, x: Any, path: tuple[Any, ...]) -> bool:
    """Return whether the modules on the way along `path` in `x` are of the classes of those in `old`."""
    for key in path:
        if isinstance(old, Module) and type(x) is not type(old):
            return False
        old, x = (dict(members(y))[key] if (members := _members_of_known(type(y))) else None for y in (old, x))
    return True


def _refuse_numbers(model: Module, name: str, old: Any, x: Any, write: str) -> None:
    """Raise TypeError if `x`, which has numbers, would replace parameters in `old`, the attribute `name` of `model`.

    It is no error if the rest of the model still has these parameters, or if `x` has as many parameters as `old`.
    `write` is the code, for the message, that changes the numbers of parameters instead.
    """
    held = _leaves_to_train(old)
    if len(_leaves_to_train(x)) >= len(held) or held <= _leaves_beside(model, name):
        return
    path = f"model.{name}"
    raise TypeError(
        f"{type(model).__name__}.{name} = ... would replace parameters by numbers, which are neither trained nor "
        f"saved; change the numbers of the parameters, as in {write}, or write del {path} first; "
        "for a Value that is no parameter, write Value(x, requires_grad=False)"
    )


def _refuse_computed(model: Module, name: str, old: Any, x: Any, inside: str = "") -> None:
    """Raise TypeError if values in `x` were computed from parameters in `old`, which `model` would lose.

    `old` is the attribute `name` of `model`, and `x` is the new one; or they are parts of them, to which the code
    `inside` leads, such as ".w". It is a warning if the value may be a state: in a
    call of a model, if it also depends on another leaf that something refers to, or if a variable has the old
    parameter. In `__init__`, whose end is checked anyway, there is no error. A value that does not depend on the lost
    parameters is refused only if it is a constant, or nothing but its graph refers to its leaves.
    """
    values = _values_in(x)
    made = [item for item in values if item.op is not None or (item._da is not None and item._is_constant_result)]
    if not made:
        return
    held = {id(item): item for item in _values_in(old) if item.op is None and item.requires_grad}
    lost = held.keys() - {id(item) for item in values}
    if not lost or _names_its_parameters(type(model)):
        return
    lost -= {id(item) for item in (*_leaves_beside(model, name), *_leaves_to_train(values))}
    if not lost:
        return
    parameters = [held[known] for known in lost]
    del held
    if in_init := id(model) in _beginning:
        made = [item for item in made if item.op is not None]
    allowed = in_init or any(True for _ in _running_models()) or _is_in_a_variable(parameters)
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
            _warn_of_computed(type(model), f".{name}{inside}", item.op)
            return


def _warn_of_computed(kind: type[Module], code: str, op: Op) -> None:
    """Warn that a parameter was replaced by a value that is computed from it, and that may be a state.

    Args:
        kind: the class of the model.
        code: the code, behind the name of the model, for the attribute or item that had the parameter, as in ".h".
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


def _running_models() -> Iterator[Module]:
    """Yield the models whose `__call__`, `forward` or `call` is running; the innermost call comes first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name in NAMES_OF_CALLS and code.co_argcount:
            model = local_variables(frame).get(code.co_varnames[0])
            if isinstance(model, Module):
                yield model
        frame = frame.f_back


def _is_in_a_variable(parameters: Sequence[Value]) -> bool:
    """Return whether each of `parameters` is in a variable of a running function, or in a dict in such a variable.

    Functions of this package do not count, and neither do dicts with many more items than `parameters`.
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


def _assignment(path: str, x: Any, new: str) -> str:
    """Return code, for a message, that assigns to the data of the parameters in `x`. `path` is the code for `x`.

    `new` is the code for the number that is assigned to one parameter.
    """
    if isinstance(x, Value):
        return f"{path}.data = {new}"
    if _is_array(x):
        return f"for w, x in zip({path}.flat, new.flat): w.data = {new}"
    if isinstance(x, (list, tuple, deque)):
        return f"for w, x in zip({path}, new): w.data = {new}"
    return f"w.data = {new} for each parameter w in {path}"


def _may_hold_leaves(x: Any) -> bool:
    """Return whether there may be `Value`s in `x`. There are none in numbers, nor in lists and arrays of numbers."""
    if isinstance(x, (list, tuple)) and type(x) in (list, tuple):
        return any(_members_of_known(cls) for cls in {*map(type, x)})
    members = _members_of_known(type(x))
    return bool(members) and members is not _of_hiding and not (members is _of_array and x.dtype.kind not in "OV")


def _members_of_known(cls: type) -> Members | None:
    return _members[cls] if cls in _members else _members_of(cls)


def _leaves_to_train(x: Any) -> set[Value]:
    found = [item for _, item in _walk(x, _descends_always) if isinstance(item, Value)]
    return {item for item in found if item.op is None and item.requires_grad}


def _leaves_beside(model: Module, name: str) -> set[Value]:
    """Return the parameters of `model` that are in other attributes than `name`."""
    return _leaves_to_train([held for key, held in _of_module(model) if key != name])


def _items_if_values(x: Any) -> Any:
    """Return the items of `x`, a list, a tuple or an array, if all of them are `Value`s, and otherwise None."""
    items = x if type(x) in (list, tuple) else _elements(x) if _is_array(x) and x.dtype.kind == "O" else None
    return items if items is not None and _ONLY_VALUES.issuperset(map(type, items)) else None


def _values_in(x: Any) -> Sequence[Value]:
    """Return the `Value`s in `x`, also in nested collections and objects, but not in modules."""
    items: Sequence[Value] | None = _items_if_values(x)
    if items is not None:
        return items
    return [item for _, item in _contents(x) if isinstance(item, Value)]


def _contents(x: Any, in_modules: bool = False) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield the `Value`s and plain numbers in `x`, each with the names, keys and indices that lead to it.

    An array of numbers is yielded as if it were one number. What is in modules, `x` or others inside it, is left out
    unless `in_modules` is true. Every collection is entered once.
    """
    entered: set[int] = set()
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), x)]
    while waiting:
        path, x = waiting.pop()
        members = _members_of_known(type(x))
        numeric = _is_number(x) if members is None else members in _OF_ARRAYS and x.dtype.kind in "iufc"
        if numeric or isinstance(x, Value):
            yield path, x
        elif members and id(x) not in entered and (in_modules or not isinstance(x, Module)):
            entered.add(id(x))
            waiting += [((*path, key), item) for key, item in members(x)]


def _is_number(x: object) -> bool:
    return isinstance(x, (Number, Decimal)) and not isinstance(x, bool)


def _in_code(x: Any, path: tuple[Any, ...]) -> str:
    """Return the code that leads from `x` to what is at `path` in it, such as ".W[0]", for messages."""
    code = ""
    for key in path:
        if _is_array(x):
            code += f"[{key.replace('.', ', ')}]"
        elif isinstance(x, (list, tuple, deque)) and isinstance(key, int):
            code += f"[{key}]"
        elif isinstance(x, (dict, MappingProxyType)) and key in x:
            code += f"[{key!r}]"
        else:
            code += f".{key}"
        members = _members_of_known(type(x))
        x = dict(members(x))[key] if members else None
    return code


class _Places(NamedTuple):
    """The places of the trainable leaves in a collection that a model has.

    Attributes:
        paths: the path of each `Value`, as `_contents` yields it. For speed, it is None if the collection is a list of
            `Value`s, the lengths of the rows if it is a list of lists of `Value`s, and the shape if it is an array of
            `Value`s.
        ids: for each `Value`, its id if it is a leaf that is trained, and 0 otherwise.
        numbers: how many plain numbers are in the collection.
    """

    paths: list[tuple[Any, ...]] | list[int] | tuple[int, ...] | None
    ids: list[int]
    numbers: int

    def trained(self) -> list[tuple[tuple[Any, ...], int]]:
        """Return the path and the id of each leaf that is trained."""
        paths: Iterable[Any] = self.paths if self.paths is not None else [(i,) for i in range(len(self.ids))]
        if isinstance(self.paths, tuple):
            paths = [(".".join(map(str, place)) or "0",) for place in product(*map(range, self.paths))]
        elif self.paths and isinstance(self.paths[0], int):
            paths = [(i, j) for i, length in enumerate(paths) for j in range(length)]
        return [(path, known) for path, known in zip(paths, self.ids, strict=True) if known]


_Arrays: TypeAlias = list[tuple[str, Any, list[Any], bytes]]


class _Record:
    """Where a model had parameters when they were last listed.

    Python tells nobody of an assignment to an item of a collection, so `_refuse_lost` compares the places afterwards.
    To be fast, it first asks whether the lists still equal the copies that are kept here. `with_unheld_leaves` forgets
    the copies, because they refer to parameters.

    Attributes:
        model: a reference to the model.
        places: for each attribute, by name, the places of the parameters in it.
        items: for each attribute that is a list or an array, the list of its items, when its places were found.
        arrays: for each attribute that is an array or has arrays in it, these arrays, each with the code that leads to
            it from the model, the list of its items, and their addresses in memory, which are compared fast.
        frozen: the names of attributes in which a computed value took the place of a parameter that is not trained, and
            of collections without parameters to train that have, or had, others, such as running means.
        lists: copies of all lists in the model, if it consists of modules, lists and leaves alone.
    """

    __slots__ = ("arrays", "frozen", "items", "lists", "model", "places")

    def __init__(self) -> None:
        self.model: weakref.ref[Module] | None = None
        self.places: dict[Any, _Places] = {}
        self.items: dict[Any, list[Any]] = {}
        self.arrays: dict[Any, _Arrays] = {}
        self.frozen: set[str] = set()
        self.lists: list[list[Any]] = []


_records: dict[int, _Record] = {}  # by the id of each model, for as long as the model exists


# The models whose parameters were listed, by id, while they exist, and for each the ids of its first and its last
# parameter then, and the count of its parameters
_listed: dict[int, weakref.ref[Module]] = {}
_ends: dict[int, tuple[int, int, int]] = {}
_by_first: dict[int, int] = {}  # for the id of each such first parameter, the id of the model that was listed last


def _note_listed(model: Module, first: Value, last: Value, count: int) -> None:
    known = id(model)
    if known not in _listed:
        if isinstance(model, tuple):  # as for `_record_of`
            return

        def forget(_: object) -> None:
            _listed.pop(known, None)
            first, _, _ = _ends.pop(known, (0, 0, 0))
            if _by_first.get(first) == known:
                del _by_first[first]

        _listed[known] = weakref.ref(model, forget)
    begin = id(first)
    _ends[known] = begin, id(last), count
    _by_first[begin] = known


def models_in(parameters: Sequence[Value]) -> list[tuple[weakref.ref[Module], list[Value]]]:
    """Return references to the models whose parameters are in `parameters`, each with a list of its parameters.

    These are models whose parameters stand there in the order in which they were last listed. To be fast, the search
    ends after MAX_OTHERS parameters at which no model begins.
    """
    found, i, others = [], 0, 0
    while i < len(parameters) and others < MAX_OTHERS:
        known = _by_first.get(id(parameters[i]))
        first, last, count = _ends.get(known, (0, 0, 0)) if known else (0, 0, 0)
        part = parameters[i : i + count]
        ends = (id(part[0]), id(part[-1]), len(part)) if known and part else None
        # A leaf may have the id of a former one, which the model has given up since
        if known and ends == (first, last, count) and _has_leaf(_listed[known](), part[0]):
            found.append((_listed[known], [*part]))
            i += count
        else:
            i, others = i + 1, others + 1
    return found


MAX_OTHERS = 4


def _has_leaf(model: Module | None, leaf: Value) -> bool:
    return any(x is leaf for _, x in _walk(model, _descends_always))


def _record_of(model: Module) -> _Record:
    """Return the record of `model`. If it has none, make one.

    Nothing is stored about a module that is also a tuple, because Python does not tell when such an object is gone.
    """
    known = id(model)
    if (record := _records.get(known)) is None:
        record = _Record()
        if not isinstance(model, tuple):

            def forget(_: object) -> None:
                _records.pop(known, None)
                if _with_arrays.pop(known, None) and not _with_arrays:
                    context.look_at_models = None

            record.model = weakref.ref(model, forget)
            _records[known] = record
    return record


def _places_in(x: Any) -> _Places:
    if type(x) is list:
        if _ONLY_VALUES.issuperset(map(type, x)):
            return _Places(None, [id(p) if p.requires_grad and p.op is None else 0 for p in x], 0)
        if _ONLY_LISTS.issuperset(map(type, x)) and all(map(_ONLY_VALUES.issuperset, [map(type, row) for row in x])):
            ids = [id(p) if p.requires_grad and p.op is None else 0 for row in x for p in row]
            return _Places([*map(len, x)], ids, 0)
    if _is_array(x) and (items := _items_if_values(x)) is not None:
        return _Places(x.shape, [id(p) if p.requires_grad and p.op is None else 0 for p in items], 0)
    held = [*_contents(x)]
    values = [(path, p) for path, p in held if isinstance(p, Value)]
    ids = [id(p) if p.requires_grad and p.op is None else 0 for _, p in values]
    return _Places([path for path, _ in values], ids, len(held) - len(values))


def _collections_of(model: Module, known: Collection[Any]) -> list[tuple[Any, Any]]:
    """Return the attributes of `model`, with their names, that are collections or objects which may have parameters.

    `Value`s and modules are left out. If `model` is itself a list, tuple, deque or dict, its items are one such
    collection, whose name is None. A list or tuple of numbers is left out, unless its name is in `known`: these are the
    names of attributes that had parameters when they were last looked at.
    """
    found: list[tuple[Any, Any]] = []
    if isinstance(model, (list, tuple, deque)):
        found.append((None, [*model]))
    elif isinstance(model, dict):
        found.append((None, dict(model)))
    for name, x in _of_module(model):
        members = _members_of_known(type(x))
        if members is None or members is _of_leaf or isinstance(x, Module):
            continue
        if members is not _of_sequence or name in known or _may_hold_leaves(x):  # a list of numbers has no places
            found.append((name, x))
    return found


def _refuse_lost(model: Module, root: Module, is_new: bool = False) -> None:
    """Raise TypeError if a place in a collection of `model` had a parameter, and now has something never trained.

    That is a number, a constant that an operation computed, or a value whose only leaves are those that were replaced.
    Warn if it is a value that also depends on other leaves. Otherwise, take note of the places of the parameters, and
    of constants that calls have put into a collection that had no parameters at the end of `__init__`: these are
    states, and no parameters.

    Args:
        model: a module of a user's class. Its attributes are looked at, and not the modules inside it.
        root: the model whose parameters are listed.
        is_new: whether `model` has just been made, by `__init__` or as a copy.
    """
    if _names_its_parameters(type(model)):
        return
    known = _records.get(id(model))
    places: dict[Any, _Places] = {}
    items: dict[Any, list[Any]] = {}
    arrays: dict[Any, _Arrays] = {}
    frozen: set[Any] = set()
    for name, x in _collections_of(model, known.places if known else ()):
        old = known.places.get(name) if known is not None else None
        if type(x) is list or (_is_array(x) and x.dtype.kind == "O"):
            items[name] = x.copy() if type(x) is list else _elements(x)
            if _is_array(x):
                arrays[name] = [(f".{name}", x, items[name], x.tobytes())]
            if known and old and _are_same(known.items.get(name), items[name]) and _is_flat(old, x):
                places[name] = old
                continue
        if name not in arrays and (found := _arrays_in(name, x)):
            arrays[name] = found
        new = _places_in(x)
        if old is not None and old[:2] != new[:2]:
            _compare_places(model, name, x, old, new.numbers, root)
        if any(new.ids):
            places[name] = new
        elif old is not None or new.ids:
            constants = [p for p in _values_in(x) if p.op is None and not _is_kept(p)]
            if old is not None or (is_new and constants):
                frozen.add(name)
            elif known is not None and name in known.frozen:
                for p in filter(_is_of_constants, constants):  # as in `_note_kept`
                    p._da = None
            elif not is_new and _is_checked(type(model)):
                _keep([p for p in constants if p._is_constant_result])
    if places or frozen or known is not None:
        record = _record_of(model)
        record.frozen |= frozen
        record.places, record.items, record.arrays = places, items, arrays
        if arrays:
            _watch_arrays(model, record)


def _are_same(a: list[Any] | None, b: list[Any]) -> bool:
    """Return whether two lists are equal; False if Python cannot say, as for lists of arrays, or if `a` is None."""
    try:
        return a == b
    except ValueError:  # numpy arrays are compared item by item
        return False


def _arrays_in(name: Any, x: Any) -> _Arrays:
    """Return the arrays of objects in `x`, the attribute `name` of a model, also in a list, tuple or dict."""
    code, found = "" if name is None else f".{name}", []
    if _is_array(x):
        found = [(code, x)]
    elif isinstance(x, dict):
        found = [(f"{code}[{key!r}]", item) for key, item in x.items() if _is_array(item)]
    elif isinstance(x, (list, tuple)) and not _OF_ARRAYS.isdisjoint(map(_members_of_known, {*map(type, x)})):
        found = [(f"{code}[{i}]", item) for i, item in enumerate(x) if _is_array(item)]
    return [(code, array, _elements(array), array.tobytes()) for code, array in found if array.dtype.kind == "O"]


_with_arrays: dict[int, _Record] = {}  # the records of models with arrays, by the model's id, while the models exist
_have_arrays: dict[type[Module], None] = {}  # the classes of such models


def _watch_arrays(model: Module, record: _Record) -> None:
    """Make each `no_grad()` block check at its end that it has not filled arrays in `record`, the record of `model`."""
    if id(model) in _records:
        _with_arrays[id(model)] = record
        _have_arrays[type(model)] = None
        context.look_at_models = _look_at_arrays


def _look_at_arrays(remembered: Remembered | None, caller: FrameType) -> Remembered | None:
    """Return an object with the arrays that a `no_grad()` block may have filled, or None if there are none.

    Args:
        remembered: the object that the block has made; None if there is none.
        caller: the frame of the code of the block.
    """
    if not _with_arrays or not may_fill_arrays(caller, _have_arrays):
        return remembered
    for record in [*_with_arrays.values()]:
        for arrays in record.arrays.values():
            for code, array, items, addresses in arrays:
                if array.tobytes() == addresses:
                    continue
                now = _elements(array)
                if len(now) == len(items) and not all(map(is_, now, items)):
                    remembered = remembered or Remembered()
                    if id(array) not in remembered.arrays:
                        remembered.arrays[id(array)] = f"model{code}", array, items
                        remembered.of_models.add(id(array))
    return remembered


def _is_flat(places: _Places, x: Any) -> bool:
    """Return whether `places` are those of a list or an array of `Value`s alone, with the shape of `x`."""
    return places.paths == (None if type(x) is list else x.shape)


def refuse_lost_parameters(parameters: Iterable[Value]) -> None:
    """Raise TypeError, or warn, if a model has lost some of its parameters.

    The models are those whose first parameter was one of `parameters` when their parameters were last listed. A model
    with a method `parameters` of its own is left out.
    """
    wanted = {*map(id, parameters)}
    for known in [known for known, (first, _, _) in [*_ends.items()] if first in wanted]:
        model = _listed[known]()
        if model is not None and not _lists_its_parameters(model):
            model.parameters()


def _compare_places(model: Module, name: Any, x: Any, old: _Places, numbers: int, root: Module) -> None:
    """Raise TypeError, or warn, if a place in `x` that had a parameter now has something never trained.

    Args:
        model: the module that has the collection.
        name: the name of the attribute, or None if the module itself is the collection.
        x: the collection.
        old: the places of the parameters in it before.
        numbers: how many plain numbers are in it now.
        root: the model whose parameters are listed.
    """
    now = dict(_contents(x))
    made: list[tuple[str, Value]] = []
    for path, _ in old.trained():
        item = now.get(path)
        if item is None:
            around = [path[:k] for k in range(1, len(path)) if _is_array(now.get(path[:k]))]
            if around:  # an array of numbers, whose elements have no places
                code = f"model{'' if name is None else f'.{name}'}{_in_code(x, around[0])}"
                raise TypeError(
                    f"{type(model).__name__}{code.removeprefix('model')} is an array of numbers, where an array of "
                    f"parameters was, and numbers are neither trained nor saved; keep the array, and write for w, x in "
                    f"zip({code}.flat, new.flat): w.data = x"
                )
            continue  # the collection is shorter, or has something other than a number in this place
        code = _in_code(x, path) if name is None else f".{name}{_in_code(x, path)}"
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
    lost = {*old.ids} - {id(p) for p in _leaves_to_train(root)} if made else set[int]()
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
            _warn_of_computed(type(model), code, item.op)
            return


_of_this_package: set[type] = {Module}  # the classes of modules that this package defines


def _has_number(x: Any) -> bool:
    """Return whether `x` is a number, a bool or a text, or an array or collection with one of these inside."""
    if _items_if_values(x) is not None:
        return False
    waiting, entered = [x], set[int]()
    while waiting:
        x = waiting.pop()
        if isinstance(x, Value):
            continue
        if isinstance(x, (list, tuple, dict, deque, set, frozenset)) or (_is_array(x) and x.dtype.kind == "O"):
            if id(x) not in entered:
                entered.add(id(x))
                waiting += x.values() if isinstance(x, dict) else x.flat if _is_array(x) else x
        elif _is_array(x):
            if x.size and x.dtype.kind in "biufcSU":
                return True
        elif _is_number(x) or isinstance(x, (bool, str)):
            return True
    return False


def _refuse_constants(model: Module, name: str, old: Any, x: Any) -> None:
    """Raise TypeError if `old`, the attribute `name` of `model`, has parameters, and the new `x` has constants.

    The constants are results of operations inside `no_grad()`, as in `m.w = m.w - lr * m.w.grad`.
    """
    new = [item for _, item in _walk(x, _descends_always) if isinstance(item, Value)]
    if not any(item._is_constant_result for item in new):
        return
    kept = {id(item) for item in new}
    held = [item for _, item in _walk(old, _descends_always) if isinstance(item, Value)]
    if any(item.op is None and item.requires_grad and id(item) not in kept for item in held):
        raise TypeError(
            f"{type(model).__name__}.{name} = ... inside no_grad() would replace parameters by constants, which "
            f"nothing trains; change their numbers, as in {_assignment(f'model.{name}', x, 'x.data')}; for a state "
            f"that the model computes, begin with a number, as in self.{name} = 0.0"
        )


def _refuse_unsaved(model: Module, entries: Mapping[str, Any]) -> bool:
    """Raise TypeError if `model` has a computed value that was probably meant to be a parameter.

    Return whether there are constants that operations have computed, some of which may have been found to be states.

    The `entries` of the model's state would lack its number. A value was probably meant to be a parameter if nothing
    but graphs refers to its leaves, as after `m.w = m.w - 0.1 * m.w.grad` in a call of the model. The error is also
    raised if an item of a collection was a parameter, and is now something that is never trained.
    """
    modules: list[Module] = []
    computed: list[tuple[str, Value]] = []
    constants = False
    if _may_hold_computed(model, in_modules=True, modules=modules, constants=True):
        seen: set[int] = set()
        modules.clear()
        for path, x in _walk(model, lambda x: id(x) not in seen):
            if id(x) not in seen and isinstance(x, Module):
                modules.append(x)
            elif id(x) not in seen and isinstance(x, Value) and x.op is not None and x.requires_grad:
                computed.append((path, x))
            elif isinstance(x, Value) and x._is_constant_result:
                constants = True
            seen.add(id(x))
    for module in modules:
        if type(module) not in _of_this_package:
            _refuse_lost(module, model)
    if not computed:
        return constants
    saved = {id(x) for entry in entries.values() for x in leaves_of(entry)}
    computed = [(path, x) for path, x in computed if saved.isdisjoint(map(id, traverse(x)[1]))]
    for path, x in with_unheld_leaves(computed, in_any_graph=True):
        assert x.op
        name = f"{type(model).__name__}.{path}"
        code = next(f"model{_in_code(model, keys)}" for keys, held in _contents(model, in_modules=True) if held is x)
        raise TypeError(
            f"{name} is computed ({x.op.name}), so it is no parameter, and the state would lack it; to train a "
            f"parameter, change its number, as in {code}.data -= lr * {code}.grad; for a result that the model keeps, "
            "write .detach() after it; for a state that it computes, begin with a number, as in self.h = 0.0"
        )
    return constants


def with_unheld_leaves(
    computed: list[tuple[str, Value]], in_any_graph: bool = False, lost: Collection[int] = ()
) -> list[tuple[str, Value]]:
    """Return the items of `computed`, pairs of a path and a computed value, whose leaves only the graph refers to.

    The graph is that of the values in `computed`. If `in_any_graph` is true, references from other graphs, such as that
    of an old loss, do not count either; to find these graphs, the function looks at all objects of the program. Leaves
    whose ids are in `lost` count as if only the graph referred to them.

    >>> x = Value(2)
    >>> [path for path, _ in with_unheld_leaves([("kept", x * 3), ("lost", Value(2) * 3)])]
    ['lost']
    """
    if not computed or not hasattr(sys, "getrefcount"):
        return []
    for record in _records.values():
        record.items, record.arrays, record.lists = {}, {}, []
    order, leaves = traverse(*[x for _, x in computed])
    held = [leaf for leaf in leaves if leaf.requires_grad]
    del leaves
    if in_any_graph:
        uses = Counter([id(x) for node in _users(held) for x in node.operands])
    else:
        uses = Counter([id(x) for node in order for x in node.operands])
    # How many references a leaf has if only this function refers to it; this depends on the version of Python.
    base = _reference_counts([Value(0.0)])[0]
    counts = _reference_counts(held)
    reachable = {id(x) for x, count in zip(held, counts, strict=True) if count > base + uses[id(x)]}
    reachable.difference_update(lost)
    if len(reachable) == len(held):
        return []
    return [(path, x) for path, x in computed if reachable.isdisjoint(map(id, traverse(x)[1]))]


def _users(leaves: list[Value]) -> list[Value]:
    """Return all nodes that have one of `leaves` as an operand."""
    referrers = gc.get_referrers(*leaves)
    around = gc.get_referrers(*[x for x in referrers if type(x) is tuple])  # a node may keep operands in a tuple
    return list({x: None for x in [*referrers, *around] if isinstance(x, Value)})


_ONLY_VALUES, _ONLY_LISTS = {Value}, {list}


def _may_hold_computed(
    model: Module, in_modules: bool = False, modules: list[Module] | None = None, constants: bool = False
) -> bool:
    """Return whether `model` contains a computed value, counting the modules inside it only if `in_modules` is true.

    This is faster than a search with `_walk`. The modules that were entered are added to the list `modules`. Constants
    that an operation computed count only if `constants` is true.
    """
    entered: set[int] = set()
    waiting: list[Iterable[Any]] = [[model]]
    while waiting:
        items = waiting.pop()
        if _ONLY_VALUES.issuperset(map(type, items)):
            if [x for x in items if x.op is not None] or (constants and [x for x in items if x._da is not None]):
                return True
            continue
        for x in items:
            cls = type(x)
            if cls is Value:
                if x.op is not None or (constants and x._da is not None):
                    return True
            elif cls is list or cls is tuple:
                if id(x) not in entered:
                    entered.add(id(x))
                    waiting.append(x)
            elif (members := _members[cls] if cls in _members else _members_of(cls)) and id(x) not in entered:
                entered.add(id(x))
                if isinstance(x, Value) and (x.op is not None or (constants and x._da is not None)):
                    return True
                if modules is not None and isinstance(x, Module):
                    modules.append(x)
                if in_modules or x is model or not isinstance(x, Module):
                    waiting.append([item for _, item in members(x)])
    return False


def _reference_counts(values: list[Value]) -> list[int]:
    return [sys.getrefcount(x) for x in values]


Members: TypeAlias = Callable[[Any], Iterable[tuple[Any, Any]]]


def _of_leaf(x: object) -> Iterable[tuple[Any, Any]]:
    """Return no members: a `Value` has none, and those of a set are left out because they have no order."""
    return ()


def _of_sequence(x: Any) -> Iterable[tuple[Any, Any]]:
    return enumerate(x)


def _of_deque(x: deque[Any]) -> Iterable[tuple[Any, Any]]:
    return enumerate([*x])


def _of_mapping(x: Mapping[Any, Any]) -> Iterable[tuple[Any, Any]]:
    items = [*x.items()]
    if any(isinstance(key, Module) for key, _ in items):  # whose text says how many parameters it has
        return [(f"{i}" if isinstance(key, Module) else key, item) for i, (key, item) in enumerate(items)]
    return items


def _of_array(x: Any) -> Iterable[tuple[Any, Any]]:
    if getattr(x.dtype, "names", None):  # a structured array: the elements of its fields
        return [(f"{place}.{name}", item) for name in x.dtype.names for place, item in _of_array(x[name])]
    if x.dtype != object:
        return ()
    if x.ndim == 1:
        return [(f"{i}", item) for i, item in enumerate(x.tolist())]
    places = [".".join(map(str, place)) or "0" for place in product(*map(range, x.shape))]
    return zip(places, _elements(x), strict=True)


def _elements(x: Any) -> list[Any]:
    """Return the elements of an array. The method `ravel` of an `np.matrix` would return a matrix of one row."""
    found: list[Any] = getattr(x, "A1", x).ravel().tolist()
    return found


def _of_module(x: Any) -> Iterable[tuple[Any, Any]]:
    """Return the attributes in an object's slots and its `__dict__`, without running any code of the object's class."""
    held = getattr(x, "__dict__", None)
    found = [*held.items()] if isinstance(held, dict) else []
    if slots := _slots[type(x)]:
        in_slots = []
        for name, slot in slots:
            try:
                in_slots.append((name, slot.__get__(x)))
            except AttributeError:  # nothing has been assigned to it
                continue
        found[:0] = in_slots
    return found


def _of_module_with_items(x: Any) -> Iterable[tuple[Any, Any]]:
    """Return the items of a module whose class is also a list, tuple, deque or dict, and then its attributes."""
    return [*(_of_mapping(x) if isinstance(x, dict) else enumerate([*x])), *_of_module(x)]


def _of_object(x: Any) -> Iterable[tuple[Any, Any]]:
    """Return the attributes of an object that is neither a module nor a container.

    This is a function of its own, so `_walk` can tell such an object from a module.
    """
    return _of_module(x)


def _of_users_array(x: Any) -> Iterable[tuple[Any, Any]]:
    """Return the elements of an array whose class is a user's, and then its attributes."""
    return [*_of_array(x), *_of_module(x)]


_OF_ARRAYS = frozenset([_of_array, _of_users_array])


def _of_hiding(x: object) -> Iterable[tuple[Any, Any]]:
    """Return no members: parameters are not looked for in such an object, and `_refuse_hidden` refuses them there."""
    return ()


def _with_attributes(items: Members) -> Members:
    """Return a function that lists an object's items, as the function `items` does, and then its attributes.

    Use the result for an object whose class is a user's subclass of list, dict and the like.
    """
    return lambda x: [*items(x), *_of_module(x)]


# The classes of objects that may refer to parameters, but in which none are looked for: classes, functions with some of
# their arguments, methods of an object, and views of dicts
_HIDING: tuple[type, ...] = (type, partial, MethodType, type({}.keys()), type({}.values()), type({}.items()))

# For each class, the function that lists an object's members with their names, keys or indices. It is None for a class
# whose objects are not searched for parameters.
_members: dict[type, Members | None] = {}
_slots: dict[type, list[tuple[str, Any]]] = {}  # the `__slots__` of a class and its bases, each with its descriptor


def _members_of(cls: type) -> Members | None:
    """Return the function that lists the members of an object of class `cls`, and store it in the dict `_members`.

    Return None instead of a function if parameters are not looked for inside such an object.
    """
    found: Members | None = None
    origins = {str(base.__module__).partition(".")[0] for base in cls.__mro__ if base is not object}
    origin = str(cls.__module__).partition(".")[0]
    if issubclass(cls, (Value, set, frozenset)):
        found = _of_leaf
    elif issubclass(cls, Module):
        found = _of_module_with_items if issubclass(cls, (list, tuple, dict, deque)) else _of_module
    elif issubclass(cls, (dict, MappingProxyType)):
        found = _of_mapping
    elif issubclass(cls, (list, tuple)):
        found = _of_sequence
    elif issubclass(cls, deque):
        found = _of_deque
    elif "numpy" in origins:
        own = origin not in ("numpy", __name__.partition(".")[0])
        found = (_of_users_array if own else _of_array) if hasattr(cls, "tolist") and hasattr(cls, "ndim") else None
    elif issubclass(cls, _HIDING) or ("pandas" in origins and hasattr(cls, "iloc")):
        found = _of_hiding
    elif __name__.partition(".")[0] in origins:
        found = None  # an optimiser or a program only refers to the parameters of a model
    elif origin not in sys.stdlib_module_names or origin in ("collections", "types"):
        found = _of_object
    in_class = [item for base in reversed(cls.__mro__) for item in vars(base).items()]
    _slots[cls] = [(k, slot) for k, slot in in_class if isinstance(slot, MemberDescriptorType) and k != "__dict__"]
    has_attributes = cls.__dictoffset__ or any(vars(base).get("__slots__") for base in cls.__mro__)
    if found in (_of_mapping, _of_sequence, _of_deque) and found is not None and has_attributes:
        found = _with_attributes(found)
    _members[cls] = found
    return found


_members_of(Module)


def _is_array(x: object) -> bool:
    return _members_of_known(type(x)) in _OF_ARRAYS


def _leaves_in_set(held: Iterable[object]) -> Iterator[Value]:
    """Yield the leaf `Value`s in the set `held`, and those inside its items."""
    for item in held:
        for _, x in _walk(item, lambda _: True):
            if isinstance(x, (set, frozenset)):
                yield from _leaves_in_set(x)
            elif isinstance(x, Value) and x.op is None:
                yield x


def _as_lists(entry: Any) -> Any:
    """Return `entry`, an entry of a module's `entries`, with lists in place of arrays and deques."""
    if _is_array(entry):
        entry = entry.tolist()
    if isinstance(entry, (list, deque)):
        return [_as_lists(x) for x in entry]
    if isinstance(entry, dict):
        return {key: _as_lists(x) for key, x in entry.items()}
    if isinstance(entry, tuple):
        items = [_as_lists(x) for x in entry]
        return type(entry)(*items) if hasattr(entry, "_fields") else tuple(items)
    return entry


def _data_of(entry: Any) -> Any:
    """Return `entry`, an entry of a module's `entries`, with the data of each leaf in its place."""
    if isinstance(entry, Value):
        return entry.data
    if type(entry) is list:
        return [_data_of(x) for x in entry]
    leaves, unflatten = flatten(_as_lists(entry))
    return unflatten([leaf.data for _, leaf in leaves])


def leaves_of(entry: Any) -> list[Value]:
    """Return the leaves of `entry`, an entry of a module's `entries`."""
    if type(entry) is list:
        return entry if _ONLY_VALUES.issuperset(map(type, entry)) else [p for x in entry for p in leaves_of(x)]
    return [x for _, x in flatten(_as_lists(entry))[0]]


def _walk(root: object, descends: Callable[[object], bool]) -> Iterator[tuple[str, Any]]:
    """Yield the module or container `root`, then everything inside it, each with its path, in preorder.

    The function yields `Value`s, and whatever may contain them: modules, dicts, sequences, arrays, sets and objects of
    other classes. `descends(x)` says whether to go on to what is inside x. What is inside a set is never yielded. An
    object that contains itself is not yielded again inside itself. An object of another class is yielded only once,
    and everything else once for each of its places.
    """
    objects: set[int] = set()
    levels: list[tuple[str, frozenset[int], Iterator[tuple[Any, Any]]]] = [("", frozenset(), iter([("", root)]))]
    while levels:
        prefix, around, items = levels[-1]
        for name, x in items:
            members = _members[type(x)] if type(x) in _members else _members_of(type(x))
            if members is None:
                continue
            path = f"{prefix}{name}"
            if members is _of_leaf:
                yield path, x
            elif id(x) not in around and id(x) not in objects:
                if members is _of_object:
                    objects.add(id(x))
                inside = members(x) if descends(x) else ()
                yield path, x
                if type(x) is list and inside and _ONLY_VALUES.issuperset(map(type, x)):  # for speed
                    for i, leaf in enumerate(x):
                        yield f"{path}.{i}" if path else f"{i}", leaf
                    continue
                levels.append((f"{path}." if path else "", around | {id(x)}, iter(inside)))
                break
        else:
            levels.pop()


def _is_part_of(module: Module, x: object) -> bool:
    """Return whether `x`, an object found in `module`, is `module` itself or an object that is no module."""
    return x is module or not isinstance(x, Module)


def _defines_entries(x: object) -> bool:
    """Return whether `x` is a module that overrides `entries`."""
    return isinstance(x, Module) and type(x).entries is not Module.entries


def _is_entry(x: Any, around: frozenset[int] = frozenset()) -> bool:
    """Return whether `x` is one entry of `entries`: a leaf, or a sequence or array that has entries, and nothing else.

    Args:
        x: any object.
        around: the ids of the sequences that contain `x`. A sequence that contains itself is no entry.
    """
    if isinstance(x, Value):
        return x.op is None and not _is_kept(x)
    if isinstance(x, Module):  # its class may also be a list
        return False
    if isinstance(x, (list, tuple, deque)) and (type(x) in _COLLECTIONS or not _of_module(x)):
        items: Any = x
    elif _is_array(x) and x.dtype == object and (type(x).__module__ == "numpy" or not _leaves_to_train(_of_module(x))):
        items = x.reshape(-1).tolist()
    else:
        return False
    around |= {id(x)}
    return bool(items) and all(id(item) not in around and _is_entry(item, around) for item in items)


def shape_in_words(tree: object) -> str:
    """Return the shape of the nested lists or arrays `tree` in words, for error messages."""
    lengths, tree = [], arrays_to_lists(tree)
    while isinstance(tree, (list, tuple)):
        lengths.append(str(len(tree)))
        if len({len(item) if isinstance(item, (list, tuple)) else -1 for item in tree}) > 1:
            lengths.append("ragged")
            break
        tree = tree[0] if tree else None
    return f"a list of {' x '.join(lengths)}" if lengths else "a number" if not isinstance(tree, dict) else "a dict"
