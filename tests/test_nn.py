"""Neurons, layers and MLPs compute the right numbers, have the right structure, and refuse wrong arguments."""

import copy
import itertools
import math
import pickle
import random
from functools import partial

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, compiler, engine, nn
from micrograd_cn.engine import topological_order
from micrograd_cn.nn import MLP, Layer, Module, Neuron


def test_a_neuron_is_one_dot_node_and_its_activation():
    neuron = Neuron(3)
    y = neuron([1.0, 2.0, 3.0])
    assert [node.op.name for node in topological_order(y)] == ["relu", "dot"]
    assert [node.op.name for node in topological_order(Neuron(3, nonlin=False)([1, 2, 3]))] == ["dot"]


def test_a_neuron_computes_activation_of_w_x_plus_b():
    neuron = Neuron(2, activation="tanh")
    for p, data in zip(neuron.parameters(), [0.5, -2.0, 0.25], strict=True):
        p.data = data
    assert neuron([3.0, 0.5]).data == mc.tanh(0.5 * 3 - 2.0 * 0.5 + 0.25)


@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky_relu", "elu", mc.sin, lambda v: v * v])
def test_an_activation_is_a_name_or_any_function_of_a_value(activation):
    f = mc.OPS[activation] if isinstance(activation, str) else activation
    random.seed(0)
    linear = MLP(2, [1, 1])
    random.seed(0)
    model = MLP(2, [1, 1], activation=activation)
    x = [0.3, 0.8]
    [hidden] = [linear.layers[0].neurons[0]]
    z = mc.dot(hidden.w, x, hidden.b)
    assert model.layers[0](x).data == f(z).data
    assert model.layers[1]([1.0]).op is mc.dot, "the last layer has no activation"


def test_a_users_own_row_is_an_activation_by_name():
    """An operation that the user has defined can be an activation by its name."""
    mc.define(mc.Op("cube", lambda x: x * x * x, (lambda y, x: 3 * x * x,)))
    try:
        assert Neuron(1, activation="cube")([2]).op.name == "cube"
    finally:
        del mc.OPS["cube"]


def test_weights_are_uniform_draws_in_order_and_biases_zero():
    random.seed(42)
    expected = []
    for nin, nout in [(3, 4), (4, 2)]:
        for _ in range(nout):
            expected += [random.uniform(-1, 1) for _ in range(nin)] + [0.0]
    random.seed(42)
    assert [p.data for p in MLP(3, [4, 2]).parameters()] == expected


def test_one_neurons_output_is_a_bare_value_and_several_are_a_list():
    assert isinstance(Layer(3, 1)([1, 2, 3]), Value)
    assert isinstance(Layer(3, 2)([1, 2, 3]), list)
    assert isinstance(MLP(3, [4, 1])([1, 2, 3]), Value)
    assert isinstance(MLP(3, [1, 1, 2])([1, 2, 3]), list)
    assert isinstance(MLP(1, (1, 1))([1]), Value)


def test_a_bare_value_is_one_input_so_that_layers_chain_through_one_neuron():
    """A layer of one neuron returns a bare `Value`, and the next layer takes it as a list of one input."""
    random.seed(2)
    model = MLP(2, [1, 1, 2], activation="tanh")
    h = [0.3, -0.8]
    for layer in model.layers:
        h = [neuron(h) for neuron in layer.neurons]
    assert [y.data for y in model([0.3, -0.8])] == [y.data for y in h]
    x = Value(0.5)
    for one in (Neuron(1), Layer(1, 1), MLP(1, [1])):
        assert one(x).data == one([x]).data
    with pytest.raises(ValueError, match="Neuron of 2 inputs was given 1"):
        Neuron(2)(x)


def test_every_node_and_parameter_knows_where_it_is_in_the_network():
    """The group of each node and parameter is the path of its neuron, by which pictures are arranged."""
    model = MLP(2, [2, 1], activation="tanh")
    nodes = topological_order(model([1.0, 2.0]))
    where = {node.op.name + " " + str(node.group) for node in nodes}
    hidden = {f"{op} layers.0.neurons.{j}" for op in ("dot", "tanh") for j in (0, 1)}
    assert (where, len(nodes)) == (hidden | {"dot layers.1.neurons.0"}, 5)
    neuron = model.layers[0].neurons[1]
    assert {p.group for p in neuron.parameters()} == {neuron.group}
    assert [p.label for p in neuron.parameters()] == ["w0", "w1", "b"]
    assert str(Neuron(1).b.group) == "neuron"
    assert str(Layer(1, 2)([1])[1].group) == "layer.neurons.1"


def test_an_activation_without_a_name_is_ones_own():
    """The summary of a neuron shows "own" for an activation function that has no name."""
    assert Neuron(1, activation=partial(mc.elu, alpha=2.0)).summary() == "Neuron(1, own)"
    assert Neuron(1, activation=mc.tanh).summary() == "Neuron(1, tanh)"


def test_inputs_are_nodes_shared_by_all_neurons():
    x = [Value(1, "x0"), 2.0]
    model = MLP(2, [3, 2])
    out = mc.sum(model(x))
    first = [node for node in topological_order(out) if node.op is mc.dot and x[0] in node.parents]
    assert len(first) == 3
    assert len({node.parents[3] for node in first}) == 1
    out.backward()
    assert x[0].grad == pytest.approx(mc.gradients(out, [x[0]])[0], rel=1e-15)


def test_gradients_reach_every_parameter():
    random.seed(1)
    model = MLP(2, [3, 1], activation="tanh")
    model([1.0, -1.0]).backward()
    assert all(p.grad != 0 for p in model.parameters())
    model.zero_grad()
    assert all(p.grad == 0 for p in model.parameters())


