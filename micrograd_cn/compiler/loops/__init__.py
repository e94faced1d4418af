"""Find the loops in a program, order its stages, and give its values places in memory.

The module `native` and the folders `tables` and `c` write code and tables for the loops, stages and places.
"""
