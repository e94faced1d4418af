"""Which instructions are one loop, in which order all are done, and where their values lie: found once."""
