"""Lower a graph and its gradient to a list of instructions without duplicates, and fuse some of the instructions."""
