"""The fonts that text is set in: the bundled Noto Sans first, then this system's, in an order that is the same every time.

Knows files and characters; nothing of runs, sizes or painters.
"""

import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import regex
import uharfbuzz

from latentpress.errors import UsageError

hb: Any = uharfbuzz  # typed not at all
BUNDLED = Path(__file__).with_name("noto")
_SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")
# Characters that say how others are joined, and leave no mark where a font lacks them: ZWJ, variation selectors, tags.
_UNSEEN = regex.compile(r"\p{Default_Ignorable_Code_Point}|\p{Control}|\p{Surrogate}")
_COLOURED = regex.compile(r"\p{Emoji_Presentation}(?!\uFE0E)|\p{Emoji}\uFE0F")


@dataclass(frozen=True)
class Font:
    """One face: the `index`-th of the file at `path`. family: as it is named in text, in SVG and to fontconfig."""

    path: Path
    index: int
    family: str
    bold: bool = False

    @cached_property
    def face(self) -> Any:
        return hb.Face(hb.Blob.from_file_path(self.path), self.index)

    @cached_property
    def shaper(self) -> Any:
        """What HarfBuzz shapes with; advances are in units of `units` to the size."""
        return hb.Font(self.face)

    @property
    def units(self) -> int:
        return self.face.upem

    @cached_property
    def characters(self) -> Any:
        return self.face.unicodes

    @cached_property
    def coloured(self) -> bool:
        """Whether its glyphs are pictures or layers in colours, which a PDF holds as Type 3."""
        return self.face.has_color_png or self.face.has_color_layers or self.face.has_color_paint

    def has(self, cluster: str) -> bool:
        """Whether every character of `cluster` that is seen is in the font, as written or composed."""
        return any(
            all(ord(char) in self.characters or _UNSEEN.match(char) for char in form)
            for form in dict.fromkeys((cluster, unicodedata.normalize("NFC", cluster)))
        )


class Fonts:
    """Fonts in order of preference: a cluster of characters takes the first that has all of it."""

    def __init__(self, fonts: Iterable[Font]) -> None:
        families: dict[str, list[Font]] = {}
        for font in fonts:
            families.setdefault(font.family, []).append(font)
        self.families = tuple(tuple(faces) for faces in families.values())
        self._picked: dict[tuple[str, bool], Font | None] = {}

    @property
    def first(self) -> Font:
        """What most text is set in."""
        return self.families[0][0]

    def pick(self, cluster: str, *, bold: bool = False) -> Font | None:
        """The font for `cluster`, what a reader takes for one character; None where no font has it."""
        key = cluster, bold
        if key not in self._picked:
            self._picked[key] = self._pick(cluster, bold)
        return self._picked[key]

    def missing(self, text: str) -> list[str]:
        """The characters of `text` that no font has, each once, in order."""
        lost = [cluster for cluster in dict.fromkeys(clusters(text)) if self.pick(cluster) is None]
        seen = dict.fromkeys(char for cluster in lost for char in cluster if not _UNSEEN.match(char))
        return [char for char in seen if self.pick(char) is None] or list(seen)

    def _pick(self, cluster: str, bold: bool) -> Font | None:
        families: Sequence[Sequence[Font]] = self.families
        if _COLOURED.match(cluster):
            families = sorted(families, key=lambda faces: not faces[0].coloured)
        for faces in families:
            if faces[0].has(cluster):
                return next((face for face in faces if face.bold == bold and face.has(cluster)), faces[0])
        return None


def clusters(text: str) -> list[str]:
    """`text` cut into what a reader takes for one character each: letters with their marks, whole emoji."""
    return regex.findall(r"\X", text)


@cache
def fonts_of(font: str | None = None) -> Fonts:
    """What a sheet is set in: `font` first, a family's name or a file's path, then Noto Sans, then this system's fonts."""
    wanted = _wanted(font) if font else ()
    return Fonts([*wanted, *bundled(), *installed()])


