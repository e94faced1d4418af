"""Run compiled graphs. This folder has their code, buffers and drivers: functions that loop over rows of numbers."""
