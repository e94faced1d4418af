"""Text in both directions: expressions to graphs, operations to formulas, and words in two languages.

`expression` reads an expression such as `tanh(2*x)` into a graph. `formula` writes an operation with simpler ones.
`words` has the words that pictures, the page and the command line share.
"""
