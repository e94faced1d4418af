"""Take the training step of `microgpt.py` with each contender: ours, numpy by hand, PyTorch and JAX.

All contenders start from the weights that microgpt.py starts from and learn the same names in the same order, in double
precision; their losses must agree. A peer that is not installed is left out.
"""

import itertools
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
from benchmarks.timing import Row, check_agreement, jax_on_one_thread, ratio, time_in_turns
from microgpt import BETAS, BLOCK, HEADS, LEARNING_RATE, NAMES, TOKENS, WIDTH, Weights
from micrograd_cn.optim import Adam

EPSILON = 1e-8
NAMES_A_TURN = 160
LINES_OF_OURS = 26  # lines that microgpt.py prints until it has printed the last name
Epochs = Callable[[int], list[float]]  # trains for as many epochs as it is told, and returns the mean loss of each


def learning_rate(step: int) -> float:
    """Return the learning rate of a step, counted from 0. It falls with the steps, but never reaches 0.

    The number of steps, after which it could be 0, is not known: the measurement decides it.
    """
    return LEARNING_RATE / (1 + step / 1000)


def start(count: int) -> tuple[Weights, list[str]]:
    """Return the initial weights and the first `count` names, both as microgpt.py has them."""
    rng = random.Random(42)
    names = NAMES.read_text("utf-8").split()
    rng.shuffle(names)
    return microgpt.initial_weights(rng), names[:count]


def batches_of(names: Sequence[str], batch: int, shortest: bool) -> list[list[Any]]:
    """Return three matrices for each batch: the tokens, the targets and the weights of the losses; a row is a name.

    Args:
        names: the names in their order.
        batch: how many names a batch has.
        shortest: whether a batch is only as long as its longest name; otherwise all batches have the same length.
    """
    found = []
    for i in range(0, len(names), batch):
        some = names[i : i + batch]
        length = microgpt.longest(some) if shortest else longest()
        examples = [microgpt.padded_example(name, length) for name in some]
        found.append([list(parts) for parts in zip(*examples, strict=True)])
    return found


@cache
def longest() -> int:
    """Return how many tokens the longest of the first thousand names has; microgpt.py pads them to this length."""
    return microgpt.longest(start(1000)[1])


def ours(weights: Weights, names: Sequence[str], batch: int) -> Epochs | None:
    if not find_spec("llvmlite"):
        return None
    lengths = microgpt.padded_lengths(start(1000)[1], batch, microgpt.PROGRAMS if batch > 1 else 1)
    samples, loss = microgpt.padded_examples(names, batch, lengths), microgpt.compiled_loss(weights)
    optimizer = Adam(microgpt.flat(weights), LEARNING_RATE, BETAS)
    return lambda epochs: loss.fit(samples, optimizer, epochs, batch, schedule=learning_rate)


def _epochs(step: Callable[..., Any], batches: Sequence[Any]) -> Epochs:
    """Return a function that trains for some epochs with `step`, which takes a batch and the number of the step.

    A loss becomes a float only at the end of an epoch, so a peer that computes asynchronously is not kept waiting.
    """
    numbers = itertools.count()

    def epochs(n: int) -> list[float]:
        means = []
        for _ in range(n):
            losses = [step(*batch, next(numbers)) for batch in batches]
            means.append(fmean(map(float, losses)))
        return means

    return epochs


