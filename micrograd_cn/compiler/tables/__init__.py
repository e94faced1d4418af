"""Print loops as tables. Kernels that all programs share read there where operands are, so little is compiled."""
