"""Hypothesis strategies for numbers, arrays and expressions, and how points are chosen at which mistakes show."""
