"""Programs from practice, each written once for this package and for jax, and some by hand in numpy.

`statistics`, `physics`, `learning` and `economics` have the programs, and `measuring` times them.
"""
