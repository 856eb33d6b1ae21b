"""JSON with places: what the standard library reads is read as it reads it, what it refuses has a place."""

import json
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from latentpress.manifest.nodes import ListNode, MapNode, Problems, Scalar
from latentpress.manifest.readers.json_text import NotJson, is_range, read_json


def plain(node):
    """A node as Python data."""
    if isinstance(node, MapNode):
        return {key: plain(value) for key, value in node.values.items()}
    if isinstance(node, ListNode):
        return list(map(plain, node.items))
    return node.value


def places(node, text, steps=()):
    """Check that each node stands where it says."""
    rest = text.split("\n")[node.place.line - 1][node.place.column - 1 :]
    if isinstance(node, Scalar):
        assert rest.startswith('"' if not node.plain or is_range(node.text) else node.text)
    for one in node.values.values() if isinstance(node, MapNode) else node.items if isinstance(node, ListNode) else ():
        places(one, text)


TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(TREES, st.sampled_from([None, 0, 1, "\t"]), st.booleans())
def test_json_is_read_as_the_standard_library_reads_it(tree, indent, ascii):
    text = json.dumps(tree, indent=indent, ensure_ascii=ascii)
    node = read_json(text, "a.json", Problems())
    assert plain(node) == json.loads(text)
    places(node, text)


def test_what_the_standard_library_refuses_is_refused_with_a_place():
    draw = random.Random(5)
    whole = json.dumps({"a": [1, 2.5, "x\\u00e9\n", None], "b": {"c": True, "d": -3e5}, "e": "1..3"})
    agreed = 0
    for _ in range(2000):
        at = draw.randrange(len(whole))
        text = whole[:at] + draw.choice(["", *'{}[],:"\\0-+.eEtn \x01']) + whole[at + draw.randrange(3) :]
        try:
            expected = json.loads(text, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
        except ValueError:
            expected = None
        try:
            node = read_json(text, "a.json", Problems())
        except NotJson as error:
            node, place = None, error.place
        agreed += expected is not None
        if expected is None:
            assert node is None, text
            assert (place.line, place.column <= len(text) + 1) == (1, True)
        else:
            assert plain(node) == expected, text
    assert 200 < agreed < 1900
