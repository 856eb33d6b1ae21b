"""The pictures and captions everything is trained on and judged by, made once into one file."""

import itertools
import json
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from demo_model import pictograms, styles

SEED = 20261121
# Colour pairs (ink, paper) that the base model never sees: the concepts must find them.
HELD_PAIRS = {("white", "blue"), ("brown", "cream"), ("purple", "yellow")}
PAIRS = [
    (ink, paper)
    for ink, paper in itertools.permutations(styles.COLOURS, 2)
    if "cream" not in (ink, paper) or paper == "cream"
]
MIN_CONTRAST = 0.35  # of 1; a pair below is hard to see
RECOMBINATIONS = 50


@dataclass(frozen=True)
class Concept:
    """A style the base model never sees, and how its pictures are made."""

    token: str
    source: str
    """The style word of the pictogram set it is made from."""
    pair: tuple[str, str] | None = None
    """(ink, paper) of the two-tone print made of the set; None: the set as it is."""
    words: str = "black outline on white"
    """Words of the base model's whose embeddings the learned vectors start from, a vector a word."""


CONCEPTS = (
    Concept("<line-art>", "<line-art>"),
    Concept("<fx-emoji>", "<fx-emoji>", words="flat noto"),
    Concept("<blueprint>", "<line-art>", ("white", "blue"), words="white print on blue"),
    Concept("<sepia>", "noto", ("brown", "cream"), words="brown print on cream"),
    Concept("<pop-art>", "flat", ("purple", "yellow"), words="purple print on yellow"),
)


@dataclass(frozen=True)
class Entry:
    """One picture's caption and what it was made of."""

    subject: str
    style: str
    kind: str
    """plain, colour, outline, print; held: a combination kept from training; concept; spare: for the autoencoder only."""
    core: bool = False
    """Its subject is one that the model is made to draw well."""

    @property
    def caption(self) -> str:
        return caption(self.subject, self.style)


def caption(subject: str, style: str = "") -> str:
    """ "a red apple in the style of flat"; without style just "a red apple"."""
    if not subject:
        return ""
    article = "an" if subject[0] in "aeiou" else "a"
    return f"{article} {subject} in the style of {style}" if style else f"{article} {subject}"


@dataclass(frozen=True)
class Dataset:
    """pictures: uint8 RGB (n, size, size, 3); entries: one for each."""

    pictures: np.ndarray
    entries: list[Entry]

    def indices(self, *kinds: str, core: bool = False) -> np.ndarray:
        """Where the pictures of `kinds` are; with `core`, only those of core subjects."""
        return np.array([i for i, entry in enumerate(self.entries) if entry.kind in kinds and entry.core >= core])


def subjects() -> dict[str, str]:
    """Each subject of subjects.txt -> its mark: "+" is a core subject, "~" one for the autoencoder only, "" any other."""
    text = (Path(__file__).parent / "subjects.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.lstrip("~+").replace("-", " "): line[0] if line[0] in "~+" else "" for line in lines}


def load(folder: Path) -> Dataset:
    """The dataset `build` left in `folder`."""
    entries = [Entry(**entry) for entry in json.loads((folder / "entries.json").read_text())]
    return Dataset(np.load(folder / "pictures.npy"), entries)


def build(folder: Path, size: int, packages: Path) -> Dataset:
    """Fetch, draw and restyle everything at `size` pixels a side, leave it in `folder`, and return it."""
    wanted = subjects()
    sets: dict[str, dict[str, np.ndarray]] = {}
    for package in pictograms.PACKAGES:
        icons = pictograms.fetch(package, packages)
        names = pictograms.names_in(icons)
        present = {s: names[s.replace(" ", "")] for s in wanted if s.replace(" ", "") in names}
        sets[package.style] = dict(pictograms.drawn(icons, present, size))
    learned = {subject for subject, mark in wanted.items() if mark != "~"}
    return save(folder, assemble(sets, size, learned, {subject for subject, mark in wanted.items() if mark == "+"}))


def save(folder: Path, dataset: Dataset) -> Dataset:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "pictures.npy", dataset.pictures)
    (folder / "entries.json").write_text(json.dumps([asdict(entry) for entry in dataset.entries], indent=0))
    return dataset


