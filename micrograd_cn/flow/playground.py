"""The playground: a page to type an expression, or to train a network or a language model, without Python."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from .. import losses
from ..engine import Value, topological_order
from ..nn import Neuron
from ..ops.operation import Op
from ..ops.registry import OPS
from ..optim import SGD, Adam, AdamW, Optimizer, RMSprop
from ..text.formula import Term
from ..text.words import WORDS, language
from .grammar import grammar
from .graph import operation_facts
from .javascript import Rows
from .sheet import HERE, fragment, notebook_frame, sheet, words_of
from .texts import EXPRESSION, LESSONS, MODEL, NETWORK, PAGE, PLAYGROUND

MOST_OPERANDS = 17  # The page can compute an n-ary operation of up to this many operands.
MOST_NEURONS = 16  # A layer has at most this many neurons.
ACTIVATIONS = ("tanh", "relu", "sigmoid", "leaky_relu", "elu", "gelu", "silu", "softplus", "sin")


class Loss(NamedTuple):
    """A loss of the playground.

    Attributes:
        function: the loss of an output and a target.
        targets: the targets of the two classes.
        logits: whether the network's output is a logit, whose sigmoid is the chance of class 1. Otherwise the output is
            an estimate of the target.
    """

    function: Callable[..., Any]
    targets: tuple[float, float] = (-1.0, 1.0)
    logits: bool = False


LOSSES = {
    "binary_cross_entropy_with_logits": Loss(losses.binary_cross_entropy_with_logits, (0.0, 1.0), logits=True),
    "mse_loss": Loss(losses.mse_loss),
    "hinge_loss": Loss(losses.hinge_loss),
    "huber_loss": Loss(losses.huber_loss),
    "l1_loss": Loss(losses.l1_loss),
}
_RUN = re.compile(r"\{\d+\}(?:, \{\d+\})+")
BETAS = (0.85, 0.99)  # of Adam for the language model, as in microgpt
# The first 4,000 names of demos/names.txt. They are from the lists of the US Social Security Administration, as
# collected in https://github.com/karpathy/makemore (MIT licence).
NAMES = HERE / "model/names.txt"
OPTIMIZERS: dict[str, tuple[type[Optimizer], dict[str, Any]]] = {
    "SGD": (SGD, {}),
    "momentum": (SGD, {"momentum": 0.9}),
    "nesterov": (SGD, {"momentum": 0.9, "nesterov": True}),
    "RMSprop": (RMSprop, {}),
    "Adam": (Adam, {}),
    "AdamW": (AdamW, {}),
}


class Playground:
    """An HTML page on which people type an expression, or train a network or a language model, without Python.

    `save` writes it to a file, `html` is its text, and a notebook shows it in a frame.
    """

    def __init__(self, lang: str | None = None) -> None:
        self.lang = language(lang)
        self._chosen = lang

    @property
    def html(self) -> str:
        """The text of the HTML file."""
        rows = Rows()
        neuron = topological_order(Neuron(MOST_NEURONS)([Value(0.0)] * MOST_NEURONS))
        wide = {node.op: len(node.parents) for node in neuron}
        operations = {name: _counts(op, rows, max(MOST_OPERANDS, wide.get(op, 0))) for name, op in OPS.items()}
        operations = json.loads(_RUN.sub(_short_run, json.dumps(operations)))
        data: dict[str, Any] = {
            "lang": self._chosen,
            "words": words_of(PAGE, PLAYGROUND, EXPRESSION, NETWORK, MODEL, LESSONS, _errors()),
            "operations": operations,
            "grammar": grammar(),
            "activations": ACTIVATIONS,
            "neurons": MOST_NEURONS,
            "names": " ".join(NAMES.read_text("utf-8").split()),
            "losses": {name: _loss(loss, rows) for name, loss in LOSSES.items()},
        }
        updates = {"playground/updates.js": _updates(rows), "model/update.js": _model_update(rows)}
        modules = {**updates, "rows.js": rows.module()}
        parts = {name: fragment(f"playground/{name}") for name in ("tabs", "rooms", "entry")}
        parts["rooms"] = fragment("lessons/lessons") + parts["rooms"] + fragment("model/room")
        styles = ("stepper/page", "playground/playground", "model/model", "lessons/lessons")
        return sheet(self.lang, data, "playground/playground.js", modules, PLAYGROUND, parts, styles)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to the file `path`, and return this path.

        Raises:
            ValueError: the file has an ending other than ".html" or ".htm", such as ".svg". It may also have none.
        """
        path = Path(path)
        if path.suffix.lower() not in ("", ".html", ".htm"):
            raise ValueError(WORDS[self.lang]["page_ending"].format(path=path))
        path.write_bytes(self.html.encode())
        return path

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows for this object: a frame that contains the page."""
        return notebook_frame(PLAYGROUND[self.lang]["title"], self.html)


def playground(lang: str | None = None) -> Playground:
    """Return a page in which you type an expression, or train a network or a language model, and step through it.

    The page is one HTML file that needs neither Python nor the internet. `.save("playground.html")` writes it, and a
    notebook shows it in a frame. The page computes with this package's operations, the losses of `losses` and the
    optimisers of `optim`, printed as JavaScript. The address of the page contains what you chose in it and the step, so
    a link to this address opens the page as it was. Add `&embed` for a compact page in a frame, and `&hide=grad` or
    `&hide=local` to hide the gradients or the local derivatives.

    ![The playground while a network learns two moons](../../demos/pictures/playground.en.png)

    Args:
        lang: the language that the page starts in, "en" or "zh". For None, it is the browser's language.

    Raises:
        ValueError: there are no words in the language `lang`.

    >>> playground("en").html.startswith("<!doctype html>")
    True
    """
    return Playground(lang)


def _counts(op: Op, rows: Rows, most: int) -> dict[str, Any] | list[Any]:
    """Return the dict that describes the operation `op` for the page, as `operation_facts` returns it.

    For an n-ary operation, which takes any number of operands, return a list instead. At index n, for each n up to
    `most`, it has the dict for n operands, or None if n is 0 or the operation does not take n operands. The operations
    are added to `rows`.
    """
    if op.arity is not None:
        return operation_facts(op, op.arity, rows)
    return [operation_facts(op, n, rows) if n in op.arities and n else None for n in range(most + 1)]


def _short_run(run: re.Match[str]) -> str:
    """Return a short form of a series of gaps, such as "{2-4}" for "{2}, {3}, {4}", to save space.

    `run` is the match of a regular expression that finds such a series. If the numbers do not follow one another, the
    series is returned unchanged. page.js writes a short form out again.
    """
    numbers = [int(number) for number in re.findall(r"\d+", run[0])]
    first, last = numbers[0], numbers[-1]
    return f"{{{first}-{last}}}" if numbers == [*range(first, last + 1)] else run[0]


def _errors() -> dict[str, dict[str, str]]:
    """Return the messages about an expression that cannot be read, by language and key, with gaps such as '{name}'."""
    wanted = ("did_you_mean", "cli_error")
    return {
        lang: {
            key: text.replace("{name!r}", "'{name}'")
            for key, text in WORDS[lang].items()
            if key.startswith("parse_") or key in wanted
        }
        for lang in WORDS
    }


def _loss(loss: Loss, rows: Rows) -> dict[str, Any]:
    """Return a dict that describes a loss for the page: its two target values, and the steps that compute it.

    The dict has these keys:

    - `targets`: the two numbers that a target may be, one for each class of points.
    - `logits`: whether the network's output is a logit, whose sigmoid is the probability of class 1.
    - `steps`: for each target, the steps that compute the loss of an output of the network.

    A step is a list of the name of an operation and the list of its operands. An operand 0 stands for the network's
    output, and an operand n for the result of the step n, counted from 1. A constant operand is a list that contains
    the number. The operations are added to `rows`, which prints them as JavaScript functions.
    """
    written = []
    for target in loss.targets:
        output = Value(0.5)
        order = topological_order(loss.function(output, target))[::-1]
        number = {node: i for i, node in enumerate([output, *order])}
        written.append(
            [[node.op.name, [number.get(x, [x.data]) for x in node.parents]] for node in order if node.op is not None]
        )
        for node in order:
            assert node.op
            rows.add(node.op, len(node.parents))
    return {"targets": loss.targets, "logits": loss.logits, "steps": written}


def _updates(rows: Rows) -> str:
    """Return a JavaScript module with a function for each optimiser, which takes a step for arrays of parameters.

    The operations that the functions use are added to `rows`, which prints them as JavaScript functions.
    """
    lines = "".join([f"  {name}: {_update(kind, given, rows)},\n" for name, (kind, given) in OPTIMIZERS.items()])
    return f'import {{ forward }} from "../rows.js";\nexport const updates = {{\n{lines}}};\n'


def _model_update(rows: Rows) -> str:
    """Return a JavaScript module with Adam's step for the language model.

    The operations that the step uses are added to `rows`, which prints them as JavaScript functions.
    """
    step = _update(Adam, {"betas": BETAS}, rows)
    return f'import {{ forward }} from "../rows.js";\nexport const updateModel = {step};\n'


def _update(kind: type[Optimizer], given: dict[str, Any], rows: Rows) -> str:
    """Return a JavaScript function that takes a step of an optimiser for arrays of parameters.

    Its arguments are the learning rate, the index of the step, and the arrays of data, of gradients, and of each number
    of the state. `kind` is the class of the optimiser, and `given` has its options. The operations that the function
    uses are added to `rows`, which prints them as JavaScript functions.
    """
    fixed, own, results = _updated(kind, given)
    return rows.loop(fixed, own, list(zip([own[0], *own[2:]], results, strict=True)))


def _updated(kind: type[Optimizer], given: dict[str, Any]) -> tuple[list[Term], list[Term], tuple[Any, ...]]:
    """Return the formulas of an optimiser's step for one parameter, with the terms that they are written in.

    `kind` is the class of the optimiser, and `given` has its options. The first list has the terms that all parameters
    share: the learning rate and the index of the step, counted from 1. The second list has the terms of one parameter:
    its data, its gradient, and the numbers of its state. The tuple has the formulas of the parameter's new data and of
    the new numbers of its state.
    """
    optimizer = kind([Value(0.0)], **given)
    rate, steps = Term("lr"), Term("steps")
    # The optimiser computes with terms in place of numbers, so its step becomes a formula.
    optimizer.lr, optimizer.steps = rate, steps  # type: ignore[assignment]
    p = SimpleNamespace(data=Term("data"), grad=Term("grad"))
    start = {name: Term(name) for name in kind.state_names}
    own = [p.data, p.grad, *start.values()]
    state = dict(start)
    optimizer.update(p, state)  # type: ignore[arg-type]
    return [rate, steps], own, (p.data, *state.values())
