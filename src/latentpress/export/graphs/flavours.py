"""What a graph is made of, for the engine that is to run it, which says what it runs fastest (engines/engine.py).

docs/engines.md has the measurements behind the choice.

plain      opset 20, every operator standard and old: runs on every engine
attention  opset 23, whose Attention and GroupNormalization TensorRT and OpenVINO take whole
mha        opset 20 with com.microsoft's MultiHeadAttention, which ONNX Runtime computes in one kernel
cuda       mha, and what onnxruntime.transformers fuses in it: GroupNorm, SkipGroupNorm, NhwcConv, SkipLayerNorm
"""

import contextlib
import importlib
import io
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import helper
from onnx.defs import OpSchema
from torch import Tensor
from torch.nn import functional

from latentpress.bundle.components import Role
from latentpress.bundle.info import Flavour
from latentpress.export.graphs.trace import Graph, quiet, trace

OPSETS: dict[Flavour, int] = {"plain": 20, "attention": 23, "mha": 20, "cuda": 20}
# What onnxruntime.transformers calls the kinds of models it has fusions for.
_FUSIONS: dict[Role, str] = {"text": "clip", "denoiser": "unet", "encoder": "vae", "decoder": "vae"}
_FUSED: tuple[Flavour, ...] = ("mha", "cuda")


def component_flavour(role: Role, flavour: Flavour) -> Flavour:
    """The flavour of one graph of a bundle of `flavour`.

    An autoencoder is float32 and its one attention has a head as wide as its channels, 512: TensorRT has no kernel for it
    as an Attention, and through ONNX Runtime's provider it cannot be told to take the operator apart.
    """
    return "plain" if flavour == "attention" and role in ("encoder", "decoder") else flavour


def trace_flavour(graph: Graph, folder: Path, flavour: Flavour) -> Path:
    """Write `graph` to folder/NAME.onnx in `flavour`, except for the fusions of `cuda`, which `fuse_for_cuda` adds.

    They are a step of their own because no CPU can run the fused graph, so the graph before them is compared with torch.
    """
    flavour = component_flavour(graph.component.role, flavour)
    if flavour not in _FUSED:
        return trace(graph, folder, OPSETS[flavour])
    with _fused_attention(graph):
        return trace(graph, folder, OPSETS[flavour], _translations())


def fuse_for_cuda(path: Path, role: Role) -> None:
    """Replace the graph at `path` by one with onnxruntime.transformers' fusions for the CUDA provider."""
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    kind = _FUSIONS[role]
    data = path.with_name(path.name + ".data")
    external = data.exists()
    # Its progress bar is not ours.
    with quiet(), contextlib.redirect_stderr(io.StringIO()), _typed_initializers():
        model: Any = optimizer.optimize_model(
            str(path), model_type=kind, opt_level=0, optimization_options=FusionOptions(kind), use_gpu=True
        )
    data.unlink(missing_ok=True)  # the model is in memory, and saving would append to the old file
    model.save_model_to_file(str(path), use_external_data_format=external)


@contextlib.contextmanager
def _typed_initializers() -> Generator[None]:
    """Within the block, the fusions write weights in the type they declare.

    onnxruntime.transformers 1.31 copies a GroupNorm's bytes from a float16 graph as if they were float32, which is what its
    kernel takes, and onnx refuses them: it is meant for float32 graphs that are cast afterwards.
    """
    # The package puts its own folder on the path, and its modules know one another by their bare names.
    importlib.import_module("onnxruntime.transformers")
    Fusion: Any = importlib.import_module("fusion_base").Fusion
    before: Any = Fusion.add_initializer

    def add_initializer(self: Any, name: str, data_type: int, dims: Sequence[int], vals: Any, raw: bool = True) -> Any:
        kind = helper.tensor_dtype_to_np_dtype(data_type)
        return before(self, name, data_type, dims, np.asarray(vals).astype(kind), raw)

    Fusion.add_initializer = add_initializer
    try:
        yield
    finally:
        Fusion.add_initializer = before


class FusedAttention:
    """A diffusers attention processor whose attention is one operator, exported as one MultiHeadAttention node."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """hidden_states: (batch, tokens, channels), or (batch, channels, h, w) in an autoencoder."""
        assert attention_mask is None, "no wrapper of ours passes a mask"
        residual, shape = hidden_states, hidden_states.shape
        if hidden_states.ndim == 4:
            hidden_states = hidden_states.flatten(2).transpose(1, 2)
        if attn.group_norm is not None:
            hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        mixed = torch.ops.latentpress.multi_head_attention(query, key, value, attn.heads, float(attn.scale))
        mixed = attn.to_out[0](mixed)
        if len(shape) == 4:
            mixed = mixed.transpose(1, 2).reshape(shape)
        return (mixed + residual if attn.residual_connection else mixed) / attn.rescale_output_factor


@torch.library.custom_op("latentpress::multi_head_attention", mutates_args=())
def _multi_head_attention(query: Tensor, key: Tensor, value: Tensor, heads: int, scale: float) -> Tensor:
    """What com.microsoft's MultiHeadAttention computes; all (batch, tokens, channels).

    An operator of ours, not torch.onnx.ops.symbolic, which torch 2.13 did not export with free heights and widths.
    """
    query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value))
    mixed = functional.scaled_dot_product_attention(query, key, value, scale=scale)
    return mixed.transpose(1, 2).flatten(2).contiguous()


@_multi_head_attention.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, heads: int, scale: float) -> Tensor:  # pyright: ignore[reportUnusedFunction]
    return torch.empty_like(query, memory_format=torch.contiguous_format)


def _translations() -> dict[Any, Any]:
    """Our operator -> what writes its ONNX node, for torch.onnx.export.

    The schema is ONNX Runtime's (docs/ContribOperators.md), as far as it is used here; onnx knows only its own operators.
    """
    from onnxscript import values

    kinds = ["tensor(float)", "tensor(float16)", "tensor(bfloat16)"]
    attribute, parameter = OpSchema.Attribute, OpSchema.FormalParameter
    schema = OpSchema(
        "MultiHeadAttention",
        "com.microsoft",
        1,
        inputs=[parameter(name, "T") for name in ("query", "key", "value")],
        outputs=[parameter("output", "T")],
        type_constraints=[("T", kinds, "what it computes in")],
        attributes=[
            attribute("num_heads", OpSchema.AttrType.INT, "heads", required=True),
            attribute("scale", OpSchema.AttrType.FLOAT, "of the scores", required=False),
        ],
    )
    operator = values.Op(values.Opset("com.microsoft", 1), "MultiHeadAttention", schema)

    def multi_head_attention(query: Any, key: Any, value: Any, heads: int, scale: float) -> Any:
        return operator(query, key, value, num_heads=heads, scale=scale)

    return {torch.ops.latentpress.multi_head_attention.default: multi_head_attention}


@contextlib.contextmanager
def _fused_attention(graph: Graph) -> Generator[None]:
    """Within the block, each attention of the diffusers models in `graph` is one operator."""
    from diffusers.models.attention_processor import Attention

    found = [module for module in graph.module.modules() if isinstance(module, Attention)]
    before = [module.processor for module in found]
    for module in found:
        module.processor = FusedAttention()  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        for module, processor in zip(found, before, strict=True):
            module.processor = processor
