"""Define `Arguments`, which reads the arguments of a function as rows of numbers, and calls the function with a row.

The arguments of one call are a sample. A `Bucket` has samples with the same static arguments and the same treedefs,
which say how the arguments are nested in lists, tuples, dicts and arrays.
"""

from __future__ import annotations

import functools
import inspect
import reprlib
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import FunctionType, NoneType
from typing import Any, Never

from ...engine import Value
from ...ops.number import number_or_none
from ...parameters.tree import flatten
from ..data.arrays import is_column
from ..data.samples import Bucket, bucket_columns, bucket_samples, columns_of, refuse_lengths, rows_of_columns
from ..data.static_values import ModuleKey, StaticValue, static_value
from ..data.treedef import FLOAT, INSTEAD_OF_VALUE, TreeDef, first_invalid, leaf_paths, treedef_of, unflatten
from .hooks import inline_compiled, is_inlining
from .traced import remembered, user_location

POSITIONAL_KINDS = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
COLLECTING_KINDS = [
    [inspect.Parameter.VAR_POSITIONAL],
    [inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD],
]


def bucket_of_row(key: Any, numbers: array[float]) -> Bucket:
    """Return the results of `Arguments.row_of` as a `Bucket`, which has the numbers of one sample here."""
    static, treedef = key
    return Bucket(treedef, static, numbers, len(numbers), [0])


