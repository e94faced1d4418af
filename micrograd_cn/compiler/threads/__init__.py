"""Run tasks in parallel or in the background, and define locks that still work after a fork."""