def _wanted(font: str) -> Sequence[Font]:
    if font.lower().endswith(_SUFFIXES):
        try:
            faces = _faces(Path(font))
        except (OSError, hb.HarfBuzzError) as error:
            raise UsageError(f"font {font}: cannot be read ({error}); give a .ttf, .otf or .ttc file") from None
        if not faces or not len(faces[0].characters):
            raise UsageError(f"font {font}: holds no characters; give a .ttf, .otf or .ttc file")
        return faces
    faces = [face for face in (*bundled(), *installed()) if face.family.casefold() == font.casefold()]
    if not faces:
        raise UsageError(
            f"font {font!r} is not installed here; give a family that is, or the path of a .ttf or .otf file"
        )
    return faces


@cache
def bundled() -> tuple[Font, ...]:
    """Noto Sans for Latin, Greek and Cyrillic, Noto Sans Math for operators and arrows."""
    return (
        Font(BUNDLED / "NotoSans-Regular.ttf", 0, "Noto Sans"),
        Font(BUNDLED / "NotoSans-Bold.ttf", 0, "Noto Sans", bold=True),
        Font(BUNDLED / "NotoSansMath-Regular.ttf", 0, "Noto Sans Math"),
    )


@cache
def installed() -> tuple[Font, ...]:
    """This system's upright regular and bold faces, those that go with Noto Sans first."""
    found = _listed() if shutil.which("fc-list") else _walked()
    return tuple(sorted(set(found), key=lambda font: (_rank(font), font.family, font.bold, str(font.path), font.index)))


def _rank(font: Font) -> int:
    """How far `font` is from the look of Noto Sans; Japanese forms of Chinese characters come before the others'."""
    name, words = font.family, set(font.family.split())
    if (
        name == "Noto Naskh Arabic"
    ):  # it has no one glyph for lam and alef, whose letters programs copy the wrong way round
        return 0
    if "CJK" in words or not words.isdisjoint({"Serif", "Mono", "Condensed", "Display", "Looped", "Nastaliq"}):
        return (3 if name == "Noto Sans CJK JP" else 4) if name.startswith("Noto Sans CJK") else 7
    if name.startswith("Noto Sans"):
        return 1
    if name.startswith("Noto"):
        return 5 if "Emoji" not in name else 6
    return 2 if name == "DejaVu Sans" else 6


def _listed() -> list[Font]:
    """What fontconfig knows. weight: 80 is regular, 200 bold; slant: 0 is upright; index: above 65535 an instance of
    a variable font."""
    line = "%{file}\t%{index}\t%{family[0]}\t%{weight}\t%{slant}\t%{width}\n"
    listed = subprocess.run(["fc-list", "--format", line], capture_output=True, check=False, timeout=60)
    found: list[Font] = []
    for entry in listed.stdout.decode(errors="surrogateescape").splitlines():
        file, index, family, weight, slant, width = (entry.split("\t") + [""] * 6)[:6]
        whole = index.isdecimal() and int(index) < 65536 and (slant, width) == ("0", "100")
        if whole and weight in ("80", "200") and file.lower().endswith(_SUFFIXES):
            found.append(Font(Path(file), int(index), family, bold=weight == "200"))
    return found


def _walked() -> list[Font]:
    """What lies in the folders where systems keep fonts, for those without fontconfig."""
    found: list[Font] = []
    for folder in _folders():
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.suffix.lower() in _SUFFIXES:
                try:
                    found += _faces(path)
                except (OSError, hb.HarfBuzzError):  # another program's file
                    continue
    return found


def _folders() -> list[Path]:
    home = Path.home()
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    return [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".local/share/fonts", home / ".fonts"]


def _faces(path: Path) -> list[Font]:
    """The regular and bold faces of a file, by the names they carry; of a font with other styles alone, its first face."""
    blob = hb.Blob.from_file_path(path)
    ids = hb.OTNameIdPredefined
    faces: list[Font] = []
    styles: list[str] = []
    for index in range(hb.Face(blob).count or 1):
        face = hb.Face(blob, index)
        family = face.get_name(ids.TYPOGRAPHIC_FAMILY) or face.get_name(ids.FONT_FAMILY) or path.stem
        style = face.get_name(ids.TYPOGRAPHIC_SUBFAMILY) or face.get_name(ids.FONT_SUBFAMILY) or "Regular"
        faces.append(Font(path, index, family, bold=style == "Bold"))
        styles.append(style)
    usual = [face for face, style in zip(faces, styles, strict=True) if style in ("Regular", "Bold", "Book", "Roman")]
    return usual or [replace(face, bold=False) for face in faces[:1]]
