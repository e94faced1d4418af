"""Convert the data that a program reads and returns.

The data are samples, rows, parameters, and nodes that were computed before a call.
"""
