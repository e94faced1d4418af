"""The gradient-flow page: a graph as one offline HTML file in which the chain rule is stepped through edge by edge."""

from .flow import Tape, draw_flow

__all__ = ["Tape", "draw_flow"]
