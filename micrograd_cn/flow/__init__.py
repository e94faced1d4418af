"""The page: a graph as one offline HTML file in which the chain rule is stepped through edge by edge; the playground.

graph.py says what a page knows of a graph, javascript.py writes the rows that it needs as JavaScript, and sheet.py puts
both into one file with the scripts of stepper/. There a graph's parts open and close (fold.js), what is open is laid
out (layout.js, order.js), and a state of the steps (engine.js, view.js) is drawn (picture.js) and told (narration.js).
playground.py adds the rooms of playground/: to type an expression in the grammar of grammar.py, or to train a network
with the library's losses and optimisers; each opens its computation in the stepper.
"""

from .flow import Tape, draw_flow
from .playground import playground

__all__ = ["Tape", "draw_flow", "playground"]
