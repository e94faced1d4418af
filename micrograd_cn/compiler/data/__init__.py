"""Convert what goes into a program and what comes out of it: samples, rows, parameters, captured values."""
