"""Numbers that go in and come out: samples, rows, and values that were computed before."""
