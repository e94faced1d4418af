"""Read `wrt` for a compiled function, and return its gradients, which are nested as the variables in `wrt` are."""

from __future__ import annotations

import operator
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any

from ...engine import Value
from ...ops.number import is_of_numpy, number_or_none
from ...parameters.tree import flatten, is_array
from ..data.nodes import are_same, some_frozen
from ..data.samples import Bucket
from ..data.treedef import ArrayDef, TreeDef, unflatten
from ..derivatives import as_list, split
from ..program import Program
from ..wrt import Default, frozen_variable, listed, unfrozen, zero_frozen
from .arguments import Arguments
from .batch import SubBatch, scattered
from .recording import Recording


def variables_of(arguments: Arguments, kind: str, wrt: Any) -> Any:
    """Return `wrt`, the argument of the method `kind` of a function, as a string or a list; the default is "inputs".

    Raises:
        TypeError: `wrt` is a single `Value`, or not iterable, or begins with a number.
        ValueError: `wrt` is "inputs" or "parameters", and an argument of the function has this name.
    """
    if type(wrt) is Default:
        return "inputs"
    if isinstance(wrt, str):
        refuse_clash(arguments, kind, wrt)
        return wrt
    found = listed(kind, wrt, "names of arguments, ")
    if found and not isinstance(found[0], (str, Value)) and number_or_none(found[0]) is not None:
        raise TypeError(
            f"{kind}(): wrt has numbers, and no Values; samples are one argument: write {kind}((X, Y)) for the values "
            "of two arguments"
        )
    return found


def refuse_clash(arguments: Arguments, kind: str, wrt: str) -> None:
    """Raise ValueError if `wrt` is "inputs" or "parameters", and an argument that is not static has this name.

    There is no error if "inputs" means the same in both readings, because this argument is the only input.
    """
    if wrt not in ("inputs", "parameters") or wrt not in (arguments.positional or arguments.signature.parameters):
        return
    names = [name for name in arguments.signature.parameters if name not in arguments.static]
    # For the only argument, both mean the same, except that `value_and_grad` nests derivatives as the argument is
    is_same = names == ["inputs"] and kind != "value_and_grad"
    if wrt in names and not is_same:
        others = f"wrt={names} for all arguments" if wrt == "inputs" else f"wrt={arguments.name}.parameters for these"
        what = "all arguments" if wrt == "inputs" else "the parameters of the function"
        raise ValueError(
            f'{kind}(): wrt="{wrt}" means {what}, but an argument of {arguments.name} has this name; write '
            f'wrt=["{wrt}"] for the argument, or {others}'
        )


def check_key_order(method: str, name: str, wrt: Any, buckets: Sequence[Bucket]) -> None:
    """Raise ValueError if samples have the same keys in different orders.

    A column of the derivatives would then stand for different keys in different samples. Nothing is raised if `wrt`,
    the variables to differentiate with respect to, names no arguments.
    """
    if not _depends_on_inputs(wrt):
        return
    seen: dict[Any, Bucket] = {}
    for bucket in buckets:
        first = seen.setdefault((bucket.static, _without_order(bucket.treedef)), bucket)
        if first is not bucket:
            raise ValueError(
                f"{method}() of {name}: samples {first.samples[0]} and {bucket.samples[0]} have the keys of a "
                "dict in another order, and so would the derivatives; write dict(sorted(x.items())) for each dict x"
            )


def _without_order(treedef: Any) -> Any:
    """Return a treedef in which the keys of each dict are sorted, so two dicts with the same keys have equal treedefs.

    The keys are sorted by their `repr`. A treedef describes how an argument is nested, without its numbers.
    """
    if (
        isinstance(treedef, tuple)
        and len(treedef) == 3
        and isinstance(treedef[0], type)
        and issubclass(treedef[0], dict)
    ):
        kind, keys, parts = treedef
        pairs = sorted(zip(map(repr, keys), map(_without_order, parts), strict=True), key=operator.itemgetter(0))
        return kind, tuple(pairs)
    return tuple(map(_without_order, treedef)) if type(treedef) is tuple else treedef


def _depends_on_inputs(wrt: Any) -> bool:
    """Return whether `wrt` names arguments, so some of the variables are numbers in the arguments."""
    return wrt != "parameters" if isinstance(wrt, str) else any(isinstance(name, str) for name in wrt)


