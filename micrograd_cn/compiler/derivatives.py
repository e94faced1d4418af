"""Make, from a program, further programs that compute its gradient, or the entries of its Jacobian or Hessian.

The programs for the Jacobian and the Hessian compute only the entries that can be nonzero. If a whole matrix is wanted,
and at least a quarter of its entries can be nonzero, a further program computes it.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextvars import Context
from functools import cached_property
from itertools import chain
from math import isfinite, isnan
from typing import Any, Literal, Never, Self

from ..derivatives.sparse import Sparse, sparse_gradient, sparse_hessian, sparse_jacobian
from ..engine import Value, constant, traverse
from ..gradients import gradients
from ..graph import context
from ..ops import dot
from ..ops.number import flag, number_or_none
from ..ops.options import refuse_options
from .data.arrays import FlatNumbers
from .data.captured import CapturedValue, describe, with_kept_constants, with_leaves
from .data.columns import Columns, Numbers, flat
from .data.nodes import some_frozen
from .data.parameters import reached_nodes
from .data.partition import has_nan
from .data.rows import as_result, numpy_if_array, row_numbers, writable_address
from .instructions.formulas import is_of_the_table
from .instructions.graph import DETACH
from .program import Mismatch, Runnable, close
from .threads.collector import without_collector
from .threads.tasks import check_threads
from .variables import (
    NO_ARGNUMS,
    PARAMETERS,
    Default,
    StandIn,
    Variables,
    frozen_variable,
    listed,
    reusable,
    unfrozen,
    zero_frozen,
)

Kind = Literal["gradient", "jacobian", "hessian", "value_and_grad"]
MAX_SPARSITY = 4  # a matrix is computed whole if it has at most this many times as many entries as can be nonzero


class Structure(tuple[tuple[int, ...], tuple[int, ...]]):
    """The positions of a sparse matrix's entries: a tuple of row indices, and a tuple of column indices.

    IPOPT's callbacks and scipy.sparse take such a pair. In other parts of this package, "structure" means how arguments
    are nested; this class has nothing to do with that.

    Attributes:
        shape: the count of rows of the matrix, and the count of its columns.
        constant: for each entry, whether its value is the same for all values of inputs and parameters.
        entries: the count of entries.

    >>> rows, columns = Structure((0, 1), (1, 0), (2, 2), (True, False))
    >>> rows, columns
    ((0, 1), (1, 0))
    """

    shape: tuple[int, int]
    constant: tuple[bool, ...]
    entries: int

    def __new__(
        cls, rows: Iterable[int], columns: Iterable[int], shape: tuple[int, int], constant: Iterable[bool]
    ) -> Self:
        """Return the pair of row indices and column indices, with the attributes `shape` and `constant`."""
        self = super().__new__(cls, (tuple(rows), tuple(columns)))
        self.shape, self.constant = shape, tuple(constant)
        self.entries = len(self.constant)
        return self

    def __reduce__(self) -> Any:
        return Structure, (*self, self.shape, self.constant)


class CompiledDerivative:
    """The gradient, Jacobian or Hessian of a program: the positions of its entries, and a program that computes them.

    Args:
        entries: the entries (of a Jacobian or Hessian, those that can be nonzero), and their positions. An entry is a
            `Value` or, if it is a constant, a float.
        of: the program that was differentiated.
        gated: whether the program has gates. If not, an entry may be nan where it should be a number, because 0 is
            multiplied by an infinite factor; see `Program.derivative_for_calls`.

    Attributes:
        gated: the argument.
        structure: the row and column indices of the entries, as a `Structure`.
        outputs: the entries as `Value`s.
        program: a program that computes all entries, including constants, from rows of the original program. It is None
            if all entries are constants, or if there are no entries.

    >>> from micrograd_cn.compiler import compile
    >>> x, y = Value(1), Value(2)
    >>> hessian = compile(x**2 * y, [x, y]).derivative("hessian", lower=True)
    >>> hessian.structure, hessian.program.forward([[3, 5]])
    (((0, 1), (0, 0)), [[10.0, 6.0]])
    """

    def __init__(self, entries: Sparse, of: Program, gated: bool = True) -> None:
        values, rows, columns, shape = entries
        self.gated = gated
        constants = [isinstance(x, float) for x in values]
        self.structure = Structure(rows, columns, shape, constants)
        self._constants = array("d", values) if all(constants) else array("d")
        self.outputs = [constant(x) if isinstance(x, float) else x for x in values]
        self.program = None if all(constants) else of.with_outputs(self.outputs)

    def flat(self, data: Numbers, n: int, threads: int, dense: bool = False, out: Any = None) -> FlatNumbers:
        """Return the entries for n rows in one buffer, in which the entries of each row follow those of the row before.

        Args:
            data: the numbers of the rows, one row after the other.
            n: how many rows there are.
            threads: how many threads compute.
            dense: whether to return the whole matrices, including zeros. If `whole` is None, the buffer has only the
                entries that can be nonzero, and the method `shaped` adds the zeros.
            out: a buffer of doubles for what `shaped` returns, or None. Entries that need no zeros between them may be
                written to it already.
        """
        if not self.program or not n:
            return self._constants * n
        if dense:
            return self.whole.flat(data, n, threads, out) if self.whole else self.program.flat(data, n, threads)
        return self.program.flat(data, n, threads, out)

    def shaped(self, flat: FlatNumbers, n: int, numpy: Any, out: Any, dense: bool) -> Any:
        """Return the entries for n rows or, if `dense` is set, the whole matrices, including zeros.

        They are written to the buffer of doubles `out`, which is returned. If `out` is None, they are a numpy array if
        `numpy` is the module numpy, and otherwise nested lists. `flat` is what the method `flat` has returned.
        """
        if dense and not (n and self.whole):
            return self.scattered(flat, n, numpy, out)
        shape = self.structure.shape if dense else (self.structure.entries,)
        return as_result(flat, (n, *shape), numpy, out)

    @cached_property
    def whole(self) -> Program | None:
        """A program that computes all entries of the matrix, row after row.

        It is None if more than three quarters of the entries are always 0, or if all entries are constants.
        """
        (rows, columns), (height, width) = self.structure, self.structure.shape
        if not self.program or height * width > MAX_SPARSITY * self.structure.entries:
            return None
        outputs = [constant(0.0)] * (height * width)
        for x, i, j in zip(self.program.outputs, rows, columns, strict=True):
            outputs[i * width + j] = x
        return self.program.with_outputs(outputs)

    def shaped_mean(self, flat: FlatNumbers, n: int, numpy: Any, out: Any, dense: bool) -> Any:
        """Return the entries, averaged over n rows, or the whole matrix of these means if `dense` is set.

        `flat` is what the method `mean` has returned. `numpy` and `out` are as for `shaped`.
        """
        if not dense:
            return as_result(flat, (self.structure.entries,), numpy, out)
        whole = self.scattered(flat, 1, numpy, out)
        return whole[0] if out is None else whole

    def scattered(self, flat: FlatNumbers, n: int, numpy: Any, out: Any) -> Any:
        """Return the whole matrix of derivatives, including zeros, for each of n rows.

        `flat` has the entries that can be nonzero. `numpy` and `out` are as for `shaped`.
        """
        (rows, columns), (height, width) = self.structure, self.structure.shape
        count, size = self.structure.entries, height * width
        if numpy and out is None:
            out = numpy.empty((n, height, width))
        if out is None:
            each = [flat[k * count : (k + 1) * count].tolist() for k in range(n)]
            return [Sparse(values, list(rows), list(columns), (height, width)).dense() for values in each]
        if writable_address(out, n * size):
            view = memoryview(out).cast("B")
            if count and (numpy := sys.modules.get("numpy")):
                whole = numpy.frombuffer(view).reshape(n, size)
                whole.fill(0.0)
                whole[:, numpy.frombuffer(self._places, "q")] = numpy.frombuffer(flat).reshape(n, count)
                return out
            view[:] = bytes(len(view))
            numbers = view.cast("d")
            for k, place in enumerate(self._places):
                numbers[place::size] = memoryview(flat)[k::count]
        return out

    @cached_property
    def _places(self) -> array[int]:
        """The place of each stored entry in the dense matrix, counted row after row."""
        (rows, columns), width = self.structure, self.structure.shape[1]
        return array("q", [i * width + j for i, j in zip(rows, columns, strict=True)])

    def mean(self, data: Numbers, n: int, threads: int) -> array[float]:
        """Return each entry of the derivative, averaged over the n rows whose numbers are in `data`."""
        if not self.program:
            return self._constants * 1
        program, places = self._mean
        _, means = program.compiled.gradient_of(data, row_numbers(n), threads)
        constants = [x._data for x in self.program.outputs]
        return array("d", [means[k] if k >= 0 else x for k, x in zip(places, constants, strict=True)])

    @cached_property
    def _mean(self) -> tuple[Program, list[int]]:
        """A pair: a program whose gradient begins with the means of the entries, and a list of indices.

        The list has, for each entry, the index of its mean in this gradient, and -1 for a constant. The output of the
        program is a sum of the entries times weights, which are the program's first parameters. The derivative of the
        output with respect to a weight is the entry.
        """
        assert self.program
        nodes = dict.fromkeys([x for x in self.program.outputs if x.requires_grad])
        place = {x: k for k, x in enumerate(nodes)}
        weights = [Value(0.0) for _ in nodes]
        output = Context().run(lambda: dot(weights, [DETACH(x) for x in nodes]))
        return self.program.with_outputs(output, weights), [place.get(x, -1) for x in self.program.outputs]


class Programs(list["Program"]):
    """The programs of one compiled function.

    Each of them has a weak reference to this list, so they are freed without the garbage collector.
    """


class Program(Runnable):
    """A `Runnable` that also has derivatives. A derivative is compiled when it is first needed.

    Several threads may run a program at the same time. The parameters of a program are the leaves that are neither
    inputs nor constants.

    Attributes:
        siblings: a function that returns all programs of the same compiled function; None once that function is freed,
            and an empty tuple for a program that was made from a recorded graph. The derivative with respect to a
            parameter that only other programs of the function have is 0.

    >>> from micrograd_cn.compiler import compile
    >>> from micrograd_cn.optim import SGD
    >>> x, target, w = Value(1), Value(1), Value(0, "w")
    >>> program = compile((w * x - target) ** 2, inputs=[x, target])
    >>> losses = program.fit([[1, 3], [2, 6]], SGD(program.parameters, lr=0.1), epochs=50)
    >>> round(w.data, 6)
    3.0
    """

    def __init__(
        self, output: Value | Sequence[Value], inputs: Iterable[Value], parameters: Iterable[Value] = ()
    ) -> None:
        super().__init__(output, inputs, parameters)
        self._derivatives: dict[Any, CompiledDerivative] = {}
        self.siblings: Callable[[], Sequence[Program] | None] = tuple
        self._known = -1, set[Value]()  # the count of the siblings, and the inputs and parameters of all of them

    def with_outputs(self, output: Value | Sequence[Value], first: Sequence[Value] = ()) -> Program:
        """Return a program that computes other outputs from the same inputs.

        As in this program, it is an error if a constant of this program has other data when the new program runs than
        it had when this program was made.

        Args:
            output: the outputs, as for `Program`.
            first: further parameters. They come before those of this program, which keep their order.
        """
        self.check_operations()
        made = Program(output, self.inputs, [*first, *self.parameters])
        made.compiled.data.watch_as(self.compiled.data)
        return made

    def gradient(
        self, rows: Any, wrt: Variables = "inputs", threads: int = 1, out: Any = None, **wrong: Never
    ) -> list[list[float]] | Any:
        """Return the gradient of the output for every row of `rows`: a number for each variable, even if it is 0.

        An entry that is 0 at all numbers, as for sqrt(x - x), is 0. `backward` multiplies local derivatives instead,
        and gives nan where one of them is infinite.

        Args:
            rows: rows with a number for each input, as for `forward`.
            wrt: the variables to differentiate with respect to: "inputs", or the name of an argument, or a list of
                names; "parameters", which are in the order of `.parameters`; or a list of `Value`s, each an input or a
                leaf that requires a gradient. The derivative with respect to a leaf that the program does not use is 0.
                For the order of a model's parameters, write `wrt=model.parameters()`. For "parameters", the derivative
                with respect to a parameter that is frozen now is 0; in a list it is an error.
            threads: how many threads compute.
            out: a buffer of doubles for the numbers of all rows, one row after the other; it is returned.

        Raises:
            TypeError: as for `forward`; or `wrt` contains something that is neither a `Value` nor a name; or a partial
                of a user-defined operation is something else in each call.
            ValueError: as for `forward`; or the program has several outputs; or a text in `wrt` is not the name of an
                argument; or a `Value` in it is neither an input nor a leaf, is frozen, occurs twice, or is a parameter
                from which a value was computed before the function was called, if the function uses this value.
            RuntimeError: the output is a constant.
            FloatingPointError: as for `forward`.

        >>> from micrograd_cn.compiler import compile
        >>> x, y, w = Value(1), Value(2), Value(3)
        >>> program = compile(w * x * y, [x, y])
        >>> program.gradient([[1, 2], [5, 7]]), program.gradient([[5, 7]], wrt="parameters")
        ([[6.0, 3.0], [21.0, 15.0]], [[35.0]])
        """
        if wrong:
            refuse_options("gradient()", wrong, NO_ARGNUMS)
        return self._evaluate("gradient", rows, wrt, threads, out)

    def value_and_grad(
        self, rows: Any, wrt: Variables = PARAMETERS, each: bool = False, threads: int = 1
    ) -> tuple[Any, Any]:
        """Return the mean output over the rows, and the gradient of this mean; no `grad` is changed.

        With `each`, return the outputs of all rows, and the gradients of all rows, instead.

        The results are lists, or numpy arrays if `rows` is a numpy array. A function that returns such a pair is what
        `scipy.optimize.minimize(fun, x0, jac=True)` takes.

        Args:
            rows: rows with a number for each input, as for `forward`.
            wrt: the variables, as for `gradient`, but by default the parameters. The gradient of the mean with respect
                to inputs has a row for each row of `rows`.
            each: whether to return the output and the gradient of each row.
            threads: how many threads compute.

        Raises:
            TypeError, RuntimeError, FloatingPointError: as for `gradient`.
            ValueError: as for `gradient`; or there are no rows; or `wrt` has inputs and parameters, and `each` is not
                set; or `wrt` is not passed, and a value was computed from a parameter before the compiled function was
                called.

        >>> from micrograd_cn.compiler import compile
        >>> x, w = Value(1), Value(3)
        >>> program = compile(w * x**2, [x])
        >>> program.value_and_grad([[1], [2]]), program.value_and_grad([[1], [2]], each=True)
        ((7.5, [2.5]), ([3.0, 12.0], [[1.0], [4.0]]))
        """
        check_threads("value_and_grad", threads)
        if type(each) is not bool:
            each = flag("value_and_grad(): each", each)
        if type(wrt) is Default:
            wrt = "parameters"
            self.check_no_captured("value_and_grad")
        numpy, wrt = numpy_if_array(rows), reusable(wrt)
        if each:
            return split(self._evaluate("value_and_grad", rows, wrt, threads, None), numpy)
        data, n = self._read_batch("value_and_grad", rows)
        if self.are_inputs("value_and_grad", wrt):
            matrix = memoryview(flat(data)).cast("B").cast("d", (n, len(self.inputs))) if self.inputs else rows
            values, found = split(self._evaluate("value_and_grad", matrix, wrt, threads, None), None)
            slopes = [[x / n for x in row] for row in found]
            return sum(values) / n, numpy.array(slopes) if numpy else slopes
        self.check_frozen("value_and_grad")
        loss, gradients = self.compiled.gradient_of(data, row_numbers(n), threads)
        return loss, as_list(self.in_order("value_and_grad", zero_frozen(gradients, self.parameters), wrt), numpy)

    def are_inputs(self, kind: str, wrt: Variables) -> bool:
        """Return whether the variables in `wrt` are inputs, and not parameters. `kind` is the method, for messages.

        Raises:
            TypeError, ValueError: as for `gradient`; or `wrt` has both inputs and parameters.
        """
        if isinstance(wrt, str):
            return wrt != "parameters" and bool(self._variables(kind, wrt))
        variables = self._variables(kind, wrt)
        found = {x in self._input_set for x in variables}
        if len(found) > 1:
            raise ValueError(f"{kind}(): wrt has inputs and parameters; write each=True, or call it for each of them")
        return found == {True}

    @cached_property
    def _input_set(self) -> frozenset[Value]:
        return frozenset(self.inputs)

    def in_order(self, kind: str, gradients: array[float], wrt: Variables) -> array[float]:
        """Return derivatives in the order of `wrt`. In `gradients` they are in the order of `.parameters`."""
        if isinstance(wrt, str):
            return gradients
        place = {p: i for i, p in enumerate(self.parameters)}
        return array("d", [gradients[place[p]] if p in place else 0.0 for p in self._variables(kind, wrt)])

    def jacobian(
        self, rows: Any, wrt: Variables = "inputs", dense: bool = False, threads: int = 1, out: Any = None
    ) -> list[list[float]] | Any:
        """Return the entries of the Jacobian that can be nonzero, for every row of `rows`.

        The entries are in the order of `jacobian_structure`. The Jacobian has a row for each output, and a column for
        each variable in `wrt`.

        Args:
            rows: rows with a number for each input, as for `forward`.
            wrt: the variables to differentiate with respect to, as for `gradient`. "parameters" are in the order of
                `.parameters`; for the order of a model's parameters, write `wrt=model.parameters()`.
            dense: whether to return, for every row of `rows`, the whole matrix, including zeros. It is nested lists, or
                a numpy array if `rows` is a numpy array.
            threads: how many threads compute.
            out: a buffer of doubles for the numbers of all rows; it is returned.

        Raises:
            TypeError: as for `gradient`.
            ValueError: as for `gradient`, but several outputs are allowed.
            FloatingPointError: as for `forward`.

        >>> from micrograd_cn.compiler import compile
        >>> x, y = Value(1), Value(2)
        >>> program = compile([x * y, 3 * y], [x, y])
        >>> program.jacobian([[5, 7]]), program.jacobian([[5, 7]], dense=True)
        ([[7.0, 5.0, 3.0]], [[[7.0, 5.0], [0.0, 3.0]]])
        """
        if type(dense) is not bool:
            dense = flag("jacobian(): dense", dense)
        return self._evaluate("jacobian", rows, wrt, threads, out, dense)

    def hessian(
        self,
        rows: Any,
        lower: bool = False,
        wrt: Variables = "inputs",
        dense: bool = False,
        threads: int = 1,
        out: Any = None,
        mean: bool = False,
    ) -> list[list[float]] | Any:
        """Return the second derivatives that can be nonzero, for every row of `rows`.

        The derivatives are in the order of `hessian_structure`. Two entries that mirror each other are computed once.
        At a singular point, such as (0, 0.5) of x**y, `functional.hessian` may give two different numbers there.

        To get the Hessian of a Lagrangian f + l * g with respect to x alone, while the multiplier l is an input too,
        write `wrt=[x]`.

        Args:
            rows: rows with a number for each input, as for `forward`.
            lower: whether to return only the lower triangle, including the diagonal.
            wrt: the variables to differentiate with respect to, as for `gradient`. "parameters" are in the order of
                `.parameters`; for the order of a model's parameters, write `wrt=model.parameters()`.
            dense: whether to return, for every row of `rows`, the whole matrix, including zeros. It is nested lists, or
                a numpy array if `rows` is a numpy array.
            threads: how many threads compute.
            out: a buffer of doubles for the numbers of all rows, or of the mean; it is returned.
            mean: whether to return the Hessian of the mean output over the rows, and not one Hessian for each row. It
                is added up in machine code.

        Raises:
            TypeError: as for `gradient`.
            ValueError: as for `gradient`; or `mean` is set, and there are no rows.
            RuntimeError: as for `gradient`.
            FloatingPointError: as for `forward`.

        >>> from micrograd_cn.compiler import compile
        >>> x, y, l = Value(1), Value(2), Value(3)
        >>> lagrangian = compile(x * y + l * (x**2 - 1), [x, y, l])
        >>> lagrangian.hessian_structure(lower=True, wrt=[x, y]), lagrangian.hessian([[5, 6, 7]], True, wrt=[x, y])
        (((0, 1), (0, 0)), [[14.0, 1.0]])
        """
        if not (type(lower) is type(dense) is type(mean) is bool):
            lower, dense = flag("hessian(): lower", lower, "wrt"), flag("hessian(): dense", dense)
            mean = flag("hessian(): mean", mean)
        return self._evaluate("hessian", rows, wrt, threads, out, dense, lower, mean)

    def jacobian_structure(self, wrt: Variables = "inputs") -> Structure:
        """Return the row and column indices of the Jacobian's entries that can be nonzero.

        `micrograd_cn.derivatives.finite_field` explains how entries that are always zero are found. `wrt` and the
        errors are those of `jacobian`.

        >>> from micrograd_cn.compiler import compile
        >>> x, y = Value(1), Value(2)
        >>> found = compile([x * y, 3 * y], [x, y]).jacobian_structure()
        >>> found, found.shape, found.constant
        (((0, 0, 1), (0, 1, 1)), (2, 2), (False, False, True))
        """
        return self.derivative_for_calls("jacobian", wrt).structure

    def hessian_structure(self, lower: bool = False, wrt: Variables = "inputs") -> Structure:
        """Return the row and column indices of the second derivatives that can be nonzero.

        With `lower`, return those of the lower triangle and the diagonal alone. `wrt` and the errors are those of
        `hessian`.

        >>> from micrograd_cn.compiler import compile
        >>> x, y = Value(1), Value(2)
        >>> compile(x * y, [x, y]).hessian_structure()
        ((0, 1), (1, 0))
        """
        lower = flag("hessian_structure(): lower", lower, "wrt")
        return self.derivative_for_calls("hessian", wrt, lower).structure

    def derivative(self, kind: Kind, wrt: Variables = "inputs", lower: bool = False) -> CompiledDerivative:
        """Return a derivative: the positions of its entries, and the program that computes them, which can be printed.

        Args:
            kind: "gradient", "jacobian" or "hessian"; or "value_and_grad" for the output, followed by the gradient.
            wrt: the variables to differentiate with respect to, as for `gradient`.
            lower: for a Hessian, whether to compute only the lower triangle, including the diagonal.

        Raises:
            TypeError: as for `gradient`.
            ValueError: as for `gradient`, but a Jacobian may have several outputs; or `kind` is none of the four.
            RuntimeError: as for `gradient`.

        >>> from micrograd_cn.compiler import compile
        >>> x, w = Value(1), Value(2)
        >>> print(compile(w * x**3, [x]).derivative("gradient").program.source("python"))
        def f(xp, parameters, inputs):
            [w0] = parameters
            [x0] = inputs
            v0 = x0 ** 2.0
            v1 = w0 * v0
            v2 = 3.0 * v1
            return [v2]
        <BLANKLINE>
        """
        return self._derivative(kind, wrt, flag("derivative(): lower", lower), gated=True)

    def derivative_for_calls(self, kind: Kind, wrt: Variables = "inputs", lower: bool = False) -> CompiledDerivative:
        """Return a derivative as `derivative` does, but one whose entries may be nan where they should not be.

        Operations such as `relu` and `maximum` pass no gradient to an operand that they did not select. The gradient of
        the operand must be 0 even if a later factor is infinite or nan, so `derivative` chooses between each product
        and 0. It takes up to half as long again to make such a derivative, and infinite factors are rare. So this
        method returns one that always multiplies, in which 0 times an infinite factor is nan. Code that always
        multiplies is called optimistic; see `micrograd_cn.compiler`. A caller that finds a nan takes the result of
        `derivative` instead. From then on, this method returns that, too.

        The arguments and the errors are those of `derivative`.
        """
        return self._derivative(kind, wrt, lower, gated=False)

    @cached_property
    def _selects(self) -> bool:
        return any(op.selects for _, op in self.compiled.graph.operations)

    def _derivative(
        self, kind: Kind, wrt: Variables, lower: bool, gated: bool, data: Numbers | None = None
    ) -> CompiledDerivative:
        """Return a derivative, as `derivative` does if `gated` is set, and otherwise as `derivative_for_calls` does.

        `data` has the numbers of the rows for which the derivative is going to be computed. If the derivative does not
        exist yet, and its entries are probably nan for these rows, it is made as if `gated` were set. Otherwise a
        second one would probably be needed at once.
        """
        if wrt == "parameters":
            wrt = self.all_parameters(kind, self.parameters)
        variables = None if isinstance(wrt, str) else self._variables(kind, wrt)
        of = wrt if variables is None else tuple(variables)
        known = self._derivatives
        found = known.get((kind, of, lower, True))
        if found is None and not gated:
            found = known.get((kind, of, lower, False))
        if found is not None:
            return found
        variables = variables or self._variables(kind, wrt)
        if kind not in ("gradient", "jacobian", "hessian", "value_and_grad"):
            raise ValueError(f'derivative() is a "gradient", "jacobian" or "hessian", got {kind!r}')
        if kind != "jacobian" and not (self._single and any(program.has_gradient for program in self.siblings() or ())):
            self._check_gradient(kind)
        wanted = variables
        gated = gated or not self._selects or (data is not None and self._gives_nan(data))
        key = kind, of, lower, gated

        def derived() -> CompiledDerivative:
            found = known.get(key)
            if found is None:  # in an empty context: the first caller may be inside `no_grad()`
                made = Context().run(_derive, self, kind, wanted, lower, gated)
                found = known.setdefault(key, made)
            return found

        return self.compiled.in_turn(derived)

    def _gives_nan(self, rows: Numbers) -> bool:
        """Return whether a number in `rows` is nan, or the graph was recorded for the first row and gave nan."""
        if any(map(has_nan, rows.parts if isinstance(rows, Columns) else [rows])):
            return True
        recorded = [x._data for x in self.inputs]
        return any(isnan(y._data) for y in self.outputs) and [*rows[: len(recorded)]] == recorded

    def check_named(
        self, name: str, rows: Mapping[int, list[float]], f: Callable[..., Any], rtol: float, atol: float
    ) -> list[tuple[str, list[Value], list[Any]]]:
        """Compare the program's outputs and derivatives for some rows with those of the function `f`.

        The arguments, the result and the errors are those of `Runnable.check_named`, which compares outputs alone.
        """
        called = super().check_named(name, rows, f, rtol, atol)
        if any(y.requires_grad for y in self.outputs) and not context.here().no_grad:
            for row, (title, arguments, outputs) in zip(rows.values(), called, strict=True):
                for k, (y, compiled) in enumerate(zip(outputs, self._derivatives_of(row), strict=True)):
                    if not isinstance(y, Value):  # `f` may compute numbers alone
                        continue
                    which = title if self._single else f"{title}, output {k}"
                    self._compare_derivatives(which, arguments, y, compiled, rtol, atol)
        return called

    def _derivatives_of(self, row: list[float]) -> list[list[float]]:
        """Return, for each output, the compiled derivatives with respect to all inputs, then to all parameters."""
        if self._single:
            found = self.gradient([row])[0] if self.inputs else []
            return [[*found, *self.compiled.gradient_of(array("d", row), row_numbers(1), threads=1)[1]]]
        inputs, parameters = (self.jacobian([row], wrt, dense=True)[0] for wrt in ("inputs", "parameters"))
        return [[*a, *b] for a, b in zip(inputs, parameters, strict=True)]

    def _compare_derivatives(
        self, title: str, arguments: list[Value], y: Value, compiled: list[float], rtol: float, atol: float
    ) -> None:
        """Compare the derivatives of an output of the recorded function with those that the program has computed.

        Args:
            title: the text that names the row and the output in the message.
            arguments: the arguments with which the function was called.
            y: the output of the function.
            compiled: the program's derivatives, first those with respect to inputs, then those with respect to
                parameters.
            rtol, atol: the relative and the absolute tolerance. `rtol` is relative to the largest of the derivatives.

        Raises:
            Mismatch: a derivative differs. The message begins with `title`.
        """
        ours = _with_leaves_of_captured(dict(zip((*arguments, *self.parameters), compiled, strict=True)))
        leaves = traverse(y)[1]
        for x in self._held_constants:
            if x.requires_grad and x in leaves:
                raise Mismatch(
                    f"{title}: the function has a derivative with respect to {x!r}, which is a constant of the "
                    "program, since it required no gradient when the program was made; compile anew"
                )
        # A leaf that the function makes itself, such as `Value(0.0)` before a loop, is another one in each call.
        made = {x._data for x in leaves if x.requires_grad and x not in ours}
        variables = [x for x in ours if x.requires_grad and (x in leaves or x._data not in made)]
        found = gradients(y, variables) if y.requires_grad else [0.0] * len(variables)
        largest = max((abs(g) for g in found if isfinite(g)), default=0.0)
        agree = close(rtol, atol + rtol * largest)
        for x, slope in zip(variables, found, strict=True):
            if not agree(slope, ours[x]):
                what = f"input {arguments.index(x)}" if x in arguments else f"the parameter {x!r}"
                raise Mismatch(
                    f"{title}: the derivative of the function with respect to {what} is {slope}, that of the graph "
                    f"{ours[x]}; does the function read something that was recorded once, or is a factor infinite?"
                )

    def all_parameters(self, kind: str, parameters: Sequence[Value]) -> Variables:
        """Return what to pass as `wrt` to differentiate with respect to all of `parameters`.

        This is the text "parameters" if they are the parameters of this program, and none is frozen now. Otherwise it
        is a list, with another `Value` in the place of each frozen parameter. Nothing depends on this `Value`, so the
        derivative with respect to it is 0.

        Args:
            kind: the name of the method, for messages.
            parameters: the parameters of this program, or all parameters of the compiled function, which begin with
                those of this program.

        Raises:
            ValueError: a constant of the program requires a gradient now, so it may be a parameter, too.
        """
        self.check_frozen(kind)
        if len(parameters) == len(self.parameters) and not some_frozen(parameters):
            return "parameters"
        return unfrozen(parameters)

    def check_variables(self, kind: str, wrt: Sequence[Value]) -> None:
        """Raise an error if one of `wrt` is an input, or if the program cannot be differentiated with respect to it.

        `kind` is the name of the method, for messages.

        Raises:
            TypeError, ValueError: as for `gradient`; or one of `wrt` is an input.
        """
        if self.are_inputs(kind, wrt):
            raise ValueError(f"{kind}(): wrt has inputs; write the names of arguments")

    def _variables(self, kind: str, wrt: Any) -> list[Value]:
        if isinstance(wrt, str):
            if wrt in ("inputs", "parameters"):
                return list(self.inputs if wrt == "inputs" else self.parameters)
            wrt = [wrt]
        wrt = listed(kind, wrt)
        if wrt and all(isinstance(x, str) for x in wrt):
            wrt = [x for name in wrt for x in self._inputs_of(kind, name)]
        siblings = self.siblings() or ()
        known = self._known_leaves(siblings)
        found: dict[Value, None] = {}
        for i, x in enumerate(wrt):
            if not (isinstance(x, Value) and x.requires_grad and (x in known or not x.op)):
                raise _wrong_variable(kind, i, x)
            if x in found:
                raise ValueError(f"{kind}(): wrt[{i}], {x!r}, is there twice")
            found[x] = None
        # A leaf may be a constant of this program although it is a parameter of another program of the function
        if not found.keys().isdisjoint(self._held_constants):
            self.check_frozen(kind)
        # The derivative with respect to a leaf that no program has is 0, unless the leaf was frozen
        if unused := {x for x in found if x not in known and type(x) is not StandIn}:
            for program in siblings:
                if not unused.isdisjoint(program._held_constants):
                    program.check_frozen(kind)
        self._check_captured(kind, found)
        return list(found)

    def _known_leaves(self, siblings: Sequence[Program]) -> set[Value]:
        """Return the inputs, and the parameters of this program and of the function's other programs, `siblings`."""
        count, known = self._known
        if count != len(siblings):
            count = len(siblings)  # first, since another thread may add one
            known = {*self.inputs, *self.parameters, *chain.from_iterable([p.parameters for p in siblings])}
            self._known = count, known
        return known

    def _inputs_of(self, kind: str, name: str) -> list[Value]:
        """Return the inputs that stand for the numbers in the argument called `name`.

        Raises:
            ValueError: no argument has this name. The message begins with `kind`, the name of the method.
        """
        names = dict.fromkeys([x.label.partition("[")[0] for x in self.inputs])
        if name not in names:
            known = " or ".join(map(repr, filter(None, names))) or "no input has a label"
            raise ValueError(
                f'{kind}(): wrt must be "inputs", "parameters", the name of an argument ({known}), or some of their '
                f"Values, got {name!r}"
            )
        return [x for x in self.inputs if x.label.partition("[")[0] == name]

    def _check_captured(self, kind: str, wrt: Container[Value]) -> None:
        """Raise ValueError if the program uses a captured value that was computed from one of the variables `wrt`.

        A captured value was computed before the compiled function was called, so the program does not compute it. A
        derivative with respect to the variable would leave out how the captured value depends on it. It is no error if
        the captured value is itself among the variables. `kind` is the name of the method, for messages.
        """
        for p in self._used_captured:
            for x in traverse(p.original)[1]:
                if x in wrt and p not in wrt:
                    raise ValueError(
                        f"{kind}(): the function uses {describe(p.original)}, which was computed from {describe(x)} "
                        f"before it was called, so the derivative with respect to {describe(x)} would leave this out; "
                        'compute it in the function, detach() it, or write wrt="parameters", in which it is a variable'
                    )

    def check_no_captured(self, kind: str) -> None:
        """Raise ValueError if the program uses a captured value that was computed from a leaf which is not frozen.

        A captured value was computed before the compiled function was called, so a gradient with respect to all
        parameters would not reach the leaf through it. `kind` is the name of the method, for messages.
        """
        if used := self._used_captured:
            self._check_captured(kind, [x for p in used for x in traverse(p.original)[1] if x.requires_grad])

    @cached_property
    def _used_captured(self) -> Sequence[CapturedValue]:
        """The captured values to which a gradient can flow. Other programs of the same function may use further ones.

        A captured value was computed before the compiled function was called.
        """
        reached = reached_nodes(self.outputs) if self.compiled.captured else ()
        return [p for p in self.compiled.captured if p in reached]

    def _evaluate(
        self,
        kind: Kind,
        rows: Any,
        wrt: Variables,
        threads: int,
        out: Any,
        dense: bool = False,
        lower: bool = False,
        mean: bool = False,
    ) -> Any:
        """Return the entries of a derivative for every row of `rows` or, with `mean`, their means over the rows.

        `kind` is the name of the method, and the other arguments are those of `hessian`.

        Raises:
            ValueError: `mean` is set, and there are no rows.
        """
        check_threads(kind, threads)
        wrt = reusable(wrt)
        data, n = self._read_rows(rows)
        if mean and not n:
            raise ValueError(f"{kind}(): there are no rows, so they have no mean")
        derivative = self._derivative(kind, wrt, lower, gated=False, data=data)
        self.compiled.data()  # refuses constants that have other data, even if no derivative is computed
        if context.active:  # for speed, before `row_numbers`
            self.compiled.detect_anomaly(data, row_numbers(n), backward=kind != "jacobian")
        numpy = numpy_if_array(rows) if out is None else None
        while True:
            found = derivative.mean(data, n, threads) if mean else derivative.flat(data, n, threads, dense, out)
            if derivative.gated or not has_nan(found):
                return (derivative.shaped_mean if mean else derivative.shaped)(found, n, numpy, out, dense)
            derivative = self.derivative(kind, wrt, lower)


