"""The subject of a check by `gradcheck`: the function, in whatever form the user gave it, with its arguments."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...engine import Value
from ...module import Module
from .array_parts import is_sparse
from .libraries import LIBRARIES, is_any_array, library_of
from .pytrees import flatten_pytree, leaves
from .random_state import restored_generators

__tracebackhide__ = True

VALUE_AND_GRADIENT = (
    "gradcheck: f returns a number and an array of the shape of an argument. If they are the value and the gradient, "
    "write gradcheck(f, x, gradient=f). If both are results to differentiate, return a list of them"
)


@dataclass(frozen=True)
class Subject:
    """A function that is checked by `gradcheck`, with its arguments.

    Attributes:
        f: the function. The keyword arguments are bound to it already.
        args: the positional arguments.
        names: the names of the positional arguments.
        name: the name of the function, or its source code if `str` of the function gives code, as for an `Expression`.
        static: the names of positional arguments that are constants.
        keywords: the keyword arguments.
        order: how many times the function is differentiated.
        derivatives: the derivative that the user gave, keyed by the keyword of `gradcheck`, such as "vjp"; also the
            surrogate, keyed "like".
        options: those of the options `rtol`, `atol`, `seed` and `exhaustive` that the user gave to `gradcheck`.
        is_module: whether the function is a PyTorch module, whose parameters are the first argument.
        parameters: the parameters of a `Module` of this package, keyed by name.
    """

    f: Callable[..., Any]
    args: tuple[Any, ...]
    names: list[str]
    name: str
    static: frozenset[str]
    keywords: Mapping[str, Any]
    order: int = 1
    derivatives: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    options: Mapping[str, float] = field(default_factory=dict)
    is_module: bool = False
    parameters: Mapping[str, Value] = field(default_factory=dict)

    @property
    def short_name(self) -> str:
        """The name of the function; "f" if the attribute `name` holds the function's source code in place of a name."""
        return "f" if "\n" in self.name else self.name

    @functools.cached_property
    def heading(self) -> str:
        """The beginning of messages: it names the function and the point, such as "gradcheck of tanh at x = 0.5"."""
        values = [f"{name} = {one_line(x)}" for name, x in zip(self.names, self.args, strict=True)]
        if self.names == [f"x{i}" for i in range(len(self.args))]:
            values = [one_line(x) for x in self.args]
        point = ", ".join(values)
        return f"gradcheck of {self.short_name} at {point if len(point) <= 200 else f'{point[:200]}...'}"

    @property
    def code(self) -> str:
        """The source code of the function, if the attribute `name` holds it in place of a name; else ""."""
        return self.name if "\n" in self.name else ""


def make_subject(
    f: Any,
    args: tuple[Any, ...],
    keywords: Mapping[str, Any] | None,
    static: Collection[str | int],
    converts: bool = False,
) -> Subject:
    """Return a `Subject`: the function `f` and the arguments `args` that the user gave to `gradcheck`.

    A PyTorch module becomes a function, whose first argument is a dict of the module's parameters. If `converts` is
    True, and `f` is a function of PyTorch or jax, numpy arrays become arrays of this library; if no argument is an
    array, floats become such arrays.

    Raises:
        TypeError: an entry of `static` is neither the name nor the index of an argument.
    """
    if isinstance(f, type) and hasattr(f, "apply") and hasattr(f, "backward"):
        f = f.apply  # an autograd.Function was given by its own name
    args = _unpack_single_tuple(f, args, keywords or {})
    names = parameter_names(f, len(args))
    if converts and (library := _library_of_function(f)):
        args = _converted(args, library, [i for i, name in enumerate(names) if {i, i - len(args), name} & {*static}])
    found = Subject(f, args, names, _function_name(f), frozenset(), dict(keywords or {}))
    if isinstance(f, Module):
        found = replace(found, parameters=dict(f.named_parameters()), name=type(f).__name__)
    if _is_module(f):
        found = _as_function_of_parameters(found)
    if keywords:
        found = replace(found, f=functools.partial(found.f, **keywords))
    unknown = [i for i in static if i not in found.names and not (isinstance(i, int) and -len(names) <= i < len(names))]
    if unknown:
        raise TypeError(
            f"gradcheck: static={unknown[0]!r} is no argument of f, which has {', '.join(found.names)}. Give arguments "
            "by their names or numbers: static=['axis'], static=[1]"
        )
    return replace(found, static=frozenset(i if isinstance(i, str) else names[i] for i in static))


