"""What `python demos/benchmark.py` measures: this engine beside its peers, doing the same work.

Nobody runs these files. Each has functions that measure and return rows, of which `benchmark.py` makes a table.
"""
