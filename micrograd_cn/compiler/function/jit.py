"""Define `compile`: a function is recorded when it is first called, and its program runs in later calls.

A `Recording` is the graph of one call, with a guard for each comparison of values that the call made. The treedef of
an argument says how it is nested in lists, tuples, dicts and arrays. A function has a recording for each combination of
treedefs, for each combination of static arguments, and for each branch. A sample, the arguments of one call, is
computed by the recording that was made for its treedefs and its static arguments, and whose comparisons all have the
recorded outcome for the sample.
"""

from __future__ import annotations

import copy
import functools
import reprlib
import sys
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import isnan
from types import FunctionType
from typing import TYPE_CHECKING, Any, Never, TypeVar, overload

from ...engine import Value
from ...graph import context
from ...ops.number import flag, is_table
from ...ops.options import refuse_options
from ...optim import Optimizer
from ..data.parameters import Gradients, add_gradients, refuse_in_no_grad
from ..data.rows import row_numbers
from ..data.samples import Bucket, columns_of, copy_narrow_columns, copy_numbers
from ..data.treedef import numpy_like, plain_argument
from ..program import Mismatch, Program
from ..python import ParameterNames
from ..threads.tasks import check_threads
from ..training.epochs import (
    Callback,
    History,
    Progress,
    Shuffler,
    TrainingOptions,
    naming_validation,
    refuse_split_samples,
)
from ..wrt import INPUTS, PARAMETERS, Default, Variables, refuse_check_options, refuse_method_options
from .arguments import Arguments, bucket_of_row, describe_argument
from .array_calls import ArrayCalls
from .batch import MeanGradient, SubBatch, auxiliary, joined, mean_matrix, numpy_of, sub_batches_of
from .fitting import FunctionFit
from .hooks import is_inlining
from .merged_calls import MergedCalls
from .number_calls import difference, results_from
from .plain_errors import PlainErrors
from .recorder import Recorder
from .recording import Recording
from .refusals import check_has_gradient, check_has_parameters, check_pair, check_single, warn_of_no_slope
from .short_fits import ShortFits
from .stale import StaleCheck
from .store import RecordingStore
from .sub_batches import SubBatchCalls
from .variables import GradientVariables, check_key_order, refuse_clash, variables_of

NO_ARRAYS = frozenset([float, list, dict, tuple])
SHUFFLED_EPOCHS = 4  # if samples are read in random order so many times, it is worthwhile to copy narrow columns
F = TypeVar("F", bound=Callable[..., Any])


COMPILE_INSTEAD = {
    "static_argnums": "write static=['name'], with the names of arguments",
    "static_argnames": "write static=['name'], with the names of arguments",
    "donate_argnums": "leave it out",
    "wrt": "write f.gradient(samples, wrt=...) of the compiled function f",
    "argnums": "write f.gradient(samples, wrt=['name']) of the compiled function f",
    "threads": "write f.forward(samples, threads=2) of the compiled function f",
    **dict.fromkeys(
        ("optimizer", "loss", "metrics"),
        "write loss.fit(samples, optimizer, epochs=10) for a function loss that you compiled",
    ),
    **dict.fromkeys(
        ("backend", "cache", "disable", "dynamic", "fastmath", "fullgraph", "inline", "input_signature", "mode"),
        "leave it out",
    ),
    **dict.fromkeys(("nopython", "nogil", "options", "parallel", "reduce_retracing", "signature"), "leave it out"),
}

# What users look for in a compiled model or loss, and what to write instead.
ABSENT = {
    **{
        name: f"write model.{name}(...) for the model that the function calls"
        for name in ("save", "load", "state_dict", "load_state_dict", "named_parameters", "zero_grad", "train", "eval")
    },
    "predict": "write f(x) for one sample, or f.forward(samples) for many",
    **dict.fromkeys(("vmap", "map", "batch"), "write f.forward(samples) for the results of all samples"),
    **dict.fromkeys(("jit", "trace"), "leave it out, because the function is compiled"),
    **dict.fromkeys(("step", "train_step", "minimize", "optimize"), "write f.fit(samples, optimizer, epochs=10)"),
    **dict.fromkeys(
        [
            *("lower", "inspect_llvm", "inspect_asm", "as_text", "code", "graph"),
            *("c_source", "to_c", "export", "llvm", "asm"),
        ],
        'write f.source("llvm"), "c" or "python" for the text of its program',
    ),
    **dict.fromkeys(("clear_cache", "recompile"), "write compile(g) of the plain function g again"),
    "evaluate": "write f.forward(samples) for the results of all samples",
    "grad": "write f.gradient(samples), f.value_and_grad(samples), or compile(grad(g)) of the plain function g",
}


