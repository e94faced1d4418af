"""Numbers that go into a program and come out: samples, rows, parameters, captured values."""
