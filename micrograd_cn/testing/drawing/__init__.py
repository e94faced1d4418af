"""Hypothesis strategies for numbers, arrays and expressions, which choose points at which mistakes show."""