def test_parameters_are_found_in_modules_lists_tuples_and_dicts_once_each_by_path():
    class Block(Module):
        def __init__(self):
            self.scale = Value(2)
            self.layers = [Layer(1, 1), (Neuron(1), Value(3))]
            self.named = {"a": self.scale, "b": Value(4)}
            self.other = "text"
            self.cached = self.scale * 2
            self.itself = self

    assert [name for name, _ in Block().named_parameters()] == [
        "scale",
        "layers.0.neurons.0.w.0",
        "layers.0.neurons.0.b",
        "layers.1.0.w.0",
        "layers.1.0.b",
        "layers.1.1",
        "named.b",
    ]


def test_a_module_may_name_its_parameters_itself_as_in_micrograd():
    class Scale(Module):
        def __init__(self):
            self.a, self.b = Value(2), Value(3)

        def parameters(self):
            return [self.a]

    scale = Scale()
    scale.a.grad = scale.b.grad = 1.0
    scale.zero_grad()
    assert (scale.a.grad, scale.b.grad) == (0, 1)


@pytest.mark.parametrize("kind", [lambda: Neuron(2), lambda: Layer(2, 3), lambda: MLP(2, [3, 1])])
@pytest.mark.parametrize("x", [[1], [1, 2, 3], []])
def test_a_wrong_number_of_inputs_names_both_numbers(kind, x):
    with pytest.raises(ValueError, match=rf"of 2 inputs was given {len(x)}"):
        kind()(x)


def test_a_neuron_of_many_inputs():
    neuron = Neuron(300, nonlin=False, init="zeros")
    assert neuron([1.0] * 300).data == 0.0
    with pytest.raises(ValueError, match="Neuron of 300 inputs was given 301"):
        neuron([1.0] * 301)


def test_a_neuron_by_itself_is_initialised_as_a_layer_of_one():
    alone, [in_a_layer] = Neuron(2, init="xavier_uniform", seed=0), Layer(2, 1, init="xavier_uniform", seed=0).neurons
    assert [w.data for w in alone.w] == [w.data for w in in_a_layer.w]


def test_what_is_hung_on_a_neuron_is_pickled_with_it():
    """Attributes that a user sets on a neuron are pickled with it."""
    neuron = Neuron(1)
    neuron.Name, neuron._rate = "first", 0.5
    again = pickle.loads(pickle.dumps(neuron))
    assert (again.Name, again._rate, again([1.0]).data) == ("first", 0.5, neuron([1.0]).data)


def test_refused_sizes():
    for make in (lambda n: Neuron(n), lambda n: Layer(n, 1), lambda n: MLP(n, [1])):
        with pytest.raises(ValueError, match="nin must be at least 1, got 0"):
            make(0)
        with pytest.raises(TypeError, match=r"nin must be an int, got float 2.0"):
            make(2.0)
    with pytest.raises(ValueError, match="nout must be at least 1, got -1"):
        Layer(1, -1)
    with pytest.raises(TypeError, match="nout must be an int, got str '4'"):
        MLP(1, ["4"])
    with pytest.raises(TypeError, match=r"got 3; write \[3\]"):
        MLP(2, 3)
    with pytest.raises(ValueError, match="at least one layer"):
        MLP(2, [])


def test_numpys_integers_are_sizes_and_bools_are_not():
    assert len(Neuron(np.int64(2)).w) == 2
    with pytest.raises(TypeError, match="nin must be an int, got bool True"):
        Neuron(True)


def test_refused_activations():
    with pytest.raises(ValueError, match=r"unknown activation 'rleu'; known: .*relu"):
        MLP(2, [1], activation="rleu")
    with pytest.raises(ValueError, match="unknown activation 'add'"):
        Neuron(2, activation="add")
    with pytest.raises(TypeError, match="name or a function, got 3"):
        Neuron(2, activation=3)


@pytest.mark.parametrize("model", [MLP(2, [3, 1]), Layer(2, 3), Neuron(2)])
@pytest.mark.parametrize(
    "batch", [[[0, 0], [0, 1], [1, 1]], np.zeros((3, 2)), ((0, 1), [Value(2), 3], (1, 1)), [np.zeros(2)] * 3]
)
def test_a_batch_is_told_to_be_given_row_by_row(model, batch):
    with pytest.raises(TypeError, match="one sample at a time, and was given a batch of 3; write") as caught:
        model(batch)
    assert len(eval(str(caught.value).partition("write ")[2], {"model": model, "batch": batch})) == 3
    with pytest.raises(TypeError, match=r"write \[model\(row\) for row in batch\]"):
        model(iter(batch))


def test_refused_inputs():
    with pytest.raises(TypeError, match="str 'a'"):
        Neuron(1)(["a"])


def test_a_layer_looks_at_each_neuron_s_number_of_inputs():
    layer = Layer(3, 2, nonlin=False)
    layer.neurons[1].w = layer.neurons[1].w[:2]
    with pytest.raises(ValueError, match="Neuron of 2 inputs was given 3"):
        layer([1.0, 2.0, 3.0])


def test_an_activation_that_is_set_is_applied():
    """Assigning an activation to a neuron changes what it computes, and a wrong one changes nothing."""
    neuron = Neuron(1, activation="relu", init="zeros")
    neuron.b.data, neuron.activation = -1.0, "tanh"
    assert neuron([0.0]).data == copy.deepcopy(neuron)([0.0]).data == math.tanh(-1.0)
    assert neuron.summary() == "Neuron(1, tanh)"
    with pytest.raises(ValueError, match="no such"):
        neuron.activation = "no such"
    assert neuron.activation == "tanh"


