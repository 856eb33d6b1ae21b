"""Full-size Stable Diffusion 1.5 and SDXL on one NVIDIA GPU: latentpress beside diffusers, in stages of minutes each.

settings     what is rendered: the two cases at full size, and small ones to rehearse with
checkpoint   the cases' checkpoints: the true configurations, random weights
jobs         what a stage runs: one process each, with a limit
work         what such a process does: export, proof, renders, switches
sides        the ways to render a case
results      rows of JSON, one appended as soon as it is measured
report       the rows as a table and a plot
"""