class Arguments:
    """Read the arguments of calls, and samples, as rows of numbers, and call the function with rows.

    Args:
        f: the user's Python function, whose arguments are read.
        name: the name of the function, for messages.
        static: the names of arguments that the function gets unchanged, without `Value`s in place of numbers: one
            name, or an iterable of names.

    Attributes:
        function: the user's Python function.
        name: the name of the function, for messages.
        static: the names of the static arguments.
        positional: the names of all arguments, if all are positional and none is static; otherwise ().
        collecting: the name of the argument that collects all positional arguments in a tuple, as `*args` does, if
            there is no other argument but one that collects those passed by name; otherwise "".

    Raises:
        TypeError: `static` is neither a name nor an iterable of names, or Python does not tell which arguments `f` has.
        ValueError: an entry of `static` is not the name of an argument.
    """

    def __init__(self, f: Callable[..., Any], name: str, static: Iterable[str]) -> None:
        self.function, self.name = f, name
        self.static = _names(static)
        self._known_signature: inspect.Signature | None = None
        for argument in self.static:
            if argument not in self.signature.parameters:
                raise ValueError(f"static={argument!r} is not an argument of {self.shown}")
        self.positional: tuple[str, ...] = ()
        self.collecting = ""
        self._required = 0  # how many of these have no default
        if not self.static:
            names = _positional_names(f)
            if names is None:
                parameters = [p for p in self.signature.parameters.values() if not _takes_nothing(p)]
                kinds = [p.kind for p in parameters]
                names = tuple([p.name for p in parameters]) if {*kinds} <= POSITIONAL_KINDS else ()
                if kinds in COLLECTING_KINDS:
                    self.collecting = parameters[0].name
                self._required = sum(p.default is p.empty for p in parameters)
            else:
                self._required = len(names) - len(getattr(f, "__defaults__", None) or ())
            self.positional = names
        of_floats = tuple([(name, None) for name in self.positional])
        # For each count of arguments that are floats, what `row_of` returns first
        self._keys_of_floats = [((), of_floats[:count]) for count in range(len(of_floats) + 1)]
        self._module_keys: dict[int, ModuleKey] = {}  # for `static_value`

    @property  # a cached property would make the __dict__ of the object, which slows all its attributes down
    def signature(self) -> inspect.Signature:
        """The signature of the function.

        Raises:
            TypeError: Python does not tell which arguments the function has.
        """
        if self._known_signature is None:
            try:
                self._known_signature = _signature_of(self.function, bool(self.static))
            except ValueError:  # Python knows no signature of some functions in C, such as max
                raise TypeError(
                    f"compile() needs to know the arguments of {self.name}, which Python does not tell; write "
                    f"compile(lambda x, y: {self.name}(x, y))"
                ) from None
        return self._known_signature

    @property
    def shown(self) -> str:
        """A call of the function, for messages, such as "f(x, y=1)".

        Parameters that only collect wrong arguments are left out.

        >>> from micrograd_cn.nn import MLP
        >>> Arguments(MLP(2, [1]), "MLP", ()).shown
        'MLP(x)'
        """
        parameters = [
            p.replace(annotation=inspect.Parameter.empty)
            for p in self.signature.parameters.values()
            if not _takes_nothing(p)
        ]
        return f"{self.name}{inspect.Signature(parameters)}"

    def names_of(self, count: int) -> tuple[str, ...]:
        """Return the names of the first `count` arguments if these are enough for a call by position; otherwise ().

        >>> arguments = Arguments(lambda x, y, k=2: x, "f", ())
        >>> [arguments.names_of(count) for count in (1, 2, 3, 4)]
        [(), ('x', 'y'), ('x', 'y', 'k'), ()]
        """
        return self.positional[:count] if self._required <= count <= len(self.positional) else ()

    def row_of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, array[float]]:
        """Return a key for a call, and the numbers in its arguments.

        The key is a pair: the static arguments, and how the other arguments are nested (their treedef).

        Raises:
            TypeError: an argument contains something that is not a number, or the function does not take these
                arguments.
        """
        static: tuple[Any, ...] = ()
        named: Iterable[tuple[str, Any]]
        if not kwargs and (names := self.names_of(len(args))):
            if FLOAT.issuperset(map(type, args)):  # a shortcut: the other way would give the same, but takes longer
                return self._keys_of_floats[len(args)], array("d", args)
            named = zip(names, args, strict=True)
        else:
            try:
                static, arguments = self._split(args, kwargs)
            except TypeError as error:
                with suppress(TypeError):
                    self.signature.bind(*args, **kwargs)
                    raise error
                raise TypeError(f"{self.shown}: {error}") from None
            named = arguments.items()
        numbers = array("d")
        try:
            treedef = tuple([(name, treedef_of(x, numbers)) for name, x in named])
        except TypeError:
            arguments = self._split(args, kwargs)[1]
            text = first_invalid(arguments).replace("write x.data for the number of a Value x", INSTEAD_OF_VALUE)
            raise TypeError(f"{self.name}: {text}") from None
        return (static, treedef), numbers

    def bucket_of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Bucket:
        """Return the arguments of a call as a `Bucket` with a single row; see `row_of`."""
        return self.bucket_of_call(*self.row_of(args, kwargs), args, kwargs)

    def bucket_of_call(self, key: Any, numbers: array[float], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Bucket:
        """Return the arguments of a call, for which `row_of` has returned `key` and `numbers`, as a `Bucket`."""
        bucket = bucket_of_row(key, numbers)
        bucket.given = lambda _: self._split(args, kwargs)[1]
        return bucket

    def _split(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the static arguments as pairs of a name and a `StaticValue`, and a dict of the other arguments."""
        if not kwargs:
            if names := self.names_of(len(args)):
                return (), dict(zip(names, args, strict=True))
            if self.collecting and args:
                return (), {self.collecting: tuple(args)}
        bound = self.signature.bind(*args, **kwargs).arguments
        static = tuple(
            [(name, static_value(name, bound.pop(name), self._module_keys)) for name in self.static if name in bound]
        )
        return static, bound

    def buckets_of(self, name: str, samples: Any, some: bool = True) -> list[Bucket]:
        """Return samples as `Bucket`s: those of one `Bucket` have equal static arguments, and are nested alike.

        Args:
            name: the name of the method to which the samples were passed, for messages.
            samples: the samples; `compile` has a table of the forms that they may have.
            some: whether there must be at least one sample.

        Raises:
            TypeError: a sample does not have the arguments of the function, an argument contains something that is not
                a number, or another function is being recorded.
            ValueError: there are no samples, or the values of arguments differ in length.
        """
        if is_inlining():
            error = TypeError(
                f"{user_location()}: {name}() of {self.name} as a part of another function would be the same number "
                "for every sample; call it, or take its derivative by functional.grad"
            )
            raise remembered(error)
        bucket = None
        try:
            if self.static and type(samples) is tuple:
                self._refuse_single_static(samples)
            if fields := getattr(type(samples), "_fields", ()):
                self._refuse_other_order(fields, "the argument")
            if columns := columns_of(samples):
                named = self._named_columns(columns)
                bucket = bucket_columns(named) if named else None
        except TypeError as error:
            raise TypeError(f"{name}() of {self.shown}: {error}") from error
        if bucket:
            found = [bucket]
            bucket.given = functools.partial(_sample_of, named)
        else:
            rows = [*rows_of_columns(columns)] if columns else samples
            found = bucket_samples(rows, self.split_sample)
            for each in found if type(rows) is list else ():  # others, such as generators, are used up
                each.given = lambda i: self.split_sample((i, rows[i]))[1]
        found = [bucket for bucket in found if len(bucket.samples)]
        if some and not found:
            raise ValueError(f"{name}() was given no samples")
        return found

    def _named_columns(self, columns: Sequence[Any]) -> dict[str, Any]:
        """Return a dict from the names of arguments to `columns`, which has the values of each argument in all samples.

        If some of these arguments are static, and no error is raised, return {}: the caller then reads the samples one
        by one.

        Raises:
            TypeError: the function does not take that many arguments, or it takes any number of them; or some of them
                are static, and the values of one of the arguments are in an array, not in a list.
            ValueError: some of them are static, and `columns` differ in length.
        """
        if names := self.names_of(len(columns)):
            return dict(zip(names, columns, strict=True))
        parameters = self.signature.parameters
        if self.positional and any(map(_takes_nothing, parameters.values())):
            raise TypeError(
                f"it takes {', '.join(self.positional)}, but got {len(columns)} arguments; a tuple has one entry for "
                "each argument, so write (X,), with an array X that has a sample in each row"
            )
        if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters.values()):
            raise TypeError("it takes any number of arguments; give a list of tuples, one for each sample")
        try:
            bound = self.signature.bind(*columns).arguments
        except TypeError as error:
            if any(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters.values()):
                raise TypeError(f"{error}{self._arguments_instead()}") from error
            if fields := len(columns) == 1 and getattr(getattr(columns[0], "dtype", None), "names", None):
                write = ", ".join([f"x[{field!r}]" for field in fields])
                raise TypeError(f"{error}; for an array x with fields write ({write})") from error
            if len(columns) == 1:
                raise TypeError(
                    f"{error}; an array has the values of one argument, so write (x[:, 0], x[:, 1]) for its columns, "
                    "or ((X, Y), ...) for the values of two arguments"
                ) from error
            raise TypeError(
                f"{error}; a tuple has one entry for each argument, so write a list, [(x, y), ...], of the samples"
            ) from error
        static = [argument for argument in self.static if argument in bound]
        if static and any(map(is_column, columns)):
            raise TypeError(f"{static[0]} is static; write a list of tuples, one for each sample")
        if static:
            refuse_lengths(bound, [*map(len, bound.values())])
        return {} if static else bound

    def _refuse_single_static(self, columns: tuple[Any, ...]) -> None:
        """Raise TypeError if one of `columns` is a single value of a static argument, such as a string, and not a list.

        `columns` has the values of each argument in all samples. A number is repeated for all samples, so it raises no
        error.
        """
        names = list(self.signature.parameters)[: len(columns)]
        listed = [isinstance(x, (list, range)) or is_column(x) for x in columns]
        for name, x, is_list in zip(names, columns, listed, strict=False):
            if name not in self.static or is_list or number_or_none(x) is not None:
                continue
            if not any(listed):
                write = f"write [({', '.join(names)})] for one sample"
            elif any(map(is_column, columns)):
                write = "write a list of tuples, one for each sample"
            else:
                shown = repr(x) if isinstance(x, (str, NoneType)) else name
                write = f"write [{shown}] * len({names[listed.index(True)]}) for the same value in all samples"
            raise TypeError(
                f"a tuple has one entry for each argument, a list of its values, but got a {type(x).__name__} for "
                f"{name}, which is static; {write}"
            )

    def _refuse_other_order(self, fields: tuple[str, ...], where: str) -> None:
        """Raise TypeError if a namedtuple has a field that is named like an argument, but at another position.

        Samples are read by position. `fields` has the names of the namedtuple's fields, and `where` says which
        namedtuple it is, for the message.
        """
        if moved := self.in_other_order(fields):
            names = list(self.signature.parameters)
            entries = ", ".join([f"s.{name}" if name in fields else "..." for name in names])
            entries += "," * (len(names) == 1)
            raise TypeError(
                f"{where} is a namedtuple with the fields {', '.join(fields)}, which is read by position, but "
                f"{moved[0]} is in another place in {self.shown}; write ({entries}) for a namedtuple s"
            )

    def in_other_order(self, fields: tuple[str, ...]) -> list[str]:
        """Return those fields of a namedtuple that are named like an argument of the function at another position."""
        names = list(self.signature.parameters)
        return [field for k, field in enumerate(fields) if field in names and names.index(field) != k]

    def split_sample(self, numbered: tuple[int, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the static arguments of a sample as pairs, and the other arguments by name.

        `numbered` is a pair: the index of the sample, for messages, and the sample.

        Raises:
            TypeError: the sample is neither a tuple nor a list, or the function does not take these arguments.
        """
        i, sample = numbered
        if not isinstance(sample, (tuple, list)):
            raise TypeError(
                f"sample {i} is {type(sample).__name__} {reprlib.repr(sample)}, not a tuple of arguments of "
                f"{self.shown}; {self._sample_instead(sample)}"
            )
        if fields := getattr(type(sample), "_fields", ()):
            self._refuse_other_order(fields, f"sample {i}")
        try:
            return self._split(sample, {})
        except TypeError as error:
            raise TypeError(
                f"sample {i} does not have the arguments of {self.shown}: {error}{self._arguments_instead()}"
            ) from None

    def _arguments_instead(self) -> str:
        """Return the end of an error message about the wrong number of arguments: what to write instead, or ""."""
        parameters = self.signature.parameters.values()
        if by_name := [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]:
            names = ", ".join(self.signature.parameters)
            given = ", ".join([f"{p.name}={p.name}" if p.name in by_name else p.name for p in parameters])
            passed = "which is passed by name" if len(by_name) == 1 else "which are passed by name"
            return (
                f"; no sample can have {' or '.join(by_name)}, {passed}, so write compile(lambda {names}: f({given}))"
            )
        if len(parameters) == 1 and not self.static:
            return "; write [(x,) for x in samples] if each x is a vector"
        single = [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_POSITIONAL]
        if len(single) > 1 and not self.static:
            each, all_of_them = ", ".join(single), ", ".join(map(str.upper, single))
            return f"; a list has samples, as [({each}), ...]: write ({all_of_them}), a tuple, for all values of each"
        return ""

    def _sample_instead(self, sample: Any) -> str:
        """Return the end of an error message: what to write instead of `sample`, which is not a tuple of arguments."""
        if any(p.kind is inspect.Parameter.KEYWORD_ONLY for p in self.signature.parameters.values()):
            return self._arguments_instead().removeprefix("; ")
        wanted = [
            name for name, p in self.signature.parameters.items() if not (name in self.static or _takes_nothing(p))
        ]
        if isinstance(sample, Mapping) and sample.keys() >= {*wanted}:
            return f"write [({', '.join([f'x[{name!r}]' for name in wanted])},) for x in samples]"
        if isinstance(sample, Mapping) and len(wanted) == 1:
            return "write [(x,) for x in samples], since the dict is the one argument"
        if isinstance(sample, Mapping):
            return "write [tuple(x.values()) for x in samples], with the values in the order of the arguments"
        if len(wanted) == 1:
            return "write (x,) for one argument, [(x,) for x in samples]"
        if is_column(sample):
            return "write a tuple (X, y) of arrays"
        return "write (x,) for one argument"

    def static_now(self, bucket: Bucket) -> tuple[tuple[str, StaticValue], ...]:
        """Return the static arguments of a bucket with new keys.

        The keys may differ from those in the bucket, since a call of the function may change the arguments.
        """
        return tuple([(name, static_value(name, x.value, self._module_keys)) for name, x in bucket.static])

    def call(self, static: Iterable[tuple[str, StaticValue]], arguments: dict[str, Any]) -> Any:
        """Call the plain function with the static arguments of a sample, and with the other arguments by name."""
        if self.positional and len(arguments) == len(self.positional):
            return self.function(*map(arguments.__getitem__, self.positional))
        given = arguments | {name: x.value for name, x in static}
        order = [name for name in self.signature.parameters if name in given]
        bound = inspect.BoundArguments(self.signature, OrderedDict((name, given[name]) for name in order))
        return self.function(*bound.args, **bound.kwargs)

    def flat_function(self, bucket: Bucket) -> Callable[..., Any]:
        """Return a function that takes a `Value` for each number of a row, and calls the plain function with them.

        The static arguments are those of the bucket, and the numbers are put into arguments that are nested as the
        bucket says. The function returns one result, or a list of all results.
        """

        def flat(*values: Value) -> Any:
            numbers = iter(values)
            with inline_compiled():
                result = self.call(bucket.static, {name: unflatten(part, numbers) for name, part in bucket.treedef})
            leaves = flatten(result)[0]
            return leaves[0][1] if leaves and not leaves[0][0] else [x for _, x in leaves]

        return flat


def _sample_of(columns: dict[str, Any], i: int) -> dict[str, Any]:
    """Return the arguments of the sample with the index `i`. `columns` has the values of each argument in all samples.

    >>> _sample_of({"x": [1, 2], "y": [3, 4]}, 1)
    {'x': 2, 'y': 4}
    """
    return {name: x.iloc[i] if hasattr(x, "iloc") else x[i] for name, x in columns.items()}


def _positional_names(f: Callable[..., Any]) -> tuple[str, ...] | None:
    """Return the names of the arguments of a plain Python function whose arguments are all positional, else None.

    `inspect.signature` gives the same names, but would make the first call of a small function take a tenth longer.
    """
    if type(f) is not FunctionType or f.__kwdefaults__ or "__wrapped__" in f.__dict__ or "__signature__" in f.__dict__:
        return None
    code = f.__code__
    if code.co_kwonlyargcount or code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
        return None
    return code.co_varnames[: code.co_argcount]


def _signature_of(f: Callable[..., Any], has_static: bool) -> inspect.Signature:
    """Return the signature of f. If f is a derivative, such as `grad(g)`, it is the signature of g.

    But if g has arguments that are not positional, and `has_static` is False, the result is the derivative's own
    signature, `(*args, **kwargs)`. Code for calls with arrays is prepared only for functions without keyword-only
    arguments, so it can then be prepared for the derivative.

    Raises:
        ValueError: Python does not tell which arguments f has.

    >>> from micrograd_cn.functional import grad
    >>> _signature_of(grad(grad(lambda x, mode: x)), False)
    <Signature (x, mode)>
    """
    if type(f) is FunctionType and (inner := vars(f).get("differentiated")) is not None:
        try:
            found = _signature_of(inner, has_static)
        except ValueError:
            return inspect.signature(f)
        kinds = {p.kind for p in found.parameters.values() if not _takes_nothing(p)}
        if has_static or kinds <= POSITIONAL_KINDS:
            return found
    return inspect.signature(f)


def _takes_nothing(parameter: inspect.Parameter) -> bool:
    """Return whether a parameter only collects wrong arguments, as `*others: Never` of a layer does."""
    return parameter.kind is inspect.Parameter.VAR_POSITIONAL and parameter.annotation in ("Never", Never)


def _names(static: Any) -> tuple[str, ...]:
    """Return the names of the static arguments as a tuple. `static` is a single name or an iterable of names.

    Raises:
        TypeError: `static` is neither, or is a dict.
    """
    if type(static) is tuple:
        return static
    if isinstance(static, str):
        return (static,)
    if not isinstance(static, Iterable):
        raise TypeError(f'static= must be a name or a list of names of arguments, such as ["x"], got {static!r}')
    if isinstance(static, Mapping):
        raise TypeError(
            f"static= takes names alone, got {static!r}; write static={list(static)!r}, and pass the values"
        )
    return tuple(static)


def describe_argument(argument: tuple[str, TreeDef]) -> str:
    """Return the name of an argument, with the count of its numbers in brackets if it is not a single number.

    >>> describe_argument(("x", None)), describe_argument(("image", (list, 784)))
    ('x', 'image[784]')
    """
    name, treedef = argument
    return name if treedef is None else f"{name}[{len(leaf_paths(treedef, name))}]"
