"""The recipe's command line: `python -m demo_model all`, or one stage of it."""

import shutil
from pathlib import Path
from typing import Annotated

import torch
import typer

from demo_model import concepts, dataset, text_to_image, vae
from demo_model.evaluate import evaluate as measure
from demo_model.settings import Settings, tiny

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
Folder = Annotated[Path, typer.Option(help="Where everything is kept; a run killed there goes on from there.")]
Device = Annotated[str, typer.Option(help="cpu or cuda; cuda where there is one by default.")]
Tiny = Annotated[bool, typer.Option("--tiny", help="A few steps of a tiny model, to try the recipe.")]
OUT = Path("out/demo-model")
AUTO = "cuda" if torch.cuda.is_available() else "cpu"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples/concepts"
PACKAGED = Path(__file__).resolve().parents[2] / "src/latentpress/export/demo_data"


@app.command("all")
def run_all(folder: Folder = OUT, device: Device = AUTO, tiny: Tiny = False) -> None:
    """Fetch, train everything, evaluate, and put the result into the package."""
    data(folder, tiny)
    train_vae(folder, device, tiny)
    train_base(folder, device, tiny)
    train_concepts(folder, device, tiny)
    ship(folder, folder / "shipped" if tiny else PACKAGED)
    evaluate(folder, folder / "shipped" if tiny else PACKAGED, tiny)


@app.command()
def data(folder: Folder = OUT, tiny: Tiny = False) -> None:
    """Fetch the pictogram packages with npm, draw and restyle them."""
    if not (folder / "data" / "entries.json").exists():
        made = dataset.build(folder / "data", _settings(tiny).size, folder / "packages")
        typer.echo(f"data: {dataset.counts(made)}")


@app.command("vae")
def train_vae(folder: Folder = OUT, device: Device = AUTO, tiny: Tiny = False) -> None:
    """Train the autoencoder."""
    vae.fit(_settings(tiny), dataset.load(folder / "data"), folder, torch.device(device))


@app.command("base")
def train_base(folder: Folder = OUT, device: Device = AUTO, tiny: Tiny = False) -> None:
    """Train the text encoder and the UNet."""
    trained = vae.load(folder / "vae").to(torch.device(device))
    text_to_image.fit(_settings(tiny), dataset.load(folder / "data"), trained, folder, torch.device(device))


@app.command("concepts")
def train_concepts(folder: Folder = OUT, device: Device = AUTO, tiny: Tiny = False) -> None:
    """Learn the five concepts by textual inversion."""
    concepts.fit(_settings(tiny), dataset.load(folder / "data"), folder / "checkpoint", folder, torch.device(device))


@app.command()
def ship(folder: Folder = OUT, output: Path = PACKAGED) -> None:
    """Write the checkpoint in half precision, and the concepts, into the package."""
    pipe = text_to_image.load(folder / "checkpoint").to(dtype=torch.float16)
    shutil.rmtree(output / "checkpoint", ignore_errors=True)
    pipe.save_pretrained(output / "checkpoint")
    for concepts_folder in (output / "concepts", *([EXAMPLES] if output == PACKAGED else [])):
        shutil.copytree(folder / "concepts", concepts_folder, dirs_exist_ok=True)
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    typer.echo(f"shipped: {size / 1e6:.1f} MB in {output}")


@app.command()
def evaluate(folder: Folder = OUT, shipped: Path = PACKAGED, tiny: Tiny = False) -> None:
    """Measure retrieval, styles and reconstruction of what is shipped."""
    pictures = dataset.load(folder / "data")
    report = measure(shipped / "checkpoint", shipped / "concepts", pictures, _settings(tiny), folder)
    for name, found in (("training captions", report.captions), ("recombinations", report.recombinations)):
        for space, one in found.items():
            typer.echo(
                f"{name:<18} {space:<8} {one.renders} renders  top-1 {one.top1:.1%}  top-5 {one.top5:.1%}  "
                f"subject top-1 {one.subject_top1:.1%}"
            )
    for space, tokens in report.styles.items():
        for token, (share, kept) in tokens.items():
            typer.echo(f"{token:<18} {space:<8} style {share:.1%}, of subjects it has not seen {kept:.1%}")
    typer.echo(f"autoencoder        L1 {report.l1:.4f}  PSNR {report.psnr:.1f} dB  SSIM {report.ssim:.3f}")


def _settings(small: bool) -> Settings:
    return tiny() if small else Settings()


if __name__ == "__main__":
    app()
