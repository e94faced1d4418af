"""Draw how the gradient flows, in English and Chinese: `python demos/gradient_flow.py`.

It draws four pictures: a neuron; a + a, where two contributions meet; a dead ReLU, which lets no gradient through; and
a network of 337 parameters, folded by layer. It writes a page that steps through the gradient flow of a neuron gated by
its own input, and the playground, in which you type an expression or train a network. Only the network's weights are
random; --seed decides them. --steps has no effect.
"""

from pathlib import Path

from micrograd_cn import Value
from micrograd_cn.flow import draw_flow, playground
from micrograd_cn.nn import MLP, Neuron
from micrograd_cn.picture import draw_dot
from shared.language import text
from shared.options import options


def neuron() -> tuple[Value, list[Value]]:
    """Return tanh(w * x + b) and the parameters to mark in its picture, w and b."""
    w, x, b = Value(-3, "w"), Value(2, "x"), Value(6.88, "b")
    y = (w * x + b).tanh()
    y.label = "y"
    return y, [w, b]


def a_plus_a() -> tuple[Value, list[Value]]:
    """Return a + a, and no parameters."""
    a = Value(3, "a")
    y = a + a
    y.label = "y"
    return y, []


def dead_relu() -> tuple[Value, list[Value]]:
    """Return the loss of a ReLU neuron whose weighted sum is negative, and no parameters."""
    cell = Neuron(2)
    for p, data in zip(cell.parameters(), (0.5, 0.7, 0.1), strict=True):
        p.data = data
    loss = (cell([Value(1, "x1"), Value(-2, "x2")]) - 1) ** 2
    loss.label = "loss"
    return loss, []


def network(seed: int) -> tuple[Value, list[Value]]:
    """Return the loss of a network with 337 parameters, and no parameters to mark in its folded picture."""
    loss = (MLP(2, [16, 16, 1], seed=seed)([Value(0.5, "x1"), Value(-1, "x2")]) - 1) ** 2
    loss.label = "loss"
    return loss, []


def gate() -> Value:
    """Return tanh(w * x + b) * x, in which two contributions meet at x."""
    w, x, b = Value(-3, "w"), Value(2, "x"), Value(6.88, "b")
    h = w * x + b
    h.label = "h"
    y = h.tanh() * x
    y.label = "y"
    return y


def main() -> None:
    chosen = options(str(__doc__), "画出梯度怎样流动，中英文各一份", 1)
    graphs = {"neuron": neuron(), "a_plus_a": a_plus_a(), "dead_relu": dead_relu(), "network": network(chosen.seed)}
    for name, (root, parameters) in graphs.items():
        root.backward()
        for lang in ("en", "zh"):
            path: Path = chosen.out / f"{name}.{lang}.svg"
            draw_dot(root, lang=lang, parameters=parameters).render(outfile=path)
            print(text("wrote", "已写入"), path)
    for lang in ("en", "zh"):
        for page in (
            draw_flow(gate(), lang=lang).save(chosen.out / f"flow.{lang}.html"),
            playground(lang).save(chosen.out / f"playground.{lang}.html"),
        ):
            print(text("wrote", "已写入"), page)


if __name__ == "__main__":
    main()
