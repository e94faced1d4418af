"""Find the loops in a program, order its stages, and give its values places in memory.

The module `native` and the folder `tables` write code and tables for the stages of a `Plan`. The folder `c` makes no
plan: it uses the classes `Schedule`, `Vectorizer` and `Places` with settings of its own.
"""
