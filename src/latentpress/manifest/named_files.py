"""The files that entries of `jobs` name with `from`: which there are, and none twice. Knows nothing of what is in them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from latentpress.errors import shown
from latentpress.files import check_regular, unread
from latentpress.manifest.nodes import Node, Place, Problems
from latentpress.manifest.plain_text import STARTS
from latentpress.manifest.source import ENDINGS, Source
from latentpress.manifest.values import not_given, parse_text

FROM = "from"


@dataclass(frozen=True)
class NamedFiles:
    """The files of a manifest's entries; mistakes go to `problems`.

    places: a file, and what stands before the ids of its jobs -> the first entry with both.
    """

    problems: Problems
    places: dict[tuple[int, int, str, str], Place] = field(default_factory=dict[tuple[int, int, str, str], Place])

    def source(self, named: Node, within: Sequence[Source]) -> Source | None:
        """The file that `from` names; None once it is reported that there is none. within: the files that led here."""
        problems = self.problems
        text = "" if not_given(named) else parse_text(FROM, named, problems)
        if not text:
            if text == "":
                problems.add(named.place, "from names no file; write the path of one, e.g. requests.jsonl")
            return None
        if "://" in text:
            what = f"from is {shown(text)}, and nothing is fetched from the network; download it and give its path"
            problems.add(named.place, what)
            return None
        path = Path(named.place.file).parent / text
        if path.suffix.lower() not in ENDINGS:
            endings = ", ".join(ENDINGS)
            problems.add(named.place, f"from is {shown(text)}; it must be a file that ends with one of {endings}")
            return None
        try:
            state = check_regular(path)
            before = next((one for one in within if os.path.samestat(one.path.stat(), state)), None)
        except OSError as error:
            what = f"file {path} {unread(path, error)}; {STARTS}"
            problems.add(named.place, what)
            return None
        if before is not None:
            chain = " -> ".join(one.name for one in [*within, before])
            problems.add(named.place, f"from leads back to a file that is being read: {chain}; remove one of these")
            return None
        return Source.of(path)

    def is_new(self, named: Node, path: Path, numbers: str, ids: str) -> bool:
        """Whether no entry before gives the same jobs the same ids; reports it otherwise.

        numbers, ids: what stands before the number or the id of a job.
        """
        state = path.stat()
        first = self.places.setdefault((state.st_dev, state.st_ino, numbers, ids), named.place)
        if first is named.place:
            return True
        where = f"on line {first.line}" if first.file == named.place.file else f"at {first}"
        what = f"from names {path} again, as the entry {where} does, and its jobs would have the same ids"
        self.problems.add(
            named.place, f"{what}; give this entry an `id`, which then stands before them, or leave it out"
        )
        return False
