"""Hold the contenders for microgpt's training step: ours, numpy by hand, PyTorch, jax: `demos/benchmark.py microgpt`.

All start from the weights that microgpt.py starts from, learn the same names in the same order, in double precision,
and their losses are checked to agree. A peer that is not installed is left out.
"""

import itertools
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean, median
from typing import Any

import microgpt
from benchmarks.compiled_programs import Row, _jax, _ratio, in_turns
from microgpt import BETAS, BLOCK, HEADS, LEARNING_RATE, NAMES, TOKENS, WIDTH, Weights
from micrograd_cn.optim import Adam

EPSILON = 1e-8
NAMES_A_TURN = 160
TILL_NAMES = 26  # lines that microgpt.py prints, to the last of the names
Epochs = Callable[[int], list[float]]  # go through the names so many times; return the mean loss of each time


def rate(step: int) -> float:
    """Return the learning rate of a step, which falls for ever, since turns may have any number of them."""
    return LEARNING_RATE / (1 + step / 1000)


def start(count: int) -> tuple[Weights, list[str]]:
    """Return the initial weights, and the first names of the order that microgpt.py has."""
    rng = random.Random(42)
    names = NAMES.read_text("utf-8").split()
    rng.shuffle(names)
    return microgpt.initial_weights(rng), names[:count]


def lessons(names: Sequence[str], batch: int, shortest: bool) -> list[list[Any]]:
    """Return for each batch its tokens, targets and shares, a row a name; of one length, or as short as can be."""
    found = []
    for i in range(0, len(names), batch):
        some = names[i : i + batch]
        length = microgpt.longest(some) if shortest else longest()
        found.append([list(parts) for parts in zip(*(microgpt.padded(name, length) for name in some), strict=True)])
    return found


@cache
def longest() -> int:
    """Return how many tokens the longest of a thousand names has, to which microgpt.py fills up all of these."""
    return microgpt.longest(start(1000)[1])


def ours(weights: Weights, names: Sequence[str], batch: int) -> Epochs | None:
    if not find_spec("llvmlite"):
        return None
    lengths = microgpt.lengths(start(1000)[1], batch, microgpt.PROGRAMS if batch > 1 else 1)
    samples, loss = microgpt.filled(names, batch, lengths), microgpt.compiled(weights)
    optimizer = Adam(microgpt.flat(weights), LEARNING_RATE, BETAS)
    return lambda epochs: loss.fit(samples, optimizer, epochs, batch, schedule=rate)


def _epochs(step: Callable[..., Any], batches: Sequence[Any]) -> Epochs:
    """Return the epochs of steps that take a batch and the step's number; losses are waited for at an epoch's end."""
    numbers = itertools.count()

    def epochs(n: int) -> list[float]:
        means = []
        for _ in range(n):
            losses = [step(*batch, next(numbers)) for batch in batches]
            means.append(fmean(map(float, losses)))
        return means

    return epochs


