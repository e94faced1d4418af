"""Take three training steps with each contender: of micrograd's moons, of the digits, and of an attention model.

A contender is this engine or a peer. All contenders of a step start from the same weights and compute the same losses.
A peer that is not installed is left out.
"""

import math
import random
from array import array
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import micrograd_cn as mg
from micrograd_cn import nn
from micrograd_cn.losses import cross_entropy
from micrograd_cn.optim import SGD

Point = list[float]
Steps = Callable[[int], float]  # takes as many training steps as it is told, and returns the last one's loss


class Contender(NamedTuple):
    """A library, or a way of using one, that takes the training step.

    Attributes:
        name: the contender's name in the table.
        prepare: takes the inputs and the targets, and returns the training steps; None if the library is not installed.
        steps_a_turn: how many steps are timed together.
    """

    name: str
    prepare: Callable[[Any, Sequence[int]], Steps | None]
    steps_a_turn: int


def _repeated(step: Callable[[], Any]) -> Callable[[int], Any]:
    """Return a function that calls `step` n times and returns the last result."""

    def steps(n: int) -> Any:
        for _ in range(n):
            loss = step()
        return loss

    return steps


# The moons demo of micrograd: 100 points, MLP(2, [16, 16, 1]), hinge loss, L2 penalty, gradient descent.

LEARNING_RATE, PENALTY = 0.1, 1e-4


def _micrograd_steps(
    model: Any, value: Callable[[float], Any], points: Sequence[Point], targets: Sequence[int]
) -> Steps:
    """Return the training steps as micrograd's demo writes them: inputs are Values, Python's sum adds the losses."""

    def step() -> float:
        scores = [model(list(map(value, point))) for point in points]
        losses = [(1 + -y * score).relu() for y, score in zip(targets, scores, strict=True)]
        loss = sum(losses) * (1.0 / len(losses)) + PENALTY * sum(p * p for p in model.parameters())
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= LEARNING_RATE * p.grad
        return float(loss.data)

    return _repeated(step)


def micrograd(points: Sequence[Point], targets: Sequence[int]) -> Steps | None:
    if not find_spec("micrograd"):
        return None
    model = import_module("micrograd.nn").MLP(2, [16, 16, 1])
    return _micrograd_steps(model, import_module("micrograd.engine").Value, points, targets)


def micrograd_over_our_value(points: Sequence[Point], targets: Sequence[int]) -> Steps | None:
    """Train micrograd's own neurons with its import of `Value` replaced by an import of ours."""
    if not find_spec("micrograd"):
        return None
    source = Path(str(import_module("micrograd.nn").__file__)).read_text()
    module = ModuleType("micrograd_nn_over_micrograd_cn")
    exec(source.replace("micrograd.engine", "micrograd_cn.engine"), module.__dict__)
    return _micrograd_steps(module.MLP(2, [16, 16, 1]), mg.Value, points, targets)


def ours(points: Sequence[Point], targets: Sequence[int]) -> Steps:
    model = nn.MLP(2, [16, 16, 1])
    parameters = model.parameters()

    def step() -> float:
        hinge = mg.mean([mg.relu(1 - y * model(point)) for point, y in zip(points, targets, strict=True)])
        loss = hinge + PENALTY * mg.sum([p * p for p in parameters])
        model.zero_grad()
        loss.backward()
        for p in parameters:
            p.data -= LEARNING_RATE * p.grad
        return float(loss.data)

    return _repeated(step)


def moons_program(points: Sequence[Point], targets: Sequence[int]) -> tuple[Any, Any, SGD]:
    """Return the compiled loss of one point, an array whose rows are the points and targets, and an optimiser."""
    from micrograd_cn.compiler import compile  # noqa: A004

    model = nn.MLP(2, [16, 16, 1])
    x1, x2, y = inputs = [mg.Value(0.5) for _ in range(3)]
    loss = mg.relu(1 - y * model([x1, x2])) + PENALTY * mg.sum([p * p for p in model.parameters()])
    rows = array("d", [x for point, target in zip(points, targets, strict=True) for x in (*point, target)])
    shaped = memoryview(rows).cast("B").cast("d", (len(points), 3))
    return compile(loss, inputs), shaped, SGD(model.parameters(), lr=LEARNING_RATE)


def compiled_backward(points: Sequence[Point], targets: Sequence[int]) -> Steps | None:
    if not find_spec("llvmlite"):
        return None
    program, rows, optimizer = moons_program(points, targets)

    def step() -> float:
        optimizer.zero_grad()
        loss: float = program.backward(rows)
        optimizer.step()
        return loss

    return _repeated(step)


