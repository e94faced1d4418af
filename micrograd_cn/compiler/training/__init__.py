"""Implement `fit`, and single training steps in machine code. The samples are computed by one program or by several."""
