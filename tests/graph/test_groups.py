"""Groups are named by their place, and each scope has its own copy of a network's parts."""

from micrograd_cn.graph.groups import Group


def test_a_group_is_named_by_its_place():
    layer = Group("layer")
    neuron = Group("neuron", layer)
    assert (str(layer), str(neuron)) == ("layer", "layer.neuron")
    neuron.join(None, "alone")
    assert str(neuron) == "alone"


def test_a_part_is_the_same_group_for_every_call_in_one_scope_and_another_in_the_next():
    layer = Group("layer")
    neurons = [Group(f"neurons.{i}", layer) for i in range(2)]
    first, second = Group("step", scope=True), Group("step", scope=True)
    inside = [neuron.inside(first) for neuron in neurons]
    assert [str(part) for part in inside] == ["step.layer.neurons.0", "step.layer.neurons.1"]
    assert [neuron.inside(first) is part for neuron, part in zip(neurons, inside, strict=True)] == [True, True]
    assert inside[0].outer is inside[1].outer
    assert neurons[0].inside(second) is not inside[0]
    assert [part.of for part in inside] == neurons
