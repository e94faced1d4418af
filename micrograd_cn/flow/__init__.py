"""The page: one offline HTML file that steps through the chain rule of a graph edge by edge. The playground adds to it.

Python writes the page. flow.py records graphs, graph.py describes them, columns.py packs their numbers, and
javascript.py prints their operations as JavaScript. bundle.py joins this JavaScript with the modules of stepper/ into
one function, squeeze.py takes comments and spaces out of it, and sheet.py puts it, the data and the texts of texts/
into the file. In the browser, session.js holds the state: what the reader has chosen, which parts of the graph are open
(fold.js), and what is known after the steps up to now (engine.js, view.js). screen.js shows the state: layout.js places
the boxes, picture.js draws them, and narration.js tells the step in a sentence. playground.py adds rooms, which are
tabs of the page: to type an expression (grammar.py), to train a network (playground/), to train a language model
(model/), and lessons (lessons/). A room opens its computations in the stepper, the part of the page that steps through
a graph. The computation of a network or model is written once, and playground/recorder.js records it: the stepper shows
the recording as a graph, and playground/sweeps.js computes it again and again for training. rooms.js shows the rooms,
writes what they show into the address, and follows the browser's history.
"""

from .flow import Tape, draw_flow
from .playground import playground

__all__ = ["Tape", "draw_flow", "playground"]