@pytest.mark.parametrize("model", [Neuron(1), Layer(1, 1), MLP(1, [1])], ids=lambda model: type(model).__name__)
def test_activation_functions_that_would_have_no_effect_are_refused(model):
    """The attribute `activations` may have what a user's hook has seen, such as outputs, but no functions."""
    for wrong in ("tanh", mc.tanh, ["tanh", mc.relu], {"layers.0": "tanh"}):
        with pytest.raises(AttributeError, match=r"has no activations; .*\.activation"):
            model.activations = wrong
    for seen in ([], {}, [Value(1.0) * 2.0], None):
        model.activations = seen
        assert model.activations is seen
        del vars(model)["activations"]


def test_a_linear_neuron_refuses_an_activation_that_it_would_not_apply():
    """What the message says to write has the effect, and so has the advice for a list of activations."""
    neuron = Neuron(1, nonlin=False, init=lambda *_: 1.0)
    neuron.activation = neuron.activation  # no change
    with pytest.raises(ValueError, match=r"nonlin=False applies no activation; .*n\.activation = True, 'tanh', and"):
        neuron.activation = "tanh"
    assert (neuron.activation, neuron([0.5]).data) == ("relu", 0.5)
    neuron.nonlin, neuron.activation = True, "tanh"
    assert neuron([0.5]).data == math.tanh(0.5)

    with pytest.raises(TypeError, match=r"activation of each layer, write for (?P<code>.*)") as error:
        MLP(1, [2, 1], activation=["tanh", "sigmoid"])
    model, names = MLP(1, [2, 1], init=lambda *_: 1.0), ["tanh", "sigmoid"]
    head, line, body = str(error.value).partition("write ")[2].replace(": for", ":\n for").partition("\n")
    exec(head + line + body, {"model": model, "names": names})
    assert model([0.5]).data == pytest.approx(1.0 / (1.0 + math.exp(-2.0 * math.tanh(0.5))))


class ByHand(Neuron):
    """A neuron as code for micrograd has it: it sets micrograd's attributes and does not call `super().__init__`."""

    def __init__(self, nin, nonlin=True):
        self.w = [Value(0.5) for _ in range(nin)]
        self.b = Value(0.25)
        self.nonlin = nonlin


class Bare(Neuron):
    """A neuron that sets no more than its parameters."""

    def __init__(self, nin):
        self.w = [Value(-0.5) for _ in range(nin)]
        self.b = Value(0)


class Other:
    """A neuron that is not a `Neuron`, and whose attributes have other names."""

    def __init__(self, nin):
        self.weights = [Value(1.0) for _ in range(nin)]

    def __call__(self, xs):
        return sum((w * x for w, x in zip(self.weights, xs, strict=True)), Value(0.0))


class Layers(Layer):
    """A layer of neurons of any class, which does not call `super().__init__`."""

    def __init__(self, nin, nout, kind=ByHand):
        self.neurons = [kind(nin) for _ in range(nout)]


class Network(MLP):
    """An MLP of such layers, which does not call `super().__init__` either."""

    def __init__(self, nin, nouts):
        sizes = [nin, *nouts]
        self.layers = [Layers(a, b) for a, b in zip(sizes, nouts, strict=False)]


def test_subclasses_need_not_call_init():
    assert ByHand(2)([1.0, 2.0]).data == 1.75
    assert Bare(2)([1.0, 2.0]).data == 0.0
    assert ByHand(2, nonlin=False)([-1.0, -2.0]).data == -1.25
    assert ByHand(2).summary() == "Neuron(2, relu)"
    assert Layers(2, 3)([1.0, 2.0])[2].data == 1.75
    model = Network(2, [3, 1])
    y = model([1.0, 2.0])
    y.backward()
    assert y.data == 1.75 * 1.5 + 0.25
    assert [p.grad for p in model.parameters()] == [0.5, 1.0, 0.5] * 3 + [1.75] * 3 + [1.0]
    assert copy.deepcopy(model)([1.0, 2.0]).data == pickle.loads(pickle.dumps(model))([1.0, 2.0]).data == y.data
    with mc.scope("part") as scope:
        assert ByHand(2)([1.0, 2.0]).group is scope
    assert "v0" in mc.draw_dot(y).source
    neuron = ByHand(2)
    neuron.activation = "tanh"
    assert neuron([1.0, 2.0]).data == math.tanh(1.75)


def test_a_layer_of_other_neurons_gives_them_the_inputs():
    x = np.array([1.0, 2.0])
    assert [y.data for y in Layers(2, 2, Other)(x)] == [3.0, 3.0]
    model = MLP(2, [2, 1], activation="relu", init="zeros")
    model.layers[0] = Layers(2, 2, Other)
    assert model(x).data == 0.0


@pytest.mark.parametrize("count", [1, 3])
def test_an_mlp_of_another_number_of_inputs_says_mlp(count):
    with pytest.raises(ValueError, match=rf"^MLP of 2 inputs was given {count}$"):
        MLP(2, [3, 1])([1.0] * count)
    with pytest.raises(ValueError, match=rf"^Network of 2 inputs was given {count}$"):
        Network(2, [3, 1])([1.0] * count)
    broken = MLP(2, [3, 1])
    broken.layers[0].neurons.pop()
    with pytest.raises(ValueError, match=r"^Layer of 3 inputs was given 2$"):
        broken([1.0, 2.0])


def test_an_mlp_takes_its_sizes_from_any_iterable():
    assert repr(MLP(2, (n for n in [3, 1]), seed=0)) == repr(MLP(2, [3, 1], seed=0))


@pytest.mark.parametrize("make", [lambda x: Neuron(2, x), lambda x: Layer(2, 3, x), lambda x: Layer(1, 1, nonlin=x)])
@pytest.mark.parametrize(
    ("given", "write"), [("tanh", "'tanh'"), (mc.tanh, ""), (math.tanh, "tanh"), (3, ""), (None, "")]
)
def test_an_activation_in_the_place_of_nonlin_is_refused(make, given, write):
    with pytest.raises(TypeError, match=f"nonlin must be a bool, got .*; write activation={write}"):
        make(given)


