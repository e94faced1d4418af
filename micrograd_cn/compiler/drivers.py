"""The loops around a graph's functions: over the rows of a batch, over batches and epochs, over parameters."""

from __future__ import annotations

from .instructions import AFTER, BATCH, SAMPLE
from .layout import ARGUMENTS, Layout
from .text import Function, literal
from .writer import splat, vector

PASSED = "ptr %s, ptr %w, ptr %a"
FEW = 16  # columns up to which a row is copied without a loop


def loader(layout: Layout, columns: int) -> Function:
    """Return the function that puts up to `width` rows into lanes; those left over repeat the last row.

    Rows are those of which the numbers are at `%index`. The seed of the gradient is `%each` in the lanes of a row, 0 in
    the others.
    """
    width, seed = layout.width, layout.seed
    f = Function("internal void @load(ptr %rows, ptr %index, i64 %valid, double %each, double %other, ptr %w)")
    last = f.op("sub i64 %valid, 1")
    with f.loop(width) as lane:
        inside = f.op(f"icmp ult i64 {lane.index}, %valid")
        if seed is not None:
            chosen = f.op(f"select i1 {inside}, double %each, double %other")
            f.store("double", chosen, f.at("%w", f.op(f"add i64 {lane.index}, {seed * width}")))
        source = f.op(f"select i1 {inside}, i64 {lane.index}, i64 {last}")
        number = f.load("i64", f.at("%index", source, "i64"))
        row = f.at("%rows", f.op(f"mul i64 {number}, {columns}"))
        to = f.at("%w", lane.index)
        if columns <= FEW:
            for k in range(columns):
                f.store("double", f.load("double", f.at(row, k)), f.at(to, k * width))
        else:
            with f.loop(columns) as column:
                x = f.load("double", f.at(row, column.index))
                f.store("double", x, f.at(to, f.op(f"mul i64 {column.index}, {width}")))
    f.do("ret void")
    return f


def forward(layout: Layout, outputs: list[int]) -> Function:
    """Return the function that computes the outputs of every row."""
    width = layout.width
    f = Function(f"void @forward(ptr %rows, ptr %index, i64 %n, ptr %out, {ARGUMENTS})")
    for line in layout.calls[BATCH]:
        f.do(line)
    blocks = f.op(f"udiv i64 {f.op(f'add i64 %n, {width - 1}')}, {width}")
    with f.loop(blocks) as block:
        start = f.op(f"mul i64 {block.index}, {width}")
        valid = minimum(f, f.op(f"sub i64 %n, {start}"), str(width))
        f.do(
            f"call void @load(ptr %rows, ptr {f.at('%index', start, 'i64')}, i64 {valid}, "
            "double 0.0, double 0.0, ptr %w)"
        )
        for line in layout.calls[SAMPLE]:
            f.do(line)
        for places in (layout.slot, layout.scalar):
            columns = [k for k, i in enumerate(outputs) if i in places]
            if not columns:
                continue
            scale = width if places is layout.slot else 1
            place = layout.index([places[outputs[k]] for k in columns], scale)
            column = layout.index(columns)
            with f.loop(valid) as lane:
                row = f.op(f"mul i64 {f.op(f'add i64 {start}, {lane.index}')}, {len(outputs)}")
                with f.loop(len(columns)) as output:
                    source = place(f, output.index)
                    if places is layout.slot:
                        x = f.load("double", f.at("%w", f.op(f"add i64 {source}, {lane.index}")))
                    else:
                        x = f.load("double", f.at("%s", source))
                    f.store("double", x, f.at("%out", f.op(f"add i64 {row}, {column(f, output.index)}")))
    f.do("ret void")
    return f


def minimum(f: Function, a: str, b: str) -> str:
    """Return the smaller of two counts."""
    return f.op(f"select i1 {f.op(f'icmp ult i64 {a}, {b}')}, i64 {a}, i64 {b}")


def block(layout: Layout, output: int) -> Function:
    """Return the function that adds the gradients of up to `width` rows to the totals and returns their losses' sum."""
    width = layout.width
    f = Function(f"internal double @block(ptr %rows, ptr %index, i64 %valid, double %each, double %other, {ARGUMENTS})")
    f.do("call void @load(ptr %rows, ptr %index, i64 %valid, double %each, double %other, ptr %w)")
    for line in layout.calls[SAMPLE]:
        f.do(line)
    with f.loop("%valid", [("double", literal(0.0))]) as lane:
        if layout.code.phase[output] == SAMPLE:
            x = f.load("double", f.at("%w", f.op(f"add i64 {lane.index}, {layout.slot[output] * width}")))
        else:
            x = f.load("double", f.at("%s", layout.scalar[output]))
        lane.next = [f.op(f"fadd double {lane.carried[0]}, {x}")]
    f.do(f"ret double {lane.next[0]}")
    return f


