"""The denoising loop: trajectories of any sampler and step, packed into calls of one UNet."""
