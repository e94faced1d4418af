"""Structures are taken apart and put together again. The message for a wrong one says where it differs."""

from array import array
from typing import NamedTuple

import numpy as np
import pytest

from micrograd_cn import Value
from micrograd_cn.parameters.entries import as_lists
from micrograd_cn.parameters.tree import flatten, flatten_like, is_array
from micrograd_cn.testing.inputs.pytrees import flatten_pytree


class Pair(NamedTuple):
    left: object
    right: object


class Doubling(Pair):
    """A namedtuple whose `__new__` computes its items from those that it is given."""

    def __new__(cls, left, right):
        return super().__new__(cls, 2 * left, right)


class Labelled(Doubling):
    """A namedtuple whose `__new__` makes an attribute, too."""

    def __new__(cls, left, right):
        made = super().__new__(cls, left, right)
        made.text = f"{left}, {right}"
        return made


@pytest.mark.parametrize(
    "tree",
    [1, [], {}, (1,), [0] * 300, [1, (2, {"b": [3], "a": 4})], Pair(1, [Pair(2, 3)]), {"z": 1, 0: 2}, Doubling(1, 2)],
)
def test_what_is_taken_apart_is_put_together_again(tree):
    leaves, rebuild = flatten(tree)
    again = rebuild([leaf for _, leaf in leaves])
    assert (again, repr(again)) == (tree, repr(tree))
    assert type(again) is type(tree)
    assert [leaf for _, leaf in flatten_like(tree, again)] == [leaf for _, leaf in leaves]
    leaves, rebuild = flatten_pytree(tree)
    assert rebuild([leaf for _, leaf in leaves]) == as_lists(tree) == tree


def test_a_namedtuple_with_attributes_is_made_by_its_class():
    leaves, rebuild = flatten(Labelled(1, 2))
    assert rebuild([leaf for _, leaf in leaves]).text == "2, 2"


def test_arrays_of_one_shape_are_stacked_and_other_new_leaves_become_the_items_of_lists():
    _, rebuild = flatten(np.zeros(2))
    row = np.array([1.0, 2.0])
    assert rebuild([row, row]).tolist() == [[1.0, 2.0], [1.0, 2.0]]
    for leaves in ([row, 3.0], [3.0, row], [row, np.zeros(3)], [row, [1.0, 2.0]]):
        found = rebuild(leaves)
        assert type(found) is list
        assert all(x is leaf for x, leaf in zip(found, leaves, strict=True))


@pytest.mark.parametrize("shape", [(3,), (2, 3), (0,), (2, 0), (1, 1, 2)])
def test_an_array_is_taken_apart_and_put_together_again(shape):
    given = np.arange(float(np.prod(shape))).reshape(shape)
    leaves, rebuild = flatten({"x": (given, 7.0)}, "p")
    assert [x for _, x in leaves] == [*given.ravel().tolist(), 7.0]
    assert all(eval(path, {"p": {"x": (given, 7.0)}}) == x for path, x in leaves)
    again = rebuild([x for _, x in leaves])["x"][0]
    assert (again.dtype, again.shape, again.tolist()) == (np.float64, shape, given.tolist())


def test_what_comes_in_the_place_of_an_arrays_elements():
    _, rebuild = flatten(np.zeros((2, 1)))
    a, b = Value(1), Value(2)
    found = rebuild([a, b])
    assert (found.dtype, found.shape) == (object, (2, 1))
    assert (found[0, 0], found[1, 0]) == (a, b)
    rows = rebuild([np.ones(3), np.zeros(3)])
    assert (rows.dtype, rows.shape, rows[0, 0].tolist()) == (np.float64, (2, 1, 3), [1, 1, 1])
    mixed = rebuild([np.ones(1), np.array([a])])
    assert (mixed.dtype, mixed.shape) == (object, (2, 1, 1))
    assert [[row.tolist() for row in rows] for rows in rebuild([np.ones(1), np.ones(2)])] == [[[1]], [[1, 1]]]
    assert rebuild([[1, 2], [3, 4]]) == [[[1, 2]], [[3, 4]]]
    assert rebuild([{"a": 1}, 2]) == [[{"a": 1}], [2]]


@pytest.mark.parametrize("shape", [(1,), (1, 1), (3,), (2, 2)])
@pytest.mark.parametrize("inside", [(1,), (2,), (2, 3)])
def test_in_the_place_of_elements_arrays_of_one_shape_are_one_array_of_both_shapes(shape, inside):
    _, rebuild = flatten(np.zeros(shape))
    expected = np.arange(float(np.prod(shape + inside))).reshape(shape + inside)
    found = rebuild([*expected.reshape(-1, *inside)])
    assert (found.shape, found.tolist()) == (expected.shape, expected.tolist())


def test_what_is_an_array():
    arrays = [np.ones(1), np.zeros(0), array("d"), memoryview(b"12"), np.ones((1, 1)), np.array([None])]
    others = [1, 1.0, "12", [1], (1,), {}, None, Value(1), np.float64(1), np.array(1), np.ndarray, array, set()]
    assert [is_array(x) for x in arrays] == [True] * len(arrays)
    assert [is_array(x) for x in others] == [False] * len(others)
    leaf = np.ones(2)
    assert flatten([leaf], arrays=False)[0][0][1] is leaf


def test_an_array_has_the_structure_of_nested_lists_of_its_shape():
    rows = [[1.0, 2.0], [3.0, 4.0]]
    expected = flatten_like(rows, rows)
    for tree in (np.array(rows), [np.array(rows[0]), rows[1]], memoryview(np.array(rows))):
        assert flatten_like(tree, rows) == flatten_like(rows, tree) == flatten_like(tree, np.array(rows)) == expected
    with pytest.raises(ValueError, match=r"the structures differ at \[1\]$"):
        flatten_like(np.array(rows), [[0, 0], [0, 0, 0]])


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
    with pytest.raises(ValueError, match=f"the structures differ at {where}$"):
        flatten_like(tree, model)