def parameter_names(f: Callable[..., Any], count: int) -> list[str]:
    """Return the names of the first `count` arguments of a function; x0, x1, ... if it does not name them.

    >>> parameter_names(lambda x, *ws: x, 3), parameter_names(max, 1)
    (['x', 'x1', 'x2'], ['x0'])
    """
    names: list[str] = []
    for parameter in _parameters(f):
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"x{i}" for i in range(len(names), count)]
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
    return names[:count] if len(names) >= count else [f"x{i}" for i in range(count)]


def one_line(tree: Any) -> str:
    """Return an argument as one line of text, in which an array is shown by its type and shape.

    >>> one_line([1.0, {"a": 2}])
    "[1.0, {'a': 2}]"
    """
    if (is_any_array(tree) or is_sparse(tree)) and getattr(tree, "shape", None):
        kind = str(getattr(tree, "dtype", type(tree).__name__)).rpartition(".")[2]
        return f"{kind}{list(tree.shape)}"
    if isinstance(tree, dict):
        return f"{{{', '.join(f'{key!r}: {one_line(x)}' for key, x in tree.items())}}}"
    if isinstance(tree, (list, tuple)) and any(map(is_any_array, leaves(tree))):
        inside = ", ".join(map(one_line, tree))
        return f"[{inside}]" if isinstance(tree, list) else f"({inside})"
    return " ".join(repr(tree).split())


def _parameters(f: Any) -> list[inspect.Parameter]:
    """Return the parameters of a function; an empty list for other objects that can be called, such as a C function.

    For the method `apply` of a PyTorch `autograd.Function`, they are the parameters of `forward`, without the context
    `ctx`. For a PyTorch module, or a `Module` of this package, they are those of its method `forward`.
    """
    owner: Any = getattr(f, "__self__", None)
    if isinstance(f, types.MethodType) and inspect.isclass(owner) and hasattr(owner, "backward"):
        forward: Any = getattr(owner, "forward", None)
        found = list(inspect.signature(forward).parameters.values())
        separate = "setup_context" in vars(owner)
        return found if separate else found[1:]
    if isinstance(f, Module):
        f = getattr(f, "forward", f.__call__)
    f = f.forward if _is_module(f) else inspect.unwrap(f) if hasattr(f, "__wrapped__") else f
    if isinstance(f, (types.FunctionType, types.MethodType)):
        return list(inspect.signature(f).parameters.values())
    return []


def _function_name(f: Any) -> str:
    """Return the name of a function, a PyTorch module or `autograd.Function`, or an operation; for others, `str(f)`."""
    owner = getattr(f, "__self__", None)
    if isinstance(owner, type) and getattr(f, "__name__", "") == "apply":
        return owner.__name__
    if _is_module(f):
        return type(f).__name__
    name = getattr(f, "__name__", None) or getattr(f, "name", None)
    return name if isinstance(name, str) else str(f)


