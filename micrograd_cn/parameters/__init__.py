"""Find `Value`s in nested structures: the parameters of a model, and the arguments of a function.

`tree` flattens nested lists, dicts and arrays, and nests other leaves in the same way. All other modules are about
models: they find the parameters of a model, and notice when the model would lose one.

A parameter is a leaf `Value` in an attribute of a model, however deep inside other objects. `members` says what an
object holds, and walks through it. `model` is the base class of `Module`, as far as this folder needs it. `listing`
lists the parameters with their paths. `entries` gives the numbers of a model's state by name, and `files` writes and
reads them.

The other modules keep a model from losing a parameter without a word. `records` remembers where parameters were.
`assignment` checks each new value of an attribute. Python tells nobody of a new item in a list, so `lost` compares the
items when the parameters are listed. `unheld` finds computed values that took the place of a parameter and that nothing
would train. `construction` has a model checked after its `__init__`, `class_attributes` checks the attributes of its
class, and `hidden` checks objects in which no parameters are looked for; `opaque` searches those that do not show what
they hold. `states` tells parameters from constants and inputs that a call of the model keeps, and
`changes` tells optimisers that a model was made or changed. Leaves that a model reads and does not have are found by
`functions` in its functions, and by `calls` in the graphs of its results. `repeated` leaves out the second occurrence
of a parameter that a user's method `parameters` adds to those that the method of its base class has found already.
"""
