"""Check the derivatives of a function of `Value`s, each by itself.

`value_check` calls the function, differentiates it with this package, and compares each derivative with a numerical
one. `value_stages` makes one such comparison in stages. The last stages are those that end the comparison for a
function of arrays, too.
"""
