"""latentpress beside its peers: the same pictures, each side in a process of its own, taking turns.

    python -m peers run --workload demo            # from the folder benchmarks/; a table and a plot
    python -m peers run --workload mixed
    python -m peers run --workload sd15

A side is one way to render (`sides.py`), a workload is what to render (`workloads.py`).
"""
