"""`Module`: what holds parameters, finds them, saves and loads them."""

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
    """Hold parameters: the leaf `Value`s found in attributes, and in modules, lists, tuples and dicts of them.

    >>> class Line(Module):
    ...     def __init__(self):
    ...         self.slope, self.offset = Value(2), Value(1)
    >>> [name for name, _ in Line().named_parameters()]
    ['slope', 'offset']
    >>> Line()
    Line(), 2 parameters
    """

    opens = True  # whether `repr` shows what is inside

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """Yield every parameter once, with the path to it.

        >>> from micrograd_cn.nn import Layer
        >>> [name for name, _ in Layer(2, 1).named_parameters()]
        ['neurons.0.w.0', 'neurons.0.w.1', 'neurons.0.b']
        """
        met: set[int] = set()
        for path, held in _held_by(self, lambda held: id(held) not in met):
            if (known := id(held)) not in met:
                met.add(known)
                if isinstance(held, Value) and held.op is None:
                    yield path, held

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
            parameter.grad = 0.0

    def entries(self) -> dict[str, Any]:
        """Return what `state_dict` saves, by name: a parameter, or nested lists and dicts of parameters.

        A module inside, also in a list or dict, has its entries under its path; a module may give its own. Lists of
        parameters alone are one entry.

        Raises:
            ValueError: two entries would have one name, as the keys 1 and "1" of a dict give them; it is named.

        >>> from micrograd_cn.nn import MLP
        >>> list(MLP(2, [3, 1]).entries())
        ['layers.0.weight', 'layers.0.bias', 'layers.1.weight', 'layers.1.bias']
        """
        found: dict[str, Any] = {}
        for path, held in _held_by(self, lambda held: not _has_entries(held) and not _is_entry(held)):
            entries: dict[str, Any] = {}
            if _has_entries(held):
                entries = {f"{path}.{name}".removeprefix("."): entry for name, entry in held.entries().items()}
            elif _is_entry(held):
                entries = {path: held}
            if twice := sorted(entries.keys() & found.keys()):
                raise ValueError(
                    f"{type(self).__name__}: two entries of the state have the name {', '.join(map(repr, twice))}; "
                    "rename one of the attributes or keys on the way to them"
                )
            found |= entries
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the parameters' data as floats in nested lists, by name; a `Layer`'s are those of a PyTorch Linear.

        There, `linear.load_state_dict({name: torch.tensor(x) for name, x in layer.state_dict().items()})` loads them.

        Raises:
            ValueError: as for `entries`.

        >>> from micrograd_cn.nn import Layer
        >>> Layer(2, 3, init="zeros").state_dict()
        {'weight': [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]], 'bias': [0.0, 0.0, 0.0]}
        """
        state = {}
        for name, entry in self.entries().items():
            leaves, rebuild = flatten(entry)
            state[name] = rebuild([leaf.data for _, leaf in leaves])
        return state

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Set the parameters' data to those of `state`; if anything is wrong with it, none is changed.

        Args:
            state: numbers in nested lists (or what has `tolist()`: arrays, tensors), by name.
            strict: whether missing and surplus entries are errors.

        Raises:
            ValueError: an entry is missing, surplus, of another shape, or holds a number that is too large for a float;
                it is named. Or as for `entries`.
            TypeError: `state` is no mapping, or an entry holds what is no number; it is named.

        >>> from micrograd_cn.nn import Layer
        >>> Layer(2, 1).load_state_dict({"weight": [[1, 2]]})
        Traceback (most recent call last):
        ValueError: load_state_dict: 'bias' is missing
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict takes a dict, got {type(state).__name__}")
        entries = self.entries()
        if strict:
            for kind, names in (("missing", entries.keys() - state.keys()), ("surplus", state.keys() - entries.keys())):
                if names:
                    raise ValueError(f"load_state_dict: {', '.join(map(repr, sorted(names)))} is {kind}")
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
        """Write the state to `path` as JSON, exact to the last bit; a crash at any point leaves the old file whole.

        Several threads or processes may save to one path: a reader finds what one of them wrote, whole. A symbolic link
        stays one, and the file that it leads to is replaced.

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
        temporary = target.with_name(f".{target.name}.{os.urandom(8).hex()}")  # one name for each call, on any machine
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
        """Set the parameters' data to those that `save` wrote; if anything is wrong with the file, none is changed.

        Raises:
            OSError: the file cannot be read.
            ValueError: the file is not JSON (it may be truncated), or as for `load_state_dict`.
            TypeError: an entry holds what is no number.

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
        except (ValueError, RecursionError) as error:  # brackets nested too deep
            raise ValueError(f"{path} is not a saved model, or was truncated: {error}") from error
        self.load_state_dict(state)

    def summary(self) -> str:
        """Return the line that stands for the module itself, without what is inside, in `repr`.

        >>> from micrograd_cn.nn import Layer
        >>> Layer(2, 3).summary()
        'Layer(2, 3, relu)'
        """
        return f"{type(self).__name__}()"

    def __repr__(self) -> str:
        """Return the module with its number of parameters, and those inside it, a line each."""
        lines: list[str] = []
        waiting: list[tuple[int, str, Module, frozenset[int]]] = [(0, "", self, frozenset())]
        while waiting:
            depth, name, module, around = waiting.pop()
            lines.append("  " * depth + f"{name}: {module.summary()}".removeprefix(": "))
            around |= {id(module)}
            below = _held_by(module, partial(_is_of, module))
            parts = [(path, held) for path, held in below if isinstance(held, Module) and id(held) not in around]
            waiting += [(depth + 1, path, part, around) for path, part in parts if module.opens][::-1]
        count = len(self.parameters())
        return "\n".join([f"{lines[0]}, {count} parameter{'s' * (count != 1)}", *lines[1:]])


def _written_float(text: str) -> float:
    """Return the float that JSON's `text` says; an integer that `load_state_dict` refuses where there is none.

    >>> _written_float("1.5"), _written_float("-1e400") == 10**400
    (1.5, True)
    """
    x = float(text)
    return 10**400 if math.isinf(x) else x  # JSON's Infinity does not come here


def _held_by(root: object, goes_into: Callable[[object], bool]) -> Iterator[tuple[str, Any]]:
    """Yield the values in a module, and what holds them, itself first, each with the path to it, before what is inside.

    What is inside itself is not met again there; `goes_into` says whether what something holds is met at all.
    """
    levels: list[tuple[str, frozenset[int], Iterator[tuple[Any, object]]]] = [("", frozenset(), iter([("", root)]))]
    while levels:
        prefix, around, items = levels[-1]
        for name, held in items:
            path = f"{prefix}{name}"
            if isinstance(held, Value):
                yield path, held
            elif isinstance(held, (Module, dict, list, tuple)) and id(held) not in around:
                inside = _inside(held) if goes_into(held) else ()
                yield path, held
                levels.append((f"{path}." if path else "", around | {id(held)}, iter(inside)))
                break
        else:
            levels.pop()


def _is_of(module: Module, held: object) -> bool:
    """Return whether it is the module itself, or something in it that is none."""
    return held is module or not isinstance(held, Module)


def _inside(held: object) -> Iterable[tuple[Any, object]]:
    if isinstance(held, Module):
        return [*vars(held).items()]
    if isinstance(held, dict):
        return [*held.items()]
    return enumerate(held) if isinstance(held, (list, tuple)) else ()


def _has_entries(held: object) -> bool:
    """Return whether it is a module that says itself what it saves."""
    return isinstance(held, Module) and type(held).entries is not Module.entries


def _is_entry(held: object) -> bool:
    """Return whether it is a leaf `Value`, or lists of nothing else."""
    if isinstance(held, (list, tuple)):
        return bool(held) and all(map(_is_entry, held))
    return isinstance(held, Value) and held.op is None


def _shape(tree: object) -> str:
    """Return the nesting in words."""
    lengths, tree = [], arrays_to_lists(tree)
    while isinstance(tree, (list, tuple)):
        lengths.append(str(len(tree)))
        if len({len(item) if isinstance(item, (list, tuple)) else -1 for item in tree}) > 1:
            lengths.append("ragged")
            break
        tree = tree[0] if tree else None
    return f"a list of {' x '.join(lengths)}" if lengths else "a number" if not isinstance(tree, dict) else "a dict"
