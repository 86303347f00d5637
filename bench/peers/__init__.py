"""Other systems that do tasks, measured beside Savanna by ``make bench-tasks PEERS=1``.

Each has an environment of its own under .savanna/peers, made from ``requirements-NAME.txt``, and a
script that runs there: it starts what the system needs, workers above all, and does the workloads
that it is asked for. A script imports its own system and ``bench.peers.script``, which needs the
standard library alone; the rest of this package runs where Savanna does.
"""