def _unpack_single_tuple(f: Any, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the arguments of `f`. If `f` takes several, but a single tuple is given, return the items of the tuple.

    PyTorch's `gradcheck` takes the arguments of a function as one tuple. If the parameters of `f` do not tell whether
    it takes a tuple, `f` is called with the tuple to find out. This call gets copies of the arrays, and the states of
    the random number generators are restored afterwards. A tuple whose first item is a `Value` counts as one argument.
    """
    if len(args) != 1 or type(args[0]) is not tuple or not args[0] or isinstance(args[0][0], Value):
        return args
    parameters = _parameters(f)
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    least = sum(p.default is p.empty for p in places)
    if parameters and (least > 1 or not any(map(is_any_array, args[0])) or len(places) < len(args[0])):
        return args[0] if least > 1 else args
    if parameters or _library_of_function(f) == "jax":
        try:
            with restored_generators():
                f(_copied(args[0]), **keywords)
        except Exception:  # of any kind: f takes no tuple, and is called with the items later, where its errors show
            return args[0]
        return args
    if any(is_any_array(x) for x in args[0]) and isinstance(f, types.BuiltinFunctionType):
        try:
            with restored_generators():
                f(_copied(args[0]), **keywords)
        except TypeError:
            return args[0]
    return args


def _copied(tree: Any) -> Any:
    """Return a structure with copies of the numpy and PyTorch arrays in `tree`."""
    inside, rebuild = flatten_pytree(tree)
    copies = {"numpy": "copy", "torch": "clone"}  # keyed by library: the method that copies an array
    return rebuild([getattr(x, copies.get(library_of(x), ""), lambda x=x: x)() for _, x in inside])


def _library_of_function(f: Any) -> str:
    """Return "torch" or "jax" if a function, module or class comes from this library, or is made by it; else "".

    A method `apply` of PyTorch's `autograd.Function` and a function with jax's `custom_vjp` are made by the library. A
    Python function that calls functions of the library is not.
    """
    owner = getattr(f, "__self__", None)
    torch: Any = sys.modules.get("torch")
    if _is_module(f) or (hasattr(torch, "autograd") and isinstance(owner, type) and _is_autograd_function(owner)):
        return "torch"
    homes = [type(f).__module__, getattr(f, "__module__", None), type(owner).__module__]
    found = [LIBRARIES.get(str(home).partition(".")[0], "") for home in homes]
    return next((library for library in found if library in ("torch", "jax")), "")


def _is_autograd_function(owner: type) -> bool:
    """Return whether a class is an `autograd.Function` of PyTorch."""
    return issubclass(owner, sys.modules["torch"].autograd.Function)


def _converted(args: tuple[Any, ...], library: str, static: Collection[int]) -> tuple[Any, ...]:
    """Return the arguments with numpy arrays converted to the library, which is "torch" or "jax".

    If there is no array among them, floats are converted. If there is a PyTorch or jax array, all arguments are
    returned unchanged. Arguments whose index is in `static` are never changed.
    """
    given = leaves(args)
    if any(library_of(x) in ("torch", "jax") for x in given):
        return args
    arrays = any(map(is_any_array, given))

    def convert(x: Any) -> Any:
        if not (library_of(x) == "numpy" if arrays else isinstance(x, float) or library_of(x) == "numpy"):
            return x
        if library == "jax":
            return sys.modules["jax"].numpy.asarray(x)
        import numpy as np

        return sys.modules["torch"].from_numpy(np.array(x))

    made = []
    for i, tree in enumerate(args):
        inside, rebuild = flatten_pytree(tree)
        made.append(tree if i in static else rebuild([convert(x) for _, x in inside]))
    return tuple(made)


def _is_module(f: Any) -> bool:
    """Return whether `f` is a PyTorch module."""
    torch: Any = sys.modules.get("torch")
    return hasattr(torch, "nn") and isinstance(f, torch.nn.Module)


def _as_function_of_parameters(found: Subject) -> Subject:
    """Return a subject in which a function replaces a PyTorch module.

    The arguments of the function are a dict of the module's parameters and the arguments of the module. In each call,
    the function works with a copy of the module's buffers.
    """
    torch = sys.modules["torch"]
    module: Any = found.f
    parameters = {name: p.detach().clone().requires_grad_(p.requires_grad) for name, p in module.named_parameters()}
    buffers = {name: buffer.detach().clone() for name, buffer in module.named_buffers()}

    def of_parameters(parameters: dict[str, Any], *args: Any, **keywords: Any) -> Any:
        state = parameters | {name: buffer.clone() for name, buffer in buffers.items()}
        return torch.func.functional_call(module, state, args, keywords)

    args = [
        x.requires_grad_() if _is_float_tensor(x) and not x.requires_grad else x for x in map(_own_copy, found.args)
    ]
    return replace(found, f=of_parameters, args=(parameters, *args), names=["parameters", *found.names], is_module=True)


def _own_copy(x: Any) -> Any:
    """Return a copy of `x` if it is a float tensor that requires no gradient; return anything else unchanged.

    The caller sets the copy to require a gradient, and the user's tensor stays as it is.
    """
    return x.detach().clone() if _is_float_tensor(x) and not x.requires_grad else x


def _is_float_tensor(x: Any) -> bool:
    """Return whether `x` is a PyTorch tensor of floating-point numbers. PyTorch must have been imported."""
    torch = sys.modules["torch"]
    return isinstance(x, torch.Tensor) and x.is_floating_point()
