"""The texts around the rooms of the playground: its title, and the tabs of the first two rooms.

The title replaces that of the stepper's page. The tab of the language model is in model.py.
"""

from .page import PAGE

PLAYGROUND = {
    "en": {
        "title": "Backpropagation playground",
        "noscript": PAGE["en"]["noscript"],
        "tab_typing": "Expression",
        "tab_board": "Network",
    },
    "zh": {
        "title": "反向传播演练场",
        "noscript": PAGE["zh"]["noscript"],
        "tab_typing": "表达式",
        "tab_board": "神经网络",
    },
}
