"""`Module`, the base class of models: it finds the parameters in its attributes, saves them and loads them."""

from __future__ import annotations

import functools
import operator
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Never, SupportsIndex

from .engine import Value
from .graph import outdated
from .graph.callers import is_of_this_package, warn_at_user
from .graph.node import assign_data, set_gradients
from .ops.number import flag, number
from .ops.options import refuse_options
from .parameters.assignment import assign, assign_beside, assign_with_slots, delete, set_attribute
from .parameters.class_attributes import (
    refuse_class_attributes,
    warn_of_hidden_methods,
)
from .parameters.construction import check_after, note_after, note_copy, note_places
from .parameters.copied import warn_of_shared_functions
from .parameters.entries import (
    as_lists,
    data_of,
    defines_entries,
    is_entry,
    pairs_of_floats,
    refuse_unsaved,
    shape_in_words,
    why_no_entry,
)
from .parameters.files import checked_path, read_state, write_state
from .parameters.listing import call_parameters, find_parameters, note_listed, refuse_dotted, usual_parameters
from .parameters.lost import mark_states
from .parameters.members import is_part_of, known_slots, members_of, walk
from .parameters.model import Model, beginning, of_this_package, overridable, overrides
from .parameters.repeated import as_given, list_once
from .parameters.structures import note_structure, structure_of
from .parameters.tree import flatten, flatten_like

__all__ = ["Module"]