def numpy(weights: Weights, names: Sequence[str], batch: int) -> Epochs | None:
    """Return the step with its backward pass written by hand; all weights lie in one array, which Adam goes through."""
    if not find_spec("numpy"):
        return None
    np = import_module("numpy")
    state = np.array([p.data for p in microgpt.flat(weights)])
    gradient, first, second = (np.zeros_like(state) for _ in range(3))

    def parts(of: Any) -> dict[str, Any]:
        """Return views of the matrices; the queries', keys' and values', which lie side by side, as one."""
        shapes = {"wte": TOKENS, "wpe": BLOCK, "lm_head": TOKENS, "wqkv": 3 * WIDTH, "wo": WIDTH, "fc1": 4 * WIDTH}
        views, at = {}, 0
        for name, rows in shapes.items():
            views[name] = of[at : at + rows * WIDTH].reshape(rows, WIDTH)
            at += rows * WIDTH
        return views | {"fc2": of[at:].reshape(WIDTH, 4 * WIDTH)}

    w, g = parts(state), parts(gradient)
    later = np.triu(np.full((BLOCK, BLOCK), -np.inf), 1)
    one_hot = np.eye(TOKENS)
    size = WIDTH // len(HEADS)

    def normal(x: Any) -> Any:
        scale = (np.einsum("ij,ij->i", x, x)[:, None] / WIDTH + 1e-5) ** -0.5
        return x * scale, scale

    def through(upstream: Any, y: Any, scale: Any) -> Any:
        """Return the gradient of what was scaled to y."""
        return scale * (upstream - y * (np.einsum("ij,ij->i", upstream, y)[:, None] / WIDTH))

    def adam(state: Any, gradient: Any, first: Any, second: Any, number: int) -> None:
        beta1, beta2 = BETAS
        first *= beta1
        first += (1 - beta1) * gradient
        second *= beta2
        second += (1 - beta2) * gradient * gradient
        scale = np.sqrt(second / (1 - beta2 ** (number + 1))) + EPSILON
        state -= rate(number) / (1 - beta1 ** (number + 1)) * first / scale

    def step(tokens: Any, targets: Any, shares: Any, number: int) -> float:
        count, length = tokens.shape
        tokens, targets, shares = tokens.ravel(), targets.ravel(), shares.ravel()
        each = np.arange(len(tokens))
        x0 = w["wte"][tokens].reshape(count, length, WIDTH) + w["wpe"][:length]
        x1, scale1 = normal(x0.reshape(-1, WIDTH))
        x2, scale2 = normal(x1)
        q, k, v = (x2 @ w["wqkv"].T).reshape(count, length, 3, len(HEADS), size).transpose(2, 0, 3, 1, 4)
        a = q @ k.transpose(0, 1, 3, 2) * size**-0.5 + later[:length, :length]
        a = np.exp(a - a.max(3, keepdims=True))
        a /= a.sum(3, keepdims=True)
        read = (a @ v).transpose(0, 2, 1, 3).reshape(-1, WIDTH)
        x3 = read @ w["wo"].T + x1
        x4, scale4 = normal(x3)
        hidden = np.maximum(x4 @ w["fc1"].T, 0)
        x5 = hidden @ w["fc2"].T + x3
        logits = x5 @ w["lm_head"].T
        logits -= logits.max(1, keepdims=True)
        d = np.exp(logits)
        total = d.sum(1)
        loss = shares @ (np.log(total) - logits[each, targets])

        d /= total[:, None]
        d[each, targets] -= 1
        d *= shares[:, None]
        np.matmul(d.T, x5, out=g["lm_head"])
        d5 = d @ w["lm_head"]
        np.matmul(d5.T, hidden, out=g["fc2"])
        d_hidden = (d5 @ w["fc2"]) * (hidden > 0)
        np.matmul(d_hidden.T, x4, out=g["fc1"])
        d3 = d5 + through(d_hidden @ w["fc1"], x4, scale4)
        np.matmul(d3.T, read, out=g["wo"])
        d_read = (d3 @ w["wo"]).reshape(count, length, len(HEADS), size).transpose(0, 2, 1, 3)
        d_a = d_read @ v.transpose(0, 1, 3, 2)
        d_scores = a * (d_a - (d_a * a).sum(3, keepdims=True)) * size**-0.5
        d_qkv = np.stack([d_scores @ k, d_scores.transpose(0, 1, 3, 2) @ q, a.transpose(0, 1, 3, 2) @ d_read])
        d_qkv = d_qkv.transpose(1, 3, 0, 2, 4).reshape(-1, 3 * WIDTH)
        np.matmul(d_qkv.T, x2, out=g["wqkv"])
        d0 = through(through(d_qkv @ w["wqkv"], x2, scale2) + d3, x1, scale1)
        np.matmul(one_hot[tokens].T, d0, out=g["wte"])
        d0.reshape(count, length, WIDTH).sum(0, out=g["wpe"][:length])
        g["wpe"][length:] = 0

        adam(state, gradient, first, second, number)
        return float(loss)

    batches = [
        (np.array(tokens), np.array(targets), np.array(shares) / batch)
        for tokens, targets, shares in lessons(names, batch, shortest=True)
    ]
    return _epochs(step, batches)


