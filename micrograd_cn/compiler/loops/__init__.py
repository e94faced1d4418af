"""Find the loops in a program, order its stages, and give its values places in memory.

The folders `tables` and `c` and the module `native` print the result.
"""
