"""Compiled functions: recorded when they are called with arguments of a new structure, and for each branch."""