def split(found: Any, numpy: Any) -> tuple[Any, Any]:
    """Return the first number of each row of `found`, and the other numbers of each row.

    `found` and the results are numpy arrays if `numpy` is the module numpy, otherwise lists.
    """
    if numpy:
        return found[:, 0], found[:, 1:]
    return [row[0] for row in found], [row[1:] for row in found]


def as_list(numbers: array[float], numpy: Any) -> Any:
    """Return numbers as a list, or as a numpy array if `numpy` is the module numpy.

    >>> as_list(array("d", [1.0]), None)
    [1.0]
    """
    return numpy.array(numbers) if numpy else numbers.tolist()


def _with_leaves_of_captured(derivatives: dict[Value, float]) -> dict[Value, float]:
    """Replace derivatives with respect to captured values by those with respect to the leaves below these values.

    `derivatives` is a dict from leaves of a program to the derivatives with respect to them. Some of these leaves may
    be `CapturedValue`s. A `CapturedValue` stands for a value that was computed from other leaves before the compiled
    function was called. The result is a dict without `CapturedValue`s: by the chain rule, the derivative with respect
    to each of them is passed on to the leaves from which the value was computed.

    >>> w = Value(2)
    >>> _with_leaves_of_captured({w: 1.0, CapturedValue(w * 3): 10.0}) == {w: 31.0}
    True
    """
    found = {x: slope for x, slope in derivatives.items() if not isinstance(x, CapturedValue)}
    for x, slope in derivatives.items():
        if isinstance(x, CapturedValue):
            leaves = [leaf for leaf in traverse(x.original)[1] if leaf.requires_grad]
            for leaf, partial in zip(leaves, gradients(x.original, leaves), strict=True):
                found[leaf] = found.get(leaf, 0.0) + slope * partial
    return found


