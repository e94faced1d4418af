"""`Module`, the base class of models: it finds the parameters in its attributes, saves them and loads them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from .derivatives.tree import arrays_to_lists, flatten, flatten_like
from .engine import Value
from .ops.number import number

__all__ = ["Module"]


class Module:
    """A model. Its parameters are the leaf `Value`s in its attributes, also inside modules, lists, tuples and dicts.

    >>> class Line(Module):
    ...     def __init__(self):
    ...         self.slope, self.offset = Value(2), Value(1)
    >>> [name for name, _ in Line().named_parameters()]
    ['slope', 'offset']
    >>> Line()
    Line(), 2 parameters
    """

    expands_in_repr = True  # whether `repr` also shows the modules inside

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """Yield every parameter once, with its path.

        >>> from micrograd_cn.nn import Layer
        >>> [name for name, _ in Layer(2, 1).named_parameters()]
        ['neurons.0.w.0', 'neurons.0.w.1', 'neurons.0.b']
        """
        seen: set[int] = set()
        for path, x in _walk(self, lambda x: id(x) not in seen):
            if (known := id(x)) not in seen:
                seen.add(known)
                if isinstance(x, Value) and x.op is None:
                    yield path, x

    def parameters(self) -> list[Value]:
        """Return every parameter once, in the order of `named_parameters`.

        >>> from micrograd_cn.nn import MLP
        >>> len(MLP(2, [3, 1]).parameters())
        13
        """
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0.

        >>> from micrograd_cn.nn import Layer
        >>> layer = Layer(1, 1); layer.parameters()[0].grad = 5.0
        >>> layer.zero_grad(); layer.parameters()[0].grad
        0.0
        """
        for parameter in self.parameters():
            parameter._grad = 0.0

    def entries(self) -> dict[str, Any]:
        """Return the entries of `state_dict` by name; an entry is a parameter, or nested lists or dicts of parameters.

        A list that contains nothing but parameters is one entry. The entries of a module inside this one have its path
        before their names. A subclass may override this method, as `Layer` does.

        Raises:
            ValueError: two entries have the same name, as with a dict that has the keys 1 and "1".

        >>> from micrograd_cn.nn import MLP
        >>> list(MLP(2, [3, 1]).entries())
        ['layers.0.weight', 'layers.0.bias', 'layers.1.weight', 'layers.1.bias']
        """
        found: dict[str, Any] = {}
        for path, x in _walk(self, lambda x: not _defines_entries(x) and not _is_entry(x)):
            entries: dict[str, Any] = {}
            if _defines_entries(x):
                entries = {f"{path}.{name}".removeprefix("."): entry for name, entry in x.entries().items()}
            elif _is_entry(x):
                entries = {path: x}
            if twice := sorted(entries.keys() & found.keys()):
                raise ValueError(
                    f"{type(self).__name__}: two entries of the state have the name {', '.join(map(repr, twice))}; "
                    "rename one of the attributes or keys on the way to them"
                )
            found |= entries
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the data of the parameters by name, as floats in nested lists.

        The names and shapes of a `Layer` are those of PyTorch's Linear, which loads them by
        `linear.load_state_dict({name: torch.tensor(x) for name, x in layer.state_dict().items()})`.

        Raises:
            ValueError: as for `entries`.

        >>> from micrograd_cn.nn import Layer
        >>> Layer(2, 3, init="zeros").state_dict()
        {'weight': [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]], 'bias': [0.0, 0.0, 0.0]}
        """
        state = {}
        for name, entry in self.entries().items():
            leaves, unflatten = flatten(entry)
            state[name] = unflatten([leaf.data for _, leaf in leaves])
        return state

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Set the data of the parameters to those in `state`; if anything in it is wrong, nothing is changed.

        Args:
            state: numbers by name, in nested lists, arrays or tensors.
            strict: whether missing and unexpected entries are errors.

        Raises:
            ValueError: an entry is missing or unexpected, has another shape, or contains a number that is too large for
                a float. Or as for `entries`.
            TypeError: `state` is not a mapping, or an entry contains something that is not a number.

        >>> from micrograd_cn.nn import Layer
        >>> Layer(2, 1).load_state_dict({"weight": [[1, 2]]})
        Traceback (most recent call last):
        ValueError: load_state_dict: 'bias' is missing
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict takes a dict, got {type(state).__name__}")
        entries = self.entries()
        if strict:
            missing, unexpected = entries.keys() - state.keys(), state.keys() - entries.keys()
            for kind, names in (("missing", missing), ("unexpected", unexpected)):
                if names:
                    verb = "is" if len(names) == 1 else "are"
                    raise ValueError(f"load_state_dict: {', '.join(map(repr, sorted(names)))} {verb} {kind}")
        updates: list[tuple[Value, float]] = []
        for name, entry in entries.items():
            if name in state:
                given = state[name].tolist() if hasattr(state[name], "tolist") else state[name]
                try:
                    found = flatten_like(given, entry, name)
                except ValueError as error:
                    message = f"load_state_dict: {name!r} must be {_shape(entry)}, got {_shape(given)}"
                    raise ValueError(message) from error
                for (path, x), (_, leaf) in zip(found, flatten(entry)[0], strict=True):
                    if isinstance(x, bool) or not hasattr(x, "__float__"):
                        raise TypeError(f"load_state_dict: {path} must be a number, got {type(x).__name__} {x!r}")
                    try:
                        updates.append((leaf, number(x)))
                    except TypeError as error:
                        raise TypeError(f"load_state_dict: {path}: {error}") from error
                    if math.isinf(updates[-1][1]) and x != updates[-1][1]:
                        raise ValueError(f"load_state_dict: {path} is too large for a float")
        for leaf, x in updates:
            leaf.data = x

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to a file as JSON, exact to the last bit.

        The old file stays complete until the new one is complete, so a crash at any point leaves one of them. When
        several threads or processes save to one path, a reader finds the complete file of one of them. If `path` is a
        symbolic link, the file that it leads to is replaced.

        Raises:
            OSError: the file cannot be written.
            ValueError: as for `entries`.

        >>> import tempfile
        >>> from micrograd_cn.nn import Neuron
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Neuron(1, init="zeros").save(f"{folder}/model.json")
        ...     json.loads(Path(f"{folder}/model.json").read_text())
        {'weight': [0.0], 'bias': 0.0}
        """
        target = Path(os.path.realpath(path))
        # Every call has another temporary name, on any machine.
        temporary = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
        try:
            with open(temporary, "x", encoding="utf-8") as file:
                json.dump(self.state_dict(), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def load(self, path: str | os.PathLike[str]) -> None:
        """Set the data of the parameters to those that `save` wrote; if anything is wrong, nothing is changed.

        Raises:
            OSError: the file cannot be read.
            ValueError: the file is not JSON (it may be truncated), or as for `load_state_dict`.
            TypeError: an entry contains something that is not a number.

        >>> import tempfile
        >>> from micrograd_cn.nn import Neuron
        >>> trained, model = Neuron(1, seed=0), Neuron(1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trained.save(f"{folder}/model.json")
        ...     model.load(f"{folder}/model.json")
        >>> model.state_dict() == trained.state_dict()
        True
        """
        try:
            state = json.loads(Path(path).read_text(encoding="utf-8"), parse_float=_written_float)
        except (ValueError, RecursionError) as error:  # RecursionError: brackets are nested too deeply
            raise ValueError(f"{path} is not a saved model, or was truncated: {error}") from error
        self.load_state_dict(state)

    def summary(self) -> str:
        """Return the line for this module in `repr`, without the modules inside it.

        >>> from micrograd_cn.nn import Layer
        >>> Layer(2, 3).summary()
        'Layer(2, 3, relu)'
        """
        return f"{type(self).__name__}()"

    def __repr__(self) -> str:
        """Return a line for the module, with the number of its parameters, and a line for each module inside it."""
        lines: list[str] = []
        waiting: list[tuple[int, str, Module, frozenset[int]]] = [(0, "", self, frozenset())]
        while waiting:
            depth, name, module, around = waiting.pop()
            lines.append("  " * depth + f"{name}: {module.summary()}".removeprefix(": "))
            around |= {id(module)}
            inside = _walk(module, partial(_is_part_of, module))
            parts = [(path, x) for path, x in inside if isinstance(x, Module) and id(x) not in around]
            waiting += [(depth + 1, path, part, around) for path, part in parts if module.expands_in_repr][::-1]
        count = len(self.parameters())
        return "\n".join([f"{lines[0]}, {count} parameter{'s' * (count != 1)}", *lines[1:]])


def _written_float(text: str) -> float:
    """Return the float in a JSON text; if it is too large for one, an int, which `load_state_dict` refuses.

    >>> _written_float("1.5"), _written_float("-1e400") == 10**400
    (1.5, True)
    """
    x = float(text)
    return 10**400 if math.isinf(x) else x  # json reads Infinity itself


def _walk(root: object, descends: Callable[[object], bool]) -> Iterator[tuple[str, Any]]:
    """Yield the module or container `root`, then everything inside it, each with its path, in preorder.

    Modules, lists, tuples, dicts and `Value`s are yielded, and `descends` says which of them to go into. An object that
    contains itself is not yielded again inside itself.
    """
    levels: list[tuple[str, frozenset[int], Iterator[tuple[Any, object]]]] = [("", frozenset(), iter([("", root)]))]
    while levels:
        prefix, around, items = levels[-1]
        for name, x in items:
            path = f"{prefix}{name}"
            if isinstance(x, Value):
                yield path, x
            elif isinstance(x, (Module, dict, list, tuple)) and id(x) not in around:
                inside = _members(x) if descends(x) else ()
                yield path, x
                levels.append((f"{path}." if path else "", around | {id(x)}, iter(inside)))
                break
        else:
            levels.pop()


def _is_part_of(module: Module, x: object) -> bool:
    """Return whether `x` is the module itself, or belongs to it and not to a module inside it."""
    return x is module or not isinstance(x, Module)


def _members(x: object) -> Iterable[tuple[Any, object]]:
    """Return the members of a module or container, each with its name, key or index."""
    if isinstance(x, Module):
        return [*vars(x).items()]
    if isinstance(x, dict):
        return [*x.items()]
    return enumerate(x) if isinstance(x, (list, tuple)) else ()


def _defines_entries(x: object) -> bool:
    """Return whether `x` is a module that overrides `entries`."""
    return isinstance(x, Module) and type(x).entries is not Module.entries


def _is_entry(x: object) -> bool:
    """Return whether `x` is a parameter, or a list of nothing but parameters and such lists."""
    if isinstance(x, (list, tuple)):
        return bool(x) and all(map(_is_entry, x))
    return isinstance(x, Value) and x.op is None


def _shape(tree: object) -> str:
    """Return the shape of nested lists in words."""
    lengths, tree = [], arrays_to_lists(tree)
    while isinstance(tree, (list, tuple)):
        lengths.append(str(len(tree)))
        if len({len(item) if isinstance(item, (list, tuple)) else -1 for item in tree}) > 1:
            lengths.append("ragged")
            break
        tree = tree[0] if tree else None
    return f"a list of {' x '.join(lengths)}" if lengths else "a number" if not isinstance(tree, dict) else "a dict"
