"""Print a program as one C file."""
