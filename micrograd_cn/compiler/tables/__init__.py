"""Write a program's loops, and its straight-line code if this becomes threaded code, as tables.

Kernels shared by all programs look up in these tables where their operands are, so little has to be compiled for each
program.
"""