def test_nonlin_may_be_any_bool():
    for truth, name in ((True, "relu"), (False, "linear"), (np.True_, "relu"), (np.False_, "linear"), (0, "linear")):
        assert Neuron(2, truth).activation_name() == name


@pytest.mark.parametrize("model", [Neuron(2), Layer(2, 3), MLP(2, [3, 1])], ids=lambda model: type(model).__name__)
def test_inputs_without_order_and_bare_numbers_are_refused(model):
    for given, message in (
        ({0: 5.0, 1: 7.0}, r"write list\(d.values\(\)\)"),
        (b"ab", r"write list\(b\)"),
        ({1.0, 2.0}, "which has no order; write a list"),
        (0.5, f"{type(model).__name__} takes a list of inputs, got the number 0.5; write \\[0.5\\]"),
        (3, r"write \[3\]"),
    ):
        with pytest.raises(TypeError, match=message):
            model(given)


@pytest.mark.parametrize("activation", ["linear", "identity", None])
def test_a_name_for_no_activation_is_answered_with_what_to_write(activation):
    with pytest.raises((TypeError, ValueError), match=r"for none, write nonlin=False in a Neuron or Layer"):
        MLP(2, [2, 1], activation=activation)


class Scale(Module):
    """A module that can be a neuron of a layer, and is not a `Neuron`."""

    def __init__(self):
        self.k = Value(2.0)

    def __call__(self, xs):
        return self.k * xs[0]


class ScaleNeuron(Neuron):
    """A `Neuron` that has neither micrograd's attributes nor a weight for each input."""

    def __init__(self):
        self.k = Value(2.0)

    def __call__(self, xs):
        return self.k * xs[0]


def layer_of(*neurons):
    """Return a layer of these neurons."""
    layer = Layer(2, 1, init="zeros")
    layer.neurons = [*neurons]
    return layer


def mlp_of(*layers):
    """Return an MLP of these layers."""
    model = MLP(2, [1])
    model.layers = [*layers]
    return model


def double(xs):
    return [2.0 * x for x in xs]


@pytest.mark.parametrize(
    ("model", "text", "state"),
    [
        (ScaleNeuron(), "ScaleNeuron(), 1 parameter", {"k": 2.0}),
        (
            layer_of(Scale(), ScaleNeuron()),
            "Layer of 2 neurons: Scale(), ScaleNeuron(), 2 parameters",
            {"neurons.0.k": 2.0, "neurons.1.k": 2.0},
        ),
        (
            layer_of(Neuron(1, init="zeros"), Scale()),
            "Layer of 2 neurons: Neuron(1, relu), Scale(), 3 parameters",
            {"neurons.0.weight": [0.0], "neurons.0.bias": 0.0, "neurons.1.k": 2.0},
        ),
        (layer_of(double), "Layer of 1 neurons: double, 0 parameters", {}),
        (layer_of(), "Layer of 0 neurons, 0 parameters", {}),
        (
            mlp_of(double, Layer(2, 1, init="zeros")),
            "MLP of double, Layer(2, 1, relu), 3 parameters\n  layers.1: Layer(2, 1, relu)",
            {"layers.1.weight": [[0.0, 0.0]], "layers.1.bias": [0.0]},
        ),
        (mlp_of(Scale()), "MLP of Scale(), 1 parameter\n  layers.0: Scale()", {"layers.0.k": 2.0}),
        (
            mlp_of(layer_of(Scale())),
            "MLP of Layer of 1 neurons: Scale(), 1 parameter\n  layers.0: Layer of 1 neurons: Scale()",
            {"layers.0.neurons.0.k": 2.0},
        ),
    ],
    ids=range(8),
)
def test_neurons_and_layers_of_ones_own_are_printed_and_saved(model, text, state, tmp_path):
    """Layers with user-defined neurons, and MLPs with user-defined layers, are printed, saved and loaded."""
    assert (repr(model), model.state_dict()) == (text, state)
    model.save(tmp_path / "model.json")
    for p in model.parameters():
        p.data = 7.0
    model.load(tmp_path / "model.json")
    assert model.state_dict() == state


def test_a_number_in_the_place_of_a_weight_is_refused_where_it_would_be_saved(tmp_path):
    """If a weight was replaced by a plain number, saving raises, and says how to assign the number to the weight."""

    class Listing(Neuron):
        """A neuron that lists its parameters itself, as code for micrograd has it."""

        def parameters(self):
            return [*self.w, self.b]

    for kind, (name, replaced, write) in itertools.product(
        (Neuron, Listing),
        (
            ("w[0]", 0.5, r"w\[0\] is 0.5, which is no parameter; write w\[0\].data = 0.5"),
            ("b", 0.0, "b is 0.0, which is no parameter; write b.data = 0.0"),
            ("b", None, "b is None, which is no parameter; write b.data = 0.0"),
        ),
    ):
        neuron, layer = kind(2), layer_of(kind(2), kind(2))
        for changed in (neuron, layer.neurons[1]):
            if name == "b":
                vars(changed)["b"] = replaced  # an assignment to a neuron of a user's class would be refused
            else:
                changed.w[0] = replaced
        calls = (neuron.state_dict, lambda n=neuron: n.save(tmp_path / "n"), lambda n=neuron: n.load(tmp_path / "n"))
        kind(2).save(tmp_path / "n")
        for call in calls:
            with pytest.raises(TypeError, match=f"^{write}"):
                call()
        with pytest.raises(TypeError, match=r"neurons\[1\]\." + write.split(";")[0]):
            layer.state_dict()


