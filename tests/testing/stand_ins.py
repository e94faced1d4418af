"""Small stand-ins for PyTorch and jax: numpy arrays with as much of their interface as the checker uses.

They keep what differs between the libraries and numpy: the module of a type, tensors that require a gradient, gradients
that are None for a tensor on which the result does not depend, and a vjp that takes a tuple of outputs.
"""

import types

import numpy as np


class Tensor:
    """A tensor; `partials` are pairs of a tensor that it was computed from, element by element, and the derivative."""

    __module__ = "torch"

    def __init__(self, data, requires_grad=False, partials=(), once=False):
        self.data, self.requires_grad, self.partials, self.once = np.asarray(data), requires_grad, partials, once
        self.dtype, self.device, self.shape = self.data.dtype, "cpu", self.data.shape

    def detach(self):
        return Tensor(self.data)

    def to_dense(self):
        assert not self.requires_grad
        return self

    def double(self):
        return Tensor(self.data.astype(float), self.requires_grad)

    def numpy(self, force=False):
        assert force or not self.requires_grad
        return self.data

    def to(self, dtype, device):
        assert device == "cpu"
        return Tensor(self.data.astype(dtype))

    def requires_grad_(self, requires_grad=True):
        self.requires_grad = requires_grad
        return self

    def numel(self):
        return self.data.size

    @property
    def ndim(self):
        return self.data.ndim

    def clone(self):
        return Tensor(self.data.copy(), self.requires_grad)

    def reshape(self, *shape):
        return Tensor(self.data.reshape(*shape), self.requires_grad)

    def __getitem__(self, place):
        return Tensor(self.data[place], self.requires_grad)

    def __setitem__(self, place, other):
        self.data[place] = other.data

    def new_empty(self, shape):
        return self.new_full(shape, np.nan)

    def new_full(self, shape, value):
        return Tensor(np.full(shape, value, self.dtype))

    def expand(self, shape):
        return Tensor(np.broadcast_to(self.data, shape))

    def element_size(self):
        return self.data.itemsize

    def is_contiguous(self):
        return bool(self.data.flags.c_contiguous)

    def is_floating_point(self):
        return self.dtype.kind == "f"

    def is_complex(self):
        return self.dtype.kind == "c"


def elementwise(value, *partials, once=False):
    """Return a function of tensors that is computed by elements, with its derivatives by each of them.

    If it is differentiable only once, its backward pass leaves no graph.
    """

    def f(*xs):
        data = [x.data for x in xs]
        pairs = [(x, p(*data)) for x, p in zip(xs, partials, strict=True) if x.requires_grad]
        return Tensor(value(*data), bool(pairs), pairs, once)

    return f


class Saved:
    """A derivative that a forward pass saved: `read` returns it, and a backward pass calls it."""

    __array_ufunc__ = None

    def __init__(self, read):
        self._read = read

    def __rmul__(self, weight):
        return weight * self._read()


def _grad(results, inputs, weights, allow_unused, create_graph=False, retain_graph=False):
    """Return the gradients; their graphs lead to the weights alone, as those of what is linear do."""
    assert allow_unused
    assert all(result.requires_grad for result in results)
    found = [None] * len(inputs)
    for result, weight in zip(results, weights, strict=True):
        for x, partial in result.partials:
            for i, leaf in enumerate(inputs):
                if x is leaf:
                    before = found[i] or Tensor(np.zeros_like(x.data))
                    graph = create_graph and weight.requires_grad and not result.once
                    pairs = [*before.partials, *[(weight, partial)] * graph]
                    found[i] = Tensor(before.data + weight.data * partial, bool(pairs), pairs)
    return found


torch = types.ModuleType("torch")
torch.from_numpy = Tensor
torch.zeros_like = lambda x: Tensor(np.zeros_like(x.data))
torch.autograd = types.SimpleNamespace(grad=_grad)


class Array(np.ndarray):
    """A jax array."""

    __module__ = "jax"


def _vjp(f, *xs):
    """Return the outputs, and a function from their weights to the gradients, computed by difference quotients."""
    ys = f(*xs)
    assert isinstance(ys, tuple)

    def back(weights):
        assert [(w.shape, w.dtype) for w in weights] == [(y.shape, y.dtype) for y in ys]
        gradients = []
        for i, x in enumerate(xs):
            g = np.zeros(x.shape)
            for place in np.ndindex(x.shape):
                moved = [x.astype(float) for x in xs]
                sides = []
                for h in (1e-6, -1e-6):
                    moved[i][place] = x[place] + h
                    sides.append([np.asarray(y, float) for y in f(*moved)])
                g[place] = sum(np.sum(w * (a - b)) / 2e-6 for w, a, b in zip(weights, *sides, strict=True))
            gradients.append(g)
        return tuple(gradients)

    return ys, back


jax = types.ModuleType("jax")
jax.vjp = _vjp
jax.numpy = types.SimpleNamespace(asarray=lambda x: np.asarray(x).view(Array))
