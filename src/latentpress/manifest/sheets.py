"""Reads the manifest's `sheet` and `sheets`: each key's text and place. What they mean is sheets/options.py's."""

from collections.abc import Sequence
from typing import Any

from latentpress.errors import nearest, shown
from latentpress.manifest.nodes import ListNode, MapNode, Node, Place, Problems, Scalar, described
from latentpress.manifest.values import given, parse_text, parse_word
from latentpress.sheets.options import AXES, KEYS, LISTS, MAPS, SIDES, TRUTHS, made, parse_value, placeholder_problem
from latentpress.sheets.spec import Sheet

MOST_SHEETS = 100
# The name of a sheet, a key of it, and a term there, or an axis of `order` -> where that stands.
TermPlaces = dict[tuple[str, str, str], Place]


def parse_sheets(
    sheet: Node | None, sheets: Node | None, known: Sequence[str], places: TermPlaces, problems: Problems
) -> tuple[Sheet, ...]:
    """The sheets that a manifest asks for; known: the axes and fields that a side may name. Mistakes go to `problems`.

    places: is given where the terms stand whose values only a plan knows.
    """
    if sheet is not None and sheets is not None:
        problems.add(sheets.place, "sheets stands beside sheet; put all of them into `sheets`, each with a name")
    found: list[Sheet] = []
    if sheet is not None and (one := _sheet("sheet", sheet, known, places, problems)) is not None:
        found.append(one)
    if sheets is None:
        return tuple(found)
    if not isinstance(sheets, ListNode) or not 0 < len(sheets.items) <= MOST_SHEETS:
        rule = f"a list of 1 to {MOST_SHEETS} maps such as {{name: styles, rows: AXIS, columns: AXIS}}"
        problems.add(sheets.place, f"sheets is {described(sheets)}; it must be {rule}")
        return tuple(found)
    names: dict[str, Node] = {}
    for node in sheets.items:
        one = _sheet("sheets", node, known, places, problems)
        if one is None:
            continue
        if names.setdefault(one.name.casefold(), node) is not node:
            problems.add(node.place, f"two sheets are called {shown(one.name)}; give each a name of its own")
        found.append(one)
    return tuple(found)


def _sheet(where: str, node: Node, known: Sequence[str], places: TermPlaces, problems: Problems) -> Sheet | None:
    if not isinstance(node, MapNode):
        problems.add(node.place, f"{where} is {described(node)}; write {{rows: AXIS, columns: AXIS}}")
        return None
    for key in node.values.keys() - set(KEYS):
        problems.unknown_key(node.keys[key], KEYS, where)
    values = {key: value for key, value in given(node).items() if key in KEYS}
    if not values.keys() & set(SIDES) and where == "sheet" and not values:
        problems.add(node.place, "sheet names neither rows nor columns; write {rows: AXIS, columns: AXIS}")
        return None
    read = _Reading(where, known, problems)
    said: dict[str, Any] = {}
    for key, value in values.items():
        found = read.map(key, value) if key in MAPS else read.list(key, value) if key in LISTS else read.one(key, value)
        if found is not None:
            said[key] = found
    try:
        found = made(said)
    except ValueError as error:
        problems.add(node.place, f"{where}: {error}")
        return None
    places |= {(found.name, *term): place for term, place in read.places.items()}
    return found


class _Reading:
    """Reads values of a sheet's keys; mistakes are told of `where`."""

    def __init__(self, where: str, known: Sequence[str], problems: Problems) -> None:
        self._where, self._known, self._problems = where, known, problems
        self.places: dict[tuple[str, str], Place] = {}

    def one(self, key: str, node: Node) -> Any:
        """The value of a key that has one; None where it is wrong."""
        name = f"{self._where} {key}"
        if key in TRUTHS and isinstance(node, Scalar):
            text = parse_word(name, node, self._problems)
        else:
            text = parse_text(name, node, self._problems)
        if text is None:
            return None
        try:
            found = parse_value(key, text)
        except ValueError as error:
            self._problems.add(node.place, f"{name} is {shown(text)}; it {error}")
            return None
        if key in ("title", "caption") and (trouble := placeholder_problem(text, self._known)):
            self._problems.add(node.place, f"{name} {trouble}")
            return None
        if key in AXES:
            self._check_key(name, text, node)
        self.places[key, text] = node.place
        return found

    def list(self, key: str, node: Node) -> tuple[Any, ...]:
        """The values of a key that has several, or one."""
        items = node.items if isinstance(node, ListNode) else [node]
        return tuple(found for item in items if (found := self.one(key, item)) is not None)

    def map(self, key: str, node: Node) -> dict[str, Any] | None:
        """What a map from axes and fields says: texts, or for `order` lists of texts."""
        name = f"{self._where} {key}"
        if not isinstance(node, MapNode):
            example = "{style: [flat, toy]}" if key == "order" else "{style: Style}"
            self._problems.add(node.place, f"{name} is {described(node)}; it must be a map such as {example}")
            return None
        found: dict[str, Any] = {}
        for axis, value in given(node).items():
            self._check_key(name, axis, node.keys[axis])
            self.places[key, axis] = value.place
            items = value.items if key == "order" and isinstance(value, ListNode) else [value]
            texts = [parse_text(f"{name} of {axis}", item, self._problems) for item in items]
            if all(text is not None for text in texts):
                found[axis] = tuple(texts) if key == "order" else texts[0]
        return found

    def _check_key(self, name: str, text: str, node: Node) -> None:
        if text not in self._known:
            close = nearest(text, self._known)
            hint = f"did you mean {close!r}?" if close else f"it must be one of {', '.join(self._known)}"
            self._problems.add(node.place, f"{name} is {shown(text)}; {hint}")