def numpy(weights: Weights, names: Sequence[str], batch: int) -> Epochs | None:
    """Return a function that trains with numpy and a backward pass written by hand; None if there is no numpy.

    All weights are in one array, so Adam is a few lines.
    """
    if not find_spec("numpy"):
        return None
    np = import_module("numpy")
    state = np.array([p.data for p in microgpt.flat(weights)])
    gradient, first, second = (np.zeros_like(state) for _ in range(3))

    def matrices(flat: Any) -> dict[str, Any]:
        """Return views of the matrices of weights in `flat` by name.

        "wqkv" has the matrices of queries, keys and values, one below the other.
        """
        shapes = {"wte": TOKENS, "wpe": BLOCK, "lm_head": TOKENS, "wqkv": 3 * WIDTH, "wo": WIDTH, "fc1": 4 * WIDTH}
        views, at = {}, 0
        for name, rows in shapes.items():
            views[name] = flat[at : at + rows * WIDTH].reshape(rows, WIDTH)
            at += rows * WIDTH
        return views | {"fc2": flat[at:].reshape(WIDTH, 4 * WIDTH)}

    w, g = matrices(state), matrices(gradient)
    later = np.triu(np.full((BLOCK, BLOCK), -np.inf), 1)
    one_hot = np.eye(TOKENS)
    size = WIDTH // len(HEADS)

    def rms_norm(x: Any) -> Any:
        scale = (np.einsum("ij,ij->i", x, x)[:, None] / WIDTH + 1e-5) ** -0.5
        return x * scale, scale

    def rms_norm_backward(upstream: Any, y: Any, scale: Any) -> Any:
        """Return the gradient of the input of `rms_norm`, whose output is y, from the gradient of the output."""
        return scale * (upstream - y * (np.einsum("ij,ij->i", upstream, y)[:, None] / WIDTH))

    def adam(state: Any, gradient: Any, first: Any, second: Any, number: int) -> None:
        beta1, beta2 = BETAS
        first *= beta1
        first += (1 - beta1) * gradient
        second *= beta2
        second += (1 - beta2) * gradient * gradient
        scale = np.sqrt(second / (1 - beta2 ** (number + 1))) + EPSILON
        state -= learning_rate(number) / (1 - beta1 ** (number + 1)) * first / scale

    def step(tokens: Any, targets: Any, loss_weights: Any, number: int) -> float:
        count, length = tokens.shape
        tokens, targets, loss_weights = tokens.ravel(), targets.ravel(), loss_weights.ravel()
        each = np.arange(len(tokens))
        x0 = w["wte"][tokens].reshape(count, length, WIDTH) + w["wpe"][:length]
        x1, scale1 = rms_norm(x0.reshape(-1, WIDTH))
        x2, scale2 = rms_norm(x1)
        q, k, v = (x2 @ w["wqkv"].T).reshape(count, length, 3, len(HEADS), size).transpose(2, 0, 3, 1, 4)
        a = q @ k.transpose(0, 1, 3, 2) * size**-0.5 + later[:length, :length]
        a = np.exp(a - a.max(3, keepdims=True))
        a /= a.sum(3, keepdims=True)
        read = (a @ v).transpose(0, 2, 1, 3).reshape(-1, WIDTH)
        x3 = read @ w["wo"].T + x1
        x4, scale4 = rms_norm(x3)
        hidden = np.maximum(x4 @ w["fc1"].T, 0)
        x5 = hidden @ w["fc2"].T + x3
        logits = x5 @ w["lm_head"].T
        logits -= logits.max(1, keepdims=True)
        d = np.exp(logits)
        total = d.sum(1)
        loss = loss_weights @ (np.log(total) - logits[each, targets])

        d /= total[:, None]
        d[each, targets] -= 1
        d *= loss_weights[:, None]
        np.matmul(d.T, x5, out=g["lm_head"])
        d5 = d @ w["lm_head"]
        np.matmul(d5.T, hidden, out=g["fc2"])
        d_hidden = (d5 @ w["fc2"]) * (hidden > 0)
        np.matmul(d_hidden.T, x4, out=g["fc1"])
        d3 = d5 + rms_norm_backward(d_hidden @ w["fc1"], x4, scale4)
        np.matmul(d3.T, read, out=g["wo"])
        d_read = (d3 @ w["wo"]).reshape(count, length, len(HEADS), size).transpose(0, 2, 1, 3)
        d_a = d_read @ v.transpose(0, 1, 3, 2)
        d_scores = a * (d_a - (d_a * a).sum(3, keepdims=True)) * size**-0.5
        d_qkv = np.stack([d_scores @ k, d_scores.transpose(0, 1, 3, 2) @ q, a.transpose(0, 1, 3, 2) @ d_read])
        d_qkv = d_qkv.transpose(1, 3, 0, 2, 4).reshape(-1, 3 * WIDTH)
        np.matmul(d_qkv.T, x2, out=g["wqkv"])
        d0 = rms_norm_backward(rms_norm_backward(d_qkv @ w["wqkv"], x2, scale2) + d3, x1, scale1)
        np.matmul(one_hot[tokens].T, d0, out=g["wte"])
        d0.reshape(count, length, WIDTH).sum(0, out=g["wpe"][:length])
        g["wpe"][length:] = 0

        adam(state, gradient, first, second, number)
        return float(loss)

    batches = [
        (np.array(tokens), np.array(targets), np.array(loss_weights) / batch)
        for tokens, targets, loss_weights in batches_of(names, batch, shortest=True)
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

    def rms_norm(x: Any) -> Any:
        return f.rms_norm(x, (WIDTH,), eps=1e-5)

    def step(tokens: Any, targets: Any, loss_weights: Any, number: int) -> Any:
        count, length = tokens.shape
        x = rms_norm(f.embedding(tokens, w["wte"]) + w["wpe"][:length])
        y = rms_norm(x)
        q, k, v = (
            f.linear(y, w[name]).view(count, length, len(HEADS), -1).transpose(1, 2) for name in ("wq", "wk", "wv")
        )
        read = f.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(count, length, WIDTH)
        x = x + f.linear(read, w["wo"])
        x = x + f.linear(f.relu(f.linear(rms_norm(x), w["fc1"])), w["fc2"])
        logits = f.linear(x, w["lm_head"]).view(-1, TOKENS)
        loss = loss_weights.view(-1) @ f.cross_entropy(logits, targets.view(-1), reduction="none")
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = learning_rate(number)
        optimizer.step()
        return loss.detach()

    batches = [
        (torch.tensor(tokens), torch.tensor(targets), torch.tensor(loss_weights, dtype=torch.float64) / batch)
        for tokens, targets, loss_weights in batches_of(names, batch, shortest=True)
    ]
    return _epochs(step, batches)


def _jax_epochs(weights: Weights, names: Sequence[str], batch: int, scan: bool) -> Epochs | None:
    """Return a function that trains with jitted JAX; None if JAX is not installed.

    All names are padded to one length. Python calls a jitted step for each batch or, if `scan` is True, one jitted
    function for each epoch, which loops over the batches.
    """
    if not (jax := jax_on_one_thread()):
        return None
    np = jax.numpy
    w = {name: np.asarray([[p.data for p in row] for row in rows]) for name, rows in weights.items()}
    causal = np.tril(np.ones((longest(), longest()), bool))
    size = WIDTH // len(HEADS)

    def rms_norm(x: Any) -> Any:
        return x * ((x * x).mean(-1, keepdims=True) + 1e-5) ** -0.5

    def loss(w: Any, tokens: Any, targets: Any, loss_weights: Any) -> Any:
        x = rms_norm(w["wte"][tokens] + w["wpe"][: longest()])
        y = rms_norm(x)
        q, k, v = ((y @ w[name].T).reshape(*y.shape[:2], len(HEADS), size) for name in ("wq", "wk", "wv"))
        scores = np.einsum("bthd,bshd->bhts", q, k) * size**-0.5
        a = jax.nn.softmax(np.where(causal, scores, -np.inf))
        x = x + np.einsum("bhts,bshd->bthd", a, v).reshape(y.shape) @ w["wo"].T
        x = x + np.maximum(rms_norm(x) @ w["fc1"].T, 0) @ w["fc2"].T
        logits = x @ w["lm_head"].T
        chosen = np.take_along_axis(logits, targets[..., None], 2)[..., 0]
        return (loss_weights * (jax.nn.logsumexp(logits, 2) - chosen)).sum() / batch

    def update(state: Any, arrays: Any) -> Any:
        w, first, second, number = state
        value, g = jax.value_and_grad(loss)(w, *arrays)
        beta1, beta2 = BETAS
        first = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, first, g)
        second = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, second, g)
        lr, scale = learning_rate(number) / (1 - beta1 ** (number + 1)), 1 - beta2 ** (number + 1)
        w = jax.tree.map(lambda p, m, v: p - lr * m / (np.sqrt(v / scale) + EPSILON), w, first, second)
        return (w, first, second, number + 1), value

    def whole_epoch(state: Any, batches: Any) -> Any:
        state, losses = jax.lax.scan(update, state, batches)
        return state, losses.mean()

    zeros = jax.tree.map(np.zeros_like, w)
    state = (w, zeros, zeros, np.asarray(0.0))
    batches = [tuple(map(np.asarray, arrays)) for arrays in batches_of(names, batch, shortest=False)]
    stacked = tuple(np.stack(parts) for parts in zip(*batches, strict=True))
    compiled = jax.jit(whole_epoch if scan else update)

    def step(tokens: Any, targets: Any, loss_weights: Any, number: int) -> Any:  # the number is in the state, too
        nonlocal state
        state, losses = compiled(state, (tokens, targets, loss_weights))
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
    """Time steps of one name and of 16 names, and a process that takes a thousand steps."""
    columns: dict[str, list[float | None]] = {}
    for batch in (1, 16):
        prepared = [prepare(*start(NAMES_A_TURN), batch) for prepare in MICROGPT.values()]
        losses = {name: epochs(1)[0] for name, epochs in zip(MICROGPT, prepared, strict=True) if epochs}
        check_agreement(losses, f"at batch {batch}")
        found = time_in_turns([epochs and _warm(epochs) for epochs in prepared], turns=turns)
        columns[f"batch {batch}, us a name"] = [x and 1e6 * x / NAMES_A_TURN for x in found]
        by_hand = found[list(MICROGPT.values()).index(numpy)]
        columns[f"numpy / this, batch {batch}"] = [ratio(x, by_hand) for x in found]
    columns["1,000 steps, s"] = [
        _seconds_of_a_process(name) if found else None for name, found in zip(MICROGPT, found, strict=True)
    ]
    rows: list[Row] = []
    for name, *measured in zip(MICROGPT, *columns.values(), strict=True):
        if measured[0] is not None:
            rows.append({"contender": name} | dict(zip(columns, measured, strict=True)))
    return rows


