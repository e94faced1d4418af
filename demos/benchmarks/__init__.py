"""What `python demos/benchmark.py` measures: this engine beside its peers, which do the same work.

Nobody runs these files. Each has functions that take measurements and return the rows of a table:

    timing.py              pieces of work are timed in turns, and contenders must compute the same losses
    training_steps.py      the steps of micrograd's moons, the digits and an attention model, ours and the peers'
    training_times.py      the times of these steps, the garbage collector's share, and the share of the peak
    microgpt_steps.py      the step of microgpt.py, ours and the peers'
    compiled_programs.py   networks, functions on vectors, a recurrent network and threads, beside JAX
    sparse_derivatives.py  sparse Jacobians and Hessians, beside CasADi, JAX and SymPy
    gradient_checks.py     checkers of gradients, on the mistakes that are planted in backward_passes.py
    engine_costs.py        operations, memory, chains of nodes, derivatives, compiling and importing
    peak.py                the peak of one core of this machine
    words.py               the tables in Chinese
"""
