"""A compiled function: recorded for each form of its samples and each branch, and all that it can do then."""
