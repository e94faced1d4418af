"""Make random texts by the grammar of expressions, and such texts with a mistake in them."""

import random

from micrograd_cn.text.expression import call_signature, functions, lists, operators

NAMES = ["a", "b", "x", "w1", "学习率", "v1"]
NUMBERS = ["2", "0.5", "1e-1", ".25", "3.", "1", "0", "pi", "e"]
SIGNS = [*"+-*/()[],=^!$ax2 .", "**", "tanh", "sum(", "lambda", "（", "×", "🙂"]
FUNCTIONS = sorted(functions())


def text(rng: random.Random, depth: int) -> str:
    """Return an expression that can be read."""
    if depth == 0 or rng.random() < 0.15:
        return rng.choice(NAMES) if rng.random() < 0.75 else rng.choice(NUMBERS)
    kind = rng.random()
    space = rng.choice(["", " "])
    if kind < 0.45:
        sign = rng.choice(list(operators(2)))
        return f"{text(rng, depth - 1)}{space}{sign}{space}{text(rng, depth - 1)}"
    if kind < 0.55:
        return f"{rng.choice('-+')}{text(rng, depth - 1)}"
    if kind < 0.65:
        return f"({text(rng, depth - 1)})"
    return call(rng, depth)


def call(rng: random.Random, depth: int) -> str:
    name = rng.choice(FUNCTIONS)
    function, length = functions()[name], rng.randint(1, 4)
    arguments, named = [], False
    for p in call_signature(function).parameters.values():
        if p.kind is p.VAR_POSITIONAL or (p.default is not p.empty and rng.random() < 0.5):
            named = named or p.default is not p.empty
            continue
        given = text(rng, depth - 1)
        if p.name in lists(function):
            given = "[" + ", ".join(text(rng, depth - 1) for _ in range(length)) + "]"
        can_be_named = getattr(function, "signature", True)
        named = bool(can_be_named and (named or rng.random() < 0.2))
        arguments.append(f"{p.name}={given}" if named else given)
    return f"{name}({', '.join(arguments)})"


def broken(rng: random.Random, right: str) -> str:
    """Return the text with a character or two left out, put in, or changed."""
    for _ in range(rng.randint(1, 2)):
        at, kind = rng.randrange(len(right) + 1), rng.randrange(3)
        right = right[:at] + ("" if kind == 0 else rng.choice(SIGNS)) + right[at + (kind != 1) :]
    return right


def texts(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    found = []
    for i in range(count):
        right = text(rng, rng.randint(1, 4))
        found.append(broken(rng, right) if i % 2 else right)
    return found
