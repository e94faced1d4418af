"""The texts around the rooms of the playground: its title, and the tabs of the first two rooms.

The title replaces that of the stepper's page. The tab of the language model is in model.py.
"""

from .page import PAGE

PLAYGROUND = {
    "en": {
        "title": "Backpropagation playground",
        "noscript": PAGE["en"]["noscript"],
        "description": "Watch gradients flow through an expression that you type, a network that you train and a small "
        "language model, and step through each of them by the chain rule.",
        "tab_typing": "Expression",
        "tab_board": "Network",
        "tab_model_short": "Model",
        "hello_label": "Welcome",
        "hello": "Backpropagation finds out how much each number matters to the result. That is how neural networks "
        "learn. Here it is at work on one neuron.",
        "watch": "Watch",
        "first_lesson": "First lesson",
        "try_own": "Try your own",
    },
    "zh": {
        "title": "反向传播演练场",
        "noscript": PAGE["zh"]["noscript"],
        "description": "输入一个表达式，或训练一个网络、一个小语言模型，看梯度怎样流过，再用链式法则一步步走一遍。",
        "tab_typing": "表达式",
        "tab_board": "神经网络",
        "tab_model_short": "模型",
        "hello_label": "欢迎",
        "hello": "反向传播能算出每个数对结果的影响有多大，神经网络就是这样学习的。下面是一个神经元的反向传播。",
        "watch": "看演示",
        "first_lesson": "第一课",
        "try_own": "自己试试",
    },
}