def _warm(epochs: Epochs) -> Callable[[int], None]:
    begun = time.perf_counter()
    while time.perf_counter() - begun < 1.0:  # then a program that is compiled in use is compiled
        epochs(4)

    def work(times: int) -> None:
        epochs(times)

    return work


def _seconds_of_a_process(contender: str, turns: int = 3) -> float:
    """Return the wall time of a process that takes a thousand steps of one name, imports included.

    Our process is the command `microgpt.py`, until it has printed its twenty names. A peer's process invents no names.
    """
    alone = f"from benchmarks.microgpt_steps import thousand_steps; thousand_steps({contender!r})"
    is_ours = MICROGPT[contender] is ours
    command = [sys.executable, *([microgpt.__file__] if is_ours else ["-c", alone])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # modules are compiled in the first turn alone
    found = []
    for _ in range(turns):
        begun = time.perf_counter()
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout
            lines = [process.stdout.readline() for _ in range(LINES_OF_OURS if is_ours else 1)]
            found.append(time.perf_counter() - begun)
            process.kill()  # before the command draws its picture, which does not count
        if not lines[-1]:
            raise RuntimeError(f"{contender}: the process ended early; run {' '.join(command)!r} to see why")
    return median(found)


def thousand_steps(contender: str) -> None:
    """Take a step with each of the first thousand names, and print the mean loss."""
    epochs = MICROGPT[contender](*start(1000), 1)
    assert epochs
    print(*epochs(1), flush=True)
