"""The old path `micrograd_cn.sparse`, which sparse matrices pickled by version 0.2 refer to."""

from micrograd_cn.derivatives.sparse import Sparse as Sparse