def compiled_fit(points: Sequence[Point], targets: Sequence[int]) -> Steps | None:
    if not find_spec("llvmlite"):
        return None
    program, rows, optimizer = moons_program(points, targets)
    return lambda n: float(program.fit(rows, optimizer, n)[-1])


def _layers(sizes: Sequence[int]) -> list[tuple[list[list[float]], list[float]]]:
    """Return the initial weights and biases of our network, layer by layer, so the peers start from the same ones."""
    layers = nn.MLP(sizes[0], list(sizes[1:])).layers
    return [([[w.data for w in n.w] for n in layer.neurons], [n.b.data for n in layer.neurons]) for layer in layers]


def pytorch(points: Sequence[Point], targets: Sequence[int]) -> Steps | None:
    layers = _layers([2, 16, 16, 1])
    if not find_spec("torch"):
        return None
    torch = import_module("torch")
    torch.set_num_threads(1)
    x, y = (torch.tensor(numbers, dtype=torch.float64) for numbers in (points, targets))
    model = _torch_model(torch, layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)

    def step() -> Any:
        hinge = torch.relu(1 - y * model(x)[:, 0]).mean()
        loss = hinge + PENALTY * sum((p * p).sum() for p in model.parameters())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return lambda n: float(_repeated(step)(n).detach())


def _torch_model(torch: Any, layers: Any) -> Any:
    modules: list[Any] = []
    for weight, bias in layers:
        linear = torch.nn.Linear(len(weight[0]), len(weight), dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(weight))
            linear.bias.copy_(torch.tensor(bias))
        modules += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


def _jax() -> Any:
    jax = import_module("jax")
    jax.config.update("jax_enable_x64", True)
    return jax


