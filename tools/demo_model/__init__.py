"""The recipe of the `demo` model: fetch pictograms, train a small latent diffusion model and five concepts, judge them.

`make demo-model` runs it whole; `python -m demo_model --help` lists the stages. It needs the extra `demo-model`.
"""