def pytorch(weights: Weights, names: Sequence[str], batch: int) -> Epochs | None:
    if not find_spec("torch"):
        return None
    torch = import_module("torch")
    torch.set_num_threads(1)
    f = torch.nn.functional
    w = {
        name: torch.tensor([[p.data for p in row] for row in rows], dtype=torch.float64, requires_grad=True)
        for name, rows in weights.items()
    }
    optimizer = torch.optim.Adam(w.values(), LEARNING_RATE, BETAS, EPSILON, fused=True)

    def normal(x: Any) -> Any:
        return f.rms_norm(x, (WIDTH,), eps=1e-5)

    def step(tokens: Any, targets: Any, shares: Any, number: int) -> Any:
        count, length = tokens.shape
        x = normal(f.embedding(tokens, w["wte"]) + w["wpe"][:length])
        y = normal(x)
        q, k, v = (
            f.linear(y, w[name]).view(count, length, len(HEADS), -1).transpose(1, 2) for name in ("wq", "wk", "wv")
        )
        read = f.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(count, length, WIDTH)
        x = x + f.linear(read, w["wo"])
        x = x + f.linear(f.relu(f.linear(normal(x), w["fc1"])), w["fc2"])
        logits = f.linear(x, w["lm_head"]).view(-1, TOKENS)
        loss = shares.view(-1) @ f.cross_entropy(logits, targets.view(-1), reduction="none")
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = rate(number)
        optimizer.step()
        return loss.detach()

    batches = [
        (torch.tensor(tokens), torch.tensor(targets), torch.tensor(shares, dtype=torch.float64) / batch)
        for tokens, targets, shares in lessons(names, batch, shortest=True)
    ]
    return _epochs(step, batches)


def _jax_epochs(weights: Weights, names: Sequence[str], batch: int, scan: bool) -> Epochs | None:
    """Return jitted steps of a fixed length; each called from Python, or an epoch of them in one loop."""
    if not (jax := _jax()):
        return None
    np = jax.numpy
    w = {name: np.asarray([[p.data for p in row] for row in rows]) for name, rows in weights.items()}
    causal = np.tril(np.ones((longest(), longest()), bool))
    size = WIDTH // len(HEADS)

    def normal(x: Any) -> Any:
        return x * ((x * x).mean(-1, keepdims=True) + 1e-5) ** -0.5

    def loss(w: Any, tokens: Any, targets: Any, shares: Any) -> Any:
        x = normal(w["wte"][tokens] + w["wpe"][: longest()])
        y = normal(x)
        q, k, v = ((y @ w[name].T).reshape(*y.shape[:2], len(HEADS), size) for name in ("wq", "wk", "wv"))
        scores = np.einsum("bthd,bshd->bhts", q, k) * size**-0.5
        a = jax.nn.softmax(np.where(causal, scores, -np.inf))
        x = x + np.einsum("bhts,bshd->bthd", a, v).reshape(y.shape) @ w["wo"].T
        x = x + np.maximum(normal(x) @ w["fc1"].T, 0) @ w["fc2"].T
        logits = x @ w["lm_head"].T
        chosen = np.take_along_axis(logits, targets[..., None], 2)[..., 0]
        return (shares * (jax.nn.logsumexp(logits, 2) - chosen)).sum() / batch

    def update(state: Any, lesson: Any) -> Any:
        w, first, second, number = state
        value, g = jax.value_and_grad(loss)(w, *lesson)
        beta1, beta2 = BETAS
        first = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, first, g)
        second = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, second, g)
        lr, scale = rate(number) / (1 - beta1 ** (number + 1)), 1 - beta2 ** (number + 1)
        w = jax.tree.map(lambda p, m, v: p - lr * m / (np.sqrt(v / scale) + EPSILON), w, first, second)
        return (w, first, second, number + 1), value

    def whole_epoch(state: Any, lessons: Any) -> Any:
        state, losses = jax.lax.scan(update, state, lessons)
        return state, losses.mean()

    zeros = jax.tree.map(np.zeros_like, w)
    state = (w, zeros, zeros, np.asarray(0.0))
    batches = [tuple(map(np.asarray, lesson)) for lesson in lessons(names, batch, shortest=False)]
    stacked = tuple(np.stack(parts) for parts in zip(*batches, strict=True))
    compiled = jax.jit(whole_epoch if scan else update)

    def step(tokens: Any, targets: Any, shares: Any, number: int) -> Any:  # the state has the number itself
        nonlocal state
        state, losses = compiled(state, (tokens, targets, shares))
        return losses

    return _epochs(step, [stacked] if scan else batches)


