"""A program in memory: its code, its buffers, and the drivers that loop over rows, batches and epochs."""
