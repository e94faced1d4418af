"""`fit`: steps of training in a compiled loop, for samples that one or several programs compute."""
