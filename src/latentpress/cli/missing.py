"""What to install for a module that could not be imported."""

# By the name it is imported under.
_EXTRAS = {
    "onnxruntime": "cpu",
    "openvino": "openvino",
    "matplotlib": "bench",
    "skimage": "diff",
    "pyarrow": "parquet",
    "typst": "figures",
}
# What latentpress is never installed without, unless pip was told to leave it out, or someone removed it.
_DEPENDENCIES = frozenset(
    (
        "torch",
        "diffusers",
        "transformers",
        "onnx",
        "onnxscript",
        "cv2",
        "typer",
        "rich",
        "pydantic",
        "safetensors",
        "ftfy",
        "huggingface_hub",
        "ruamel",
        "yaml",
        "PIL",
        "numpy",
        "psutil",
        "regex",
        "uharfbuzz",
    )
)


def missing_message(error: ModuleNotFoundError) -> str:
    """One sentence: which package is missing, and the line that installs it."""
    if not error.name:
        return f"a package is missing ({error}); install it"
    package = error.name.partition(".")[0]
    if package in _EXTRAS:
        return f"package {package} is missing; pip install 'latentpress[{_EXTRAS[package]}]' adds it"
    if package in _DEPENDENCIES:
        return f"package {package} is missing; pip install latentpress adds it"
    return f"package {package} is missing; install it"
