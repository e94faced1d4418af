"""Write a program's loops as tables of offsets and addresses.

Kernels shared by all programs look up in these tables where their operands are, so little has to be compiled for each
program.
"""
