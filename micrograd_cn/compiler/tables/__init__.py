"""Loops as tables: kernels that all programs share read there where operands are, so hardly anything is compiled."""
