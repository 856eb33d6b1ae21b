"""What several folders have in common, and what only one has, in words."""

import pytest

from latentpress.gallery.apart import apart


@pytest.mark.parametrize(
    ("values", "common", "said"),
    [
        ({"seed": {"a": ["1", "2"], "b": ["2", "1"]}}, ("seed",), ()),
        ({"style": {"a": ["flat"], "b": []}}, (), ("only a has the axis style",)),
        ({"style": {"a": ["flat"], "b": [], "c": ["line"]}}, (), ("only a and c have the axis style",)),
        ({"seed": {"a": ["1", "2"], "b": ["2", "3", ""]}}, ("seed",), ("of seed only a has 1 and only b has 3, none",)),
        ({"seed": {"a": ["1"], "b": ["2"]}}, (), ("of seed only a has 1 and only b has 2",)),
        ({"seed": {"a": list("12345678"), "b": ["1"]}}, ("seed",), ("of seed only a has 2, 3, 4, 5, 6, 7 and 1 more",)),
        ({"prompt": {"a": ["x" * 41, "owl"], "b": ["owl"]}}, ("prompt",), ("of prompt only a has 1 other value",)),
        (
            {"prompt": {"a": ["x" * 41, "y"], "b": ["owl"]}},
            (),
            ("of prompt only a has 2 values and only b has 1 value",),
        ),
        ({"seed": {"a": ["1", "2"], "b": ["2", "1"], "c": ["1"]}}, ("seed",), ()),
    ],
)
def test_what_folders_have_in_common_and_alone(values, common, said):
    found = apart(values)
    assert (found.common, found.said) == (common, said)
