"""Lines that are read at a glance say what they say when each is parsed: values, ids, seeds, places and mistakes."""

import json
import random
from pathlib import Path

import pytest

from latentpress.errors import ManifestError
from latentpress.manifest.manifest import read_manifest
from latentpress.manifest.readers.csv_rows import _Columns
from latentpress.manifest.readers.layout import Layout
from latentpress.manifest.shape import LineJob

LINE = '{"id": "%s", "model": "demo", "prompt": "a red kite, no. %d", "seed": %d}'
# Lines that must not be taken for their neighbours, or only so far as they are alike.
ODD = [
    *('{"model": "demo", "prompt": "p", "seed": 07}', '{"model": "demo", "prompt": "p", "seed": -0}'),
    *('{"model": "demo", "prompt": "p", "seed": "1..3"}', '{"model": "demo", "prompt": "p", "seed": [4, 9]}'),
    *('{"model": "demo", "prompt": "p", "seed": -1}', '{"model": "demo", "prompt": "p", "seed": 18446744073709551616}'),
    *(
        '{"model": "demo", "prompt": "p", "seed": 18446744073709551615}',
        '{"model": "demo", "prompt": "1..5", "seed": 1}',
    ),
    *('{"id": 12, "model": "demo", "prompt": "p"}', '{"id": null, "model": "demo", "prompt": "p"}'),
    *('{"id": "", "model": "demo", "prompt": "p"}', '{"id": 0012, "model": "demo", "prompt": "p"}'),
    *(
        '{"id": "x", "model": "demo", "prompt": "", "seed": 1}',
        '{"id": "x", "model": "demo", "prompt": null, "seed": 1}',
    ),
    *(
        '{"id": "x", "model": "demo", "prompt": "caf\u00e9", "seed": 1}',
        '{"id": "x", "model": "demo", "prompt": "\\u0041"}',
    ),
    *('{"id": "x", "model": "demo", "prompt": "a {red|blue} k"}', '{"id": "x", "model": "demo", "prompt": "{nope}"}'),
    *('{"id": "x", "model": "demo", "prompt": "a\tb", "seed": 1}', '{"id": "x", "model": "demo", "prompt": "\\"q\\""}'),
    *('{"id": "x", "model": "demo", "prompt": "p", "seed": 1} 2', '{"id": "x", "model": "demo", "prompt": "p",}'),
    *('{"id": "x", "model": "demo", "prompt": "p", "prompt": "q"}', '{"id": "x", "model": "demo", "prompt": 7}'),
    *('{"id": "x", "model": "demo", "prompt": "p", "sed": 1}', '{"id": "x", "model": "demo", "prompt": "p", "x-a": 1}'),
    *(
        '{"id": "x", "model": "demo", "prompt": "p", "n": 3, "seed": 1}',
        '{"id": "x", "model": 7, "prompt": "p", "seed": 1}',
    ),
    *(
        '{"id": "x", "model": "demo", "prompt": "p", "steps": 4}',
        '{"id": "x", "model": "demo", "prompt": "p", "steps": 0}',
    ),
    *(
        '{"id": "x", "model": "demo", "prompt": "p", "steps": 04}',
        '{"id": "x", "model": "demo", "prompt": "p", "steps": tru}',
    ),
    *(
        '{"id": "x", "model": "demo", "prompt": "p", "size": [64, 72]}',
        '{"id": "x", "model": "demo", "prompt": "p", "size": 71}',
    ),
    *(
        '{"id": "x", "model": "demo", "prompt": "p", "steps": null}',
        '  {"id" :"x","model":"demo","prompt":"p","seed":3}  ',
    ),
]
CELLS = [
    "007",
    " 7",
    "-1",
    "1..3",
    "seven",
    "\u0667",
    "",
    "null",
    "[1, 2]",
    "18446744073709551616",
    '"a, b"',
    "a {b|c}",
    "caf\u00e9",
]


def read(path: str):
    """All that a file of lines comes to."""
    try:
        manifest = read_manifest(path)
    except ManifestError as error:
        return error.problems
    drafts: list[object] = []
    for draft, seed, label in manifest.drafts():
        values = {name: value for name, value in draft.values.items() if name != "seed"}
        places = sorted((name, str(place)) for name, place in draft.places.items())
        drafts.append((draft.id, values, places, sorted(draft.written), seed, label))
    return drafts, list(manifest.models), manifest.warnings


@pytest.fixture
def same(tmp_path, monkeypatch):
    """What a file comes to, which must be what it comes to where no line is like another."""
    monkeypatch.chdir(tmp_path)

    def check(name: str, lines: list[str]):
        Path(name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        quickly = read(name)
        with monkeypatch.context() as patch:
            for kind in (Layout, _Columns):
                patch.setattr(kind, "quick", lambda *_: None)
            assert repr(read(name)) == repr(quickly)
        return quickly

    return check


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_line_among_others(odd, same):
    usual = [LINE % (f"j{number}", number, number) for number in range(4)]
    like_it = odd.replace('"x"', '"y"')
    same("lines.jsonl", [*usual[:2], odd, usual[2], *([like_it] if like_it != odd else []), usual[3]])
    same("lines.jsonl", [odd, like_it, odd.replace('"x"', '"z"'), *usual])


@pytest.mark.parametrize("seed", range(3))
def test_lines_of_several_layouts(seed, same):
    pick = random.Random(seed)
    lines = []
    for number in range(120):
        row = {"prompt": f"a kite, no. {pick.randrange(30)}", "model": "demo"}
        row |= {"seed": pick.randrange(9)} if pick.random() < 0.7 else {}
        row |= {"steps": pick.choice([3, 4, 50])} if pick.random() < 0.5 else {}
        row |= {"id": str(number)} if pick.random() < 0.5 else {}
        row |= {"size": pick.choice([[64, 72], "72x64"])} if pick.random() < 0.2 else {}
        lines.append(json.dumps(row, separators=pick.choice([(", ", ": "), (",", ":")])))
    drafts, *_ = same("lines.jsonl", lines)
    assert len(drafts) == 120


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("column", range(5))
def test_an_odd_cell_among_others(column, cell, same):
    rows = [[f"j{number}", "demo", f"a kite {number}", str(number), "4"] for number in range(6)]
    rows[3][column] = cell
    same("rows.csv", ["id,model,prompt,seed,steps", *map(",".join, rows)])
    rows[0][column] = rows[1][column] = cell
    same("rows.csv", ["id,model,prompt,seed,steps", *map(",".join, rows)])


def test_rows_of_several_lines_and_too_many_cells(same):
    rows = [
        "id,model,prompt,steps",
        "a,demo,p,4",
        'b,demo,"two\nlines",4',
        'c,demo,p,"4\n"',
        "d,demo,p,4,5",
        "e,demo,p",
        "f,demo,p,4",
    ]
    same("rows.csv", rows)
    same("rows.csv", [*rows[:4], *rows[6:]])
    same("rows.csv", ["id,model,,prompt", "a,demo,,p", "b,demo,x,p", "c,demo,x,p"])


def test_most_lines_are_not_parsed(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(LINE % (f"j{number}", number, number) + "\n" for number in range(50)))
    assert sum(isinstance(job, LineJob) for job in read_manifest(path).jobs) == 50, "in the second pass"
    path = tmp_path / "rows.csv"
    path.write_text("id,model,prompt\n" + "".join(f"j{number},demo,a kite\n" for number in range(50)))
    assert sum(isinstance(job, LineJob) for job in read_manifest(path).jobs) == 50