class ScaledNeuron(Neuron):
    """A `Neuron` with an additional parameter."""

    def __init__(self, nin):
        super().__init__(nin, init="zeros")
        self.scale = Value(3.0)


def test_a_parameter_that_a_subclass_adds_is_saved_and_loaded(tmp_path):
    neuron, layer = ScaledNeuron(1), layer_of(ScaledNeuron(1), ScaledNeuron(1))
    layer.gain = Value(5.0)
    assert neuron.state_dict() == {"weight": [0.0], "bias": 0.0, "scale": 3.0}
    others = {"neurons.0.scale": 3.0, "neurons.1.scale": 3.0, "gain": 5.0}
    state = {"weight": [[0.0], [0.0]], "bias": [0.0, 0.0], **others}
    assert layer.state_dict() == state
    layer.save(tmp_path / "layer.json")
    for p in layer.parameters():
        p.data = 7.0
    layer.load(tmp_path / "layer.json")
    assert layer.state_dict() == state
    neuron.weight = Value(1.0)
    with pytest.raises(ValueError, match="two entries of the state have the name 'weight'; rename one"):
        neuron.state_dict()


@pytest.mark.parametrize("model", [Neuron(1), Layer(1, 1), MLP(1, [1])])
def test_an_attribute_of_layers_elsewhere_that_would_have_no_effect_is_refused(model):
    kind = type(model)
    for name, write in (
        ("training", "leave it out, because a model has no modes"),
        ("dropout", "multiply outputs of a layer"),
        ("weights", r"(the weights are|write) .*\.?w\b"),
        ("init", rf"write {kind.__name__}\(nin, .*init=\.\.\.\)"),
        ("seed", rf"write {kind.__name__}\(nin, .*seed=\.\.\.\)"),
        ("nin", r"write len\(.*w\)"),
        ("activaton", "read and set neuron.activation" if kind is Neuron else "each neuron has its own"),
        ("Nonlin", "read and set neuron.nonlin" if kind is Neuron else "each neuron has its own"),
    ):
        with pytest.raises(AttributeError, match=f"^{kind.__name__} has no {name}; {write}"):
            setattr(model, name, False)
        assert not hasattr(model, name)


@pytest.mark.parametrize("kind", [Neuron, Layer, MLP])
def test_attributes_of_a_users_own_are_no_misspelt_ones(kind):
    """A subclass may have any attribute, also one that the class itself refuses."""
    sizes = {Neuron: (1,), Layer: (1, 1), MLP: (1, [1])}[kind]

    class Own(kind):
        pass

    for model, names in (
        (kind(*sizes), "name note groups layered bs"),
        (Own(*sizes), "activaton weights init seed nin"),
    ):
        for name in names.split():
            setattr(model, name, 3)
            assert getattr(copy.deepcopy(model), name) == 3


def test_a_subclass_may_have_a_mode_and_dropout_of_its_own():
    """Compiled code notices that such an attribute changes, as any other."""

    class Net(MLP):
        def __init__(self):
            super().__init__(1, [1], init="zeros")
            self.training, self.dropout = True, 0.5

        def __call__(self, xs):
            return super().__call__(xs) * (self.dropout if self.training else 1.0)

    net = Net()
    net.layers[0].neurons[0].b.data = 3.0
    compiled = compiler.compile(net)
    assert compiled([3.0]) == net([3.0]).data == 1.5
    net.training = False
    assert net([3.0]).data == 3.0
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        compiled([3.0])


@pytest.mark.parametrize(
    ("call", "exception", "message"),
    [
        (lambda: MLP([2, 3, 1]), TypeError, r"^MLP takes the number of inputs first; write MLP\(2, \[3, 1\]\)$"),
        (lambda: MLP(2, 3, 1), TypeError, r"write MLP\(2, \[3, 1\]\)$"),
        (lambda: MLP(2, [3], activaton="tanh"), TypeError, r"^MLP has no option activaton; write activation=\.\.\.$"),
        (lambda: Neuron(2, activation=math.tanh), TypeError, "takes plain numbers; write activation='tanh'$"),
        (lambda: MLP(2, {3, 1}), TypeError, "nouts must be a sequence .*, got {1, 3}, which has no order$"),
        (lambda: MLP(2, {"a": 1}), TypeError, "nouts must be a sequence .*, got {'a': 1}$"),
        (lambda: MLP(2, "31"), TypeError, "nouts must be a sequence .*, got '31'$"),
        (lambda: MLP(2, None), TypeError, "nouts must be a sequence .*, got None$"),
        (lambda: MLP(2, np.int64(3)), TypeError, r"nouts must be a sequence .*; write \[3\]$"),
        (lambda: MLP(2, [3.0]), TypeError, r"nout must be an int, got float 3\.0; write 3$"),
        (lambda: MLP(2, [2.5]), TypeError, r"nout must be an int, got float 2\.5$"),
        (lambda: Layer(2, [3]), TypeError, r"nout must be an int, got list \[3\]; write 3$"),
        (lambda: Neuron((2,)), TypeError, r"nin must be an int, got tuple \(2,\); write 2$"),
        (lambda: Neuron([True]), TypeError, r"nin must be an int, got list \[True\]$"),
        (lambda: Layer(2, 3, activation="ReLU"), ValueError, "unknown activation 'ReLU'; write 'relu'; known"),
        (lambda: MLP(2, [3, 1], "Softmax"), ValueError, r"so write softmax\(model\(x\)\); known"),
        (
            lambda: MLP(2, [3, 1], mc.softmax),
            ValueError,
            r"unknown activation 'softmax'; .*write softmax\(model\(x\)\)",
        ),
        (
            lambda: Layer(1, 1, activation=print)([1]),
            TypeError,
            "activation function must return a Value, got NoneType",
        ),
        (lambda: MLP(2, [1])(None), TypeError, "MLP takes a list of inputs, got NoneType None$"),
        (lambda: Layer(2, 1)(math), TypeError, "Layer takes a list of inputs, got module"),
        (
            lambda: MLP(2, [1])([[1], [2]]),
            TypeError,
            r"MLP takes a list of 2 inputs.* a column; write \[x for \[x\] in ",
        ),
        (lambda: MLP(2, [1])(np.array([[1], [2]])), TypeError, r"was given a column; write inputs\.ravel\(\)$"),
        (lambda: MLP(1, [1])([[1]]), TypeError, "a batch of 1; write"),
        (lambda: MLP(2, [1])([[1], [2], [3]]), TypeError, "a batch of 3; write"),
    ],
)
def test_what_networks_refuse_is_answered_with_what_to_write(call, exception, message):
    with pytest.raises(exception, match=message):
        call()


