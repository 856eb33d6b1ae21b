"""Builds TensorRT-for-RTX engines ahead of time, for a GPU this machine need not have.

The builder and its ONNX parser lie in the package of ONNX Runtime's plug-in; `tensorrt-rtx-cu13-bindings` opens them to
Python. Importing the plug-in's package loads its libraries, which the bindings then find.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from latentpress.engines.devices import parse_target
from latentpress.errors import EnvironmentFailure, LatentpressError

_INSTALL = "`pip install 'latentpress[tensorrt-rtx]'` adds it"
_NO_PLUGIN = f"engine tensorrt-rtx: the package onnxruntime-ep-nv-tensorrt-rtx-cu13 is not installed; {_INSTALL}"

Shapes = Mapping[str, tuple[Sequence[int], Sequence[int], Sequence[int]]]


def build_engine(graph: Path, shapes: Shapes, target: str, *, tf32: bool) -> memoryview:
    """The serialised engine of an ONNX file. shapes: input -> smallest, best, largest shape; tf32: may float32 use it."""
    rtx = bindings()
    logger = rtx.Logger(rtx.Logger.ERROR)
    builder = rtx.Builder(logger)
    network = builder.create_network(1 << int(rtx.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = rtx.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        first = str(parser.get_error(0)) if parser.num_errors else "no reason given"
        raise LatentpressError(
            f"{graph}: TensorRT for RTX cannot read it ({_line(first)}); export the checkpoint again with "
            "--engine tensorrt-rtx"
        )
    _allow_plain_attention(rtx, network)
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    major, minor = parse_target(target)
    config.set_compute_capability(getattr(rtx.ComputeCapability, f"SM{major}{minor}"), 0)
    if not tf32:
        config.clear_flag(rtx.BuilderFlag.TF32)
    profile = builder.create_optimization_profile()
    for name, (low, best, high) in shapes.items():
        profile.set_shape(name, tuple(low), tuple(best), tuple(high))
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise LatentpressError(
            f"{graph}: TensorRT for RTX built no engine for {target}; export the checkpoint again with --engine "
            "tensorrt-rtx, which chooses operators it has kernels for"
        )
    return memoryview(plan)


def _allow_plain_attention(rtx: Any, network: Any) -> None:
    """Let the builder take an Attention apart where it has no kernel for it: float32, or heads of an unusual size."""
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type == rtx.LayerType.ATTENTION_INPUT:
            layer.__class__ = rtx.IAttentionInputLayer  # how these bindings give a layer its own properties
            layer.attention.decomposable = True


def write_context(graph: Path, engine: Path, context: Path, target: str) -> None:
    """Write the ONNX file that stands for an engine: the graph's inputs and outputs around one EPContext node.

    onnxruntime.ai/docs/execution-providers/EP-Context-Design; the engine is named relative to the file.
    """
    import onnx
    from onnx import helper

    model = onnx.load(graph, load_external_data=False)
    node = helper.make_node(
        "EPContext",
        [value.name for value in model.graph.input],
        [value.name for value in model.graph.output],
        name=context.name,
        domain="com.microsoft",
        main_context=0,
        embed_mode=0,
        ep_cache_context=engine.name,
        hardware_architecture=target.removeprefix("sm"),
        partition_name=context.stem,
        onnx_model_filename=graph.name,
        ep_sdk_version=str(bindings().__version__),
        source=str(plugin_module().get_ep_name()),
    )
    made = helper.make_graph([node], graph.stem, list(model.graph.input), list(model.graph.output))
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=10), context)


def plugin_module() -> Any:
    """The package of the plug-in provider; raises EnvironmentFailure where it is missing."""
    try:
        import onnxruntime_ep_nv_tensorrt_rtx  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise EnvironmentFailure(_NO_PLUGIN) from None
    return onnxruntime_ep_nv_tensorrt_rtx


def lacking_plugin(precision: str | None) -> str:
    """What `plugin_module` would raise, "" for nothing; imports nothing."""
    return _NO_PLUGIN if find_spec("onnxruntime_ep_nv_tensorrt_rtx") is None else ""


def bindings() -> Any:
    """The builder's Python module; raises EnvironmentFailure where a package is missing."""
    plugin_module()
    try:
        import tensorrt_rtx_bindings  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise EnvironmentFailure(
            f"engine tensorrt-rtx: the package tensorrt-rtx-cu13-bindings is not installed; {_INSTALL}"
        ) from None
    return tensorrt_rtx_bindings


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
