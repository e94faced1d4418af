"""Draw how the gradient flows, in English and Chinese: `python demos/gradient_flow.py`.

It draws four pictures: a neuron, as an animation of its backward pass; a + a, where two contributions meet; a dead
ReLU, which lets no gradient through; and a network of 337 parameters, folded by layer. It writes a page that steps
through the gradient flow of a neuron gated by its own input, and the playground, in which you type an expression or
train a network. Only the network's weights are random; --seed decides them. --steps has no effect.
"""

from pathlib import Path

from micrograd_cn import Value
from micrograd_cn.flow import draw_flow, playground
from micrograd_cn.nn import MLP, Neuron
from micrograd_cn.picture import draw_dot
from shared.language import text
from shared.options import options


def neuron() -> Value:
    """Return tanh(w * x + b)."""
    w, x, b = Value(-3, "w"), Value(2, "x"), Value(6.88, "b")
    y = (w * x + b).tanh()
    y.label = "y"
    return y


def a_plus_a() -> Value:
    """Return a + a."""
    a = Value(3, "a")
    y = a + a
    y.label = "y"
    return y


def dead_relu() -> Value:
    """Return the loss of a ReLU neuron whose weighted sum is negative."""
    cell = Neuron(2)
    for p, data in zip(cell.parameters(), (0.5, 0.7, 0.1), strict=True):
        p.data = data
    loss: Value = (cell([Value(1, "x1"), Value(-2, "x2")]) - 1) ** 2
    loss.label = "loss"
    return loss


def network(seed: int) -> Value:
    """Return the loss of a network with 337 parameters."""
    loss: Value = (MLP(2, [16, 16, 1], seed=seed)([Value(0.5, "x1"), Value(-1, "x2")]) - 1) ** 2
    loss.label = "loss"
    return loss


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
    graphs = {"a_plus_a": a_plus_a(), "dead_relu": dead_relu(), "network": network(chosen.seed)}
    for name, root in graphs.items():
        root.backward()
        for lang in ("en", "zh"):
            path: Path = chosen.out / f"{name}.{lang}.svg"
            draw_dot(root, lang=lang).render(outfile=path)
            print(text("wrote", "已写入"), path)
    for lang in ("en", "zh"):
        for page in (
            draw_flow(neuron(), lang=lang).save(chosen.out / f"neuron.{lang}.svg"),
            draw_flow(gate(), lang=lang).save(chosen.out / f"flow.{lang}.html"),
            playground(lang).save(chosen.out / f"playground.{lang}.html"),
        ):
            print(text("wrote", "已写入"), page)


if __name__ == "__main__":
    main()
