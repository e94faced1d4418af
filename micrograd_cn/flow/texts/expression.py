"""The texts of the room in which you type an expression.

The messages about an expression that cannot be read are in micrograd_cn/text/words.py, because the command line prints
them too.
"""

EXPRESSION = {
    "en": {
        "expression": "Expression",
        "example": "Example",
        "choose": "Example …",
        "functions": "Insert a function",
        "return_board": "← Back to training",
        "only_number": "= {value}. There is no variable, so there is no gradient. The graph is still that of the "
        "expression before.",
        "too_many_operands": "{found} may have at most {most} operands here",
        "example_neuron": "a neuron",
        "example_twice": "a + a",
        "example_paths": "two paths meet",
        "example_dead": "a dead ReLU",
        "example_softmax": "softmax with cross entropy",
        "example_newton": "square root by Newton's method",
        "example_vanishing": "vanishing: ten tanh",
        "example_exploding": "exploding: eight factors",
        "example_squares": "least squares",
        "example_logistic": "logistic loss",
        "example_maximum": "a tie of maximum",
        "example_attention": "attention to two keys",
    },
    "zh": {
        "expression": "表达式",
        "example": "例子",
        "choose": "例子…",
        "functions": "插入函数",
        "return_board": "← 回到训练",
        "only_number": "= {value}。没有变量，也就没有梯度；下面仍是上一个表达式的图。",
        "too_many_operands": "{found} 在这里最多有 {most} 个操作数",
        "example_neuron": "一个神经元",
        "example_twice": "a + a",
        "example_paths": "两条路径汇合",
        "example_dead": "“死掉”的 ReLU",
        "example_softmax": "softmax 与交叉熵",
        "example_newton": "牛顿法求平方根",
        "example_vanishing": "梯度消失：十层 tanh",
        "example_exploding": "梯度爆炸：八个因子",
        "example_squares": "最小二乘",
        "example_logistic": "logistic 损失",
        "example_maximum": "maximum：两数相等时",
        "example_attention": "对两个键的注意力",
    },
}