def test_an_activation_function_may_return_a_plain_number():
    layer = Layer(1, 2, activation=lambda x: max(0, x), init="zeros")
    (a,), (b,) = layer.neurons[0].w, layer.neurons[1].w
    a.data, b.data = -1.0, 1.0
    outputs = layer([2.0])
    assert [y.data for y in outputs] == [0.0, 2.0]
    mc.sum(outputs).backward()
    assert (a.grad, b.grad) == (0.0, 2.0)


def test_an_activation_that_is_assigned_to_a_layer_or_network_is_refused():
    model = MLP(2, [3, 1], seed=0)
    for part in (model, model.layers[0]):
        kind = type(part).__name__
        for name, new in (("activation", "tanh"), ("nonlin", False)):
            with pytest.raises(
                AttributeError, match=rf"^{kind} has no {name}; each neuron has its own; write .*n\.{name}"
            ):
                setattr(part, name, new)
            assert not hasattr(part, name)
    for n in model.layers[0].neurons:
        n.activation = "tanh"
    assert model([1.0, 2.0]).data == MLP(2, [3, 1], "tanh", seed=0)([1.0, 2.0]).data


@pytest.mark.parametrize(
    ("make", "name", "write"),
    [
        (lambda: MLP(2, [1]), "weight", r"write model\.state_dict\(\)"),
        (lambda: MLP(2, [1]), "bias", r"write model\.state_dict\(\)"),
        (lambda: Layer(2, 1), "w", r"each neuron has its own; write layer\.neurons\[j\]\.w"),
        (lambda: Layer(2, 1), "b", r"each neuron has its own; write layer\.neurons\[j\]\.b"),
        (lambda: Neuron(2), "act", r"read and set neuron\.activation"),
        (lambda: Neuron(2), "nonlinearity", r"read and set neuron\.activation"),
    ],
)
def test_a_weight_or_activation_under_another_name_is_refused(make, name, write):
    """An assignment would have no effect on what the model computes."""
    model = make()
    message = f"^{type(model).__name__} has no {name}; {write}"
    with pytest.raises(AttributeError, match=message):
        getattr(model, name)
    with pytest.raises(AttributeError, match=message):
        setattr(model, name, 1.0)
    own = type("Own", (type(model),), {})(2, *([[1]] if isinstance(model, MLP) else [1] * isinstance(model, Layer)))
    setattr(own, name, 2.0)
    assert getattr(own, name) == 2.0


def test_a_layer_of_a_users_own_class_may_have_an_activation():
    class Own(Layer):
        def __init__(self):
            super().__init__(2, 2, nonlin=False)
            self.activation = mc.tanh

        def __call__(self, x):
            return [self.activation(y) for y in super().__call__(x)]

    for layer in (Own(), copy.deepcopy(Own()), pickle.loads(pickle.dumps(Layer(1, 1)))):
        assert (layer.activation is mc.tanh) if isinstance(layer, Own) else not hasattr(layer, "activation")


def halve(neuron):
    neuron.w = [w * 0.5 for w in neuron.w]


def shift(neuron):
    neuron.b = neuron.b + 1


def double_first(neuron):
    neuron.w[0] *= 2


@pytest.mark.parametrize(("change", "name"), [(halve, r"w\[0\]"), (shift, "b"), (double_first, r"w\[0\]")])
@pytest.mark.parametrize("used", [False, True])
def test_a_weight_that_was_replaced_by_a_computed_value_is_refused(change, name, used, tmp_path):
    """It is no parameter, so it would not be trained. Earlier outputs that refer to the old weight do not matter."""
    model, neuron, own = MLP(2, [2, 1], seed=0), Neuron(2, seed=0), ByHand(2)
    kept = [model([1, 2]), neuron([1, 2])] if used else []
    change(model.layers[1].neurons[0])
    change(neuron)
    if change is not double_first:  # an assignment to an attribute of a user's class is refused at once
        with pytest.raises(TypeError, match=r"would replace parameters by what is computed \((mul|add)\)"):
            change(own)
    double_first(own)
    for part, path in ((model, rf"neurons\.0\.{name}"), (neuron, f"^{name}"), (own, r"^w\[0\]")):
        for call in (part.parameters, part.zero_grad, lambda part=part: part.save(tmp_path / "m.json")):
            with pytest.raises(TypeError, match=rf"{path} is computed \((mul|add)\), so it is no parameter"):
                call()
    assert len(kept) == 2 * used


