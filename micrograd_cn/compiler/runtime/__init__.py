"""Run programs. This folder has their code, their buffers, and drivers: functions that loop over rows and batches."""
