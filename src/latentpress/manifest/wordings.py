"""What a job's prompts come to: each wording that braces, wildcards and files of prompts give, placeholders filled.

A wording with drawn braces in it is settled once its seed is known (`Words.said`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from latentpress.errors import shown
from latentpress.manifest import templates
from latentpress.manifest.braces import Braces, Option, Part, Said, Token, count_of, each, say
from latentpress.manifest.field import Reader
from latentpress.manifest.fields import PROMPTS
from latentpress.manifest.nodes import Place
from latentpress.manifest.plain_text import Line
from latentpress.manifest.text_file import TextFile
from latentpress.manifest.values import MAX_JOBS, Verbatim
from latentpress.manifest.variants import Read, TextError, read_variants
from latentpress.manifest.wildcards import Wildcards

# What shows all words chosen in names.
VARIANT = "variant"
# What prompts are called in a sentence about something else.
_CALLED = {"prompt": "prompt", "negative_prompt": "negative prompt"}
# Prompts kept read: those of defaults and of a matrix come again and again.
_KEPT = 1024


@dataclass(frozen=True, eq=False)
class Words:
    """Prompts with something to be drawn in them, by field.

    texts: what fills their placeholders; names: the placeholders that braces of theirs may fill.
    """

    tokens: Mapping[str, Sequence[Token]]
    texts: Mapping[str, str]
    names: Sequence[str]

    def said(self, seed: int) -> tuple[dict[str, str], dict[str, str]]:
        """The prompts that `seed` draws, and what their braces fill. Raises templates.TemplateError."""
        said = {name: say(tokens, seed, name) for name, tokens in self.tokens.items()}
        return _filled(said, self.texts, self.names)


@dataclass(frozen=True)
class Wording:
    """One wording of a job's prompts.

    prompts: field -> text; labels: what its braces fill; lines: those prompts as written that stand in a file; words: where
    something is yet to be drawn, and the prompts are examples; key: the same for one choice of words, "" without one.
    """

    prompts: Mapping[str, str]
    labels: Mapping[str, str]
    lines: Mapping[str, Line]
    words: Words | None = None
    key: str = ""


class Wordings:
    """Reads the prompts of a manifest; mistakes go to the reader.

    names: the placeholders that braces read so far fill.
    """

    def __init__(self, reader: Reader, wildcards: Wildcards | None, taken: Sequence[str]) -> None:
        """wildcards: where they are read from, None where they are characters; taken: placeholders that others fill."""
        self._problems, self._wildcards, self._taken = reader.problems, wildcards, frozenset(taken)
        self._reads = lru_cache(_KEPT)(self._read)
        self._drawn_on = lru_cache(_KEPT)(self._wildcard_with)
        self._checked: set[tuple[str, frozenset[str]]] = set()
        self._told: set[tuple[str, str]] = set()
        self.names: dict[str, None] = {}

    def each(
        self, written: Mapping[str, str | TextFile], places: Mapping[str, Place], texts: Mapping[str, str]
    ) -> Iterator[Wording]:
        """Every wording of the prompts as `written` at `places`, in order; none once a mistake is reported.

        texts: what fills their placeholders.
        """
        if all(map(self.is_plain, written.values())):
            yield Wording({name: str(text) for name, text in written.items()}, {}, {})
            return
        texts = {key: text for key, text in texts.items() if key not in PROMPTS}
        lines = [
            value.lines if isinstance(value, TextFile) else [Line(value, places[name])]
            for name, value in written.items()
        ]
        for chosen in product(*lines):
            yield from self._of(dict(zip(written, chosen, strict=True)), places, texts)

    def is_plain(self, text: str | TextFile) -> bool:
        """Whether a prompt says what it says: it has no braces, wildcards or lines of a file."""
        if isinstance(text, Verbatim):
            return True
        if isinstance(text, TextFile) or "{" in text or "}" in text:
            return False
        return self._wildcards is None or "__" not in text

    def where(self, written: Line, fragment: str) -> Place:
        """Where a part of what a prompt came to stands: in it as it is written, or in a line of the wildcards it has."""
        at = written.text.find(fragment)
        if at >= 0 or isinstance(written.text, Verbatim):
            return written.place.within(written.text, max(at, 0))
        return self._drawn_on(written.text, fragment) or written.place

    def lines(self, written: str) -> Iterator[Line]:
        """The lines of wildcards that a prompt draws on, the inner ones before those they are in."""
        if self._wildcards is not None and "__" in written and not isinstance(written, Verbatim):
            yield from _placed(read_variants(written, self._wildcards).parts)

    def _wildcard_with(self, text: str, fragment: str) -> Place | None:
        """Where `fragment` stands in the wildcards that a prompt draws on; None where it does not."""
        for line in self.lines(text):
            if (at := line.text.find(fragment)) >= 0:
                return line.place.within(line.text, at)
        return None

    def _of(
        self, lines: Mapping[str, Line], places: Mapping[str, Place], texts: Mapping[str, str]
    ) -> Iterator[Wording]:
        found = {name: self._reads(name, line.text, line.place) for name, line in lines.items()}
        reads = {name: read for name, read in found.items() if read is not None}
        if len(reads) < len(found):
            return
        names = [name for read in reads.values() for name in read.names]
        fit = [self._fits(name, reads[name], lines[name], (*texts, *names)) for name in reads]
        if not all(fit):
            return
        of_files = {name: line for name, line in lines.items() if line.place is not places[name]}
        plain = not of_files and all(read.plain for read in reads.values())
        for rows in product(*(each(read.parts) for read in reads.values())):
            tokens = dict(zip(reads, rows, strict=True))
            try:
                prompts, labels = _filled({name: say(row, 0, name) for name, row in tokens.items()}, texts, names)
            except templates.TemplateError as error:
                self._unfilled(error.field, reads[error.field], lines[error.field], error, (*texts, *names))
                return
            drawn = any(isinstance(token, Braces) for row in rows for token in row)
            key = "" if plain else "\0".join("".join(part for part in row if isinstance(part, str)) for row in rows)
            yield Wording(prompts, labels, of_files, Words(tokens, texts, names) if drawn else None, key)

    def _read(self, field: str, text: str, place: Place) -> Read | None:
        """`text` read; None once a mistake is reported."""
        if isinstance(text, Verbatim):
            return Read([text.replace("{", "{{").replace("}", "}}")])
        try:
            read = read_variants(text, self._wildcards)
            count = count_of(read.parts)
        except TextError as error:
            for one in error.all:
                for elsewhere, what in one.elsewhere:
                    self._tell(elsewhere, what, field, place)
                if not one.elsewhere:
                    self._problems.add(place.within(text, one.at or 0), f"{field} {one}")
            return None
        for note in read.notes:
            self._problems.warn(place, f"{field} {note}")
        for said in {said: None for part in read.parts if isinstance(part, str) for said in _old_formats(part)}:
            self._problems.warn(place, f"{field} {said}")
        if count > MAX_JOBS:
            what = f"comes to {count:,} texts" if count < 10**15 else "comes to more texts than can be counted"
            self._problems.add(
                place, f"{field} {what}, and a manifest asks for at most {MAX_JOBS:,} pictures; draw some, {{~a|b}}"
            )
            return None
        for name in read.names.keys() & self._taken:
            what = f"{field} names its braces {shown(name)}, which is a field, an axis or a placeholder already"
            self._problems.add(place, f"{what}; choose another word")
            return None
        self.names |= read.names
        return read

    def _fits(self, field: str, read: Read, line: Line, known: Sequence[str]) -> bool:
        """Whether every placeholder of the options that may be drawn is filled; reports it otherwise."""
        # Read ones are kept, so that each is looked through once for the same axes.
        key = (f"{line.place} {field}", frozenset(known))
        if read.plain or key in self._checked:
            return True
        for _, text in _texts_of(read.parts, drawn=True):
            try:
                templates.fill(text, dict.fromkeys(known, ""))
            except templates.TemplateError as error:
                self._unfilled(field, read, line, error, known)
                return False
        self._checked.add(key)
        return True

    def _unfilled(
        self, field: str, read: Read, line: Line, error: templates.TemplateError, known: Sequence[str]
    ) -> None:
        """Report what cannot be filled in a prompt, at the line of wildcards that it is in, if it is in one."""
        for option, text in _texts_of(read.parts):
            try:
                templates.fill(text, dict.fromkeys(known, ""))
            except templates.TemplateError as own:
                if option is not None and option.place is not None:
                    place = option.place.within(option.text, max(0, own.at(option.text)))
                    self._tell(place, f"the line {own}", field, line.place)
                    return
        place = line.place.within(line.text, max(0, error.at(line.text)))
        self._problems.add(place, f"{field} {error}")

    def _tell(self, place: Place, what: str, field: str, used: Place) -> None:
        """Report a mistake in a file of wildcards once, with the first prompt that uses it."""
        if (key := (str(place), what)) not in self._told:
            self._told.add(key)
            self._problems.add(place, f"{what} (used by the {_CALLED[field]} at {used})")


def _filled(
    said: Mapping[str, Said], texts: Mapping[str, str], names: Sequence[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The prompts with their placeholders filled, and what their braces fill in names."""
    own: dict[str, str] = dict.fromkeys(names, "")
    for field, one in said.items():
        own |= {name: _fill(field, text, texts) for name, text in one.named.items()}
    filling = {**texts, **own}
    chosen = [_fill(field, text, filling) for field, one in said.items() for text in one.chosen]
    prompts = {field: _fill(field, one.text, filling) for field, one in said.items()}
    labels = {name: text.strip() or "none" for name, text in own.items()}
    if chosen:
        labels[VARIANT] = "-".join(text.strip() or "none" for text in chosen)
    return prompts, labels