@overload
def compile(f: Value | Sequence[Value], inputs: Iterable[Value]) -> Program: ...  # noqa: A001
@overload
def compile(f: Callable[..., Any], *, static: Iterable[str] = (), branches: bool = False) -> CompiledFunction: ...  # noqa: A001
@overload
def compile(*, static: Iterable[str] = (), branches: bool = False) -> Callable[[F], CompiledFunction]: ...  # noqa: A001
def compile(  # noqa: A001 -- the field's name
    f: Any = None,
    inputs: Iterable[Value] | None = None,
    static: Iterable[str] = (),
    branches: bool = False,
    **wrong: Never,
) -> Any:
    """Compile a function or, if `inputs` is passed, a recorded graph; this is also a decorator for functions.

    A function is recorded, which means that it is called once and its graph is kept, when it is first called with
    arguments that are nested in a new way, such as a list of another length. While it is recorded, `Value`s are in
    place of the numbers in its arguments, and a numpy array of `Value`s is in place of an array of any library.

    The arguments may be any nesting of lists, tuples, namedtuples, dicts and arrays. Other subclasses of list, tuple
    and dict are refused, except `OrderedDict` and `defaultdict`.

    Other `Value`s that the function uses are of two kinds:

    - Parameters require a gradient. A program reads their data at each call.
    - Constants require no gradient while the function is recorded. The program keeps the data that they have at that
      time, and a later call raises an error if they have other data by then. `backward` also raises an error if they
      require a gradient by then. Leaves that the function makes anew in each call, such as the `Value(0)` with which a
      sum begins, are constants, too.

    A call returns a plain number, or a nesting of plain numbers, without a graph. So a loss that is computed from it
    outside of the function does not train the function's parameters: after `net = compile(model)`, a loss such as
    `w * net(x)` trains w alone. Compile the whole loss instead, as in `compile(lambda x, y: (w * model(x) - y) ** 2)`,
    and call its methods `fit`, `backward` or `value_and_grad`. Inside a function to compile, `net` may be called.

    Methods such as `forward`, `backward` and `fit` read their samples by one rule: a tuple has an entry for each
    argument, and a list has an entry for each sample. For a function of x and y:

    | samples | how they are read |
    |---|---|
    | `(X, Y)`, a tuple | X has the x of every sample, and Y the y of every sample; both are lists or arrays |
    | `(X, 2.0)`, a tuple | X has the x of every sample, and y is 2.0 in all samples |
    | `[(x, y), ...]`, a list | each entry has the arguments of one sample, in a tuple or a list |
    | a generator, a zip, a dataset | as a list |
    | `X`, an array alone | as the tuple `(X,)`, for a function of one argument |
    | rows of a `Program`, an array or a list | each row has the numbers of all inputs for one sample |

    The first axis of an array runs over the samples. An array may be of numpy, PyTorch, jax or pandas, an `array.array`
    or a memoryview. All numbers are read as doubles. So `2 * x` of an array of uint8 is 400 for 200 in a compiled
    function, while numpy gives 144, and 1.7 is not cut to 1 in a copy of an array of integers.

    Whatever could be read in two ways is refused, such as a tuple of tuples, a set, an `np.matrix` or a member of an
    enum. So is anything that is not a real number: missing entries of masked arrays, dates, complex numbers and text.

    A program repeats for every sample what the function did for the recorded one. This has the following consequences.

    Branches. Every comparison of values is checked for every sample, since Python code may branch on it. If a
    comparison has another outcome than for the recorded sample, an error is raised. With `branches`, the function is
    recorded again for such a sample instead. The comparisons are computed in machine code for all samples of a batch.

    Detached values. What is detached, or computed in `no_grad()`, is computed for every sample, without a gradient. If
    `no_grad()` is around a call of `backward` or `fit`, an error is raised, since the plain function has no gradient
    there. A `Value` that was computed before the call keeps its data, as in the plain function, even if its operands
    have changed since.

    Numbers of values. To read the number of a value that is not a constant, by `x.data`, as a condition, index or key,
    raises an error, since the program would use the same number for all samples. It is also an error if a
    `requires_grad` changes while the function is recorded, if the function uses the result of another program, or if
    another thread reads an argument or computes with it. Such an error is raised even if the function catches it.

    Changes outside of the function. The function may read a parameter, or something else outside of it, such as a
    number, a list or an attribute. If this has changed, so that the function would be recorded otherwise now, an error
    is raised. Compile anew then, change a parameter's `data` instead, or pass as an argument what changes. The error is
    also raised if a number has changed that the functions of a user-defined operation read, or that an object's
    `__float__` returns.

    - `fit` always checks for changes. Calls and the other methods check at least the first four times. They also check
      whenever several calls before were those of another method, with arrays of other shapes, or with lists instead of
      arrays, as in the first evaluation after training.
    - Every call notices a change of what users change most: variables and attributes outside of this package, at most
      16 of them, and up to four small lists, dicts and arrays of numbers or parameters. What has changed eight times
      without an effect on the recording is no longer among them.
    - For anything else, such as an item of a large array, they check so rarely that it takes a hundredth of their time,
      or a tenth if methods are called in turn. So a call soon after such a change, in the middle of many fast ones, may
      still give what was recorded before. A later call raises the error, unless the change was undone until then.
    - Of a collection of more than 10000 items, they check only the length, unless it takes less time to compare the
      items than to record the function. `fit` lists what else is not checked, and when it records the function again
      instead.

    Changed arguments. A function that changes an argument, as by `u[0] = y` or `v.append(y)`, is refused, since a
    program does not change what its caller has: copy the argument first, and return what the caller needs. Ints and
    bools in a nested result that are not `Value`s stay as they are.

    Other Python code. Anything else that Python code does, such as reading a list, happens only while the function is
    recorded. So a value that the function keeps, as by `self.hidden = h` or `seen.append(p)`, has the number of the
    recorded sample from then on. To look at the value, return it together with the result. `check` compares the program
    with the function.

    Types. `isinstance(x, float)` of an argument is False, and `x.dtype` of an array is object: write
    `isinstance(x, (float, Value))`. And x * v, where v belongs to a subclass of `Value` with a `__mul__` of its own, is
    the product of two `Value`s: write v * x. If a function may tell a `Value` from a number in such a way, it is also
    called with numbers: those of the recorded sample, as floats and as they are, such as an array of uint8, and those
    of a few further samples of the batch, or of the next calls. A warning says whether it computes something else for
    them. `check` does this for other samples, and finds integers whose results overflow, too.

    Functions that do something else in each call. If the function changes a variable or a collection that it can read,
    uses a generator of random numbers or a clock, or asks for the type of an object by `type`, it is recorded twice for
    the same arguments.

    - It is an error if the two recordings differ, or if both draw from a generator of random numbers, such as those of
      the modules `random`, `numpy.random` and `torch`.
    - What the second recording changes in variables, attributes, collections, arrays and gradients is put back. But
      what it takes from an iterator or a file stays taken, and what it prints, or writes to a file or a log, is written
      again. It is an error if both recordings take items from an iterator or a file; if these are numbers from
      `itertools.count`, a warning names it instead.
    - A warning names the numbers that the function reads and changes in each call, but not those that it only counts
      with, as in `n += 1`.
    - A function that gives the text of a parameter to an object of the user's class, such as a log, is recorded again,
      too. The object then gets a second string, which has `?nan?-inf?` in place of numbers. Write print(...) or use
      `logging` instead: a string that only goes there does not cause a second recording.

    Not noticed. That a function does something else in each call is not noticed if this happens

    - in the code of other packages, or in an array of another library than numpy;
    - in objects that the function reaches only in a way that its code does not show, such as `getattr` with a computed
      name, or `eval`;
    - in the code of objects beyond the first 8 items of a collection or the first 50 objects of a class;
    - in a collection of more than 10000 items, in an array of more than 100000 numbers, or beyond the first 20000
      objects;
    - in a file that it opens, in a database, a `queue.SimpleQueue` or a `decimal.Context`, in a `ContextVar`, in memory
      that a ctypes pointer points to, or in an attribute of a class that the function makes.

    Nor is it noticed if another thread reads a parameter, or if code reads attributes that begin with an underscore.

    Labels and text. The label of a recorded argument is its name, and the text of a recorded value has no number.

    Results are those of the eager engine, except for rounding:

    - A sum is added up term by term, not rounded once. In `dot` and in sums of gradients, products are not rounded
      before they are added, and gradients are added up in another order than in `backward()`. So a compiled sum may
      overflow although its result is finite. The engine, which rounds a sum once, gives the finite result. And if
      rounded products would be inf and -inf, a compiled sum may be inf or -inf, while the engine gives nan. `check`
      finds such sums.
    - An elementary function that is computed for many rows at once has an error of at most 4 units in the last place;
      `compiler.llvm.functions.ULPS` has the bound for each function. Code for single rows calls the functions of C's
      library, unless several calls of one function are computed together as a vector. x**2 is computed as x * x.
    - If two numbers that are compared differ by such rounding alone, the comparison may have either outcome. The sample
      then takes the branch that the engine takes or, if there is a program for the other branch already, possibly the
      other branch.
    - Up to 2 rows are computed one at a time, with vectors along the operands of sums, while more rows are computed
      side by side, in the lanes of vectors. Between these two ways, a sum of n products may differ if n is at least 8,
      by at most n units in the last place of the sum of the products' absolute values. The sum may be written with
      `dot`, Python's `sum`, numpy's `@`, or as additions one after the other.

    A program starts as threaded code: tables that are read by kernels, which are functions that all programs share. To
    make the tables takes at most about 85 microseconds for each node on a core of 2022. The first program of a process
    takes about 10 ms more, and the first use of an operation up to 2 ms more. Native code, which is compiled for one
    program, runs several times as fast as threaded code. Native code takes the place of threaded code once the threaded
    code has run for about as long as it takes to make native code, or before, if `fit` is going to run for as long. A
    program stays threaded code if its native code would take more than a few seconds to make. Threaded and native code
    give the same bits. A program needs memory for about 6 numbers for each parameter. `fit` needs twice as much as
    that, and memory for the optimiser's state. Both a program and `fit` need about a megabyte more for the rows that
    are computed at a time.

    Args:
        f: a function of numbers that returns a `Value`, or a nesting of lists, tuples and dicts of `Value`s; or, with
            `inputs`, a recorded `Value` or a list of them.
        inputs: for a recorded graph, the leaves that change from sample to sample, in the order of a row. All other
            leaves that require a gradient are parameters; constants keep the data that they have now.
            Comparisons, as in `if` and `max`, and what was detached or computed in `no_grad()` were evaluated when the
            graph was made, and stay as they are for all rows; `Program.check` finds this.
        static: the names of arguments whose Python values the function gets unchanged, without `Value`s in place of
            numbers. The function is recorded anew for each combination of these values. Values that Python calls equal,
            but that have different types or signs, such as 1, True and 1.0, count as different values. An object, a
            function, a class or a module counts as another value than before if its attributes have changed since an
            earlier call. So does a function if its closure, its defaults, or numbers and strings among its globals have
            changed. Three things are not compared: attributes of a `Module`, and of the modules in it, that are neither
            numbers, strings nor functions, collections of more than 1000 items inside an object, and attributes of the
            objects in a closure.
        branches: whether to record the function again for samples that take another branch. Each branch has a program,
            and samples are sorted by their branches in machine code. Small branches cost about as much as `where`:
            after some 100 calls, or fewer for large batches, one program computes all branches and selects. It serves
            calls, `forward`, `backward`, `gradient`, `value_and_grad` and a `fit` of more than 100 steps, and may round
            gradients of a mean in another order.

    Returns:
        a `CompiledFunction`, whose calls return plain numbers, or a `Program` for a recorded graph.

    Raises:
        TypeError: `f` is neither a function nor a graph with `inputs`, `static` is neither a name nor an iterable of
            names, `branches` is not a bool, or an operation cannot be compiled. The message then names the operation.
        ValueError: one of `inputs` is not a leaf, is a constant, or is there twice; there is no output; or an entry of
            `static` is not the name of an argument.

    >>> w = Value(3, "w")
    >>> @compile
    ... def f(x):
    ...     return w * x
    >>> f(10)
    30.0
    >>> f.backward([(1,), (10,)]), w.grad
    (16.5, 5.5)
    >>> x = Value(2, "x")
    >>> program = compile(w * x, inputs=[x])
    >>> program.forward([[1], [10]])
    [3.0, 30.0]
    """
    refuse_options("compile()", wrong, COMPILE_INSTEAD, ("inputs", "static", "branches"))
    if inputs is not None:
        return Program(f, inputs)
    if f is None:
        return functools.partial(CompiledFunction, static=static, branches=branches)
    if isinstance(f, type) and hasattr(f, "parameters"):
        raise TypeError(
            f"compile() takes a function, got the class {f.__name__}; write @compile before its method, such as "
            f"__call__, or model = {f.__name__}(...) and compile(model)"
        )
    if isinstance(f, Value) or not callable(f):
        what = (
            "a recorded graph, and not its inputs"
            if isinstance(f, (Value, list, tuple))
            else f"{type(f).__name__} {f!r}"
        )
        raise TypeError(f"compile() takes a function, or a recorded graph and its inputs=; it was given {what}")
    return CompiledFunction(f, static, branches)


