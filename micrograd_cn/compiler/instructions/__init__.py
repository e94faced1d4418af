"""The graph and its gradient as a list of instructions: value numbering, formulas, lowering, fusion."""