def _fill(field: str, text: str, texts: Mapping[str, str]) -> str:
    try:
        return templates.fill(text, texts)
    except templates.TemplateError as error:
        error.field = field
        raise


def _texts_of(
    parts: Sequence[Part], option: Option | None = None, *, drawn: bool = False
) -> Iterator[tuple[Option | None, str]]:
    """Every text with a brace, and the innermost option with a place that it is in; drawn: those that may be drawn alone."""
    for part in parts:
        if isinstance(part, str):
            if not drawn and ("{" in part or "}" in part):
                yield option, part
            continue
        for one in part.options:
            if "{" in one.text or "}" in one.text or "__" in one.text:
                within = one if one.place is not None else option
                yield from _texts_of(one.parts, within, drawn=drawn and not part.drawn)


def _placed(parts: Sequence[Part]) -> Iterator[Line]:
    """The options with a place, the inner ones before those they are in."""
    for part in parts:
        for option in () if isinstance(part, str) else part.options:
            yield from _placed(option.parts)
            if option.place is not None:
                yield Line(option.text, option.place)


def _old_formats(text: str) -> Iterator[str]:
    """What is said of formats of before, in a text that braces may make no template of."""
    if ":" in text and "{" in text:
        try:
            yield from templates.old_formats(text)
        except templates.TemplateError:
            return
