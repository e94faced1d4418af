"""The messages of the exceptions that draw_flow() and Tape raise. No page shows them."""

ERRORS = {
    "en": {
        "not_a_value": "draw_flow() takes a Value or a Tape, and snapshot() a Value, got {kind}",
        "constant": "draw_flow() got the constant {root!r}, to which no gradient flows: it was made from constants "
        "alone, detached, or made inside no_grad(); give it a Value that depends on a leaf",
        "empty": "the tape is empty: call snapshot(loss) in the training loop before saving the page",
    },
    "zh": {
        "not_a_value": "draw_flow() 需要一个 Value 或 Tape，snapshot() 需要一个 Value，收到的是 {kind}",
        "constant": "draw_flow() 收到的是常量 {root!r}：它只由常量算出、经过了 detach()，或者是在 no_grad() 里"
        "算出的，没有梯度可以传播；请给出一个依赖于叶节点的 Value",
        "empty": "记录是空的：保存页面之前，请在训练循环里调用 snapshot(loss)",
    },
}
