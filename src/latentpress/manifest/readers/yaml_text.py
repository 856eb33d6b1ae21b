"""YAML text as nodes that remember where they stand, built from PyYAML's events. Knows nothing of manifests.

Scalars follow YAML 1.2: `no`, `off` and `none` are text, `12:30` is text, `true` and `null` are not. The merge key `<<` is
YAML 1.1's. An alias is a reference to the node it names and is never copied, so nested aliases cost nothing.
"""

from collections.abc import Iterator

import yaml

from latentpress.errors import ManifestError, shown
from latentpress.manifest.nodes import (
    MAX_DEPTH,
    ListNode,
    Literal,
    MapNode,
    Node,
    Place,
    Problems,
    Scalar,
    described,
    uncollected,
)

# YAML's merge key, and the entries that a file may merge: each is held in memory as if it were written out.
MERGE, MAX_MERGED = "<<", 2_000_000


def read_yaml(text: str, file: str, problems: Problems) -> Node | None:
    """The root node of the YAML `text` of `file`, None when it holds nothing.

    Raises ManifestError when it is not YAML; duplicate keys go to `problems`.
    """
    start = Place(file, 1, 1)
    try:
        with uncollected():
            return _Builder(file, problems).build(yaml.parse(text, Loader=_loader()))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else start
        raise ManifestError([f"{place}: not YAML: {_said(error, text)}"]) from None
    except yaml.reader.ReaderError as error:  # which counts bytes
        char = chr(int(error.character))
        what = f"U+{ord(char):04X} is a character that YAML does not allow; remove it, or escape it in double quotes"
        raise ManifestError(
            [f"{Literal(file, 1, 1).within(text, max(0, text.find(char)))}: not YAML: {what}"]
        ) from None
    except yaml.YAMLError as error:
        raise ManifestError([f"{start}: not YAML: {' '.join(str(error).split())}"]) from None


def read_flow(text: str, place: Place, problems: Problems) -> Node | None:
    """The list or map that `text` is in YAML, all of it at `place`; None once it is reported that it is none."""
    try:
        return _Builder(place.file, problems, place).build(yaml.parse(text, Loader=_loader()))
    except (yaml.YAMLError, ManifestError) as error:
        said = error.problem if isinstance(error, yaml.MarkedYAMLError) else None
        problems.add(place, f"{shown(text)} is not a list or a map: {said or 'it cannot be read'}")
        return None


def _said(error: yaml.MarkedYAMLError, text: str) -> str:
    """What the parser says, where what it was reading begins, and a way out for what people often write."""
    mark, begun = error.problem_mark, error.context_mark
    said = str(error.problem or error.context)
    if mark and begun and error.context and begun.line < mark.line:
        said += f" {error.context}, which begins on line {begun.line + 1}"
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    char = line[mark.column : mark.column + 1] if mark else ""
    if char == "\t" and "cannot start" in said:
        return f"{said}; this is a tab, and YAML is indented by blanks"
    if "cannot start" in said or "values are not allowed" in said:
        return f"{said}; a text with a colon and a blank in it, or that begins with one of @ ` %, stands in quotes"
    return said


def _loader() -> type[yaml.SafeLoader]:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Builder:
    """Builds nodes from the parser's events with a stack of its own, so depth is bounded by a rule, not a crash.

    place: where all of it is, if it is not a file.
    """

    def __init__(self, file: str, problems: Problems, place: Place | None = None) -> None:
        self.file, self.place = file, place
        self.problems = problems
        self.anchors: dict[str, Node] = {}
        self.open: list[tuple[ListNode | MapNode, str | None]] = []
        self.keys: list[Scalar | None] = []
        self.root: Node | None = None
        self.merged = 0

    def build(self, events: Iterator[yaml.Event]) -> Node | None:
        documents = 0
        for event in events:
            place = self._place(event)
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise ManifestError([f"{place}: a second document begins; a manifest is one document"])
            elif isinstance(event, yaml.ScalarEvent):
                self._check_tag(event.tag, place)
                node = Scalar(event.value, not event.style and event.tag is None, place)
                self._attach(node)
                self._name(event.anchor, node)
            elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
                self._check_tag(event.tag, place)
                opened = ListNode([], place) if isinstance(event, yaml.SequenceStartEvent) else MapNode({}, {}, place)
                self._attach(opened)
                self.open.append((opened, event.anchor))
                self.keys.append(None)
                if len(self.open) > MAX_DEPTH:
                    raise ManifestError([f"{place}: nested deeper than {MAX_DEPTH} levels"])
            elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
                closed, anchor = self.open.pop()
                self.keys.pop()
                if isinstance(closed, MapNode) and MERGE in closed.keys and closed.keys[MERGE].plain:
                    self._merge(closed)
                # Named only once closed: an alias inside its own anchor finds nothing, so no node contains itself.
                self._name(anchor, closed)
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor not in self.anchors:
                    raise ManifestError([f"{place}: alias *{event.anchor} names no finished anchor before it"])
                self._attach(self.anchors[event.anchor], place)
        if isinstance(self.root, Scalar) and self.root.value is None:
            return None
        return self.root

    def _merge(self, node: MapNode) -> None:
        """Put the entries of the maps that `<<` names into `node`, in front of its own, which win; of several, the first."""
        key, named = node.keys.pop(MERGE), node.values.pop(MERGE)
        values, keys = dict(node.values), dict(node.keys)
        node.values.clear()
        node.keys.clear()
        for other in named.items if isinstance(named, ListNode) else [named]:
            if not isinstance(other, MapNode):
                self.problems.add(key.place, f"<< merges {described(other)}; write the alias of a map, <<: *common")
                continue
            self.merged += len(other.values)
            if self.merged > MAX_MERGED:
                raise ManifestError([f"{key.place}: merged entries are more than {MAX_MERGED:,}; use `defaults`"])
            for name, value in other.values.items():
                node.values.setdefault(name, value)
                node.keys.setdefault(name, other.keys[name])
        node.values.update(values)
        node.keys.update(keys)

    def _place(self, event: yaml.Event) -> Place:
        if self.place is not None:
            return self.place
        mark = event.start_mark
        return Place(self.file, mark.line + 1, mark.column + 1)

    def _name(self, anchor: str | None, node: Node) -> None:
        if anchor:
            self.anchors[anchor] = node

    def _check_tag(self, tag: str | None, place: Place) -> None:
        if tag not in (None, "!", "tag:yaml.org,2002:str"):
            self.problems.add(place, f"tag {shown(tag)} is not used in manifests; leave it out")

    def _attach(self, node: Node, place: Place | None = None) -> None:
        if not self.open:
            self.root = node
            return
        parent = self.open[-1][0]
        if isinstance(parent, ListNode):
            parent.items.append(node)
            return
        key = self.keys[-1]
        if key is None:
            if not isinstance(node, Scalar):
                raise ManifestError([f"{place or node.place}: a key must be text, not {described(node)}"])
            self.keys[-1] = Scalar(node.text, node.plain, place or node.place)
            return
        self.keys[-1] = None
        if key.text in parent.values:
            first = parent.keys[key.text].place
            self.problems.add(key.place, f"key {shown(key.text)} is given twice; the first is on line {first.line}")
            return
        parent.values[key.text] = node
        parent.keys[key.text] = key
