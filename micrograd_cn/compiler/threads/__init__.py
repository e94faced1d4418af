"""Threads: tasks that run in parallel, and locks that still work after a fork."""
