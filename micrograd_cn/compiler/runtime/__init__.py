"""A program in memory: its tables or its native code, and the loops over rows around them."""