def test_a_weight_may_be_computed_from_the_parameters_of_another_model():
    """The parameters of a hypernetwork, or those with which an inner loop began, are trained where they are held."""
    hyper, target = MLP(1, [3], seed=0), Neuron(2)
    *target.w, target.b = hyper([1.0])
    assert target.parameters() == []
    both = layer_of(target)
    both.hyper = hyper
    assert len(both.parameters()) == len(hyper.parameters())
    start = Neuron(2, seed=0)
    fast = copy.deepcopy(start)
    fast.w = [w - 0.1 * w for w in start.w]
    assert fast.parameters() == [fast.b]


@pytest.mark.parametrize(("held", "text"), [([1.0, 2.0], r"w\[0\] is 1\.0"), ((Value(1), 3), r"w\[1\] is 3")])
def test_numbers_in_the_place_of_weights_are_refused_where_parameters_are_listed(held, text):
    model = MLP(2, [1])
    model.layers[0].neurons[0].w = held
    with pytest.raises(TypeError, match=rf"^layers\.0\.neurons\.0\.{text}, which is no parameter; write .*\.data = "):
        model.parameters()
    own = Other(2)
    own.w, own.b = [1.0], None
    assert len(layer_of(own).parameters()) == 2  # another class may use the names


class Times(Value):
    """A subclass of `Value` that counts products, and makes each of them one more."""

    products = 0

    def __mul__(self, other):
        Times.products += 1
        return super().__mul__(other) + 1.0


def test_a_neuron_calls_the_operators_that_a_subclass_of_value_overrides():
    neuron = Neuron(2, nonlin=False)
    neuron.w, neuron.b = [Times(2), Times(3)], Value(1)
    before = Times.products
    y = neuron([1.0, 2.0])
    y.backward()
    assert (y.data, Times.products - before) == (2 + 1 + 6 + 1 + 1, 2)
    assert [p.grad for p in neuron.parameters()] == [1.0, 2.0, 1.0]
    plain = Neuron(1, nonlin=False, init="zeros")
    assert plain([1.0]).op is mc.dot


def halved(x):
    return x * 0.5


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_an_activation_is_the_method_of_value_that_the_user_has_replaced(name, monkeypatch):
    """This holds for a neuron that was made before the replacement or is a copy, and until the method is put back."""

    class ByHand(Neuron):  # as in code for micrograd
        def __init__(self):
            self.w, self.b = [Value(1.0)], Value(0.0)

    neurons = [Neuron(1, activation=name, init="zeros"), *([ByHand()] if name == "relu" else [])]
    for neuron in neurons:
        neuron.b.data = -4.0
    neurons += [pickle.loads(pickle.dumps(neurons[0])), copy.deepcopy(neurons[0])]
    before = [neuron([0.0]).data for neuron in neurons]
    with monkeypatch.context() as patch:
        patch.setattr(Value, name, halved)
        assert {neuron([0.0]).data for neuron in [*neurons, *copy.deepcopy(neurons)]} == {-2.0}
    assert [neuron([0.0]).data for neuron in neurons] == before


def test_an_activation_is_the_method_of_a_subclass_of_value():
    class Leaky(Value):
        def __add__(self, other):
            return Leaky(super().__add__(other).data)

        def __mul__(self, other):
            return Leaky(super().__mul__(other).data)

        __radd__, __rmul__ = __add__, __mul__

        def relu(self):
            return Leaky(self.data if self.data > 0 else 0.1 * self.data)

    neuron = Neuron(2, init=lambda rng, nin, nout: 1.0)
    y = neuron([Leaky(1.0), Leaky(-3.0)])
    assert (type(y), y.data) == (Leaky, -0.2)


def test_a_subclass_of_neuron_whose_activation_would_be_ignored_is_refused():
    for held in (lambda self, x: x.tanh(), "tanh", mc.tanh):
        for methods in ({}, {"__call__": lambda self, x: super().__call__(x)}):
            with pytest.raises(TypeError, match=r"^class Own defines activation, .*write super\(\)\.__init__"):
                type("Own", (Neuron,), {"activation": held, **methods})

    class Own(Neuron):
        def activation(self, x):
            return x.tanh()

        def __call__(self, x):
            return self.activation(self.w[0] * x + self.b)

    own = Own(1)
    own.w[0].data = 2.0
    assert own(0.5).data == math.tanh(1.0)


def test_an_activation_that_is_assigned_to_nonlin_is_refused_when_the_neuron_is_called():
    neuron = Neuron(1)
    neuron.nonlin = "tanh"
    with pytest.raises(TypeError, match=r"^nonlin must be a bool, got 'tanh'; write activation='tanh'$"):
        neuron([1.0])
    neuron.nonlin = np.True_
    assert neuron([1.0]).op is mc.relu


@pytest.mark.parametrize(
    ("part", "name", "write"),
    [
        (Layer(1, 1), "weight", r"layer\.neurons\[j\]\.w\[i\]\.data = "),
        (Layer(1, 1), "bias", r"layer\.neurons\[j\]\.b\.data = "),
        (Neuron(1), "weight", r"neuron\.w\[0\]\.data = "),
        (Neuron(1), "bias", r"neuron\.b\.data = "),
        (MLP(1, [1]), "forward", r"write super\(\)\.__call__\(x\)"),
        (Layer(1, 1), "forward", r"write super\(\)\.__call__\(x\)"),
    ],
)
def test_attributes_of_pytorch_are_not_set_and_then_ignored(part, name, write):
    with pytest.raises(AttributeError, match=f"^{type(part).__name__} has no {name}; .*{write}"):
        setattr(part, name, None)
    assert not hasattr(part, name)


def test_super_forward_is_answered_with_what_to_write():
    class Own(MLP):
        def forward(self, x):
            return super().forward(x)

    with pytest.raises(AttributeError, match=r"^Own has no forward; write super\(\)\.__call__\(x\)"):
        Own(1, [1])([1.0])


