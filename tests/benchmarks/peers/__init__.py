"""ivbridge's fast engine beside other packages: ``python -m tests.benchmarks.peers`` (`make bench-peers`).

==================================  ========================================================================
:mod:`tests.benchmarks.peers.worlds`       the data, the same for all
:mod:`tests.benchmarks.peers.answers`      what a user of each Python package calls
:mod:`tests.benchmarks.peers.worker`       a process that answers one package's calls; ``worker.R`` is R's
:mod:`tests.benchmarks.peers.processes`    who starts, asks, watches and stops such processes
:mod:`tests.benchmarks.peers.rounds`       rounds in which all take their turn, and what is made of them
:mod:`tests.benchmarks.peers.check`        ``make bench-check``: some of these ratios beside the kept ones
==================================  ========================================================================
"""