class GradientVariables:
    """The variables with respect to which `CompiledFunction.value_and_grad` differentiates.

    Args:
        wrt: "parameters", "inputs", the name of an argument, a tuple or list of names, or a nesting of `Value`s.
        names: a dict whose keys are the names of the function's arguments.

    Attributes:
        key: a key for the variables, which a dict can look up.
        arguments: the names of arguments, or ("inputs",) for all of them; () if `wrt` names no arguments.
        values: a list of the `Value`s, if `wrt` is a nesting of these; otherwise an empty list.
        are_inputs: whether `wrt` is "inputs", which stands for all numbers of all arguments. It is False if the
            function has an argument that is called "inputs": `wrt` then names this argument alone.

    Raises:
        ValueError: a name in `wrt` is not the name of an argument, or a `Value` in it is frozen.
        TypeError: `wrt` has something that is neither a name of an argument nor a `Value`.
    """

    def __init__(self, wrt: Any, names: Mapping[str, Any]) -> None:
        self.arguments: tuple[str, ...] = ()
        self.values: list[Any] = []
        self.key: tuple[Any, ...] = ("parameters",)
        self._many = not isinstance(wrt, str)
        self._is_flat = False
        self._are_parameters = isinstance(wrt, str) and wrt == "parameters"
        given = (wrt,) if isinstance(wrt, str) else tuple(wrt) if isinstance(wrt, (tuple, list)) else ()
        are_names = bool(given) and all(isinstance(name, str) for name in given)
        self.are_inputs = are_names and given == ("inputs",) and "inputs" not in names
        # What `is_for` compares: `wrt` as it was written, and how its `Value`s are nested
        self._written = wrt if type(wrt) is str or (are_names and type(wrt) is tuple) else None
        self._contents = None if are_names else contents(wrt)
        self._positions: tuple[Program, int, array[int]] | None = None  # see `_positions_in`
        if self._are_parameters:
            return
        if are_names:
            self._check_names(given, names)
            self.arguments = self.key = given
        else:
            leaves, self._nested = flatten(wrt)
            self.values = [x for _, x in leaves]
            self.key = tuple(self.values)
            self._is_flat = type(wrt) is list and len(wrt) == len(leaves) and all(isinstance(x, Value) for x in wrt)
            _check_variables(leaves)

    def _check_names(self, given: Iterable[str], names: Mapping[str, Any]) -> None:
        """Raise ValueError if one of the names in `given` is no key of `names`, which are the names of the arguments.

        There is no error if `given` has only "inputs", which stands for all arguments.
        """
        for name in given:
            if name not in names and not self.are_inputs:
                known = ", ".join([repr(name) for name in names])
                raise ValueError(
                    f'value_and_grad(): wrt has no argument {name!r}; write "parameters", some of {known}, or a '
                    "nesting of Values"
                )

    @property
    def are_known(self) -> bool:
        """Whether it is known that all `Value`s in `wrt`, if there are any, are parameters of the program.

        A call of `value_and_grad` finds this out. A `Value` that is not a parameter of the program may have replaced a
        parameter since the function was recorded.
        """
        return not self.values or self._positions is not None

    def may_be_columns(self, parameters: Sequence[Value]) -> bool:
        """Return whether the gradient of a sample is a row with a number for each variable.

        It is if the variables are in a list, or are all `parameters`, of which none is frozen.
        """
        return self._is_flat or (self._are_parameters and not some_frozen(parameters))

    def key_for(self, parameters: Sequence[Value]) -> tuple[Any, ...]:
        """Return a key that differs for other variables, or if other parameters are frozen.

        It is `key`, unless `wrt` is "parameters" and some of these are frozen. The key then has the parameters, with
        another object in place of each frozen one.
        """
        return tuple(unfrozen(parameters)) if self._are_parameters and some_frozen(parameters) else self.key

    def of_mean(self, gradient: array[float], program: Program, parameters: Sequence[Value], numpy: Any) -> Any:
        """Return the gradient of the mean result with respect to parameters, nested as `wrt` is.

        The derivative with respect to a leaf that the function does not use is 0.

        Args:
            gradient: the derivatives with respect to `parameters`.
            program: a program of the function.
            parameters: all parameters of the function.
            numpy: the module numpy if the result is to be a numpy array, otherwise None.

        Raises:
            ValueError: a variable is an input, is computed from others, is there twice, or is a parameter from which a
                value was computed before the function was called.
        """
        if self._are_parameters:
            return as_list(zero_frozen(gradient, parameters), numpy)
        positions = self._positions_in(program, parameters)
        gradient.append(0.0)  # the last number, which the position -1 stands for
        if numpy:
            found = numpy.frombuffer(gradient)[numpy.frombuffer(positions, "q")]
            return found if self._is_flat else self._nested(array("d", found.tobytes()))
        listed = [gradient[position] for position in positions]
        return listed if self._is_flat else self._nested(array("d", listed))

    def _positions_in(self, program: Program, parameters: Sequence[Value]) -> array[int]:
        """Return the index of each variable in `parameters`; -1 for a variable that is not among them (see `of_mean`).

        The indices are kept for the next call if all variables are parameters of `program`. The next call then does not
        check the variables again. If one was frozen meanwhile, `is_for` has found it.
        """
        if self._positions and self._positions[:2] == (program, len(parameters)):
            return self._positions[2]
        program.check_variables("value_and_grad", self.values)
        position = {p: i for i, p in enumerate(parameters)}
        found = array("q", [position.get(x, -1) for x in self.values])
        if all(0 <= i < len(program.parameters) for i in found):
            self._positions = program, len(parameters), found
        return found

    def is_for(self, wrt: Any) -> bool:
        """Return whether these are the variables `wrt`: the same names, or `Value`s of which none is frozen now."""
        if self._written is not None:
            is_text = type(wrt) is str or (type(wrt) is tuple and all(isinstance(name, str) for name in wrt))
            return is_text and bool(wrt == self._written)
        if self._contents is None:
            return False
        (nesting, values), found = self._contents, list[Any]()
        return _is_nested_as(wrt, nesting, found) and are_same(found, values) and not some_frozen(values)

    def of_samples(
        self, sub_batches: Sequence[SubBatch], parameters: Sequence[Value], threads: int, each: bool, numpy: Any
    ) -> tuple[Any, Any]:
        """Return the results of all samples, and their gradients.

        If `each` is not set, return the mean of the results, and its derivatives with respect to each sample's
        arguments.

        `sub_batches` has the samples, and `parameters` all parameters of the function. `numpy` is the module numpy if
        the results are to be numpy arrays, otherwise None.
        """
        n = sum(len(sub_batch.rows) for sub_batch in sub_batches)
        if numpy:
            values, flat = self._arrays_of(sub_batches, parameters, threads, numpy)
            if self.arguments:
                arguments = sub_batches[0].recording.arguments
                treedefs = [arguments[name][1] for name in self.arguments if not self.are_inputs]
                shapes = [t.shape if isinstance(t, ArrayDef) else () for t in treedefs]
                return self.of_arrays(values, flat, shapes, each)
            if not each:
                values, flat = float(sum(values)) / n, flat / n
            return values, flat if self._are_parameters or self._is_flat else [*map(self._nested, flat)]
        values, flat, recordings = [0.0] * n, list[Any]([()] * n), list[Any]([None] * n)
        for sub_batch in sub_batches:
            found = self._of_sub_batch(sub_batch, parameters, threads, None)
            for position, value, gradient in zip(sub_batch.positions, *found, strict=True):
                values[position], flat[position], recordings[position] = value, gradient, sub_batch.recording
        return self.of_list(values, flat, recordings, each)

    def of_list(
        self, values: Any, flat: Sequence[list[float]], recordings: Sequence[Recording], each: bool
    ) -> tuple[Any, Any]:
        """Return the results of samples in a list, and their gradients, nested as the arguments or as `wrt`.

        Args:
            values: the result of each sample.
            flat: the derivatives of each sample, one after the other.
            recordings: the recording of each sample.
            each: as for `of_samples`.
        """
        n = len(values)
        if not each:
            values, flat = float(sum(values)) / n, [[x / n for x in row] for row in flat]
        if self.are_inputs or (not self.arguments and (self._are_parameters or self._is_flat)):
            return values, flat
        return values, self._nested_by_argument(flat, recordings) if self.arguments else [*map(self._nested, flat)]

    def _arrays_of(
        self, sub_batches: Sequence[SubBatch], parameters: Sequence[Value], threads: int, numpy: Any
    ) -> tuple[Any, Any]:
        """Return the result of each sample as an array, and the derivatives as a matrix with a row for each sample."""
        n = sum(len(sub_batch.rows) for sub_batch in sub_batches)
        found = [
            [*map(numpy.ascontiguousarray, self._of_sub_batch(x, parameters, threads, numpy))] for x in sub_batches
        ]
        if len(sub_batches) == 1:
            [(values, flat)] = found
            return values, flat
        positions = [sub_batch.positions for sub_batch in sub_batches]
        values, flat = (
            scattered([*zip(positions, each, strict=True)], n, None, numpy) for each in zip(*found, strict=True)
        )
        return values, flat

    def _of_sub_batch(
        self, sub_batch: SubBatch, parameters: Sequence[Value], threads: int, numpy: Any
    ) -> tuple[Any, Any]:
        """Return the results of a sub-batch's samples, and a list or matrix with the derivatives of each result."""
        wrt = self.in_program(sub_batch.recording, parameters)
        if sub_batch.computed is not None:
            n = len(sub_batch.rows)
            matrix = memoryview(sub_batch.computed).cast("B").cast("d", (n, len(sub_batch.computed) // n))
            return split(numpy.asarray(matrix) if numpy else matrix.tolist(), numpy)
        numbers = numpy.asarray(sub_batch.numbers).reshape(len(sub_batch.rows), -1) if numpy else sub_batch.numbers
        found: tuple[Any, Any] = sub_batch.recording.loss.value_and_grad(numbers, wrt, each=True, threads=threads)
        return found

    def _nested_by_argument(self, flat: Sequence[Sequence[float]], recordings: Sequence[Recording]) -> Any:
        """Return the derivatives of each sample, nested like the arguments.

        `flat` has the derivatives with respect to the arguments one after the other, and `recordings` the recording of
        each sample.
        """
        nested, end = [], [0] * len(flat)
        for name in self.arguments:
            of_name, known = [], dict[Recording, tuple[int, Callable[[list[float]], Any]]]()
            for i, (row, recording) in enumerate(zip(flat, recordings, strict=True)):
                if recording not in known:
                    where, treedef = recording.arguments[name]
                    known[recording] = where.stop - where.start, _nesting_as(treedef)
                width, nest = known[recording]
                of_name.append(nest(list(row[end[i] : end[i] + width])))
                end[i] += width
            nested.append(of_name)
        return tuple(nested) if self._many else nested[0]

    def of_arrays(self, values: Any, flat: Any, shapes: Sequence[tuple[int, ...]], each: bool) -> tuple[Any, Any]:
        """Return the result and the derivatives with respect to arguments of each sample, all as numpy arrays.

        Args:
            values: the result of each sample.
            flat: a matrix with a row for each sample, which has the derivatives in the order of `arguments`.
            shapes: the shape in a sample of each argument in `arguments`; () for a number. If the variables are all
                inputs, it is not used.
            each: as for `of_samples`.
        """
        n, numpy = len(values), sys.modules["numpy"]
        if not each:
            values, flat = float(sum(values)) / n, flat / n
        if self.are_inputs:
            return values, numpy.ascontiguousarray(flat)
        nested, end = [], 0
        for shape in shapes:
            start, end = end, end + prod(shape)
            columns = numpy.ascontiguousarray(flat[:, start:end])
            nested.append(columns if len(shape) == 1 else columns.reshape(n, *shape))
        return values, tuple(nested) if self._many else nested[0]

    def in_program(self, recording: Recording, parameters: Sequence[Value]) -> Any:
        """Return the variables in the form in which the program of a recording takes the argument `wrt`.

        Raises:
            ValueError: the variables are the parameters, and a constant of the program requires a gradient now; or a
                name is that of a static argument, or of an argument that was not passed.
        """
        if self._are_parameters:
            return recording.loss.all_parameters("value_and_grad", parameters)
        if not self.arguments:
            return self.values
        if self.are_inputs:
            return "inputs"
        for name in self.arguments:
            if name not in recording.arguments:
                raise ValueError(f"value_and_grad(): wrt has {name!r}, which is a static argument or not passed")
        return [x for name in self.arguments for x in recording.loss.inputs[recording.arguments[name][0]]]


def _check_variables(leaves: Iterable[tuple[str, Any]]) -> None:
    """Check the leaves of `wrt`, each of which comes with its path.

    Raises:
        TypeError: one of them is not a `Value`.
        ValueError: one of them is frozen.
    """
    for path, x in leaves:
        if isinstance(x, Value):
            if not x.requires_grad:
                raise frozen_variable("value_and_grad", path, x)
        else:
            write = "; write model.parameters() for a model" if hasattr(x, "parameters") else ""
            if hasattr(x, "__next__"):
                write = "; write list(...) for an iterator"
            if number_or_none(x) is not None:
                write = "; samples are one argument: write value_and_grad((X, Y))"
            raise TypeError(f"value_and_grad(): wrt{path} is {type(x).__name__} {x!r}, not a Value{write}")


def contents(wrt: Any) -> tuple[Any, list[Value]] | None:
    """Return how `wrt`, a nesting of `Value`s, is nested, and a list of its leaves; None if it is not such a nesting.

    The first item of the pair is a key: it is equal for two nestings with the same classes, shapes and keys. Unlike
    `flatten`, this function makes no paths.

    >>> x, y = Value(1), Value(2)
    >>> contents({"w": [x, y]}) == contents({"w": (x, y)}), contents({"w": [x, y]}) == contents({"w": [x, y]})
    (False, True)
    """
    found: list[Value] = []

    def is_value(kind: type) -> bool:
        return issubclass(kind, Value)

    def nesting_of(x: Any) -> Any:
        kind: Any = type(x)
        if is_of_numpy(x) and x.ndim:
            x, extra = x.ravel().tolist(), x.shape
        elif kind is dict:
            x, extra = [*x.values()], (*x,)
        elif kind is list or kind is tuple:
            extra = len(x)
        else:
            found.append(x)
            return kind
        if all(map(is_value, {*map(type, x)})):
            found.extend(x)
            return kind, extra
        return kind, extra, [*map(nesting_of, x)]

    nesting = nesting_of(wrt)
    return (nesting, found) if all(map(is_value, {*map(type, found)})) else None


def _is_nested_as(x: Any, nesting: Any, found: list[Any]) -> bool:
    """Return whether `x` is nested as `nesting`, which `contents` has returned, and append its leaves to `found`.

    Only containers are looked at: a leaf may be anything.
    """
    kind: Any = type(x)
    items: Any
    extra: Any
    if isinstance(nesting, type):
        found.append(x)
        return kind is nesting
    if kind is not nesting[0]:
        return False
    if kind is dict:
        items, extra = [*x.values()], (*x,)
    elif kind is list or kind is tuple:
        items, extra = x, len(x)
    else:
        items, extra = x.ravel().tolist(), x.shape
    if extra != nesting[1]:
        return False
    if len(nesting) == 2:  # all items are leaves
        found.extend(items)
        return True
    return all(_is_nested_as(item, part, found) for item, part in zip(items, nesting[2], strict=True))


def _nesting_as(treedef: TreeDef) -> Callable[[list[float]], Any]:
    """Return a function from a list of derivatives to the same derivatives, nested as an argument with this treedef.

    >>> _nesting_as((tuple, 2))([1.0, 2.0]), _nesting_as(None)([1.0]), _nesting_as((dict, ("x",), (None,)))([1.0])
    ((1.0, 2.0), 1.0, {'x': 1.0})
    """
    if treedef is None:
        return operator.itemgetter(0)
    if treedef[0] is list and isinstance(treedef[1], int):
        return list
    if isinstance(treedef, ArrayDef) and treedef.is_numpy:
        array_of, shape = sys.modules["numpy"].array, treedef.shape
        return lambda numbers: array_of(numbers).reshape(shape)
    return lambda numbers: _with_doubles(unflatten(treedef, iter(numbers)))


def _with_doubles(x: Any) -> Any:
    """Return nested derivatives with each array of objects replaced by an array of doubles."""
    if isinstance(x, dict):
        return {key: _with_doubles(item) for key, item in x.items()}
    if isinstance(x, tuple):
        return tuple.__new__(type(x), [_with_doubles(item) for item in x])
    if isinstance(x, list):
        return [_with_doubles(item) for item in x]
    # A view as a plain numpy array, since operations on a `ValueArray` give arrays of objects, even if it has doubles
    return x.astype(float).view(sys.modules["numpy"].ndarray) if is_array(x) else x
