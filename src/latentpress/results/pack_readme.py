"""The README of a pack: what is in it, and how to make it again. Knows nothing of folders, ledgers and zips."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from latentpress.engines.choice import engine_called
from latentpress.errors import one_line
from latentpress.results.pack_inputs import Inputs, LeftOut
from latentpress.sheets.cells import DONE, Cells
from latentpress.version import __version__


@dataclass(frozen=True)
class Bundle:
    """content: the hash of what decides pixels in it; source: the hash of what it was exported from."""

    content: str
    name: str
    source: str

    @property
    def builtin(self) -> bool:
        """Whether it comes with latentpress."""
        return self.name == "demo"


@dataclass(frozen=True)
class Made:
    """How some of the pictures were made, as the ledger says. rows: the rows per call, where they are fixed."""

    provider: str
    device: str
    versions: str
    rows: str
    pictures: int


@dataclass(frozen=True)
class Told:
    """All that the README says. states: how many cells are in each; drawn: whether the folder has drawn seeds."""

    cells: Cells
    inputs: Inputs
    bundles: Sequence[Bundle]
    made: Sequence[Made]
    sheets: Sequence[str]
    states: Mapping[str, int]
    drawn: bool
    left_out: Sequence[LeftOut]

    @property
    def name(self) -> str:
        """What the folder in the zip is called."""
        return self.cells.name


def readme(told: Told) -> str:
    """The text, in Markdown."""
    return "\n".join(
        [*_head(told), *_contents(told), *_again(told), *_made_with(told), *_left_out(told), *_licences(told)]
    )


def _head(told: Told) -> Iterator[str]:
    counts = ", ".join(f"{count:,} {state}" for state, count in told.states.items())
    date = f", first on {told.cells.date.split()[0]}" if told.cells.date else ""
    yield f"# {told.name}"
    yield ""
    yield f"{len(told.cells.cells):,} pictures were planned ({counts}) and rendered{date}. The hash of the plan is"
    yield ""
    yield f"    {told.cells.plan_hash}"
    yield ""


def _contents(told: Told) -> Iterator[str]:
    yield "| here | what it is |"
    yield "|---|---|"
    yield f"| `{told.inputs.manifest}` | the manifest; the files that it names lie beside it |"
    yield "| `pictures/` | the pictures, each with what made it in its metadata |"
    yield "| `plan.jsonl` | a line for each planned picture: name, hash, labels, and all that decides its pixels |"
    yield "| `cells.csv` | a row for each planned picture: whether it was made, why not, its axes, prompt, seed and hashes |"
    if told.sheets:
        yield "| `sheets/` | figures of the pictures; those in LaTeX and Typst look for them in `../pictures` |"
    yield "| `licences/` | licences |"
    yield "| `SHA256SUMS` | sums of all files: `sha256sum -c SHA256SUMS` compares them |"
    yield ""


def _again(told: Told) -> Iterator[str]:
    engine = engine_called(told.made[0].provider) if told.made else "cpu"
    rows = told.made[0].rows if told.made else ""
    strict = f" --batch-rows {rows} --strict" if rows.isdecimal() else ""
    yield "## To make it again"
    yield ""
    yield f"With latentpress {__version__}, installed with the engine named below, in this folder:"
    yield ""
    yield "    sha256sum -c SHA256SUMS"
    yield f"    latentpress render {told.inputs.manifest} -o again --engine {engine}{strict}"
    yield "    latentpress diff pictures again"
    yield ""
    yield "Equal job hashes have equal pixels on one engine and version of it. Another engine gives close ones."
    yield ""
    if told.drawn:
        yield "Where the manifest has seeds drawn by chance (`seed: -1`), another render draws others. Pictures and"
        yield "`plan.jsonl` have those that were drawn, so that this makes the same ones:"
        yield ""
        yield "    latentpress rerender pictures/FILE"
        yield ""
    if told.inputs.changed:
        named = ", ".join(f"`{name}`" for name in told.inputs.changed)
        yield f"Whole paths in these files were written anew, as seen from the file: {named}."
        yield ""


def _made_with(told: Told) -> Iterator[str]:
    yield "## What it was made with"
    yield ""
    for bundle in told.bundles:
        where = "comes with latentpress" if bundle.builtin else "is not in this pack"
        yield f"- bundle `{one_line(bundle.name)}`, which {where}: content {bundle.content}, exported from {bundle.source}"
    for model in told.inputs.models:
        if model != "demo":
            yield f"- the manifest looks for a bundle at `{one_line(model)}`, seen from the manifest"
    for made in told.made:
        more = [f"on {made.device}"] if made.device else []
        more += [f"rows per call {made.rows}"] if made.rows.isdecimal() else []
        more += [made.versions] if made.versions else []
        listed = one_line(", ".join(more))
        yield f"- {made.pictures:,} pictures on the engine `{engine_called(made.provider)}`{', ' if listed else ''}{listed}"
    yield ""


def _left_out(told: Told) -> Iterator[str]:
    missing = sum(count for state, count in told.states.items() if state != DONE)
    if not (told.left_out or missing):
        return
    yield "## What is not here"
    yield ""
    if missing:
        yield f"- {missing:,} planned pictures: `cells.csv` says of each whether it failed, and why"
    for one in told.left_out:
        sums = f" ({one.size:,} bytes, sha256 {one.sha256})" if one.sha256 else ""
        yield f"- `{one_line(one.name)}`: {one_line(one.why)}{sums}"
    yield ""


def _licences(told: Told) -> Iterator[str]:
    yield "## Licences"
    yield ""
    yield "`licences/` has that of latentpress, and those of its fonts and its model where they were used."
    if any(not bundle.builtin for bundle in told.bundles) or len(told.inputs.files) > 1:
        yield "latentpress does not know those of other models, of concepts, given pictures and lists in the manifest:"
        yield "ask those who published them."
    yield ""