def reduction(layout: Layout) -> Function:
    """Return the function that makes means of the totals' lanes; it returns 0, or nan if one of them is not finite."""
    native, count = layout.native, len(layout.totals)
    kind = vector(native)
    f = Function(f"internal double @reduce(double %scale, {ARGUMENTS})")
    if not count:
        f.do("ret double 0.0")
        return f
    with f.loop(-(-count // native), [(kind, "zeroinitializer")]) as loop:
        first = f.op(f"mul i64 {loop.index}, {native}")
        sums = [
            f.load(kind, f.at("%a", f.op(f"mul i64 {f.op(f'add i64 {first}, {k}')}, {native}")), layout.align)
            for k in range(native)
        ]
        while len(sums) > 1:  # neighbours of two vectors: half as many vectors of sums, in order
            sums = [_neighbours(f, a, b, native) for a, b in zip(sums[::2], sums[1::2], strict=True)]
        means = f.op(f"fmul {kind} {sums[0]}, {splat(f, '%scale', native)}")
        f.store(kind, means, f.at("%s", f.op(f"add i64 {first}, {layout.total_at}")))
        zeros = f.op(f"fmul {kind} {means}, zeroinitializer")
        loop.next = [f.op(f"fadd {kind} {loop.carried[0]}, {zeros}")]
    lanes = [f.op(f"extractelement {kind} {loop.next[0]}, i32 {k}") for k in range(native)]
    total = lanes[0]
    for lane in lanes[1:]:
        total = f.op(f"fadd double {total}, {lane}")
    f.do(f"ret double {total}")
    return f


def _neighbours(f: Function, a: str, b: str, native: int) -> str:
    """Return the sums of neighbouring lanes, first of `a`, then of `b`."""
    kind = vector(native)
    halves = [
        f.op(
            f"shufflevector {kind} {a}, {kind} {b}, "
            f"<{native} x i32> <{', '.join(f'i32 {k}' for k in range(odd, 2 * native, 2))}>"
        )
        for odd in (0, 1)
    ]
    return f.op(f"fadd {kind} {halves[0]}, {halves[1]}")


def gradient(layout: Layout, output: int, gradients: list[int], gradient_at: int) -> list[Function]:
    """Return the functions that compute the mean output and its gradient over a batch.

    Where a total is not finite and the last block was not full, every row is done by itself, in all lanes: a lane
    left over has gradient 0, but 0 times infinity is not.
    """
    width = layout.width
    f = Function(f"double @gradient(ptr %rows, ptr %index, i64 %n, {ARGUMENTS})")
    for line in layout.calls[BATCH]:
        f.do(line)
    size = 8 * layout.native * len(layout.totals)
    clear = f"call void @llvm.memset.p0.i64(ptr align 64 %a, i8 0, i64 {size}, i1 false)"
    scale = f.op(f"fdiv double 1.0, {f.op('uitofp i64 %n to double')}")
    f.do(clear)
    blocks = f.op(f"udiv i64 {f.op(f'add i64 %n, {width - 1}')}, {width}")
    with f.loop(blocks, [("double", literal(0.0))]) as loop:
        start = f.op(f"mul i64 {loop.index}, {width}")
        valid = minimum(f, f.op(f"sub i64 %n, {start}"), str(width))
        losses = f.op(
            f"call double @block(ptr %rows, ptr {f.at('%index', start, 'i64')}, i64 {valid}, "
            f"double 1.0, double 0.0, {PASSED})"
        )
        loop.next = [f.op(f"fadd double {loop.carried[0]}, {losses}")]
    loss = f.op(f"fmul double {loop.next[0]}, {scale}")
    wrong = f.op(f"fcmp uno double {f.op(f'call double @reduce(double {scale}, {PASSED})')}, 0.0")
    ragged = f.op(f"icmp ne i64 {f.op(f'urem i64 %n, {width}')}, 0")
    with f.when(f.op(f"and i1 {wrong}, {ragged}")):
        f.do(clear)
        with f.loop("%n") as row:
            pointer = f.at("%index", row.index, "i64")
            each = literal(1.0 / width)
            f.op(f"call double @block(ptr %rows, ptr {pointer}, i64 1, double {each}, double {each}, {PASSED})")
        f.op(f"call double @reduce(double {scale}, {PASSED})")
    for line in layout.calls[AFTER]:
        f.do(line)
    f.do(f"call void @gather({PASSED})")
    f.do(f"ret double {loss}")
    return [block(layout, output), reduction(layout), gather(layout, gradients, gradient_at), f]


def gather(layout: Layout, gradients: list[int], gradient_at: int) -> Function:
    """Return the function that puts the parameters' gradients in order."""
    f = Function(f"internal void @gather({ARGUMENTS})")
    if gradients:
        places = [layout.scalar[i] for i in gradients]
        if places == list(range(places[0], places[0] + len(places))):
            source, to = f.at("%s", places[0]), f.at("%s", gradient_at)
            size = 8 * len(places)
            f.do(f"call void @llvm.memcpy.p0.p0.i64(ptr align 8 {to}, ptr align 8 {source}, i64 {size}, i1 false)")
        else:
            index = layout.index(places)
            with f.loop(len(gradients)) as loop:
                x = f.load("double", f.at("%s", index(f, loop.index)))
                f.store("double", x, f.at("%s", f.op(f"add i64 {loop.index}, {gradient_at}")))
    f.do("ret void")
    return f


def fit(update: Layout, outputs: list[int], gradient_at: int) -> Function:
    """Return the function that takes steps of training: gradient, then the optimiser's update of every parameter.

    `%us` holds the update's scalars, first the learning rate and the number of steps; `%uw` its samples, which are
    parameters, `width` a block: their data, their gradients, what the optimiser keeps of them. Step t takes batch
    t modulo the number of batches in an epoch, and adds its share to the loss of its epoch.
    """
    width, size, align = update.width, update.slots * update.width, update.align
    kind = vector(width)
    f = Function(
        "void @fit(ptr %gradient, ptr %rows, ptr %index, i64 %n, i64 %batch, i64 %first, i64 %steps, "
        f"ptr %losses, {ARGUMENTS}, ptr %us, ptr %uw, i64 %own, i64 %blocks)"
    )
    above = f.op(f"sub i64 {f.op('add i64 %n, %batch')}, 1")
    batches = f.op(f"udiv i64 {above}, %batch")
    rows = f.op("uitofp i64 %n to double")
    with f.loop("%steps") as step:
        t = f.op(f"add i64 %first, {step.index}")
        start = f.op(f"mul i64 {f.op(f'urem i64 {t}, {batches}')}, %batch")
        count = minimum(f, f.op(f"sub i64 %n, {start}"), "%batch")
        loss = f.op(f"call double %gradient(ptr %rows, ptr {f.at('%index', start, 'i64')}, i64 {count}, {PASSED})")
        share = f.op(f"fdiv double {f.op(f'uitofp i64 {count} to double')}, {rows}")
        epoch = f.at("%losses", f.op(f"udiv i64 {t}, {batches}"))
        sum_ = f.op(f"fadd double {f.load('double', epoch)}, {f.op(f'fmul double {loss}, {share}')}")
        f.store("double", sum_, epoch)
        steps = f.at("%us", 1)
        f.store("double", f.op(f"fadd double {f.load('double', steps)}, 1.0"), steps)
        for line in update.calls[BATCH]:
            f.do(line.replace("ptr %s", "ptr %us").replace("ptr %w", "ptr %uw"))
        with f.loop("%blocks") as block:
            w = f.at("%uw", f.op(f"mul i64 {block.index}, {size}"))
            place = f.op(f"mul i64 {block.index}, {width}")
            own = f.op(f"icmp ult i64 {block.index}, %own")
            with f.when(own):
                x = f.load(kind, f.at("%s", f.op(f"add i64 {place}, {gradient_at}")))
                f.store(kind, x, f.at(w, width), align)
            for line in update.calls[SAMPLE]:
                f.do(line.replace("ptr %s", "ptr %us").replace("ptr %w", f"ptr {w}"))
            new = [
                f.load(kind, f.at(w, update.slot[i] * width), align)
                if update.code.phase[i] == SAMPLE
                else splat(f, f.load("double", f.at("%us", update.scalar[i])), width)
                for i in outputs
            ]
            for column, x in zip([0, *range(2, len(new) + 1)], new, strict=True):  # the gradient, column 1, stays
                f.store(kind, x, f.at(w, column * width), align)
            with f.when(own):
                f.store(kind, f.load(kind, w, align), f.at("%s", place))
    f.do("ret void")
    return f
