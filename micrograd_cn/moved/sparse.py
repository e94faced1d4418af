"""Pickled sparse matrices of version 0.2 name `micrograd_cn.sparse`."""

from micrograd_cn.derivatives.sparse import Sparse as Sparse
