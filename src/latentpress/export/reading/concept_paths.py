"""Which files teach a concept, and what it is asked to be called. Looks at their names, not at what they hold; no torch.

diffusers' SDXL script writes a concept into two files, one for each text encoder: learned_embeds.safetensors and
learned_embeds_2.safetensors, or learned_embeds-steps-500.safetensors and learned_embeds_2-steps-500.safetensors.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from latentpress.bundle.info import file_sha256
from latentpress.errors import ConceptError, shown
from latentpress.files import NotAFile, check_regular

# The sd-concepts-library and diffusers' scripts keep a concept in a folder, in files that begin so.
LIBRARY_STEM = "learned_embeds"
_SECOND = f"{LIBRARY_STEM}_2"
_SUFFIXES = (".safetensors", ".bin")
# Pivotal tuning's way to write several tokens, each of one vector: <s0><s1>.
_SEVERAL = re.compile(r"(?:<[^<>]+>){2,}")


@dataclass(frozen=True)
class AskedConcept:
    """A concept that was asked for: its file, or its two files, and the token that prompts use; None for its own."""

    files: tuple[Path, ...]
    token: str | None = None

    @property
    def place(self) -> str:
        """What an error calls it."""
        return " + ".join(map(str, self.files))

    @property
    def source(self) -> str:
        """What a bundle calls it."""
        return " + ".join(file.name for file in self.files)


def parse_concept(text: str) -> AskedConcept:
    """[TOKEN=]FILE, FILE a file or a folder; text that is a path as it stands is taken whole. Raises ConceptError."""
    if "=" not in text or Path(text).exists():
        return AskedConcept(concept_files(Path(text)))
    # A token may hold a "=", and so may a path: the first that leaves a path which is there.
    splits = [(text[:place], text[place + 1 :]) for place, letter in enumerate(text) if letter == "="]
    token, name = next((split for split in splits if split[1] and Path(split[1]).exists()), splits[0])
    if not token.strip() or not name:
        raise ConceptError(f"{text}: a token or a file is missing; write TOKEN=FILE, e.g. <line-art>=line-art.bin")
    return AskedConcept(concept_files(Path(name)), token.strip())


def concepts_asked(given: Sequence[Path | AskedConcept] | Mapping[str, Path]) -> list[AskedConcept]:
    """`given` with folders resolved to files, and two files of one concept as one. Raises ConceptError."""
    if isinstance(given, Mapping):
        given = [AskedConcept((Path(path),), token) for token, path in given.items()]
    asked = [each if isinstance(each, AskedConcept) else AskedConcept((Path(each),)) for each in given]
    asked = [replace(each, files=_resolved(each.files)) for each in asked]
    joined: list[AskedConcept] = []
    while asked:
        first = asked.pop(0)
        other = next((each for each in asked if _halves(first, each)), None)
        if other is not None:
            asked.remove(other)
            first = AskedConcept((*first.files, *other.files), first.token or other.token)
        joined.append(first)
    return joined


def concept_files(path: Path) -> tuple[Path, ...]:
    """`path`, or of a folder the file, or the two files, of the concept in it; raises ConceptError if it has none."""
    if not path.is_dir():
        try:
            check_regular(path)
        except NotAFile as error:
            raise ConceptError(f"{path}: {error.strerror}; give a concept's file or folder") from None
        except OSError:  # whoever reads it says so
            pass
        return (path,)
    found = [
        next((file for suffix in _SUFFIXES if (file := path / f"{stem}{suffix}").is_file()), None)
        for stem in (LIBRARY_STEM, _SECOND)
    ]
    if found[0] is None and (path / "model_index.json").is_file():
        raise ConceptError(
            f"{path}: a checkpoint, not a concept; export it: the concepts it was saved with are then in the bundle"
        )
    if found[0] is None:
        others = [file for file in sorted(path.iterdir()) if file.suffix in (*_SUFFIXES, ".pt") and file.is_file()]
        if len(others) != 1:
            raise ConceptError(
                f"{path}: no {LIBRARY_STEM}.safetensors or .bin in this folder, and {len(others) or 'no'} other files "
                "that could be a concept; name the file"
            )
        found = [others[0]]
    return tuple(file for file in found if file is not None)


def concept_sha256(files: Sequence[Path]) -> str:
    """The file's sha256; of two files what `sha256sum A B | cut -c-64 | sort | sha256sum` prints, in whichever order."""
    digests = [file_sha256(file) for file in files]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(f"{digest}\n" for digest in sorted(digests)).encode()).hexdigest()


def single_tokens(token: str) -> list[str]:
    """`<s0><s1>` -> both; any other token -> itself."""
    return re.findall(r"<[^<>]+>", token) if _SEVERAL.fullmatch(token) else [token]


def other_half(path: Path) -> Path | None:
    """The file beside `path` that holds its concept's vectors for SDXL's other text encoder, if it is there."""
    name = path.name
    if name.startswith(_SECOND):
        name = LIBRARY_STEM + name.removeprefix(_SECOND)
    elif name.startswith(LIBRARY_STEM):
        name = _SECOND + name.removeprefix(LIBRARY_STEM)
    other = path.with_name(name)
    return other if other != path and other.is_file() else None


def _resolved(files: Iterable[Path]) -> tuple[Path, ...]:
    resolved = tuple(file for path in files for file in concept_files(Path(path)))
    if not 1 <= len(resolved) <= 2:
        raise ConceptError(f"{len(resolved)} files for one concept; it has one, or two for SDXL's two text encoders")
    return resolved


def _halves(first: AskedConcept, second: AskedConcept) -> bool:
    if len(first.files) != 1 or len(second.files) != 1 or other_half(first.files[0]) != second.files[0]:
        return False
    if None not in (first.token, second.token) and first.token != second.token:
        raise ConceptError(
            f"{first.place} and {second.place} hold one concept, but {shown(first.token or '')} and "
            f"{shown(second.token or '')} are asked for; give both the same token"
        )
    return True
