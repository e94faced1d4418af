"""The page: a graph as one offline HTML file in which the chain rule is stepped through edge by edge; the playground.

graph.py says what a page knows of a graph, javascript.py writes the rows that it needs as JavaScript, bundle.py joins
them with the modules of stepper/ into one script, and sheet.py puts it into one file. There session.js owns what is
chosen and what follows from it: which parts of the graph are open (fold.js), what is known after the steps so far
(engine.js, view.js). screen.js shows it, laid out (layout.js), drawn (picture.js) and told (narration.js).
playground.py adds the rooms of playground/: to type an expression in the grammar of grammar.py, or to train a network
with the library's losses and optimisers; each opens its computation in the stepper (rooms.js).
"""

from .flow import Tape, draw_flow
from .playground import playground

__all__ = ["Tape", "draw_flow", "playground"]