class Module(Model):
    """A model. Its parameters are the leaf `Value`s in its attributes, also inside other objects.

    A subclass defines `__call__`, or, as in PyTorch, a method `forward`, which runs when the model is called.

    Parameters are found inside modules, lists, tuples, deques, dicts, numpy arrays and objects of your own classes,
    however nested, in attributes and `__slots__`. They are not found in the variables, defaults and arguments of
    functions, nor in iterators and other objects of the standard library. An optimiser warns in its second step, and in
    some later ones, if a function or an iterator of the model, or an object such as a queue, has a leaf that gets a
    gradient and that nothing trains; so does `fit`. After these steps, there is also a warning if a call of the model
    reads such a leaf from anywhere else, as from a global list: if neither the model nor the arguments of the call have
    it. Set `requires_grad = False` for data in global variables.

    A set has no order, so it is an error if a parameter is in a set and nowhere else. It is also an error if
    `__init__`, or an assignment to a new attribute, puts a parameter only into one of these:

    - the keys or a view of a dict, a `functools.partial`, or a pandas Series or DataFrame;
    - an attribute of a class, of a function or of a `Value`, or the object of a bound method;
    - the model or function inside a compiled function, a `functools.cache`, `grad(f)` or `np.vectorize(f)`. To compile
      a model that is an attribute, set two attributes: `self.net = net` and `self.fast = compile(net)`;
    - an object that shows its content neither by attributes nor as a collection, such as a queue, an exception, a
      `threading.local` or a context variable.

    A computed value, such as `Value(0.5) * 0.1`, is not a leaf and therefore not a parameter. It is an error if
    `__init__` computes a value from leaves that nothing else refers to, because nothing would ever train these leaves.
    If such a value is added later, the error is raised when the parameters are listed. A call of the model may compute
    values and keep them in attributes. In an attribute that had no parameters before, it may also keep a constant,
    which it gets from `detach()` or computes inside `no_grad()`. A collection, an array or an object that had no
    parameters at the end of `__init__` may get such constants too, as by `self.seen.append(h.detach())`. None of these
    are parameters. Nor are constants that are computed from constants alone, as in `self.k = self.c * 3`.

    A parameter may be replaced by another leaf, as in `m.w = Value(0.5)`, but make the optimiser anew then. An
    optimiser that was made before warns in one of its next steps. It is an error if an assignment replaces a parameter
    by a number, by a constant that an operation computed, or by a value that is computed from it, as in
    `m.w = m.w * 0.5`, because the model would lose a parameter without a word.

    If the new value is computed from the parameter, it may be the next state of a recurrent model. Then there is a
    warning and no error. This is assumed if a call of a model (`__call__` or `forward`) assigns the value, if it also
    depends on other parameters, or if a variable has the old parameter, as in `theta = m.w; m.w = theta - 0.4 * theta`.
    For a state, begin with a number, as in `self.h = 0.0`. For a weight, as in `self.w = self.w / norm`, keep the
    parameter and write `w = self.w / norm`. To take a parameter out of a model, write `del m.w` first.

    An assignment to an item of a collection, as in `m.ws[0] = 0.5`, is noticed later: the error is raised, or the
    warning given, when the parameters are next listed or saved, and by optimisers after their first step, and after 30,
    60, 120, ... steps. A collection may have numbers beside parameters from the start.

    Parameters are looked for in each model object and not in its class. So it is an error if an attribute of the class
    has a parameter, or if `__init__` puts parameters into a list of the class and the model has none of them. If a
    module inside this one overrides `parameters`, its parameters are those that this method returns.

    Python does not copy functions. So there is a warning if `copy.deepcopy` copies a model with an attribute such as
    `lambda x: self.w * x`, which goes on using the parameters of the original. A method is copied.

    >>> class Line(Module):
    ...     def __init__(self):
    ...         self.slope, self.offset = Value(2), Value(1)
    >>> [name for name, _ in Line().named_parameters()]
    ['slope', 'offset']
    >>> Line()
    Line(), 2 parameters
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        forward, inherited = getattr(cls, "forward", None), cls.__call__
        ours = is_of_this_package(inherited)
        if callable(forward) and (ours or hasattr(inherited, "runs_forward")) and "__call__" not in vars(cls):
            cls.__call__ = _run_forward(forward)  # type: ignore[method-assign]  # it has the signature of forward
        refuse_class_attributes(cls)
        if not is_of_this_package(cls):
            list_once(cls)
            warn_of_hidden_methods(cls)
        has_items = issubclass(cls, (list, dict, deque)) and not hasattr(cls.__init__, "__wrapped__")
        if ("__init__" in vars(cls) or has_items) and not is_of_this_package(cls):
            cls.__init__ = check_after(cls.__init__)  # type: ignore[method-assign]  # it has the signature of __init__
        if "__setstate__" in vars(cls):
            cls.__setstate__ = note_after(cls.__setstate__)  # type: ignore[method-assign]  # it takes a state
        for name in ("__copy__", "__deepcopy__"):
            if name in vars(cls):
                setattr(cls, name, note_copy(vars(cls)[name]))
        kind: Any = cls
        if is_of_this_package(cls):
            of_this_package.add(cls)  # only what users add to these models is checked
            kind.__setattr__ = assign_beside
            return
        members_of(cls)
        # A frozen dataclass refuses a class that has these methods itself, so inherit them where that is possible
        assigns: Any = cls.__setattr__
        if assigns is assign_beside or (known_slots[cls] and assigns is Module.__setattr__):
            kind.__setattr__ = assign_with_slots if known_slots[cls] else assign

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Return what copies and pickles are made from; warn of functions that a deep copy would share."""
        warn_of_shared_functions(self, sys._getframe(1))
        mark_states(self)
        return super().__reduce_ex__(max(2, operator.index(protocol)))  # older protocols do not store slots

    def __setstate__(self, state: Any) -> None:
        """Set the attributes of a copy or an unpickled module to those in `state`, and remember its parameters.

        `state` is a dict, or a tuple of a dict and a dict of the attributes in `__slots__`. If something later takes
        the place of a parameter, the module notices it.
        """
        attributes, slots = state if isinstance(state, tuple) else (state, None)
        vars(self).update(attributes or {})
        for name, x in (slots or {}).items():  # the class may have __slots__
            set_attribute(self, name, x)
        note_places(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the method `forward` returns for the same arguments, `args` and `kwargs`.

        A model may define either `__call__` or `forward`.

        Raises:
            TypeError: the model has no `forward`.
        """
        if forward := getattr(self, "forward", None):
            return forward(*args, **kwargs)
        name = type(self).__name__
        raise TypeError(f"{name} cannot be called: define __call__(self, x) or forward(self, x) in the class {name}")

    @overridable
    def named_parameters(self, **wrong: Never) -> Iterator[tuple[str, Value]]:
        """Yield every parameter once, with its path.

        For a `Layer` or `Neuron`, the paths differ from the keys of `state_dict`, which are PyTorch's and have "weight"
        and "bias" in them. In a path, a weight of a `Neuron` is "w" with its index, and the bias is "b". The second
        example below leaves biases out.

        If a module inside this one overrides `parameters` or `named_parameters`, its own method says which parameters
        it has, as in micrograd.

        Raises:
            TypeError: parameters are in a set, and nowhere else in the model; or an attribute of a class is a
                parameter; or a weight of a `Neuron` is a number; or a value in the model, which was not stored there by
                a call of the model, is computed from leaves that nothing would train; or an item of a collection was a
                parameter, and is now a number or computed from this parameter; or a module's own `parameters` returns
                something other than `Value`s; or an attribute has the path of a parameter as its name.

        >>> from micrograd_cn.nn import Layer
        >>> [name for name, _ in Layer(2, 1).named_parameters()]
        ['neurons.0.w.0', 'neurons.0.w.1', 'neurons.0.b']
        >>> [name for name, _ in Layer(2, 1).named_parameters() if not name.endswith("b")]
        ['neurons.0.w.0', 'neurons.0.w.1']
        """
        refuse_options("named_parameters()", wrong, _OPTIONS)
        yield from find_parameters(self)

    @overridable
    def parameters(self, **wrong: Never) -> list[Value]:
        """Return every parameter once, in the order of `named_parameters`.

        >>> from micrograd_cn.nn import MLP
        >>> len(MLP(2, [3, 1]).parameters())
        13
        """
        return parameters_of(self, Module, wrong)

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Set the gradient of every parameter to 0, or to None if `set_to_none` is true, as PyTorch does.

        >>> from micrograd_cn.nn import Layer
        >>> layer = Layer(1, 1); layer.parameters()[0].grad = 5.0
        >>> layer.zero_grad(); layer.parameters()[0].grad
        0.0
        """
        if type(set_to_none) is not bool:
            set_to_none = flag("zero_grad(): set_to_none", set_to_none)
        parameters = call_parameters(self)
        if outdated.expected or outdated.answered:
            outdated.note_cleared(parameters)
        set_gradients(parameters, None if set_to_none else 0.0)

    @overridable
    def entries(self) -> dict[str, Any]:
        """Return the entries of `state_dict` as a dict by name; an entry is a parameter, or parameters in nested lists.

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
        for path, x in walk(self, lambda x: x is self or (not defines_entries(x) and not is_entry(x))):
            entries: dict[str, Any] = {}
            if x is not self and defines_entries(x):
                entries = {f"{path}.{name}".removeprefix("."): entry for name, entry in x.entries().items()}
            elif is_entry(x):
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

    def state_dict(self, **wrong: Never) -> dict[str, Any]:
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
        refuse_options("state_dict()", wrong, _OPTIONS)
        if (known := structure_of(self)) and known.entries is not None:
            return known.state(data_of)
        entries = self.entries()
        if refuse_unsaved(self, entries):
            entries = self.entries()
        refuse_dotted(self)
        if known := note_structure(self):
            known.note_entries(entries)
        return {name: data_of(entry) for name, entry in entries.items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True, **wrong: Never) -> None:
        """Set the data of the parameters to the numbers in `state`. If `state` is wrong, nothing is changed.

        Args:
            state: numbers by name, in nested lists, arrays or tensors.
            strict: whether missing and unexpected entries are errors. If not, missing entries keep their data, and
                unexpected entries are ignored, with a warning if all of them are.

        Raises:
            ValueError: an entry is missing or unexpected, has another shape, or contains a number that is too large for
                a float; two entries of this module have the same name; or one parameter has two places in the module,
                with different numbers in `state`.
            TypeError: `state` is not a mapping, or an entry contains something that is not a number.

        >>> from micrograd_cn.nn import Layer
        >>> Layer(2, 1).load_state_dict({"weight": [[1, 2]]})
        Traceback (most recent call last):
        ValueError: load_state_dict: 'bias' is missing
        """
        refuse_options("load_state_dict()", wrong, _OPTIONS, ("strict",))
        strict = flag("load_state_dict(): strict", strict)
        if not isinstance(state, Mapping):
            write = ""
            if isinstance(state, (str, os.PathLike)):
                write = f"; write model.load({os.fspath(state)!r}) for a file that save() wrote"
            elif isinstance(state, Module):
                write = "; write model.load_state_dict(other.state_dict())"
            elif isinstance(state, (list, tuple)):
                write = "; write for p, x in zip(model.parameters(), xs): p.data = x for a list xs of numbers"
            elif hasattr(state, "items"):  # as a DataFrame or a Series of pandas
                write = "; write model.load_state_dict(dict(state.items()))"
            raise TypeError(f"load_state_dict takes a dict, got {type(state).__name__}{write}")
        known = structure_of(self)
        entries = known.entries if known and known.entries is not None else self.entries()
        if strict and entries.keys() != state.keys():
            self.parameters()  # which may find states among the constants in collections
            entries = self.entries()
        if strict:
            missing, unexpected = entries.keys() - state.keys(), state.keys() - entries.keys()
            for kind, names in (("missing", missing), ("unexpected", unexpected)):
                if names:
                    verb = "is" if len(names) == 1 else "are"
                    why = why_no_entry(self, entries, sorted(names)) or _names_in_order(entries, state)
                    raise ValueError(f"load_state_dict: {', '.join(map(repr, sorted(names)))} {verb} {kind}{why}")
        elif state and entries.keys().isdisjoint(state.keys()):
            warn_at_user(
                f"load_state_dict(strict=False) has loaded nothing, since the model has no entry "
                f"{next(iter(state))!r}; it has {', '.join(map(repr, entries)) or 'none'}"
            )
        updates: list[tuple[Value, float]] = []
        read: dict[str, Any] = {}
        for name, held in entries.items():
            if name in state:
                read[name] = given = state[name].tolist() if hasattr(state[name], "tolist") else state[name]
                if (pairs := pairs_of_floats(held, given)) is not None:
                    updates += pairs
                    continue
                entry = as_lists(held)
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
        if len(dict(updates)) < len(updates):
            found = [
                leaf for name, given in read.items() for leaf in flatten_like(given, as_lists(entries[name]), name)
            ]
            _refuse_two_numbers([path for path, _ in found], updates)
        assign_data([leaf for leaf, _ in updates], [x for _, x in updates])

    def save(self, path: str | os.PathLike[str] | None = None, **wrong: Never) -> None:
        """Write the dict that `state_dict` returns to the file `path` as JSON, exact to the last bit.

        The old file stays complete until the new one is complete, so a crash at any point leaves one of them. When
        several threads or processes save to one path, a reader finds the complete file of one of them. If `path` is a
        symbolic link, the file that it leads to is replaced. The new file has the permissions of the old one, and its
        owner and group where the system lets you set them.

        The file has the numbers of the parameters alone, and not the structure or the activation functions: build the
        model in the same way before you load them. A number that is not finite is written as NaN or Infinity.

        To save a model together with its optimiser, write `pickle.dump((model, optimizer), file)`, or save both states.
        `joblib` copies every numpy array separately, so parameters in arrays are no longer those that the loaded
        optimiser has; after `joblib.load` or in `joblib.Parallel`, make the optimiser anew.

        Raises:
            OSError: the file cannot be written, or `path` leads to something other than a regular file.
            ValueError: two entries of this module have the same name.
            TypeError: `state_dict` raises it for this module, or `path` is missing or is not a path.

        >>> import json, pathlib, tempfile
        >>> from micrograd_cn.nn import Neuron
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Neuron(1, init="zeros").save(f"{folder}/model.json")
        ...     json.loads(pathlib.Path(f"{folder}/model.json").read_text())
        {'weight': [0.0], 'bias': 0.0}
        """
        refuse_options("save()", wrong, _OPTIONS, ("path",))
        path = checked_path("save", self, path)
        write_state(self.state_dict, path)

    def load(self, path: str | os.PathLike[str] | None = None, **wrong: Never) -> None:
        """Set the data of the parameters to the numbers that `save` wrote. If the file is wrong, nothing is changed.

        Raises:
            OSError: the file cannot be read.
            ValueError: the file is not JSON (it may be truncated), its JSON is not an object, two entries have the same
                name, or the entries are not those of this module, or have other shapes.
            TypeError: an entry contains something that is not a number, or `path` is missing or is not a path.

        >>> import tempfile
        >>> from micrograd_cn.nn import Neuron
        >>> trained, model = Neuron(1, seed=0), Neuron(1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trained.save(f"{folder}/model.json")
        ...     model.load(f"{folder}/model.json")
        >>> model.state_dict() == trained.state_dict()
        True
        """
        refuse_options("load()", wrong, _OPTIONS, ("path",))
        path = checked_path("load", self, path)
        self.load_state_dict(read_state(path))

    def summary(self) -> str:
        """Return the text for this module alone, which `repr` shows as one of its lines.

        >>> from micrograd_cn.nn import Layer
        >>> Layer(2, 3).summary()
        'Layer(2, 3, relu)'
        """
        return f"{type(self).__name__}()"

    def __repr__(self) -> str:
        """Return a line for this module, with its number of parameters, and an indented line for each module inside.

        If a module's `expands_in_repr` is False, the modules inside it get no lines.
        """
        lines: list[str] = []
        waiting: list[tuple[int, str, Module, frozenset[int]]] = [(0, "", self, frozenset())]
        while waiting:
            depth, name, module, around = waiting.pop()
            lines.append("  " * depth + f"{name}: {module.summary()}".removeprefix(": "))
            around |= {id(module)}
            inside = walk(module, partial(is_part_of, module))
            parts = [(path, x) for path, x in inside if isinstance(x, Module) and id(x) not in around]
            waiting += [(depth + 1, path, part, around) for path, part in parts if module.expands_in_repr][::-1]
        count = len(call_parameters(self))
        return "\n".join([f"{lines[0]}, {count} parameter{'s' * (count != 1)}", *lines[1:]])

    if not TYPE_CHECKING:  # a type checker shall go on saying that a module has no such attributes

        def __getattr__(self, name: str) -> Any:
            classes = [base for base in type(self).__mro__ if name in vars(base)]
            if name in _INSTEAD and all(map(is_of_this_package, classes)):  # else a user's property raises the error
                raise AttributeError(f"{type(self).__name__} has no {name}; {_INSTEAD[name]}", name=name, obj=self)
            return object.__getattribute__(self, name)  # raises the usual error, or that of a property


def parameters_of(model: Module, owner: type[Module], wrong: Mapping[str, Never]) -> list[Value]:
    """Return every parameter of `model` once: this is the method `parameters` of `Module`, `Neuron`, `Layer` and `MLP`.

    Args:
        model: the model.
        owner: the class among these whose method was called.
        wrong: the options in the call, of which there are none.
    """
    if wrong:
        refuse_options("parameters()", wrong, _OPTIONS)
    if type(model).named_parameters is not Module.named_parameters or "named_parameters" in vars(model):
        found = [parameter for _, parameter in model.named_parameters()]
    elif (known := structure_of(model)) and known.parameters:  # no class in the model overrides this method
        note_listed(model, known.parameters[0], known.parameters[-1], len(known.parameters))
        return known.parameters.copy()
    else:
        listed = usual_parameters(model)
        found = [parameter for _, parameter in model.named_parameters()] if listed is None else listed
        if known := note_structure(model):
            known.parameters = found.copy()
    if "parameters" in vars(model) or overrides(
        type(model), "parameters"
    ):  # the user's method may have called this one
        return as_given(model, found, partial(owner._micrograds_parameters, model))
    return found


def _names_in_order(entries: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """Return what to write if only the names in `state` differ from those of `entries`, and otherwise "".

    For example, the names in a state of PyTorch's `Sequential` have other indices. The result is "" unless both have
    the same shapes in the same order.
    """
    shapes = [[shape_in_words(as_lists(x)) for x in found.values()] for found in (entries, state)]
    if not entries or shapes[0] != shapes[1]:
        return ""
    return "; if only the names differ, write model.load_state_dict(dict(zip(model.state_dict(), state.values())))"


_NO_MODES = "a model has no modes and computes the same in training and afterwards; leave the call out"
_NO_DEVICES = "all numbers are floats of the CPU; leave the call out"


# What users of PyTorch look for, and what to do instead.
_INSTEAD = {
    **dict.fromkeys(("train", "eval"), _NO_MODES),
    **dict.fromkeys(("to", "cpu", "cuda", "double", "float", "half", "bfloat16", "type"), _NO_DEVICES),
    **dict.fromkeys(("modules", "children", "named_modules", "named_children"), "read its attributes, or print it"),
    "requires_grad_": "write for p in model.parameters(): p.requires_grad = False",
    "apply": "write for p in model.parameters(): p.data = ..., or call f of each layer",
    "register_parameter": "assign a Value to an attribute, as in self.w = Value(0.5)",
    "training": "a model has no modes; set it in __init__, as in self.training = True, and change it yourself",
    **dict.fromkeys(
        ("register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook", "register_backward_hook"),
        "write a subclass whose __call__ looks at super().__call__(x); gradients are in x.grad after backward()",
    ),
    **dict.fromkeys(("reset_parameters", "init_weights", "initialize"), "make the model anew, with another seed"),
    **dict.fromkeys(
        ("get_parameter", "get_submodule", "get_buffer"), "read its attributes, or dict(named_parameters())"
    ),
    **dict.fromkeys(("copy", "clone"), "write copy.deepcopy(model)"),
    **dict.fromkeys(("count_params", "num_parameters", "num_params", "n_params"), "write len(model.parameters())"),
    "deepcopy": "write copy.deepcopy(model)",
    **dict.fromkeys(("coef_", "intercept_", "get_params"), "write model.state_dict()"),
    "set_params": "write model.load_state_dict(state)",
    "grad": "write p.grad for each p of model.parameters()",
    "step": "write optimizer.step(), with optimizer = SGD(model.parameters(), lr=0.1) or another one of optim",
    **dict.fromkeys(
        ("in_features", "nin"), "write len(layer.neurons[0].w) for a Layer, and len(neuron.w) for a Neuron"
    ),
    **dict.fromkeys(("out_features", "nout"), "write len(layer.neurons) for a Layer"),
    "register_buffer": "assign a number to an attribute, as in self.count = 0",
    "add_module": "assign the module to an attribute",
    "named_buffers": "read its attributes, because a number in an attribute is no parameter",
    "buffers": "read its attributes, because a number in an attribute is no parameter",
    "predict": "write model(x), or [model(x) for x in xs]",
    "predict_proba": "write softmax(model(x)) if the model computes logits",
    **dict.fromkeys(("save_weights", "dump"), "write model.save(path)"),
    "load_weights": "write model.load(path)",
    **dict.fromkeys(("coefs_", "intercepts_"), "write model.state_dict()"),
    **dict.fromkeys(("trainable", "trainable_params"), "write for p in model.parameters(): p.requires_grad = False"),
    "unfreeze": "write for p in model.parameters(): p.requires_grad = True",
    **dict.fromkeys(("variables", "all_weights"), "write model.parameters()"),
    **dict.fromkeys(("partial_fit", "train_step"), "write loss.fit(samples, optimizer, epochs=1) for a compiled loss"),
    "no_grad": "write with no_grad(): y = model(x)",
    "jit": "write fast = compile(model), with compile of micrograd_cn.compiler",
    **dict.fromkeys(("share_memory", "build"), "leave the call out"),
    "fit": "write loss.fit(samples, optimizer, epochs=10), where loss is a function that you compiled",
    "freeze": "write for p in model.parameters(): p.requires_grad = False",
    "backward": "write y = model(x), and then y.backward()",
    **dict.fromkeys(("weights", "trainable_variables", "trainable_weights", "params"), "write model.parameters()"),
    "get_weights": "write model.state_dict()",
    "set_weights": "write model.load_state_dict(state)",
    "compile": "write loss = compile(f), with a function f of a sample and with compile of micrograd_cn.compiler",
    **dict.fromkeys(("evaluate", "score"), "compute a loss of [model(x) for x in xs], such as losses.mse_loss"),
}


# Options that these methods have in other libraries, and what to do instead
_PREFIX = 'write {"net." + name: x for name, x in model.state_dict().items()}'
_OPTIONS = {
    **dict.fromkeys(("recurse", "remove_duplicate"), "write [p for p in vars(model).values() if isinstance(p, Value)]"),
    "prefix": _PREFIX.replace("state_dict().items()", "named_parameters()") + "; for a state, " + _PREFIX,
    "destination": "write state.update(model.state_dict()) for a dict state",
    "keep_vars": "write dict(model.named_parameters()) for the Values",
    "strict": "write model.load_state_dict(json.loads(pathlib.Path(path).read_text()), strict=False)",
    **dict.fromkeys(("assign", "map_location", "overwrite", "save_format", "weights_only"), "leave it out"),
}


def _run_forward(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method `__call__` that runs a module's `forward` and has the signature of the function `forward`.

    In micrograd, `forward` has no special meaning, so it may call the model, as in `self(x)`. Here this call runs
    `forward` again. If it fails, a note at the error says what to write.
    """

    @functools.wraps(forward)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.forward(*args, **kwargs)
        except (TypeError, RecursionError) as error:
            _note_recursion(self, error, sys._getframe(1))
            raise

    call.runs_forward = True  # type: ignore[attr-defined]
    return call


def _note_recursion(model: Module, error: Exception, frame: FrameType | None) -> None:
    """Add a note to `error` if `frame`, which has called `model`, runs the `forward` of this model itself."""
    code = getattr(type(model).forward, "__code__", None)  # type: ignore[attr-defined]  # the class has this method
    while frame is not None and frame.f_code.co_name in ("<listcomp>", "<genexpr>", "<lambda>"):
        frame = frame.f_back
    above = next((cls for cls in type(model).__mro__ if is_of_this_package(cls)), Module)
    if frame is None or frame.f_code is not code or above is Module or getattr(error, "__notes__", None):
        return
    error.add_note(
        f"{type(model).__name__}.forward calls the model, and a call of the model runs forward again, as in PyTorch; "
        f"write super().__call__(x) for the call of {above.__name__}, or give forward another name"
    )


def _refuse_two_numbers(paths: list[str], updates: list[tuple[Value, float]]) -> None:
    """Raise ValueError if a state has two different numbers for one parameter, since one of them would be lost.

    Args:
        paths: the place in the state of each update.
        updates: pairs of a parameter and its new number.
    """
    first: dict[Value, tuple[str, float]] = {}
    for path, (leaf, x) in zip(paths, updates, strict=True):
        before, y = first.setdefault(leaf, (path, x))
        if x != y and not (x != x and y != y):
            raise ValueError(
                f"load_state_dict: {before} and {path} are the same parameter, but have the numbers {y} and {x} in the "
                "state; make them two Values, as in [Value(0) for _ in range(3)] for [Value(0)] * 3, or give both the "
                "same number"
            )


class _Freezing:
    """The attribute `requires_grad`, which no module has. Its use raises an error that says what to write.

    Without the error, `model.requires_grad = False` would do nothing. The `__init__` of a user's class may set an
    attribute of this name.
    """

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is not None and "requires_grad" in vars(instance):
            return vars(instance)["requires_grad"]
        raise AttributeError(self._message(owner), name="requires_grad", obj=instance)

    def __set__(self, instance: Any, x: object) -> None:
        if "requires_grad" not in vars(instance) and id(instance) not in beginning:
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


of_this_package.add(Module)
members_of(Module)
if not TYPE_CHECKING:  # a type checker would allow any attribute of a class that has `__setattr__`
    Module.requires_grad = _Freezing()
    Module.__setattr__, Module.__delattr__ = assign, delete
