"""Find the loops in a program, order its stages, and give its values places in memory. Printers read the result."""
