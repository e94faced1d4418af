"""A program as one C file."""
