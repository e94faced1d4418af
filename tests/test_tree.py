"""Structures are taken apart and put together again, and one that differs is told where it does."""

from typing import NamedTuple

import pytest

from micrograd_cn.tree import flatten, leaves_like


class Pair(NamedTuple):
    left: object
    right: object


@pytest.mark.parametrize(
    "tree", [1, [], {}, (1,), [0] * 300, [1, (2, {"b": [3], "a": 4})], Pair(1, [Pair(2, 3)]), {"z": 1, 0: 2}]
)
def test_what_is_taken_apart_is_put_together_again(tree):
    leaves, rebuild = flatten(tree)
    again = rebuild([leaf for _, leaf in leaves])
    assert (again, repr(again)) == (tree, repr(tree))
    assert [leaf for _, leaf in leaves_like(tree, again)] == [leaf for _, leaf in leaves]


def test_every_leaf_has_its_path():
    leaves, _ = flatten({"a": [1, Pair(2, {0: 3})]}, "p")
    assert leaves == [("p['a'][0]", 1), ("p['a'][1][0]", 2), ("p['a'][1][1][0]", 3)]


@pytest.mark.parametrize(
    ("tree", "model", "where"),
    [
        ([1], 1, "the top"),
        (1, [1], "the top"),
        ([1], {0: 1}, "the top"),
        ([1, 2], [1], "the top"),
        ([1], [1, 2], "the top"),
        ({"a": 1}, {"b": 1}, "the top"),
        ({"a": 1}, {"a": 1, "b": 2}, "the top"),
        ({"a": 1, "b": 2}, {"a": 1}, "the top"),
        ({"a": [1, [2]]}, {"a": [1, 2]}, r"\['a'\]\[1\]"),
        ({"a": [1, 2]}, {"a": [1, [2]]}, r"\['a'\]\[1\]"),
    ],
)
def test_another_structure_is_refused_where_it_begins(tree, model, where):
    with pytest.raises(ValueError, match=f"another structure at {where}$"):
        leaves_like(tree, model)