def jax_jit(weights: Weights, names: Sequence[str], batch: int) -> Epochs | None:
    return _jax_epochs(weights, names, batch, scan=False)


def jax_scan(weights: Weights, names: Sequence[str], batch: int) -> Epochs | None:
    return _jax_epochs(weights, names, batch, scan=True)


MICROGPT = {
    "micrograd_cn compiled, fit()": ours,
    "numpy, backward pass by hand": numpy,
    "PyTorch eager": pytorch,
    "jax.jit": jax_jit,
    "jax.lax.scan": jax_scan,
}


def table(turns: int = 7) -> list[Row]:
    """Measure a step of one name and of 16, and a thousand steps with all that a command does around them."""
    columns: dict[str, list[float | None]] = {}
    for batch in (1, 16):
        prepared = [prepare(*start(NAMES_A_TURN), batch) for prepare in MICROGPT.values()]
        check_agreement([epochs and epochs(1)[0] for epochs in prepared], batch)
        found = in_turns([epochs and _warm(epochs) for epochs in prepared], turns=turns)
        columns[f"batch {batch}, us a name"] = [x and 1e6 * x / NAMES_A_TURN for x in found]
        by_hand = found[list(MICROGPT.values()).index(numpy)]
        columns[f"numpy / this, batch {batch}"] = [_ratio(x, by_hand) for x in found]
    columns["1,000 steps, s"] = [_whole(name) if found else None for name, found in zip(MICROGPT, found, strict=True)]
    rows: list[Row] = []
    for name, *measured in zip(MICROGPT, *columns.values(), strict=True):
        if measured[0] is not None:
            rows.append({"contender": name} | dict(zip(columns, measured, strict=True)))
    return rows


def check_agreement(losses: Sequence[float | None], batch: int) -> None:
    """Refuse to compare contenders that compute different things."""
    shown = {name: loss for name, loss in zip(MICROGPT, losses, strict=True) if loss is not None}
    first = next(iter(shown.values()), 0.0)
    if not all(math.isclose(loss, first, rel_tol=1e-6) for loss in shown.values()):
        raise RuntimeError(f"the contenders' losses at batch {batch} must agree, got {shown}")


def _warm(epochs: Epochs) -> Callable[[int], None]:
    begun = time.perf_counter()
    while time.perf_counter() - begun < 1.0:  # until what is compiled as it runs is
        epochs(4)

    def work(times: int) -> None:
        epochs(times)

    return work


def _whole(contender: str, turns: int = 3) -> float:
    """Return the wall time of a process that takes a thousand steps of one name.

    Ours is the command itself, up to the last of its twenty names; a peer's process takes the steps and invents none.
    """
    alone = f"from benchmarks.microgpt_steps import thousand_steps; thousand_steps({contender!r})"
    ours_too = MICROGPT[contender] is ours
    command = [sys.executable, *([microgpt.__file__] if ours_too else ["-c", alone])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # modules are compiled in the first turn alone
    found = []
    for _ in range(turns):
        begun = time.perf_counter()
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout
            lines = [process.stdout.readline() for _ in range(TILL_NAMES if ours_too else 1)]
            found.append(time.perf_counter() - begun)
            process.kill()  # the picture is not waited for
        if not lines[-1]:
            raise RuntimeError(f"{contender}: the process ended early; run {' '.join(command)!r} to see why")
    return median(found)


def thousand_steps(contender: str) -> None:
    """Print the mean loss of the steps of the first thousand names."""
    epochs = MICROGPT[contender](*start(1000), 1)
    assert epochs
    print(*epochs(1), flush=True)
