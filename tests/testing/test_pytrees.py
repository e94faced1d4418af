"""Structures that jax knows are taken apart and put together again; a stand-in says what jax would, without it."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from micrograd_cn.testing.inputs.pytrees import flatten_pytree, leaves, parts


class Box:
    """A structure of a user's own, whose parts jax is told."""

    def __init__(self, *inside):
        self.inside = inside


def stand_in():
    """Return as much of `jax.tree_util` as is used, for boxes."""

    def flattened(tree, is_leaf):
        if not isinstance(tree, Box):
            return [((), tree)], None
        assert all(is_leaf(part) for part in tree.inside)
        return [((k,), part) for k, part in enumerate(tree.inside)], Box

    return SimpleNamespace(
        tree_flatten_with_path=flattened,
        treedef_is_leaf=lambda shape: shape is None,
        keystr=lambda path: "".join(f"[<flat index {k}>]" for k in path),
        tree_unflatten=lambda shape, inside: shape(*inside),
    )


@pytest.fixture(params=["a stand-in", "jax"])
def boxes(request, monkeypatch):
    """Let jax know what is in a box."""
    if request.param == "a stand-in":
        monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(tree_util=stand_in()))
        return Box
    jax = pytest.importorskip("jax")

    class Known(Box):
        pass

    jax.tree_util.register_pytree_node(Known, lambda box: (box.inside, None), lambda _, inside: Known(*inside))
    return Known


@pytest.mark.parametrize("inside", [(), (1.0,), (1.0, [2.0, 3.0]), (None,), (np.ones(2), {"w": 4.0})])
def test_what_jax_knows_has_the_parts_that_it_says_and_is_rebuilt_of_others(boxes, inside):
    found, rebuild = parts(boxes(*inside))
    assert [part for _, part in found] == [*inside]
    assert len({path for path, _ in found}) == len(inside)
    others = [object() for _ in inside]
    again = rebuild(others)
    assert (type(again), [*again.inside]) == (boxes, others)


def test_structures_in_structures_are_taken_apart_to_the_leaves(boxes):
    tree = {"a": boxes(1.0, boxes(2.0, [3.0])), "b": (boxes(4.0),)}
    assert leaves(tree) == [1.0, 2.0, 3.0, 4.0]
    paths, rebuild = flatten_pytree(tree, "p")
    assert [path for path, _ in paths] == [
        "p['a'][<flat index 0>]",
        "p['a'][<flat index 1>][<flat index 0>]",
        "p['a'][<flat index 1>][<flat index 1>][0]",
        "p['b'][0][<flat index 0>]",
    ]
    again = rebuild([5.0, 6.0, 7.0, 8.0])
    assert leaves(again) == [5.0, 6.0, 7.0, 8.0]
    assert type(again["a"].inside[1]) is boxes


@pytest.mark.parametrize("leaf", [None, 1.0, 7, "text", np.ones(2), object()])
def test_what_jax_does_not_know_is_a_leaf(boxes, leaf):
    assert parts(leaf) is None
    assert leaves([leaf]) == [leaf]
