"""Train data-parallel on many devices, each with a part of the rows: `python demos/many_devices.py`.

The graph of one row's loss becomes a function of arrays, which takes the parameters as a dict by the model's names. JAX
does the rest: a mesh lists the devices, the rows are divided among them, and the mean over all rows makes the devices
add up their parts of the gradient. Here XLA makes four devices of one processor. The table shows the time of a step on
1, 2 and 4 devices, which falls as long as there are more cores, and the time of all cores together, which stays the
same. Losses and parameters must agree with those of `fit` to 1e-9, or the demo fails. It needs `'.[jax]'`.

The same code runs on a cluster, with one process on each machine. The CPUs or GPUs of all machines are then the devices
(JAX for GPUs is another package: https://docs.jax.dev/en/latest/installation.html). The options say where the first
process listens, how many processes there are, and which of them this one is:

    python demos/many_devices.py --coordinator 10.0.0.1:1234 --processes 2 --process 0  # on 10.0.0.1
    python demos/many_devices.py --coordinator 10.0.0.1:1234 --processes 2 --process 1  # on the second machine
"""

import argparse
import os
import time
from contextlib import suppress
from statistics import median
from typing import Any

from micrograd_cn import Value
from micrograd_cn.losses import binary_cross_entropy_with_logits
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD
from shared.language import add_language_option, align_right, set_language_from_arguments, text

# XLA reads this when jax is imported.
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count=4 {os.environ.get('XLA_FLAGS', '')}"
try:
    import jax
    import numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
except ImportError as error:
    set_language_from_arguments()
    install = "python -m pip install -e '.[jax]'"
    needed = text(f"many_devices.py needs JAX: {install}", f"many_devices.py 需要 JAX：{install}")
    raise SystemExit(f"{error}\n{needed}") from None

jax.config.update("jax_enable_x64", True)
LEARNING_RATE, MOMENTUM = 0.5, 0.9
TOLERANCE = 1e-9
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [*range(os.cpu_count() or 1)]


def meaning_of_rows() -> str:
    """Return the help text of --rows, which is also the error message for a wrong number."""
    return text("how many, a multiple of the number of devices", "样本数，应是设备数的整数倍")


