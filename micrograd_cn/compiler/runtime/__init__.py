"""Run programs: their code, their buffers, and drivers, which are kernels that loop over rows and batches."""