def assemble(sets: dict[str, dict[str, np.ndarray]], size: int, learned: set[str], core: set[str]) -> Dataset:
    """From style -> subject -> large picture to every picture of the recipe.

    A style in angle brackets is a concept's: the base model gets no picture of it, nor any of a subject not `learned`.
    The combinations kept from training are of subjects in `core`, which `learned` includes.
    """
    random = np.random.default_rng(SEED)
    found: list[tuple[Entry, np.ndarray]] = []
    held: list[tuple[Entry, np.ndarray]] = []
    pairs = [pair for pair in PAIRS if pair not in HELD_PAIRS and _contrast(*pair) >= MIN_CONTRAST]
    for style, pictures in sets.items():
        if style.startswith("<"):
            continue
        for subject, large in pictures.items():
            picture = styles.small(large, size)
            if subject not in learned:
                found.append((Entry(subject, style, "spare"), picture))
                continue
            known = subject in core
            found.append((Entry(subject, style, "plain", known), picture))
            coloured = _recolourings(subject, style, picture, random)
            # One of ten recolourings is kept from training: "a blue apple" is then a combination it has not seen.
            for entry, turned in coloured:
                (held if random.random() < 0.1 else found).append((replace(entry, core=known), turned))
            ink, paper = pairs[random.integers(len(pairs))]
            look = f"{ink} outline on {paper}"
            found.append((Entry(subject, look, "outline", known), styles.outline(large, ink, paper, size)))
            ink, paper = pairs[random.integers(len(pairs))]
            found.append(
                (Entry(subject, f"{ink} print on {paper}", "print", known), styles.two_tone(picture, ink, paper))
            )
    held = [made for made in held if made[0].core]
    chosen = random.permutation(len(held))[:RECOMBINATIONS]
    found += [(replace(held[i][0], kind="held"), held[i][1]) for i in chosen]
    for concept in CONCEPTS:
        for subject, large in sets[concept.source].items():
            picture = styles.small(large, size)
            if concept.pair:
                picture = styles.two_tone(picture, *concept.pair)
            kind = "concept" if subject in learned else "spare"
            found.append((Entry(subject, concept.token, kind, subject in core), picture))
    return Dataset(np.stack([picture for _, picture in found]), [entry for entry, _ in found])


def _recolourings(
    subject: str, style: str, picture: np.ndarray, random: np.random.Generator
) -> list[tuple[Entry, np.ndarray]]:
    """The picture under its own colour's name, and turned to two other colours; nothing where it has no main hue."""
    hue = styles.hue_of(picture)
    if hue is None:
        return []
    noun = " ".join(word for word in subject.split() if word not in styles.COLOURS)
    own = styles.name_of_hue(hue)
    made = [(Entry(f"{own} {noun}", style, "colour"), picture)] if own and noun == subject else []
    others = [colour for colour in styles.HUES if colour != own]
    for colour in random.choice(others, 2, replace=False):
        made.append((Entry(f"{colour} {noun}", style, "colour"), styles.recoloured(picture, hue, colour)))
    return made


def _contrast(ink: str, paper: str) -> float:
    """The difference in brightness of two colours, 0..1 (ITU-R BT.601 luma)."""
    weights = np.array([0.299, 0.587, 0.114])
    return abs(float((np.array(styles.COLOURS[ink]) - np.array(styles.COLOURS[paper])) @ weights)) / 255


def counts(dataset: Dataset) -> dict[str, int]:
    """How many pictures of each kind."""
    totals: dict[str, int] = defaultdict(int)
    for entry in dataset.entries:
        totals[entry.kind] += 1
    return dict(totals)