def options() -> argparse.Namespace:
    set_language_from_arguments()
    parser = argparse.ArgumentParser(
        description=text(str(__doc__).partition("\n\n")[0], "在多个设备上做数据并行训练，每个设备分到一部分样本"),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--steps", type=int, default=60, help=text("training steps, each with all rows", "训练步数，每步用全部样本"))
    add("--rows", type=int, default=2**17, help=meaning_of_rows())
    add("--seed", type=int, default=0, help=text("decides the data and the initial weights", "决定数据和初始权重"))
    listens = text("address and port where the first process of a cluster listens", "集群中第一个进程监听的地址和端口")
    add("--coordinator", help=listens)
    add("--processes", type=int, default=1, help=text("how many the cluster has", "集群的进程数"))
    add("--process", type=int, default=0, help=text("which of them this is, from 0", "本进程的序号，从 0 开始"))
    add_language_option(parser)
    chosen = parser.parse_args()
    if chosen.steps < 2 or chosen.rows < 1 or not 0 <= chosen.process < chosen.processes:
        least = "--steps must be at least 2, --rows at least 1, and --process from 0 to --processes - 1"
        parser.error(text(least, "--steps 至少为 2，--rows 至少为 1，--process 从 0 到 --processes - 1"))
    if chosen.processes > 1 and not chosen.coordinator:
        parser.error(text("several processes need --coordinator", "多个进程需要 --coordinator"))
    return chosen


def use_cores(count: int) -> None:
    """Restrict all threads of this process to `count` cores; XLA would use all cores for a single device."""
    if hasattr(os, "sched_setaffinity"):  # Linux
        for thread in os.listdir("/proc/self/task"):
            with suppress(ProcessLookupError):  # the thread has ended
                os.sched_setaffinity(int(thread), CORES[:count])


def main() -> None:
    chosen = options()
    if chosen.coordinator:
        jax.distributed.initialize(chosen.coordinator, chosen.processes, chosen.process)
    counts = (1, 2, 4) if jax.process_count() == 1 else (jax.device_count(),)
    if jax.device_count() < max(counts):
        needed, found = max(counts), jax.device_count()
        few = text(f"{needed} devices are needed, there are {found}", f"需要 {needed} 个设备，只有 {found} 个")
        raise SystemExit(f"many_devices.py: {few} (XLA_FLAGS={os.environ['XLA_FLAGS'].strip()!r})")
    if chosen.rows % max(counts):
        raise SystemExit(f"many_devices.py: --rows {chosen.rows}: {meaning_of_rows()}")

    # Which points of a square are inside a circle? The graph is the loss of one point.
    points = np.random.default_rng(chosen.seed).uniform(-1, 1, (chosen.rows, 2))
    rows = np.column_stack([points, (points**2).sum(axis=1) < 0.5])
    model, on_devices = (MLP(2, [8, 1], activation="tanh", init="xavier_uniform", seed=chosen.seed) for _ in range(2))
    x1, x2, inside = inputs = [Value(0.5) for _ in range(3)]
    program = compile(binary_cross_entropy_with_logits(model([x1, x2]), inside), inputs)
    f = program.array_function(model)

    optimizer = SGD(model.parameters(), LEARNING_RATE, MOMENTUM)
    half = chosen.steps // 2
    losses = program.fit(rows, optimizer, half)
    work_before = time.process_time()  # by now the program is compiled
    losses += program.fit(rows, optimizer, chosen.steps - half)
    seconds = (time.process_time() - work_before) / (chosen.steps - half)
    count, cores = len(model.parameters()), len(CORES)
    print(
        text(
            f"{chosen.rows:,} rows, {count} parameters; {cores} cores here",
            f"{chosen.rows:,} 个样本，{count} 个参数；本机有 {cores} 个核",
        )
    )
    print(f"{text('first loss: ', '最初的损失：')}{losses[0]:.6f}")
    print(f"{text('final loss: ', '最后的损失：')}{losses[-1]:.6f}")
    milliseconds = f"{1e3 * seconds:.1f} ms"
    print(
        text(
            f"time: {milliseconds} of one core for a step of fit()",
            f"用时：fit() 的一个训练步占一个核 {milliseconds}",
        )
    )

    def loss(parameters: Any, part: Any) -> Any:
        return f(jax.numpy, parameters, part.T).mean()

    def step(parameters: Any, buffers: Any, part: Any) -> Any:
        """Take one step of SGD with momentum, as `fit` does."""
        value, gradient = jax.value_and_grad(loss)(parameters, part)
        buffers = jax.tree.map(lambda b, g: MOMENTUM * b + g, buffers, gradient)
        return jax.tree.map(lambda p, b: p - LEARNING_RATE * b, parameters, buffers), buffers, value

    begin = {name: np.array(numbers) for name, numbers in on_devices.state_dict().items()}
    baseline = 0.0
    time_of, widths = text("time: ", "用时："), (7, 12, 15, 16, 16)
    columns = (
        text("devices", "设备数"),
        text("compiling", "编译"),
        text("fastest step", "最快的一步"),
        text("of all cores", "各核合计"),
        text("times as fast", "速度倍数"),
    )
    print(time_of + "".join(map(align_right, columns, widths)))
    for count in counts:
        if jax.process_count() == 1:
            use_cores(count)
        mesh = Mesh(np.array(jax.devices()[:count]), ["rows"])
        divided, everywhere = NamedSharding(mesh, PartitionSpec("rows")), NamedSharding(mesh, PartitionSpec())
        mine = np.split(rows, jax.process_count())[jax.process_index()]  # a cluster's machine would read its own rows
        part = jax.make_array_from_process_local_data(divided, mine)
        parameters, buffers = begin, jax.tree.map(np.zeros_like, begin)

        start = time.perf_counter()
        jitted = jax.jit(step, in_shardings=(everywhere, everywhere, divided), out_shardings=everywhere)
        compiled = jitted.lower(parameters, buffers, part).compile()
        compiling = time.perf_counter() - start
        times, works = [], []
        for expected in losses:
            start, work_before = time.perf_counter(), time.process_time()
            parameters, buffers, value = compiled(parameters, buffers, part)
            value.block_until_ready()
            times.append(time.perf_counter() - start)
            works.append(time.process_time() - work_before)
            if abs(float(value) - expected) > TOLERANCE:
                raise SystemExit(
                    text(
                        f"{count} devices have the loss {float(value)}, fit() {expected}",
                        f"{count} 个设备的损失是 {float(value)}，fit() 的是 {expected}",
                    )
                )
        on_devices.load_state_dict(parameters)
        apart = max(abs(p.data - q.data) for p, q in zip(model.parameters(), on_devices.parameters(), strict=True))
        if apart > TOLERANCE:
            raise SystemExit(
                text(
                    f"parameters of {count} devices differ from those of fit() by {apart:.1e}",
                    f"{count} 个设备的参数与 fit() 的相差 {apart:.1e}",
                )
            )
        fastest, work = (f"{1e3 * seconds:.1f} ms" for seconds in (min(times), median(works)))
        baseline = baseline or min(times)
        ratio = f"{baseline / min(times):.2f}"
        cells = (str(count), f"{compiling:.1f} s", fastest, work, ratio)
        print(time_of + "".join(map(align_right, cells, widths)))
    print(
        text(
            f"equal to fit(): losses and parameters differ by at most {TOLERANCE:g}",
            f"与 fit() 相同：损失和参数最多相差 {TOLERANCE:g}",
        )
    )


if __name__ == "__main__":
    main()