def _jax_steps(jax: Any, loss: Callable[[Any, Any, Any], Any], layers: Any, x: Any, y: Any) -> Steps:
    """Return jitted training steps, each with its update; the last one is waited for, since JAX dispatches ahead."""
    np = jax.numpy
    state = [(np.asarray(weight), np.asarray(bias)) for weight, bias in layers]
    x, y = np.asarray(x), np.asarray(y)

    def update(state: Any, x: Any, y: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(state, x, y)
        return value, jax.tree.map(lambda p, g: p - LEARNING_RATE * g, state, gradient)

    step = jax.jit(update)

    def steps(n: int) -> float:
        nonlocal state
        for _ in range(n):
            value, state = step(state, x, y)
        return float(jax.block_until_ready(value))

    return steps


def _jax_network(jax: Any, state: Any, x: Any) -> Any:
    *hidden, (weight, bias) = state
    for w, b in hidden:
        x = jax.numpy.maximum(x @ w.T + b, 0)
    return x @ weight.T + bias


def jax_jit(points: Sequence[Point], targets: Sequence[int]) -> Steps | None:
    layers = _layers([2, 16, 16, 1])
    if not find_spec("jax"):
        return None
    jax = _jax()

    def loss(state: Any, x: Any, y: Any) -> Any:
        hinge = jax.numpy.maximum(1 - y * _jax_network(jax, state, x)[:, 0], 0).mean()
        return hinge + PENALTY * sum((p * p).sum() for p in jax.tree.leaves(state))

    return _jax_steps(jax, loss, layers, points, targets)


MOONS = [
    Contender("micrograd", micrograd, 4),
    Contender("micrograd.nn over micrograd_cn.Value", micrograd_over_our_value, 4),
    Contender("micrograd_cn.nn", ours, 4),
    Contender("PyTorch eager", pytorch, 200),
    Contender("jax.jit", jax_jit, 2_000),
    Contender("micrograd_cn compiled, backward() and SGD.step()", compiled_backward, 2_000),
    Contender("micrograd_cn compiled, fit()", compiled_fit, 20_000),
]


# A mini-batch of the digits demo: 128 images of 64 pixels, MLP(64, [32, 10]), cross entropy, gradient descent.


def digits_eager(images: Sequence[Point], targets: Sequence[int]) -> Steps:
    model = nn.MLP(64, [32, 10])
    optimizer = SGD(model.parameters(), lr=LEARNING_RATE)

    def step() -> float:
        loss = cross_entropy([model(image) for image in images], targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.data)

    return _repeated(step)


def digits_compiled(images: Sequence[Point], targets: Sequence[int]) -> Steps | None:
    if not find_spec("llvmlite"):
        return None
    from micrograd_cn.compiler import compile  # noqa: A004

    model = nn.MLP(64, [32, 10])
    pixels, one_hot = [mg.Value(0.5) for _ in range(64)], [mg.Value(0.1) for _ in range(10)]
    logits = model(pixels)
    program = compile(mg.logsumexp(logits) - mg.dot(one_hot, logits), [*pixels, *one_hot])
    rows = [[*image, *(float(k == target) for k in range(10))] for image, target in zip(images, targets, strict=True)]
    flat = array("d", [x for row in rows for x in row])
    shaped = memoryview(flat).cast("B").cast("d", (len(rows), 74))
    optimizer = SGD(model.parameters(), lr=LEARNING_RATE)
    return lambda n: float(program.fit(shaped, optimizer, n)[-1])


def digits_pytorch(images: Sequence[Point], targets: Sequence[int]) -> Steps | None:
    layers = _layers([64, 32, 10])
    if not find_spec("torch"):
        return None
    torch = import_module("torch")
    torch.set_num_threads(1)
    x, y = torch.tensor(images, dtype=torch.float64), torch.tensor(targets)
    model = _torch_model(torch, layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)

    def step() -> Any:
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return lambda n: float(_repeated(step)(n).detach())


def digits_jax(images: Sequence[Point], targets: Sequence[int]) -> Steps | None:
    layers = _layers([64, 32, 10])
    if not find_spec("jax"):
        return None
    jax = _jax()

    def loss(state: Any, x: Any, y: Any) -> Any:
        logits = _jax_network(jax, state, x)
        chosen = jax.numpy.take_along_axis(logits, y[:, None], axis=1)[:, 0]
        return (jax.nn.logsumexp(logits, axis=1) - chosen).mean()

    return _jax_steps(jax, loss, layers, images, targets)


DIGITS = [
    Contender("micrograd_cn.nn", digits_eager, 2),
    Contender("PyTorch eager", digits_pytorch, 200),
    Contender("jax.jit", digits_jax, 500),
    Contender("micrograd_cn compiled, fit()", digits_compiled, 1_000),
]


# A language model in plain operators, as people write it without a library: token and position embeddings, causal
# attention, a layer of relus, cross entropy. A class of values needs only + - * / **, exp, log and relu for it.

WIDTH, HEADS, POSITIONS, TOKENS = 16, 4, 12, 27

Matrix = list[list[Any]]


class TupleValue:
    """A scalar autograd value as people write it in thirty lines: operands and local derivatives are in tuples."""

    __slots__ = ("data", "grad", "parents", "partials")

    def __init__(self, data: float, parents: tuple[Any, ...] = (), partials: tuple[float, ...] = ()) -> None:
        self.data = data
        self.grad = 0.0
        self.parents = parents
        self.partials = partials

    def __add__(self, other: Any) -> Any:
        other = other if isinstance(other, TupleValue) else TupleValue(other)
        return TupleValue(self.data + other.data, (self, other), (1.0, 1.0))

    def __sub__(self, other: Any) -> Any:
        other = other if isinstance(other, TupleValue) else TupleValue(other)
        return TupleValue(self.data - other.data, (self, other), (1.0, -1.0))

    def __mul__(self, other: Any) -> Any:
        other = other if isinstance(other, TupleValue) else TupleValue(other)
        return TupleValue(self.data * other.data, (self, other), (other.data, self.data))

    def __truediv__(self, other: Any) -> Any:
        other = other if isinstance(other, TupleValue) else TupleValue(other)
        quotient = self.data / other.data
        return TupleValue(quotient, (self, other), (1.0 / other.data, -quotient / other.data))

    def __pow__(self, exponent: float) -> Any:
        return TupleValue(self.data**exponent, (self,), (exponent * self.data ** (exponent - 1),))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Any:
        return TupleValue(-self.data, (self,), (-1.0,))

    def exp(self) -> Any:
        """Return e to the power of this value."""
        result = math.exp(self.data)
        return TupleValue(result, (self,), (result,))

    def log(self) -> Any:
        """Return the natural logarithm of this value."""
        return TupleValue(math.log(self.data), (self,), (1.0 / self.data,))

    def relu(self) -> Any:
        """Return this value, or 0 if it is negative."""
        return TupleValue(max(self.data, 0.0), (self,), (float(self.data > 0.0),))

    def backward(self) -> None:
        """Add to every node's `grad` the derivative of this value with respect to the node."""
        order, entered = [], set()

        def visit(node: Any) -> None:  # it refers to itself, so only the garbage collector frees the nodes it saw
            if node not in entered:
                entered.add(node)
                for parent in node.parents:
                    visit(parent)
                order.append(node)

        visit(self)
        self.grad = 1.0
        for node in reversed(order):
            for parent, partial in zip(node.parents, node.partials, strict=True):
                parent.grad += partial * node.grad


def attention_parameters(value: Callable[[float], Any]) -> dict[str, Matrix]:
    """Return the 4,128 initial weights by the names of their matrices; a row has the weights of one output."""
    shapes = dict.fromkeys(("queries", "keys", "values", "heads"), (WIDTH, WIDTH))
    shapes |= {"tokens": (TOKENS, WIDTH), "positions": (POSITIONS, WIDTH), "logits": (TOKENS, WIDTH)}
    shapes |= {"hidden": (4 * WIDTH, WIDTH), "output": (WIDTH, 4 * WIDTH)}
    return {
        name: [[value(random.gauss(0, 0.1)) for _ in range(inputs)] for _ in range(outputs)]
        for name, (outputs, inputs) in shapes.items()
    }


def _product(xs: Sequence[Any], ys: Sequence[Any]) -> Any:
    return sum(x * y for x, y in zip(xs, ys, strict=True))


def _linear(weights: Matrix, xs: Sequence[Any]) -> list[Any]:
    return [_product(row, xs) for row in weights]


def _add(xs: Sequence[Any], ys: Sequence[Any]) -> list[Any]:
    return [x + y for x, y in zip(xs, ys, strict=True)]


def _rms_norm(xs: Sequence[Any]) -> list[Any]:
    scale = (sum(x * x for x in xs) / len(xs) + 1e-5) ** -0.5
    return [x * scale for x in xs]


def _softmax(scores: Sequence[Any]) -> list[Any]:
    highest = max(score.data for score in scores)
    exponentials = [(score - highest).exp() for score in scores]
    total = sum(exponentials)
    return [e / total for e in exponentials]


def _split(xs: list[Any]) -> list[list[Any]]:
    size = WIDTH // HEADS
    return [xs[i : i + size] for i in range(0, WIDTH, size)]


def attention_loss(weights: dict[str, Matrix], tokens: Sequence[int], following: Sequence[int]) -> Any:
    """Return the mean cross entropy of the tokens that follow each token."""
    seen: list[tuple[Matrix, Matrix]] = [([], []) for _ in range(HEADS)]  # each head's keys and values so far
    losses = []
    for token, position, target in zip(tokens, weights["positions"], following, strict=True):
        x = _add(weights["tokens"][token], position)
        normalised = _rms_norm(x)
        queries, keys, values = (_split(_linear(weights[name], normalised)) for name in ("queries", "keys", "values"))
        read = []
        for query, key, value, (earlier_keys, earlier_values) in zip(queries, keys, values, seen, strict=True):
            earlier_keys.append(key)
            earlier_values.append(value)
            attention = _softmax([_product(query, k) / len(query) ** 0.5 for k in earlier_keys])
            read += [_product(attention, column) for column in zip(*earlier_values, strict=True)]
        x = _add(x, _linear(weights["heads"], read))
        hidden = [h.relu() for h in _linear(weights["hidden"], _rms_norm(x))]
        x = _add(x, _linear(weights["output"], hidden))
        losses.append(-_softmax(_linear(weights["logits"], _rms_norm(x)))[target].log())
    return sum(losses) / len(losses)


def _attention(value: Callable[[float], Any]) -> Callable[[Sequence[int], Sequence[int]], Steps]:
    def prepare(tokens: Sequence[int], following: Sequence[int]) -> Steps:
        weights = attention_parameters(value)
        parameters = [w for matrix in weights.values() for row in matrix for w in row]

        def steps(n: int) -> float:
            for _ in range(n):  # as in a script, `loss` keeps the last graph alive while the next one is recorded
                loss = attention_loss(weights, tokens, following)
                loss.backward()
                for p in parameters:
                    p.data -= LEARNING_RATE * p.grad
                    p.grad = 0.0
            return float(loss.data)

        return steps

    return prepare


ATTENTION = [
    Contender("tuple Value", _attention(TupleValue), 5),
    Contender("micrograd_cn.Value", _attention(mg.Value), 5),
]
