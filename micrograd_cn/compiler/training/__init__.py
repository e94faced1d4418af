"""Implement `fit`: a compiled loop takes steps of training, for samples that one or several programs compute."""
