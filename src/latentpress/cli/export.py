"""`latentpress export`: a checkpoint to a bundle."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from latentpress.cli.completion import engine_names, words
from latentpress.errors import UsageError, shown

# What each option is, apart from the command, which hands them on.
SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="A diffusers folder, a .safetensors or .ckpt, ORG/NAME on the hub, or `demo`."
    ),
]
BundleOption = Annotated[Path, typer.Option("--output", "-o", metavar="BUNDLE", help="The bundle folder to make.")]
VaeOption = Annotated[Path | None, typer.Option(help="A VAE, folder or file, instead of the checkpoint's own.")]
BaseOption = Annotated[
    Path | None, typer.Option(metavar="CHECKPOINT", help="For a UNet alone: the checkpoint its other parts come from.")
]
LoraOption = Annotated[
    list[str] | None, typer.Option(metavar="FILE[:SCALE]", help="A LoRA to fuse, scale 1; may be repeated.")
]
MissingOption = Annotated[
    str,
    typer.Option(
        metavar="error|ignore",
        autocompletion=words("error", "ignore"),
        help="Layers of a LoRA that the checkpoint lacks: error, or ignore them and fuse the rest.",
    ),
]
ConceptOption = Annotated[
    list[str] | None,
    typer.Option(metavar="[TOKEN=]FILE", help="A concept to bake in, its token if not its own; may be repeated."),
]
FamilyOption = Annotated[
    str | None,
    typer.Option(
        metavar="FAMILY",
        autocompletion=words("sd1", "sd2", "sdxl", "sdxl_refiner"),
        help="Require this family: sd1, sd2, sdxl or sdxl_refiner; default whichever it is.",
    ),
]
PredictionOption = Annotated[
    str | None,
    typer.Option(
        metavar="TYPE",
        autocompletion=words("epsilon", "v_prediction"),
        help="epsilon or v_prediction; default what the checkpoint says, or a guess for a single file.",
    ),
]
VariantOption = Annotated[
    str | None, typer.Option(help="Which weights of a folder, e.g. fp16; default the plain ones, or the only ones.")
]
NameOption = Annotated[str | None, typer.Option(help="The bundle's name; default the checkpoint's.")]
PrecisionOption = Annotated[
    str,
    typer.Option(
        metavar="PRECISION",
        autocompletion=words("fp32", "fp16", "bf16"),
        help="fp32, fp16 or bf16; the VAE stays float32.",
    ),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        metavar="ENGINE",
        autocompletion=engine_names,
        help="Make the graphs this engine runs fastest: {NAMES}; default graphs that every engine runs.",
    ),
]


def export_command(
    source: SourceArgument,
    output: BundleOption,
    vae: VaeOption = None,
    base: BaseOption = None,
    lora: LoraOption = None,
    lora_missing: MissingOption = "error",
    concept: ConceptOption = None,
    family: FamilyOption = None,
    prediction_type: PredictionOption = None,
    variant: VariantOption = None,
    name: NameOption = None,
    precision: PrecisionOption = "fp32",
    engine: EngineOption = None,
) -> None:
    """Export a checkpoint to a bundle of ONNX graphs, each compared with torch."""
    from latentpress.bundle.info import PredictionType
    from latentpress.engines.choice import parse_engine, parse_precision
    from latentpress.export import export_bundle
    from latentpress.export.demo import demo_checkpoint, demo_concepts
    from latentpress.export.families import FAMILIES
    from latentpress.export.lora_argument import parse_lora
    from latentpress.export.reading.concept_paths import parse_concept

    demo = source == "demo"
    # Told apart before torch is imported.
    asked_family = _one_of("--family", family, FAMILIES)
    asked_missing = _one_of("--lora-missing", lora_missing, ("error", "ignore"))
    asked_prediction = _one_of("--prediction-type", prediction_type, get_args(PredictionType))
    chosen = parse_engine(engine) if engine else None
    export_bundle(
        demo_checkpoint() if demo else Path(source),
        output,
        [*(demo_concepts() if demo else ()), *map(parse_concept, concept or ())],
        vae=vae,
        base=base,
        loras=[parse_lora(text) for text in lora or ()],
        lora_missing=asked_missing,
        family=asked_family,
        prediction_type=asked_prediction,
        variant=variant,
        name=name or ("demo" if demo else None),
        report=typer.echo,
        precision=parse_precision(precision, chosen),
        engine=chosen,
    )


def _one_of(option: str, text: str | None, values: Collection[str]) -> Any:
    """`text` if it is None or one of `values`; raises UsageError."""
    if text is not None and text not in values:
        raise UsageError(f"{option} {shown(text)} is unknown; it must be one of {', '.join(values)}")
    return text
