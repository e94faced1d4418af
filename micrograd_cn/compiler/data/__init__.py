"""Convert the data that go into a program and come out of it: samples, rows, parameters and captured values."""
