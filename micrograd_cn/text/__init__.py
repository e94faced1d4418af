"""Read expressions, turn operations into formulas, and choose words in English or Chinese.

`expression` reads a text such as `tanh(2*x)` and records it as a graph. `formula` expands an operation into simpler
ones, so the HTML page of `flow` and the compiler can print it in other languages. `words` has the words that pictures,
the page and the command line share. `public_names` has the error for a name that the package or one of its modules does
not have.
"""
