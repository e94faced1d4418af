"""Check the derivative of a function of arrays, which is treated as a function from one vector to another.

`array_check` calls the other modules. `problem` packs arguments and results into vectors (`vectors`), and `analytic`
calls the derivative that is checked. `contract` checks rules that a backward pass must keep. `directional_comparison`
compares derivatives along directions, which `sampling` draws. Ways to compare such a derivative are tried in order
(`directional_stages`), and `whole_number_features` finds features that long steps miss. If the derivative seems wrong,
other reasons than a mistake are looked for (`excuses`), and then `search` finds a wrong element.
"""
