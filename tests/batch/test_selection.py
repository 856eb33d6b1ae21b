"""`--only` and `--limit`: what they choose and refuse, and that a part leaves a folder that a whole render completes."""

import pytest

from latentpress.batch.estimate.loads import loads_of
from latentpress.batch.ledger.ledger import Ledger, ledger_path
from latentpress.batch.selection import Selection
from latentpress.errors import UsageError

GRID = """\
defaults: {prompt: "a {thing} in {style}", steps: 2, size: 16x16}
matrix:
  thing: [kite, owl]
  style:
    - {label: Lines, value: <line-art>}
    - <moeb-style>
    - plain
  seed: 1..2
output: "{thing}/{style}-{seed}.png"
sheet: {rows: thing, columns: style}
"""


@pytest.fixture
def chosen(folder):
    """chosen(term, ..., limit=) are the outputs that the options choose of GRID, in order."""

    def choose(*only, limit=None):
        made = folder(GRID)
        state = made.status(Selection(only, limit))
        assert state.total == len(state.chosen)
        return [str(state.plan.jobs[index - 1].output) for index in sorted(state.chosen)]

    return choose


def test_terms_mean_labels_values_file_names_and_patterns_and_all_hold(chosen):
    lines = ["kite/Lines-1.png", "kite/Lines-2.png", "owl/Lines-1.png", "owl/Lines-2.png"]
    assert (
        chosen("style=Lines")
        == chosen("style=<line-art>")
        == chosen("style=line-art")
        == chosen("style=line*")
        == lines
    )
    moebius = [f"{thing}/moeb-style-{seed}.png" for thing in ("kite", "owl") for seed in (1, 2)]
    assert chosen("style=moeb*") == chosen("style=<moeb*") == moebius
    assert chosen("style=Lines", "thing=owl") == chosen("owl/Lines*") == chosen("output=owl/Lines-?.png") == lines[2:]
    assert chosen("style=*", "seed=2", "thing=k*") == [
        f"kite/{style}-2.png" for style in ("Lines", "moeb-style", "plain")
    ]
    assert chosen("id=m", "steps=2", "seed=1", "thing=owl", "size=16x16") == [
        f"owl/{style}-1.png" for style in ("Lines", "moeb-style", "plain")
    ]
    assert chosen("seed=01") == chosen("seed=1.0") == chosen("seed=0..1") == chosen("seed=1") != []
    assert chosen("seed=1..3") == chosen("seed=[01, 2]") == chosen("seed=[1..2]") == chosen("style=*")
    assert (
        chosen("guidance_scale=7.50")
        == chosen("size=16 x 16")
        == chosen("size=16")
        == chosen("loss=null")
        == chosen("style=*")
    )
    assert chosen(limit=3) == ["kite/Lines-1.png", "kite/Lines-2.png", "kite/moeb-style-1.png"]
    assert chosen("thing=owl", limit=1) == ["owl/Lines-1.png"]
    assert len(chosen(limit=99)) == 12


def test_a_limit_takes_what_a_render_takes_first(folder, new_executor):
    made = folder(
        "defaults: {prompt: a, steps: 2, size: 16x16}\njobs:\n"
        "  - {id: wide, size: 32x16, seed: 1}\n  - {id: late, priority: -1, seed: 2}\n"
        "  - {id: b, seed: 3}\n  - {id: soon, priority: 2, seed: 4}\n"
    )
    state = made.status(Selection(limit=2))
    assert {state.plan.jobs[index - 1].id for index in state.chosen} == {"soon", "b"}
    assert [load.pictures for load in loads_of(made.status()).loads] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (["styl=Lines"], "--only 'styl=Lines': 'styl' is no axis and no field; did you mean 'style'?"),
        (["style=Line"], "--only 'style=Line' chooses no picture: style is one of Lines, <moeb-style>, plain"),
        (["seed=9"], "--only 'seed=9' chooses no picture: no picture has that seed"),
        (["*.jpg"], "--only '*.jpg' chooses no picture: no output has that name"),
        (
            ["thing=owl", "kite/*"],
            "--only 'thing=owl' --only 'kite/*' chooses no picture: each is there, but no picture has all of them",
        ),
    ],
)
def test_what_chooses_nothing_is_told_with_the_way_out(chosen, terms, message):
    with pytest.raises(UsageError) as error:
        chosen(*terms)
    assert str(error.value) == message


def test_the_first_of_the_run_are_those_that_a_render_takes_first(folder, new_executor):
    body = "defaults: {prompt: a, steps: 2}\njobs: [{seed: 1..2, size: 32x32}, {seed: 3..4, size: 16x16}]\n"
    executor = new_executor()
    outcome = folder(body).render(executor=executor, selection=Selection(limit=2))
    assert sorted(executor.rendered) == [3, 4], "the smaller ones come first"
    assert (outcome.summary.done, outcome.summary.skipped) == (2, 0)
    assert folder(body).render(executor=new_executor(), selection=Selection(limit=2)).summary.skipped == 2
    assert folder(body).render(executor=new_executor(), selection=Selection(limit=3)).summary.done == 1


def test_a_whole_render_completes_what_a_part_began(folder, new_executor, tmp_path):
    parts = new_executor()
    part = folder(GRID, "parts").render(executor=parts, selection=Selection(["style=plain"], 3))
    assert (part.summary.done, part.sheet) == (3, None)
    assert len(parts.rendered) == 3
    whole = folder(GRID, "parts").render(executor=parts)
    assert (whole.summary.done, whole.summary.skipped) == (9, 3)
    assert whole.sheet is not None
    folder(GRID, "once").render(executor=new_executor())
    known = []
    for name in ("parts", "once"):
        with Ledger(ledger_path(tmp_path / name)) as ledger:
            known.append(ledger.answers("SELECT output, job_hash, pixel_sha256, status FROM images ORDER BY output"))
    assert known[0] == known[1]
    tree = {path.name: path.read_bytes() for path in (tmp_path / "parts").rglob("*.png")}
    assert tree == {path.name: path.read_bytes() for path in (tmp_path / "once").rglob("*.png")}


def test_a_rehearsal_says_what_a_render_would_do_and_changes_nothing(folder, new_executor, tmp_path):
    drawn = GRID.replace("seed: 1..2", "seed: [1, -1]")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sheet.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match="was not drawn"):
        folder(drawn).rehearse()
    (tmp_path / "out" / "sheet.png").unlink()
    made = folder(drawn).rehearse()
    said = list(made.lines())
    assert said[1] == "would draw 1 seed and keep it in the ledger"
    assert said[2] == f"would render 12 pictures, and write 12 in {tmp_path / 'out'}:"
    assert f"would draw the sheet {tmp_path / 'out' / 'sheet.png'}" in said
    assert not list((tmp_path / "out").iterdir())
    folder(GRID).render(executor=new_executor(), selection=Selection(limit=4))
    renamed = GRID.replace('"{thing}/', '"new/{thing}-')
    before = sorted(path for path in tmp_path.rglob("*"))
    data = folder(renamed).rehearse(selection=Selection(["thing=kite"])).data()
    assert {key: data[key] for key in ("to_take", "to_write", "to_move", "sheet")} == {
        "to_take": 4,
        "to_write": 2,
        "to_move": 0,
        "sheet": None,
    }
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_seeds_are_chosen_by_a_pattern_too(folder):
    made = folder("defaults: {prompt: a}\nmatrix: {seed: [1, 12, 21, 103]}\n")
    assert made.status(Selection(["seed=1*"])).chosen == {1, 2, 4}
    assert made.status(Selection(["seed=1"])).chosen == {1}
