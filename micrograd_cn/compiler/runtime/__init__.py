"""Run compiled graphs. This folder has their code and buffers, and drivers, the functions that loop over rows."""
