"""Convert the data that a program reads and returns: samples, rows, parameters, and nodes computed before a call."""