def _wrong_variable(kind: str, i: int, x: Any) -> Exception:
    """Return the error for `wrt[i]`, which is `x`, and no leaf that requires a gradient. `kind` names the method."""
    if not isinstance(x, Value):
        write = f"; samples are one argument, {kind}((X, Y))" if number_or_none(x) is not None else ""
        return TypeError(f"{kind}(): wrt[{i}] is {type(x).__name__} {x!r}, not a Value{write}")
    if not x.requires_grad:
        return frozen_variable(kind, f"[{i}]", x)
    return ValueError(
        f"{kind}(): wrt[{i}], {x!r}, is neither an input nor a parameter of the program; write the leaves from which "
        "it is computed"
    )


def _derive(program: Program, kind: Kind, variables: list[Value], lower: bool, gated: bool) -> CompiledDerivative:
    """Return a derivative of a program. The derivative reads the parameters at each call, like the program.

    If `gated` is not set, an entry may be nan where it should be a number; see `Program.derivative_for_calls`.

    A parameter that the user has frozen since the program was recorded must not become a constant of the derivative.
    While the graph is differentiated, a new leaf that requires a gradient therefore takes the place of each frozen
    leaf. To unfreeze the leaf itself for that time would be wrong: another thread that trains would then change it.
    """
    program.check_operations(f"{kind}(): ")
    _check_partials_are_repeatable(program)
    leaves = (*program.parameters, *program.inputs)
    instead = {x: Value(x._data, x.label) for x in leaves if not x.requires_grad}
    kept = with_kept_constants(program.outputs, program.compiled.graph.constants)
    outputs, inner = with_leaves(kept, instead), [instead.get(x, x) for x in variables]

    def derive() -> CompiledDerivative:
        found = _entries(outputs, kind, inner, lower, gated)
        nodes = [x for x in found.values if isinstance(x, Value)]
        replaced = iter(with_leaves(nodes, {other: x for x, other in instead.items()}))
        values = [next(replaced) if isinstance(x, Value) else x for x in found.values]
        return CompiledDerivative(found._replace(values=values), program, gated)

    derivative = without_collector(derive)
    if all(x.requires_grad or x in instead for x in leaves):
        return derivative
    return _derive(program, kind, variables, lower, gated)  # another thread has frozen a parameter in the meantime


def _check_partials_are_repeatable(program: Program) -> None:
    """Raise TypeError if a partial derivative of a user's operation differs between two calls for the same operands."""
    nodes = {op: node for node, op in program.compiled.graph.operations if not is_of_the_table(op)}
    for op, node in nodes.items():
        numbers = [x._data if isinstance(x, Value) else x for x in node.operands]
        first, second = (op.local_derivatives(node._data, *numbers) for _ in range(2))
        if repr(first) != repr(second):
            raise TypeError(
                f"a partial of the operation {op.name!r} is something else in each call: {first}, then {second}; pass "
                "what changes from call to call, such as a random number, as an operand"
            )


def _entries(outputs: list[Value], kind: Kind, variables: list[Value], lower: bool, gated: bool) -> Sparse:
    if kind == "jacobian":
        return sparse_jacobian(outputs, variables, gated)
    [output] = outputs
    if kind == "hessian":
        return sparse_hessian(output, variables, lower, gated)
    values, n = sparse_gradient(output, variables, gated), len(variables)
    if kind == "value_and_grad":  # the output comes first
        values, n = [output, *values], n + 1
    return Sparse(values, [0] * n, list(range(n)), (1, n))
