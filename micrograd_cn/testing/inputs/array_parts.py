"""Take complex and sparse arrays apart: into real and imaginary parts, and into their stored entries.

The parts are dense arrays of real numbers, which a check can move one by one. So a function of complex numbers is
checked as a function of twice as many real ones, whether or not it is holomorphic, and a function of a sparse matrix is
differentiated with respect to the entries that the matrix stores.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from .libraries import is_tensor, library_of

__tracebackhide__ = True

Parts = tuple[list[tuple[str, Any]], Callable[[list[Any]], Any]]
KEPT = "_parts_of_check"  # attribute of a tensor: the parts that it was made from, and its version at that time
NO_ARRAYS = (float, int, str, list, tuple)
COMPRESSED = {"torch.sparse_csr": "csr", "torch.sparse_csc": "csc"}
STORED = ("csr", "csc", "coo")  # formats of scipy that keep the stored entries alone in one array


def array_parts(x: Any) -> Parts | None:
    """Return the parts of a complex or sparse array or a complex number, and a function that puts parts together.

    Complex numbers have a real and an imaginary part. The only part of a sparse array is the array of its stored
    entries. Each part comes with a path, such as ".real". The function takes a list of other parts, and returns an
    array or a number that has these parts, and is otherwise like `x`. None is returned for everything else.

    >>> found, rebuild = array_parts(1 + 2j)
    >>> found, rebuild([3.0, 4.0])
    ([('.real', 1.0), ('.imag', 2.0)], (3+4j))
    """
    if isinstance(x, NO_ARRAYS):
        return None
    if is_sparse(x):
        return _parts_of_tensor(x) if is_tensor(x) else _parts_of_scipy(x)
    return _complex_parts(x) if is_complex(x) else None


def is_sparse(x: Any) -> bool:
    """Return whether `x` is a sparse PyTorch tensor, or a sparse array or matrix of scipy."""
    if is_tensor(x):
        return _is_other_layout(getattr(x, "layout", None))
    kind: Any = type(x)  # Any, since mypy does not know that a type is hashable
    return _is_of_scipy(kind) and hasattr(x, "format")


def as_dense(x: Any) -> Any:
    """Return a sparse tensor of PyTorch, or a sparse array of scipy, as a dense one; return all else unchanged."""
    if not is_sparse(x):
        return x
    return x.to_dense() if is_tensor(x) else x.toarray()


@functools.lru_cache
def _is_of_scipy(kind: Any) -> bool:
    return bool(kind.__module__.startswith("scipy.sparse"))


@functools.lru_cache
def _is_other_layout(layout: Any) -> bool:
    """Return whether `layout` is a layout of PyTorch tensors other than that of dense tensors."""
    return layout is not None and str(layout) != "torch.strided"


@functools.lru_cache
def _is_complex_type(dtype: Any) -> bool:
    return "complex" in str(dtype)


def is_complex(x: Any) -> bool:
    """Return whether `x` is a complex number, or an array of these."""
    if isinstance(x, complex):
        return True
    dtype = getattr(x, "dtype", None)
    return dtype is not None and library_of(x) in ("numpy", "torch", "jax") and _is_complex_type(dtype)


def split_like(tree: Any, model: Any) -> list[Any] | None:
    """Return a list of the parts of `tree`, which is a derivative with respect to the complex or sparse array `model`.

    If `model` is complex, the parts are the real and the imaginary part of `tree`; `tree` may also be real. If `model`
    is a sparse matrix, the only part is the array of the derivatives with respect to the entries that `model` stores.
    Then `tree` is either this array, or a matrix of the shape of `model`, from which these derivatives are taken. None
    is returned if `tree` has another form, or if `model` is neither complex nor sparse.
    """
    if is_sparse(model):
        return _entries_like(tree, model)
    if not is_complex(model) or isinstance(tree, (list, tuple, dict)) or not hasattr(tree, "real"):
        return None
    return [part for _, part in _complex_parts(tree)[0]]


def _complex_parts(x: Any) -> Parts:
    """Return the real and the imaginary part of an array or number, and a function that joins two such parts.

    The function takes a list of the two parts.
    """
    if is_tensor(x):
        torch = sys.modules["torch"]
        kept = _parts_kept(x) or ([x.real, x.imag] if x.is_complex() else [x, torch.zeros_like(x)])
        if not x.requires_grad:
            kept = [part.contiguous() for part in kept]

        def of_torch(found: list[Any]) -> Any:
            made: Any = torch.complex(*found)
            _keep_parts(made, found)
            return made

        return _named(kept), of_torch
    if library_of(x) == "jax":
        jax = sys.modules["jax"]
        return _named([jax.numpy.real(x), jax.numpy.imag(x)]), lambda found: jax.lax.complex(*found)
    if not hasattr(x, "dtype"):
        return _named([x.real, x.imag]), lambda found: complex(*found)
    import numpy as np

    kind = x.dtype

    def of_numpy(found: list[Any]) -> Any:
        made = np.empty(np.shape(found[0]), kind)
        made.real, made.imag = found
        return made if isinstance(x, np.ndarray) else made[()]

    return _named([np.ascontiguousarray(part).reshape(np.shape(x)) for part in (x.real, x.imag)]), of_numpy


def _keep_parts(made: Any, found: list[Any]) -> None:
    """Store in the tensor `made` the parts `found` that it was made from.

    PyTorch differentiates with respect to these parts.
    """
    if not made.is_inference():  # such a tensor counts no versions, and nothing is differentiated by it
        setattr(made, KEPT, (found, made._version))


def _parts_kept(x: Any) -> list[Any] | None:
    """Return the stored parts that a tensor was made from; None if none are stored, or the tensor has been changed."""
    found, version = getattr(x, KEPT, (None, 0))
    return found if found is not None and version == x._version else None


def _named(pair: list[Any]) -> list[tuple[str, Any]]:
    return list(zip((".real", ".imag"), pair, strict=True))


def _parts_of_tensor(x: Any) -> Parts:
    """Return the stored entries of a sparse tensor, and a function that builds such a tensor from other entries.

    Raises:
        TypeError: the tensor has another layout than COO, CSR and CSC.
    """
    torch = sys.modules["torch"]
    layout = str(x.layout)
    if layout == "torch.sparse_coo":
        x = x if x.is_coalesced() else x.coalesce()
        places = x.indices().detach()

        def make(values: Any) -> Any:
            return torch.sparse_coo_tensor(places, values, x.shape, is_coalesced=True, check_invariants=False)

    elif layout in COMPRESSED:
        rows = COMPRESSED[layout] == "csr"
        outer, inner = (x.crow_indices(), x.col_indices()) if rows else (x.ccol_indices(), x.row_indices())

        def make(values: Any) -> Any:
            made_by = torch.sparse_csr_tensor if rows else torch.sparse_csc_tensor
            return made_by(outer, inner, values, x.shape, check_invariants=False)

    else:
        raise TypeError(f"gradcheck: a tensor of layout {layout} is not checked; write x.to_sparse() or x.to_dense()")

    def rebuild(found: list[Any]) -> Any:
        made = make(found[0])
        _keep_parts(made, found)
        return made

    kept = _parts_kept(x)
    return [(".values()", kept[0] if kept else x.values())], rebuild


def _parts_of_scipy(x: Any) -> Parts:
    """Return the stored entries of a sparse scipy matrix, and a function that builds such a matrix from other entries.

    Raises:
        TypeError: the format is none of csr, csc and coo.
    """
    if x.format not in STORED:
        raise TypeError(f"gradcheck: a sparse matrix of the format {x.format} is not checked; write x.tocsr()")

    def rebuild(found: list[Any]) -> Any:
        made = x.copy()
        made.data = found[0]
        return made

    return [(".data", x.data)], rebuild


def _entries_like(tree: Any, model: Any) -> list[Any] | None:
    """Return a list of one array: the entries of `tree` at the places where the sparse matrix `model` stores entries.

    If `tree` is the array of these entries itself, the list has `tree`. None is returned if `tree` has another shape.
    """
    import numpy as np

    entries = model.values() if is_tensor(model) and str(model.layout) != "torch.sparse_coo" else None
    stored = model.coalesce().values() if is_tensor(model) and entries is None else entries
    stored = model.data if stored is None else stored
    shape = tuple(getattr(tree, "shape", ()))
    if shape == tuple(stored.shape) != tuple(model.shape):
        return [tree]
    if shape != tuple(model.shape):
        return None
    if is_tensor(model):
        places = model.to_sparse_coo().coalesce().indices()
        dense = tree.to_dense() if is_tensor(tree) else sys.modules["torch"].from_numpy(np.asarray(tree))
        if str(model.layout) == "torch.sparse_csc":
            order = (places[1] * model.shape[0] + places[0]).argsort()
            places = places[:, order]
        return [dense[tuple(places)]]
    pattern = model.tocoo()
    dense = tree.toarray() if is_sparse(tree) else np.asarray(tree)
    return [dense[pattern.coords if pattern.ndim == 1 else (pattern.row, pattern.col)]]
