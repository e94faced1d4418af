"""Implement `fit`: a compiled loop takes training steps. The samples are computed by one program or by several."""
