"""Convert what goes into a program and what comes out of it: samples, rows of numbers, parameters, captured values."""
