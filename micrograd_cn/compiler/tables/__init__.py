"""Loops as tables: functions that all programs share read there where operands are, so that a program runs at once."""
