"""Run programs. This folder has their code, their buffers, and drivers: kernels that loop over rows and batches."""