class CompiledFunction:
    """A function that is recorded and compiled when it is called; see `compile`.

    >>> from micrograd_cn.compiler import compile
    >>> from micrograd_cn.optim import SGD
    >>> w = Value(0.0, "w")
    >>> @compile
    ... def loss(x, target):
    ...     return (w * x - target) ** 2
    >>> loss(1, 3)
    9.0
    >>> losses = loss.fit([(1, 3), (2, 6)], SGD([w], lr=0.1), epochs=50)
    >>> round(w.data, 6), round(loss(10, 0), 3)
    (3.0, 900.0)
    >>> loss  # doctest: +ELLIPSIS
    compiled loss(x, target): 1 program
      (x, target): 3 operations, 1 parameter, ... code, ... kB
    """

    def __init__(self, f: Callable[..., Any], static: Iterable[str] = (), branches: bool = False) -> None:
        for name, attribute in getattr(f, "__dict__", {}).items():
            if not hasattr(CompiledFunction, name):  # no attribute of `f` hides a method of this class
                vars(self)[name] = attribute
        functools.update_wrapper(self, f, updated=())
        self._f, self._branches = f, flag("compile(): branches", branches)
        self._name = getattr(f, "__name__", type(f).__name__)
        self._arguments = Arguments(f, self._name, static)
        self._plain_errors = PlainErrors(self._arguments)
        self._recorder = Recorder(self._arguments)
        self._store = RecordingStore(self._arguments, self._recorder, self._branches)
        self._stale = StaleCheck(self._arguments, self._recorder, self._store)
        self._arrays = ArrayCalls(self._arguments, self._store, self._stale)
        self._sub_batch_calls = SubBatchCalls(self._store)
        self._short_fits = ShortFits(self._store, self._stale, self._arrays)
        self._merged = MergedCalls(self._store)
        self._store.when_published = weakref.WeakMethod(self._stale.note)
        self._variables: GradientVariables | None = None  # the variables of the last call of `value_and_grad`
        self._method: CompiledFunction | None = None  # for a method of an instance: the method of the class
        self._instance: Any = None
        self._attribute = self._name
        self._owner: type | None = None  # the class of which this is a method

    @property
    def parameters(self) -> list[Value]:
        """The leaves that require a gradient in the programs that exist, apart from the arguments.

        Their data are read at each call. Further programs, for arguments that are nested in another way or for another
        branch, may bring further parameters. Leaves that the function makes anew in each call are left out, since
        nobody can train them. A value that was computed before the call is represented by a leaf, which optimisers
        refuse.

        Raises:
            AttributeError: no program exists, since the function has not been called with any arguments yet.

        >>> w = Value(2.0)
        >>> f = compile(lambda x: w * x)
        >>> value, [gradient] = f.value_and_grad([(1.0,)])
        >>> f.parameters == [w]
        True
        """
        if not self._store.programs:
            raise AttributeError(
                f"{self._name} has not been called yet, so its parameters are not known; read {self._name}.parameters "
                "after the first call, or write model.parameters() for those of a model"
            )
        return self._store.parameters

    if not TYPE_CHECKING:  # a type checker shall go on saying that there are no such attributes

        def __getattr__(self, name: str) -> Any:
            if name in ABSENT:
                raise AttributeError(f"a compiled function has no {name}; {ABSENT[name]}", name=name, obj=self)
            return object.__getattribute__(self, name)  # raises the usual error, or that of a property

    # Attributes of classes, copies and pickles

    def __set_name__(self, owner: type, name: str) -> None:
        """Remember the class of which this is a method, and the name of its attribute."""
        self._attribute, self._owner = name, owner

    def __get__(self, instance: Any, owner: type | None = None) -> CompiledFunction:
        """Return this function as a method of `instance`, compiled for this instance alone: it has its own parameters.

        Return this function itself if it is read from the class, so `instance` is None, or if it was compiled from an
        object that Python makes no method of, such as a `Module`.

        Raises:
            TypeError: the instance has no `__dict__` in which its compiled method could be kept; or it is a class, as
                for a classmethod.

        >>> class Line:
        ...     def __init__(self, w):
        ...         self.w = Value(w)
        ...     @compile
        ...     def loss(self, x, y):
        ...         return (self.w * x - y) ** 2
        >>> a, b = Line(2), Line(5)
        >>> a.loss(1, 1), b.loss(1, 1), a.loss is a.loss, a.loss.parameters == [a.w]
        (1.0, 16.0, True, True)
        """
        bind = getattr(type(self._f), "__get__", None)
        if instance is None or bind is None:
            return self
        held = getattr(instance, "__dict__", None)
        if isinstance(instance, type):
            raise TypeError(
                f"{self._name} is a classmethod, and a class keeps no program; leave out @compile, and write "
                f"compile({instance.__name__}.{self._name.rpartition('.')[2]}) after the class"
            )
        if not isinstance(held, dict):
            raise TypeError(
                f"{self._name} is a method of a {type(instance).__name__}, which has no __dict__ for its program; "
                "compile a function of the instance's values"
            )
        # The key has the qualified name, since a subclass may have another method of this name, which calls this one.
        key = f"_compiled_{getattr(self._f, '__qualname__', self._attribute)}"
        found = held.get(key)
        if not (isinstance(found, CompiledFunction) and found._method is self and found._instance is instance):
            found = held[key] = CompiledFunction(bind(self._f, instance, owner), self._arguments.static, self._branches)
            found._method, found._instance = self, instance
        return found

    def __copy__(self) -> CompiledFunction:
        return CompiledFunction(self._f, self._arguments.static, self._branches)

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledFunction:
        """Return a deep copy, which is compiled anew.

        For the compiled method of an instance, return the compiled method of a deep copy of the instance.
        """
        if self._method:
            return self._method.__get__(copy.deepcopy(self._instance, memo))
        return CompiledFunction(copy.deepcopy(self._f, memo), self._arguments.static, self._branches)

    def __reduce__(self) -> Any:
        """Pickle the function by its name, as Python pickles functions. The loaded function is recorded anew.

        If it was made from a method of an instance, the instance is pickled with it. If it was made from a callable
        object that is not a plain function, such as a partial, that object is pickled and not a name.

        Raises:
            TypeError: the function is a lambda or local to another function, so it cannot be found by its name.
        """
        if self._method:
            return getattr, (self._instance, self._method._attribute)
        if isinstance(self._f, FunctionType):
            found: Any = sys.modules.get(self._f.__module__)
            for part in self._f.__qualname__.split("."):
                found = getattr(found, part, None)
            if found is self:
                return self._f.__qualname__
            if found is not self._f:
                raise TypeError(
                    f"cannot pickle compiled {self._name}{self._arguments.signature}: functions are pickled by their "
                    f"names, and {self._f.__module__} has none named {self._f.__qualname__}; define it at the top of a "
                    "module"
                )
        return CompiledFunction, (self._f, self._arguments.static, self._branches)

    # The public methods

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return the function's result for one sample, with floats in place of `Value`s.

        While another function is recorded, the Python function itself is called, so its operations become part of the
        other function's recording.

        Raises:
            TypeError: the function does not take these arguments, an argument contains something that is not a number,
                or the function does something that no program can repeat for another sample.
            OverflowError: an int in an argument is too large for a float.
            GuardError: a comparison has another outcome than in the recorded sample, and `branches` is not set.
            ValueError: a `Value` that was a constant when the function was recorded has other data now.
        """
        if is_inlining():
            return self._f(*args, **kwargs)
        may_have_arrays = args and not kwargs and not (type(args[0]) in NO_ARRAYS and type(args[-1]) in NO_ARRAYS)
        if may_have_arrays and (found := self._arrays.runner("call", args)):
            rows = found.runner.computed(args)
            first = rows.out[0]
            result = first if found.recording.single else found.recording.rebuild(rows.out)
            found.runner.release(rows)
            if not (found.merged and isnan(first)):
                return result
        try:
            key, row = self._arguments.row_of(args, kwargs)
        except TypeError:
            if args and self._owner and isinstance(args[0], self._owner) and isinstance(self._f, FunctionType):
                return self.__get__(args[0])(*args[1:], **kwargs)  # a method that is called through its class
            raise
        name, of_arrays = self._stale.latest
        if name or (of_arrays and not may_have_arrays):
            self._stale.note_call("")
        if self._stale.is_due:  # inlined from `compare_if_due`
            self._stale.compare_if_changed("", [bucket_of_row(key, row)])
        if not (context.active and context.here().detect_anomaly):
            store = self._store
            known = store.recordings.get(key, ())
            if (merged := store.merged_of(known)) and (program := merged.call()):
                numbers = program.row(row)
                if not isnan(numbers[0]):
                    first = merged.recordings[0]
                    return numbers[0] if first.single else first.rebuild(numbers)
            for recording in known:
                if recording.guards.hold(row):
                    numbers = recording.program.row(row)
                    return numbers[0] if recording.single else recording.rebuild(numbers)
        bucket = self._arguments.bucket_of_call(key, row, args, kwargs)
        [(recording, rows)] = self._store.dispatch(bucket, row_numbers(1))
        out = recording.program.compiled.outputs_of(bucket.numbers, rows)
        return out[0] if recording.single else recording.rebuild(out)

    def forward(self, samples: Any, threads: int = 1, out: Any = None, **wrong: Never) -> Any:
        """Return the result for every sample, in a fraction of the time that one call for each sample would take.

        The results are in a list. If all samples are in numpy arrays, and each result is a number, a list of numbers or
        a numpy array, the results are one numpy array, whose first axis runs over the samples.

        Args:
            samples: the samples; `compile` has a table of the forms that they may have.
            threads: how many threads compute.
            out: a buffer of doubles for the numbers of all results, one sample after the other; it is returned.

        Raises:
            TypeError, GuardError: as for a call.
            ValueError: as for a call; or `out` has another size than all results, or is given although the results
                differ in size.

        >>> f = compile(lambda x, y: {"sum": x + y, "product": x * y})
        >>> f.forward([(1, 2), (3, 4)])
        [{'sum': 3.0, 'product': 2.0}, {'sum': 7.0, 'product': 12.0}]
        """
        if wrong:
            refuse_method_options("forward", wrong, ("threads", "out"))
        if (
            type(threads) is int
            and threads == 1
            and (ready := self._arrays.results("forward", samples, out)) is not None
        ):
            return ready

        def results(recording: Recording, rows: Any, to: Any) -> Any:
            found = recording.program.forward(rows, threads, to)
            if to is not None or recording.single:
                return found
            return recording.nested_results(found)

        return self._map_samples("forward", samples, threads, out, results)

    def gradient(self, samples: Any, wrt: Variables = INPUTS, threads: int = 1, out: Any = None, **wrong: Never) -> Any:
        """Return the gradient of the result for every sample.

        By default this is the gradient with respect to all numbers of the arguments, in their order.

        Args:
            samples: the samples; `compile` has a table of the forms that they may have.
            wrt: the variables to differentiate with respect to: "inputs", the default, which are the numbers of the
                arguments; the name of an argument, or a list of names, for the numbers in these; "parameters", in the
                order of `.parameters`; or a list of some of `.parameters`. For an argument that is called inputs or
                parameters, write a list, such as `wrt=["inputs"]`.

                The order of `.parameters` is that in which the program reads them. For an order that you choose, write
                a list such as `wrt=[w, b, c]` or `wrt=model.parameters()`.

                The program reads parameters in this order: An operation first computes those of its operands that are
                results of operations, from the last to the first. So the order is c, b, w for w * x + b * x + c * x.
                Then it reads those of its operands that are parameters, from the first to the last. So the order is
                w, b for w * x - b.
            threads: how many threads compute.
            out: a buffer of doubles for the numbers of all gradients, one sample after the other; it is returned.

        Raises:
            TypeError, ValueError, RuntimeError, GuardError: as for `Program.gradient` and `forward`.

        >>> compile(lambda p, scale: scale * p[0] * p[1]).gradient([([2, 3], 1), ([5, 7], 10)])
        [[3.0, 2.0, 6.0], [70.0, 50.0, 35.0]]
        >>> compile(lambda p, scale: scale * p[0] * p[1]).gradient([([2, 3], 1)], wrt="p")
        [[3.0, 2.0]]
        >>> model = [Value(2.0), Value(3.0)]
        >>> f = compile(lambda x: model[1] * x - model[0])
        >>> f.gradient([(5,)], wrt="parameters"), f.gradient([(5,)], wrt=model)
        ([[5.0, -1.0]], [[-1.0, 5.0]])
        """
        if wrong:
            refuse_method_options("gradient", wrong, ("wrt", "threads", "out"))
        wrt = variables_of(self._arguments, "gradient", wrt)
        if threads == 1 and wrt == "inputs":
            ready = self._arrays.results("gradient", samples, out)
            if ready is not None:
                return ready
        return self._map_samples(
            "gradient",
            samples,
            threads,
            out,
            lambda recording, rows, to: recording.program.gradient(
                rows, self._store.wrt_of("gradient", wrt, recording), threads, to
            ),
            wrt,
        )

    def jacobian(
        self,
        samples: Any,
        wrt: Variables = INPUTS,
        dense: bool = False,
        threads: int = 1,
        out: Any = None,
        **wrong: Never,
    ) -> Any:
        """Return the entries of the Jacobian that can be nonzero, for every sample, as `Program.jacobian` does.

        `program(...).jacobian_structure()`, with the arguments of a sample, says where the entries are. With `dense`,
        the whole matrices are returned. `samples`, `threads` and `out` are as for `forward`, and the other arguments as
        for `Program.jacobian`. The columns for `wrt="parameters"` are in the order of `.parameters`. For the order of a
        model's parameters, write `wrt=model.parameters()`.

        >>> compile(lambda x, y: [x * y, 3 * y]).jacobian([(5, 7)], dense=True)
        [[[7.0, 5.0], [0.0, 3.0]]]
        """
        if wrong:
            refuse_method_options("jacobian", wrong, ("wrt", "dense", "threads", "out"))
        if type(dense) is not bool:
            dense = flag("jacobian(): dense", dense)
        wrt = variables_of(self._arguments, "jacobian", wrt)
        if threads == 1 and wrt == "inputs":
            ready = self._arrays.results("jacobian" if dense else "sparse_jacobian", samples, out)
            if ready is not None:
                return ready
        return self._map_samples(
            "jacobian", samples, threads, out,
            lambda recording, rows, to: recording.program.jacobian(
                rows, self._store.wrt_of("jacobian", wrt, recording), dense, threads, to
            ),
            wrt,
        )  # fmt: skip

    def hessian(
        self,
        samples: Any,
        lower: bool = False,
        wrt: Variables = INPUTS,
        dense: bool = False,
        threads: int = 1,
        out: Any = None,
        mean: bool = False,
        **wrong: Never,
    ) -> Any:
        """Return the second derivatives that can be nonzero, for every sample, as `Program.hessian` does.

        `program(...).hessian_structure()`, with the arguments of a sample, says where the entries are. With `dense`,
        the whole matrices are returned. `samples`, `threads` and `out` are as for `forward`, and the other arguments as
        for `Program.hessian`. The rows and columns for `wrt="parameters"` are in the order of `.parameters`. For the
        order of a model's parameters, write `wrt=model.parameters()`. With `mean`, the result is the Hessian of the
        mean over the samples.

        Raises:
            ValueError: as for `Program.hessian`. With `mean` and several programs, also if `dense` is not set, or if
                samples have different numbers of variables.

        >>> compile(lambda p: p[0] ** 2 * p[1]).hessian([([2, 3],)], dense=True)
        [[[6.0, 4.0], [4.0, 0.0]]]
        """
        if wrong:
            refuse_method_options("hessian", wrong, ("lower", "wrt", "dense", "threads", "out", "mean"))
        if not (type(lower) is type(dense) is type(mean) is bool):
            lower, dense = flag("hessian(): lower", lower, "wrt"), flag("hessian(): dense", dense)
            mean = flag("hessian(): mean", mean)
        wrt = variables_of(self._arguments, "hessian", wrt)
        if mean:
            may_be_ready = not lower and type(threads) is int and threads == 1
            if type(wrt) is list and may_be_ready:
                ready = self._arrays.mean_hessian(samples, wrt, dense, out)
                if ready is not None:
                    return ready
            found, buckets = [], self._current_buckets("hessian", samples, wrt)
            for sub_batch in self._sub_batches("hessian", buckets, threads, wrt=wrt):
                numbers = numpy_like(samples, sub_batch.numbers)
                variables = self._store.wrt_of("hessian", wrt, sub_batch.recording)
                matrix = sub_batch.recording.program.hessian(numbers, lower, variables, dense, threads, out, mean=True)
                found.append((len(sub_batch.rows), matrix))
            return found[0][1] if len(found) == 1 else mean_matrix(found, dense, out)
        if not lower and threads == 1 and wrt == "inputs":
            ready = self._arrays.results("hessian" if dense else "sparse_hessian", samples, out)
            if ready is not None:
                return ready
        return self._map_samples(
            "hessian",
            samples,
            threads,
            out,
            lambda recording, rows, to: recording.program.hessian(
                rows, lower, self._store.wrt_of("hessian", wrt, recording), dense, threads, to
            ),
            wrt,
        )

    def backward(self, samples: Any, threads: int = 1, **wrong: Never) -> float:
        """Return the mean result over the samples, and add the gradient of this mean to every parameter's `grad`.

        As in the plain function, a parameter that is not used for these samples keeps its `grad`, even if that is None.

        Args:
            samples: a tuple with a list or an array for each argument, or a list with a tuple of arguments for each
                sample; `compile` has a table. Arrays are read in a fraction of the time that a list takes.
            threads: how many threads compute.

        Raises:
            TypeError: a sample is not a tuple of arguments, or an argument contains something that is not a number.
            ValueError: there are no samples; the function returns more than one number; or a `Value` that was a
                constant when the function was recorded has other data now, or requires a gradient now.
            RuntimeError: the result is a constant for all samples, or depends on no parameter that requires a gradient;
                or the call is inside `no_grad()`, where the plain function has no gradient.
            GuardError: as for a call.
            IndexError: a sample has a class label that is out of range for a loss such as `cross_entropy`.
        """
        if wrong:
            refuse_method_options("backward", wrong, ("threads",))
        if type(threads) is not int or threads != 1:
            check_threads("backward", threads)
        if threads == 1 and (ready := self._arrays.add_gradient(samples)) is not None:
            return ready
        if context.active:  # there is no such code then
            refuse_in_no_grad("backward")
        total, sums = 0.0, list[Gradients]()
        for _, program, weight, mean, gradient in self._mean_gradients("backward", samples, threads):
            total += weight * mean
            sums.append(program.as_gradients(gradient, weight))
        add_gradients(sums)  # only now, when nothing can fail any more
        return total

    def value_and_grad(
        self,
        samples: Any,
        wrt: Any = PARAMETERS,
        each: bool = False,
        has_aux: bool = False,
        threads: int = 1,
        **wrong: Never,
    ) -> tuple[Any, Any]:
        """Return the mean result over the samples, and the gradient of this mean; no `grad` is changed.

        With `each`, return the result and the gradient of every sample instead. Results are numpy arrays if all samples
        are in numpy arrays, and otherwise lists.

        To differentiate with respect to an argument in a call with the arguments of one sample, as in jax, write
        `compile(value_and_grad(f))`, with `value_and_grad` of `micrograd_cn.functional`.

        Args:
            samples: the samples; `compile` has a table of the forms that they may have.
            wrt: the variables to differentiate with respect to. By default they are the parameters, and the gradient is
                one list or array in the order of `.parameters`, which exist after the call, and whose order `gradient`
                explains.

                For a list of `Value`s, such as `model.parameters()`, the gradient is in the order of the list. For any
                other nesting of lists, tuples and dicts of `Value`s, the gradient has the same nesting.

                For the name of an argument, the gradient has the derivatives with respect to this argument in every
                sample, nested as the argument is. For a tuple of names it is a tuple. For "inputs", it has for each
                sample the derivatives with respect to all numbers of the arguments. For an argument that is called
                inputs or parameters, write a tuple, such as `wrt=("inputs",)`.

                By default it is an error if the function uses a value that was computed from a parameter before the
                call. If you pass "parameters", this is not an error: such a value is one of the variables.
            each: whether to return the result and the gradient of every sample.
            has_aux: whether the function returns a pair: the number to differentiate, and auxiliary results. The value
                that is returned is then a pair, too: the value, and a list of the auxiliary results of all samples.
            threads: how many threads compute.

        Raises:
            TypeError, ValueError, RuntimeError, GuardError: as for `gradient` and `backward`; or the function returns
                no pair although `has_aux` is set.

        >>> w, b = Value(2.0), Value(1.0)
        >>> f = compile(lambda x: w * x[0] * x[1] + b)
        >>> samples = [([1.0, 2.0],), ([3.0, 4.0],)]
        >>> f.value_and_grad(samples), f.value_and_grad(samples, {"w": w, "b": [b]})
        ((15.0, [7.0, 1.0]), (15.0, {'w': 7.0, 'b': [1.0]}))
        >>> f.value_and_grad(samples, "x", each=True)
        ([5.0, 25.0], [[4.0, 2.0], [8.0, 6.0]])
        """
        if wrong:
            refuse_method_options("value_and_grad", wrong, ("wrt", "each", "has_aux", "threads"))
        check_threads("value_and_grad", threads)
        is_default = type(wrt) is Default
        if is_default:
            wrt = "parameters"
        elif type(wrt) is str:
            refuse_clash(self._arguments, "value_and_grad", wrt)
        if not (type(each) is type(has_aux) is bool):
            each, has_aux = flag("value_and_grad(): each", each), flag("value_and_grad(): has_aux", has_aux)
        variables = self._variables
        if variables is None or not variables.is_for(wrt):
            variables = self._variables = GradientVariables(wrt, self._arguments.signature.parameters)
        refuses_captured = is_default and self._recorder.captured
        if has_aux or refuses_captured:
            return self._values_and_gradients(variables, samples, each, threads, has_aux, bool(refuses_captured))
        if variables.arguments or each:
            if threads == 1:
                ready_for_each = self._arrays.values_and_gradients(variables, samples, each)
                if ready_for_each is not None:
                    return ready_for_each
            return self._values_and_gradients(variables, samples, each, threads)
        if threads == 1 and variables.are_known:
            some = variables if variables.values and len(variables.values) < len(self._store.parameters) else None
            if ready := self._arrays.gradient("value_and_grad", samples, some):
                return self._total([ready], variables, None if type(samples) is list else sys.modules["numpy"])
        found = self._mean_gradients("value_and_grad", samples, threads, variables.values)
        return self._total(found, variables, numpy_of(samples))

    def _values_and_gradients(
        self,
        variables: GradientVariables,
        samples: Any,
        each: bool,
        threads: int,
        has_aux: bool = False,
        refuses_captured: bool = False,
    ) -> tuple[Any, Any]:
        """Return the values and derivatives that `value_and_grad` returns, if it has no faster way to compute them.

        The faster way computes a mean and its gradient with respect to parameters, without auxiliary results
        (`has_aux`), and does not check for captured values, which were computed before the call.

        Here, a merged program, which computes all branches, may compute the derivatives of all samples. Otherwise, and
        always if `has_aux` or `refuses_captured` is set, each sample is computed by the program of its own branch.
        `variables` are those to differentiate with respect to.
        """
        buckets, sub_batches = self._current_buckets("value_and_grad", samples, variables.values), None
        if not (has_aux or refuses_captured):
            sub_batches = self._merged.derivatives(variables, buckets, threads)
        if not sub_batches:
            flat = "inputs" if variables.are_inputs else ()  # all other derivatives are nested as the arguments are
            sub_batches = self._sub_batches("value_and_grad", buckets, threads, has_aux, flat)
        for sub_batch in sub_batches if refuses_captured else ():
            sub_batch.recording.loss.check_no_captured("value_and_grad")
        numpy = numpy_of(samples)
        if variables.arguments or each:
            value, gradient = variables.of_samples(sub_batches, self._store.parameters, threads, each, numpy)
        else:
            found = [*self._gradients("value_and_grad", sub_batches, threads, variables.values)]
            value, gradient = self._total(found, variables, numpy)
        return ((value, auxiliary(sub_batches, threads)) if has_aux else value), gradient

    def _current_buckets(self, name: str, samples: Any, wrt: Any, some: bool = True) -> list[Bucket]:
        """Return samples as buckets, after a check that the function would still be recorded for them as it was.

        `name` is the name of the method, for messages. If `some` is set, there must be a sample. If `wrt`, the
        variables to differentiate with respect to, is a list of leaves, it is also an error if the function uses one of
        them now, but did not when it was recorded.
        """
        buckets = self._arguments.buckets_of(name, samples, some)
        self._stale.compare_if_changed(name, buckets)
        self._stale.check_unused(name, wrt, buckets)
        return buckets

    def _mean_gradients(self, name: str, samples: Any, threads: int, wrt: Any = ()) -> Sequence[MeanGradient]:
        """Return, for each program that computes some of the samples, their mean result and its gradient.

        `name` is the method that needs the gradients, and `wrt` has the variables to differentiate with respect to, for
        `StaleCheck.check_unused`.
        """
        buckets = self._current_buckets(name, samples, wrt)
        if ready := self._merged.gradient(name, buckets, threads):
            return [ready]
        if threads == 1 and (ready := self._sub_batch_calls.gradient(name, buckets)):
            return [ready]
        return [*self._gradients(name, self._sub_batches(name, buckets, threads), threads, wrt)]

    def _total(self, found: Sequence[MeanGradient], variables: GradientVariables, numpy: Any) -> tuple[float, Any]:
        """Return the mean result over all samples, and its gradient, which is nested as `variables` are."""
        recording, _, weight, value, gradient = found[0]
        parameters = self._store.parameters
        if missing := len(parameters) - len(gradient):  # those that only other recordings have: the derivatives are 0
            gradient.frombytes(bytes(8 * missing))
        if len(found) > 1:
            value, gradient = weight * value, array("d", [weight * x for x in gradient])
            for _, _, weight, mean, more in found[1:]:
                value += weight * mean
                for i, x in enumerate(more):
                    gradient[i] += weight * x
        return value, variables.of_mean(gradient, recording.loss, parameters, numpy)

    def _sub_batches(
        self, name: str, buckets: Sequence[Bucket], threads: int, has_aux: bool = False, wrt: Any = ()
    ) -> list[SubBatch]:
        """Return the recordings for all samples, each with its rows, for the method `name`, which differentiates.

        If `has_aux` is set, the function returns a pair of a number and something else, and otherwise one number. `wrt`
        has the variables to differentiate with respect to. If these are dicts in the arguments, and samples have their
        keys in different orders, an error is raised.
        """
        found = []
        if len(buckets) > 1:
            check_key_order(name, self._name, wrt, buckets)
        for sub_batch in sub_batches_of(self._store, buckets, threads):
            if has_aux:
                check_pair(self._name, sub_batch.recording)
            else:
                check_single(name, self._name, sub_batch.recording)
            if name != "backward" and sub_batch.recording.indices.counts:
                self._plain_errors.refuse_missing_classes(name, sub_batch.recording, sub_batch.bucket, sub_batch.rows)
            found.append(sub_batch)
        programs = [sub_batch.recording.loss for sub_batch in found]
        check_has_gradient(name, self._name, programs)
        if name == "backward":
            check_has_parameters(name, self._name, self._store.parameters, programs)
        return found

    def _gradients(
        self, name: str, sub_batches: Sequence[SubBatch], threads: int, wrt: Sequence[Value] = ()
    ) -> Iterator[MeanGradient]:
        """Yield, for each sub-batch, its mean result and the gradient.

        `name` is the method that needs the gradients, for messages. If `wrt` is not empty, the derivatives with respect
        to other parameters may be 0 instead.
        """
        n = sum(len(sub_batch.rows) for sub_batch in sub_batches)
        for recording, bucket, rows, _ in sub_batches:  # a program whose output is a constant has gradient 0
            recording.loss.check_frozen(name)
            compiled = recording.loss.compiled
            if wrt and len(wrt) < len(recording.loss.parameters):
                compiled = compiled.with_gradient_of(wrt)
            mean, gradient = compiled.gradient_of(bucket.numbers, rows, threads)
            if isnan(mean):
                self._plain_errors.refuse_missing_classes(name, recording, bucket, rows)
                if recording.indices.computed and recording.single:
                    self._plain_errors.call_where_nan(name, recording, bucket, rows)
            yield recording, recording.loss, len(rows) / n, mean, gradient

    @refuse_split_samples
    def fit(
        self,
        samples: Any,
        optimizer: Optimizer,
        epochs: int,
        batch_size: int | None = None,
        shuffle: Shuffler | None = None,
        schedule: Callable[[int], float] | None = None,
        threads: int = 1,
        progress: Progress = False,
        each_step: bool = False,
        *,
        clip_grad_norm: float | None = None,
        callback: Callback | None = None,
        validation: Any = None,
        patience: int | None = None,
    ) -> History:
        """Train the parameters as a loop over the batches would do, and return the mean loss of each epoch.

        `Program.fit` describes training, and all arguments but the samples.

        Steps follow each other in a compiled loop. The loop returns to Python if a sample is nested as no sample before
        it was, if a comparison depends on a parameter, or if several threads compute samples that are nested in several
        ways.

        If a number that the compiled function reads is to change during training, let it read a `Value`, and change the
        `data` of this `Value` in `callback`. `fit` reads the data again afterwards.

        The function might not do the same now as when it was recorded: its parameters may have been replaced or
        swapped, or a number that it reads may be another one. So if the function was called before, `fit` records it
        again for a sample, and compares the two recordings. This is done for each branch, when a sample first takes it.

        Later calls of `fit` record the function again only if something that it can use has changed since: a variable,
        a collection, an array, an attribute, a method, or a default of an argument. They record it again in any case

        - if the function can read more than 20000 objects, or an array of another library than numpy;
        - usually if it can read an array of more than 100000 numbers, or a collection or an array of objects of more
          than 10000 items. But if the items are numbers, strings or `Value`s, and to compare them takes less time than
          to record the function, they are compared instead.

        All of this is also done after each call of `callback`, or of a `shuffle` of your own. After `schedule` and
        `progress` it is done, too, but a change in what cannot be compared is not noticed then.

        Changes in the following are never noticed:

        - a file, a queue or an `io.BytesIO`;
        - more than 1000 objects behind a weak reference, and the elements of an XML tree beyond the first 1000;
        - `sys.modules`, the `grad` of a `Value`, and the context of `decimal`;
        - what a module of Python or of an installed package holds, such as `math.pi`;
        - the globals of another module, if the name of the variable is computed or passed to that module.

        Args:
            samples: the samples; `compile` has a table of the forms that they may have. Samples that are nested in
                several ways may be mixed, and are used in the order of the list. `fit` reads them once: if the callback
                changes an array in place, `fit` does not notice.
            optimizer, epochs, batch_size, shuffle, schedule, threads, progress, each_step: as for `Program.fit`.
            clip_grad_norm, callback, patience: as for `Program.fit`.
            validation: further samples, whose mean loss is computed after each epoch.

        Raises:
            TypeError, RuntimeError, GuardError: as for `backward` and `Program.fit`.
            ValueError: as for `backward` and `Program.fit`; or the function is not what it was when its program was
                made, for example because a parameter has been replaced by another `Value`; or the function itself makes
                one of the optimiser's parameters.
        """
        if context.active:
            refuse_in_no_grad("fit")
        if isinstance(epochs, Optimizer) and not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"fit() of {self._name} takes all samples as one argument: write fit((X, Y), optimizer, epochs)"
            )
        options = TrainingOptions(
            optimizer, epochs, batch_size, shuffle, schedule, threads, progress, each_step,
            clip_grad_norm, callback, patience,
        )  # fmt: skip
        if self._stale.latest[0] != "fit":
            self._stale.note_call("fit")
        losses = self._fit(options, samples, validation)
        if len(losses) > 1 and losses[0] == losses[-1] != 0.0 and options.optimizer.lr:
            warn_of_no_slope(self._name, losses[0], options.optimizer.parameters)
        return losses

    def _fit(self, options: TrainingOptions, samples: Any, validation: Any) -> History:
        if validation is None and options.callback and options.takes_steps_alone:
            return self._fit_with_callback(options, samples)
        first: list[float] = [] if validation is not None else self._short_fits.losses(options, samples)
        if first:
            if len(first) == options.epochs:
                return History(first)
            options = options.without_first(len(first))
        found = self._arguments.buckets_of("fit", samples)
        if options.calls_users_code:
            copy_numbers(found)
        elif options.shuffle and options.epochs >= SHUFFLED_EPOCHS:
            copy_narrow_columns(found)
        others: list[Bucket] | None = None
        if validation is not None:
            with naming_validation():
                others = self._arguments.buckets_of("fit", validation)
            if options.calls_users_code:
                copy_numbers(others)
        fit = FunctionFit(self._store, self._stale, self._plain_errors, self._name, options, found, others)
        return History([*first, *fit.run()]) if first else fit.run()

    def _fit_with_callback(self, options: TrainingOptions, samples: Any) -> History:
        """Train as `fit` does, if each epoch is one step with all samples, after which a callback is called.

        `ShortFits` takes the steps. `FunctionFit` takes them while there is no code for this, or something is to be
        checked.
        """
        found, ended = self._arguments.buckets_of("fit", samples), False
        copy_numbers(found)
        copied, short = self._arrays.copied(samples), self._short_fits
        losses = list[float]()
        if copied:
            losses, ended = short.losses_and_callback(options, copied, 0)
        is_ready = functools.partial(short.is_ready, options, copied) if copied and not losses else bool
        if ended or len(losses) == options.epochs > 0:
            return History(losses)
        rest = options.without_first(len(losses))
        fit = FunctionFit(self._store, self._stale, self._plain_errors, self._name, rest, found, None, is_ready)
        losses += fit.run()
        if fit.left and copied:
            more, ended = short.losses_and_callback(options, copied, len(losses))
            losses += more
            if not ended and len(losses) < options.epochs:
                rest = options.without_first(len(losses))
                losses += FunctionFit(self._store, self._stale, self._plain_errors, self._name, rest, found, None).run()
        return History(losses)

    def check(self, samples: Any, rtol: float = 1e-9, atol: float = 1e-12, **wrong: Never) -> None:
        """Compare the programs' results and their derivatives, for some samples, with those of the plain function.

        The function is called with `Value`s in place of the numbers of each sample, and once more with the numbers
        themselves, where numpy's floats are passed as doubles. So this finds a function that computes something else
        for a float than for a `Value`, as after `isinstance(x, float)`, and one that computes with numpy's integers,
        which may overflow. The derivatives with respect to parameters are compared as well. If the function raises an
        error for numbers, it was written for `Value`s, and its results for numbers are not compared.

        Args:
            samples: the samples; `compile` has a table of the forms that they may have. A few are enough.
            rtol: the relative tolerance. For a derivative, it is relative to the largest derivative of the same output
                for the same sample.
            atol: the absolute tolerance.

        Raises:
            Mismatch: an AssertionError: the results, or derivatives, differ for a sample, which the message names.
                Usually the function depends on something that was recorded once, such as a random number.
            TypeError, ValueError, GuardError: as for `backward`.
        """
        refuse_check_options(wrong, rtol, atol, "check((X, y))")
        if isinstance(samples, Iterator):
            samples = list(samples)  # they are read twice
        results: dict[int, Sequence[Any]] = {}
        for bucket in self._arguments.buckets_of("check", samples):
            for recording, rows in self._store.dispatch(bucket, row_numbers(len(bucket.samples))):
                numbers = {bucket.samples[i]: list(bucket.row(i)) for i in rows}
                called = recording.program.check_named(
                    "sample", numbers, self._arguments.flat_function(bucket), rtol, atol
                )
                results |= zip(numbers, [outputs for _, _, outputs in called], strict=True)
        self._check_with_numbers(samples, results, rtol, atol)

    def _check_with_numbers(self, samples: Any, results: Mapping[int, Sequence[Any]], rtol: float, atol: float) -> None:
        """Compare the plain function's results for the numbers of samples with those for `Value`s in their place.

        The derivatives of the results with respect to the parameters are compared, too.

        Args:
            samples: the samples that were passed to `check`.
            results: for each sample, the function's results for `Value`s.
            rtol, atol: the relative and the absolute tolerance.

        Raises:
            Mismatch: the results differ for a sample, which the message names.
        """
        columns, parameters = columns_of(samples), [p for p in self._store.parameters if p.requires_grad]
        if columns:
            columns = tuple([x.__array__() if is_table(x) else x for x in columns])  # a table is iterated by its labels
        for i, sample in enumerate(zip(*columns, strict=True) if columns else samples):
            static, arguments = self._arguments.split_sample((i, sample))
            plain = {name: plain_argument(x) for name, x in arguments.items()}
            found = results_from(functools.partial(self._arguments.call, static, plain))
            if found is None or not (other := difference(found, results[i], parameters, rtol, atol)):
                continue
            instead = (
                "does it ask for a type, or compare objects by `is`, or detach an element that numpy selects?"
                if other.in_derivative
                else "does it ask for a type? Write isinstance(x, (float, Value)) for isinstance(x, float). Or does it "
                "compute with integers, as x * 2 of an array of uint8? Write x.astype(float), since a program reads "
                "integers as doubles. Or does it compare objects by `is`? Compare indices, such as np.argmax(x)"
            )
            raise Mismatch(
                f"sample {i}, {reprlib.repr(arguments)}: the function gives {other.for_numbers} for numbers, but "
                f"{other.for_values} for Values, by which it is recorded; {instead}"
            )

    def source(
        self,
        language: str = "llvm",
        parameters: ParameterNames | None = None,
        *,
        name: str = "f",
        precision: str = "double",
        weights: str = "passed",
        optimizer: Optimizer | None = None,
    ) -> str:
        """Return the text of the function's program. The arguments are those of `Program.source`.

        The text computes the recorded branch. If the function compares values, a comment says which outcomes of its
        comparisons the text assumes, and in C and Python the results are nan for numbers that take another branch.
        For a text that computes all branches, write `where` in the function.

        Raises:
            ValueError: the function has no program yet, or several (`.program(...)` returns the program for a sample);
                or it is not what it was when its program was made.
        """
        known = self._store.different()
        if len(known) != 1:
            raise ValueError(
                f"{self._name} has {len(known) or 'no'} programs; write {self._name}.program(...).source({language!r}) "
                "with the arguments of a sample"
            )
        [((static, _), recording)] = known
        agreeing = self._stale.compare("source", [recording.bucket(static)], trusts_partial=True)
        if recording.program not in agreeing:
            raise ValueError(
                f"source(): {self._name} may not be what it was when its program was made, and cannot be compared, "
                "since the recorded sample takes another branch with the parameters as they are now; compile it anew"
            )
        return recording.branch.source(
            language, parameters, name=name, precision=precision, weights=weights, optimizer=optimizer
        )

    def program(self, *args: Any, **kwargs: Any) -> Program:
        """Return the program for the arguments of a sample. If there is none yet, record the function for this sample.

        The program computes the branch that this sample takes. It raises GuardError for rows that take another branch.
        It reads the data of the parameters, as they are at each of its calls. But it computes the function as it is
        now: if a parameter or a number that the function reads is replaced later, call this method again.

        Raises:
            ValueError: the function is not what it was when its program was made.
        """
        self._stale.compare("program", [self._arguments.bucket_of(args, kwargs)], trusts_partial=True)
        return self.recording_of(*args, **kwargs).branch

    def recording_of(self, *args: Any, **kwargs: Any) -> Recording:
        """Return the `Recording` for the arguments of a sample. It is made if there is none yet."""
        return self._store.dispatch(self._arguments.bucket_of(args, kwargs), row_numbers(1))[0][0]

    def compare_if_due(self, *args: Any) -> None:
        """Raise ValueError if the function is not what it was when it was recorded for arguments nested as `args` are.

        The function is recorded again only if something that it reads has changed. For speed, a call that comes soon
        after a look for such changes does not look again.
        """
        if self._stale.latest[0] or self._stale.is_due:
            self._stale.compare_if_changed("", [self._arguments.bucket_of(args, {})])

    def __repr__(self) -> str:
        known = self._store.different()
        count = f"{len(known)} program{'s' * (len(known) != 1)}" if known else "not called yet"
        lines = [f"compiled {self._name}{self._arguments.signature}: {count}"]
        for (static, treedef), recording in known:
            values = [f"{name}={x.value!r}" for name, x in static]
            lines.append(f"  ({', '.join([*map(describe_argument, treedef), *values])}): {recording.program!r}")
        return "\n".join(lines)

    # The way from samples to recordings

    def _map_samples(
        self,
        name: str,
        samples: Any,
        threads: int,
        out: Any,
        compute: Callable[[Recording, Any, Any], Any],
        wrt: Any = (),
    ) -> Any:
        """Return the results for all samples, in the order of the samples. If `out` is passed, write them there.

        `compute(recording, rows, to)` returns the results that a recording gives for rows. It writes them to the buffer
        `to` unless `to` is None. `name` is the name of the method, for messages. `wrt` has the variables with respect
        to which `compute` differentiates.

        Raises:
            ValueError: `out` has another size than all results, or is given although the results differ in size.
        """
        check_threads(name, threads)
        buckets = self._current_buckets(name, samples, wrt, some=False)
        if len(buckets) > 1:
            check_key_order(name, self._name, wrt, buckets)
        if (ready := self._merged.results(name, wrt, buckets, samples, threads, out)) is not None:
            return ready
        sub_batches = [*sub_batches_of(self._store, buckets, threads)]
        if name != "forward":  # the results of `forward` are nan for a class that is out of range
            for sub_batch in sub_batches:
                if sub_batch.recording.indices.counts:
                    self._plain_errors.refuse_missing_classes(
                        name, sub_batch.recording, sub_batch.bucket, sub_batch.rows
                    )
        if len(sub_batches) == 1:
            [sub_batch] = sub_batches
            return compute(sub_batch.recording, numpy_like(samples, sub_batch.numbers), out)
        numpy = numpy_of(samples) or (sys.modules.get("numpy") if out is not None else None)
        found = []
        for sub_batch in sub_batches:
            numbers = numpy.asarray(sub_batch.numbers) if numpy else sub_batch.numbers
            found.append((sub_batch.positions, compute(sub_batch.recording, numbers, None)))
        return joined(name, self._name, found, samples, out, numpy)
