"""Measures one bundle on this machine: time per component, images per second per bucket, memory, share of the ceiling.

Uses `runtime` as `batch` does and knows nothing of manifests. `latentpress bench` prints it; benchmarks/ compares peers.
"""
