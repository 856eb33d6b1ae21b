"""Which engine a person chose, and whether a bundle's graphs are made for it. Opens nothing."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, get_args

from latentpress.bundle.info import BundleInfo, Precision
from latentpress.errors import UsageError

EngineName = Literal["cpu", "openvino", "cuda", "tensorrt", "tensorrt-rtx"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
GPU_ENGINES: tuple[EngineName, ...] = ("cuda", "tensorrt", "tensorrt-rtx")
# Built for ranges of shapes, in which a prompt has one length (shapes.py).
ONE_LENGTH: tuple[EngineName, ...] = ("tensorrt", "tensorrt-rtx")

# Which engines read which graphs; export/graphs/flavours.py says what the flavours are. com.microsoft operators exist in
# ONNX Runtime alone, those of the cuda flavour in its CUDA provider alone.
FLAVOUR_ENGINES: dict[str, tuple[EngineName, ...]] = {
    "plain": ENGINES,
    "attention": ENGINES,
    "mha": ("cpu", "cuda"),
    "cuda": ("cuda",),
}

# Engine -> why a graph in bfloat16 does not run on it, and what to ask for instead. The CUDA provider's kernels are those
# of onnxruntime-gpu 1.31: MatMul, Conv and attention have bfloat16, the norms and resizing of a UNet do not.
_WITHOUT_BF16: dict[EngineName, tuple[str, str]] = {
    "cpu": ("ONNX Runtime's CPU provider has no bfloat16 kernels", "--engine openvino, or --precision fp32"),
    "cuda": (
        "ONNX Runtime's CUDA provider has no bfloat16 kernels for GroupNorm and Resize",
        "--precision fp16, or --engine tensorrt",
    ),
}


@dataclass(frozen=True)
class EngineChoice:
    """An engine and the arithmetic it is asked for: bf16 for OpenVINO alone, None for what the graphs hold."""

    name: EngineName = "cpu"
    precision: Literal["bf16"] | None = None

    def __str__(self) -> str:
        return f"{self.name}:{self.precision}" if self.precision else self.name


DEFAULT_ENGINE = EngineChoice()

# What an engine's sessions call themselves, in the ledger and in pictures, where that is not its name.
_PROVIDERS = {
    "onnxruntime-cpu": "cpu",
    "openvino-f32": "openvino",
    "openvino-bf16": "openvino:bf16",
    "onnxruntime-cuda": "cuda",
    "onnxruntime-cuda-graphs": "cuda",
    "onnxruntime-tensorrt": "tensorrt",
}


def engine_called(provider: str) -> str:
    """The engine, as on the command line, whose sessions call themselves `provider`."""
    return _PROVIDERS.get(provider, provider)


def parse_engine(text: str) -> EngineChoice:
    """`openvino`, `openvino:bf16` and so on; raises UsageError, without a place, for anything else."""
    name, _, precision = text.partition(":")
    for known in ENGINES:
        if name == known:
            if not precision:
                return EngineChoice(known)
            if known == "openvino" and precision in ("bf16", "f32"):
                return EngineChoice(known, "bf16" if precision == "bf16" else None)
            raise UsageError(
                f"engine {text!r}: {known} takes no precision {precision!r}; openvino:bf16 is the only one, other "
                "engines compute in the precision the bundle was exported with"
            )
    close = get_close_matches(name, ENGINES, 1, 0.7)  # one letter of three, as in gpu, is no slip of the keyboard
    hint = f"did you mean {close[0]!r}?" if close else f"it must be one of {', '.join(ENGINES)}"
    raise UsageError(f"engine {text!r} is unknown; {hint}")


def parse_precision(text: str, choice: EngineChoice | None = None) -> Precision:
    """A bundle's precision, for the engine `choice` if one was named; raises UsageError, without a place."""
    for known in get_args(Precision):
        if text == known:
            if known == "bf16" and choice is not None and choice.name in _WITHOUT_BF16:
                why, way_out = _WITHOUT_BF16[choice.name]
                raise UsageError(f"precision bf16 cannot be had with --engine {choice.name}: {why}; use {way_out}")
            return known
    raise UsageError(f"precision {text!r} is unknown; it must be one of {', '.join(get_args(Precision))}")


def engine_of(info: BundleInfo, choice: EngineChoice | None = None) -> EngineChoice:
    """`choice`, or where that is None the engine the bundle was exported for. Raises UsageError as `check_choice` does."""
    chosen = choice or parse_engine(info.engine)
    check_choice(info, chosen)
    return chosen


def check_prompt_length(choice: EngineChoice, chunks: int) -> None:
    """Raise UsageError if the engine, built for the tokens of one chunk, cannot run prompts of so many."""
    if chunks > 1 and choice.name in ONE_LENGTH:
        raise UsageError(
            f"a prompt takes {chunks} chunks (long_prompts: chunks), and {choice.name} engines are built for the tokens of "
            "one; render with --engine cuda, or leave long_prompts out"
        )


def runs(info: BundleInfo, choice: EngineChoice) -> bool:
    """Whether the engine can run the bundle's graphs at all."""
    try:
        check_choice(info, choice)
    except UsageError:
        return False
    return True


def check_choice(info: BundleInfo, choice: EngineChoice) -> None:
    """Raise UsageError if the bundle's graphs are of a flavour or precision that the engine cannot run."""
    engines = FLAVOUR_ENGINES[info.flavour]
    if choice.name not in engines:
        raise UsageError(
            f"bundle {info.name} was exported in the {info.flavour!r} flavour, which runs on {' and '.join(engines)}, "
            f"not on {choice.name}; export the checkpoint again with --engine {choice.name}"
        )
    if info.precision == "bf16" and choice.name in _WITHOUT_BF16:
        why, way_out = _WITHOUT_BF16[choice.name]
        raise UsageError(
            f"bundle {info.name} was exported in bf16, and {why}; render with another engine, or export it again "
            f"with {way_out}"
        )
