"""Check the derivatives of a function of `Value`s, each by itself.

`value_check` calls the function, differentiates it with this package, and compares each derivative. A comparison is
made in stages (`value_stages`), the last of which are those of arrays, too.
"""
