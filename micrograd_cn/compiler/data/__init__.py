"""Convert the data that a program reads and returns, and find what else a function can read (`surroundings`).

The data are samples, rows, parameters, and nodes that were computed before a call.
"""
