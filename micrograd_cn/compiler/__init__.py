"""Run a recorded graph at the machine's speed: record one sample, compile it, run all samples (needs llvmlite)."""

from .program import Mismatch, Program, compile

__all__ = ["Mismatch", "Program", "compile"]