def test_a_bias_that_is_none_is_answered_with_what_to_write():
    neuron = Neuron(1)
    neuron.b = None
    with pytest.raises(TypeError, match=r"^b is None, which is no parameter; write b\.data = 0\.0, or.*requires_grad"):
        neuron([1.0])


@pytest.mark.parametrize("kind", [partial(Neuron, 2), partial(Layer, 2, 1), partial(MLP, 2, [1])])
def test_options_of_other_libraries_are_answered_with_what_to_write(kind):
    with pytest.raises(TypeError, match=r"^\w+ has no option bias; for none, write n\.b\.requires_grad = False"):
        kind(bias=False)
    with pytest.raises(TypeError, match=r"^\w+ has no option dtype; leave it out, because all numbers are float64 "):
        kind(dtype=float)
    with pytest.raises(TypeError, match=r"^\w+ has no option nowhere; its options are activation, init, seed"):
        kind(nowhere=1)


@pytest.mark.parametrize("kind", [Layer, MLP])
@pytest.mark.parametrize(("name", "held"), [("activation", "tanh"), ("nonlin", False)])
def test_an_activation_in_the_class_of_a_layer_is_refused_if_nothing_reads_it(kind, name, held):
    with pytest.raises(TypeError, match=rf"^class Own defines {name}, which {kind.__name__} would not apply; write"):
        type("Own", (kind,), {name: held})

    class Used(Layer):
        activation = "tanh"

        def __init__(self):
            super().__init__(1, 1, activation=self.activation, init="zeros")

    assert Used().neurons[0].activation == "tanh"


def test_an_activation_for_each_layer_is_answered_with_code_that_sets_it():
    with pytest.raises(TypeError, match="for an activation of each layer, write for") as refused:
        MLP(1, [2, 1], activation=["relu", "tanh"])
    code = str(refused.value).partition("of each layer, write ")[2]
    names = {"model": MLP(1, [2, 1]), "names": ["gelu", "tanh"]}
    exec(code.replace(": for n", ":\n for n"), names)
    assert [layer.neurons[0].activation for layer in names["model"].layers] == ["gelu", "tanh"]


@pytest.mark.parametrize("model", [Neuron(1), Layer(1, 2), MLP(1, [2, 1])], ids=lambda model: type(model).__name__)
def test_a_second_input_beside_a_list_is_not_ignored(model):
    for x in (1.0, Value(1.0, label="1.0")):
        with pytest.raises(TypeError, match=r"one list of inputs, got 2 arguments; write model\(\[1\.0, 2\.0\]\)$"):
            model(x, 2.0)


@pytest.mark.parametrize("is_batch", [True, False])
def test_a_forward_that_calls_its_own_model_is_told_what_to_write(is_batch):
    class Net(MLP):
        def forward(self, x):
            return [self(row) for row in x] if is_batch else self(x)

    with pytest.raises((TypeError, RecursionError)) as caught:
        Net(2, [1])([[1.0, 2.0]])
    [note] = caught.value.__notes__
    assert note.startswith("Net.forward calls the model")
    assert "write super().__call__(x) for the call of MLP" in note


def test_an_error_of_a_forward_that_does_not_call_its_model_has_no_note():
    class Net(MLP):
        def forward(self, x):
            return super().__call__(x) + "text"

    with pytest.raises(TypeError) as caught:
        Net(2, [1])([1.0, 2.0])
    assert not hasattr(caught.value, "__notes__")


def test_classes_that_take_the_options_of_micrograd_may_be_assigned_to_nn(monkeypatch):
    class Own(nn.Neuron):
        def __init__(self, nin, nonlin=True):
            super().__init__(nin, nonlin=nonlin)

    class Plain:
        def __init__(self, nin, nonlin=True):
            self.nonlin = nonlin

        def __call__(self, x):
            return sum(x)

    class Wide(nn.Layer):
        def __init__(self, nin, nout, **options):
            super().__init__(nin, nout, **options)
            self.given = options

    monkeypatch.setattr(nn, "Neuron", Own)
    model = nn.MLP(2, [3, 1])
    assert [n.nonlin for layer in model.layers for n in layer.neurons] == [True, True, True, False]
    assert len(model.parameters()) == 13
    monkeypatch.setattr(nn, "Neuron", Plain)
    assert nn.MLP(2, [3, 1])([1.0, 2.0]) == 9.0
    monkeypatch.undo()
    monkeypatch.setattr(nn, "Layer", Wide)
    assert [layer.given for layer in nn.MLP(2, [3, 1]).layers] == [{}, {"nonlin": False}]
    first = nn.MLP(2, [3, 1], activation="tanh", init="zeros", seed=0).layers[0]
    assert {**first.given, "seed": None} == {"activation": "tanh", "init": "zeros", "seed": None}


def test_a_subclass_that_is_assigned_to_the_modules_value_applies_its_own_activation(monkeypatch):
    class Leaky(Value):
        def relu(self):
            out = Leaky(max(0.1 * self.data, self.data), (self,), "leaky")

            def backward():
                self.grad += (1.0 if out.data > 0.0 else 0.1) * out.grad

            out._backward = backward
            return out

    for module in (engine, nn):
        monkeypatch.setattr(module, "Value", Leaky)
    model = nn.MLP(2, [3, 1], seed=0)
    first, last = model.layers[0].neurons, model.layers[1].neurons[0]
    sums = [sum(w.data * x for w, x in zip(n.w, [1.0, -2.0], strict=True)) for n in first]
    wanted = sum(w.data * max(0.1 * s, s) for w, s in zip(last.w, sums, strict=True))
    y = model([1.0, -2.0])
    y.backward()
    assert y.data == pytest.approx(wanted)
    assert last.w[0].grad == pytest.approx(max(0.1 * sums[0], sums[0]))
