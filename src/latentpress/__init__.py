"""latentpress: renders manifests of Stable Diffusion jobs through exported ONNX engines."""

__version__ = "0.1.0"
