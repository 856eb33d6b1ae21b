"""`verify` finds every damage to a folder and names nothing else; `--repair` makes exactly what is damaged again."""

import json
import os
import random
import sqlite3
import tarfile
import tempfile
from pathlib import Path

import pytest
from PIL import Image

from foreign import FOREIGN
from latentpress.batch.pictures.intact import stamp_of
from latentpress.batch.proof.repair import repair
from latentpress.batch.proof.verify import verify
from latentpress.batch.render import Summary
from latentpress.cli import run_cli
from latentpress.models import Models

# Of 250 pictures, ten are twins of others.
MANY = "defaults: {prompt: a mouse, steps: 3}\njobs:\n  - {id: a, seed: 1..240}\n  - {id: b, seed: 1..10}\n"
MANY += 'output: "{id}/{seed}.png"\n'
SIX = 'defaults: {prompt: a mouse, steps: 3}\nmatrix: {seed: 1..6}\noutput: "s/{seed}.png"\n'
MEMORY = Path("/dev/shm")
DATA = Path(__file__).parent.parent / "data"


def pictures(folder):
    """Every picture below `folder`, without what was moved aside."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.png") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(".latentpress")}


def flipped(content, place, choose):
    return content[:place] + bytes([content[place] ^ 1 << choose.randrange(8)]) + content[place + 1 :]


def within(content, start, choose):
    """A place in the chunk whose type is `start`, from its length to its CRC."""
    at = content.index(start)
    return choose.randrange(at - 4, at + 8 + int.from_bytes(content[at - 4 : at]))


# Each gives what becomes of a picture's bytes; all leave it torn.
TEARS = {
    "cut short": lambda content, choose: content[: choose.randrange(len(content))],
    "a bit anywhere": lambda content, choose: flipped(content, choose.randrange(len(content)), choose),
    "a bit of the signature": lambda content, choose: flipped(content, choose.randrange(8), choose),
    "a bit of a text": lambda content, choose: flipped(content, within(content, b"tEXt", choose), choose),
    "a bit of the pixels": lambda content, choose: flipped(content, within(content, b"IDAT", choose), choose),
}


class Damage:
    """Does one thing after another to a folder's pictures, each to another one, and knows what `verify` must say."""

    def __init__(self, out, names, seed):
        self.out, self.choose, self.free = out, random.Random(seed), list(names)
        self.choose.shuffle(self.free)
        self.expected = {}

    def tear(self, kind, keeps_mtime):
        path = self._next("torn")
        before, content = path.stat(), path.read_bytes()
        path.write_bytes(TEARS[kind](content, self.choose))
        if keeps_mtime:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def remove(self):
        self._next("missing").unlink()

    def replace(self, kind):
        path = self._next("foreign")
        content = path.read_bytes()
        path.unlink()
        FOREIGN[kind](content, path)

    def rotate(self, count):
        """Each of `count` pictures gets the content of the one before it."""
        names, contents = [], []
        for _ in range(count):
            path = self._next("swapped")
            names.append(path.relative_to(self.out).as_posix())
            contents.append(path.read_bytes())
        for index, name in enumerate(names):
            (self.out / name).write_bytes(contents[index - 1])
            self.expected[name] = ("swapped", names[index - 1])

    def _next(self, state):
        name = self.free.pop()
        self.expected[name] = (state, None)
        return self.out / name


@pytest.fixture
def memory(tmp_path):
    """A folder in memory where there is one: a thousand syncs cost nothing there."""
    if not MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as scratch:
        yield Path(scratch)


def test_every_one_of_200_damages_is_found_and_made_again(folder, facts, new_executor, memory):
    out = memory / "out"
    folder(MANY, out).render(executor=new_executor())
    before = pictures(out)
    assert verify(out).right
    assert verify(out).counts["whole"] == 250
    # Twins have two names for one content, which nobody can swap.
    twins = {f"{job}/{seed}.png" for job in "ab" for seed in range(1, 11)}
    damage = Damage(out, before.keys() - twins, 13)
    for count in range(110):
        damage.tear(list(TEARS)[count % len(TEARS)], keeps_mtime=count % 2 == 0)
    for _ in range(5):
        damage.remove()
        damage.rotate(3)
    for _ in range(10):
        damage.rotate(2)
    for count in range(45):
        damage.replace(list(FOREIGN)[count % len(FOREIGN)])
    damage.free = [f"b/{seed}.png" for seed in range(1, 6)]
    for _ in range(5):
        damage.tear("a bit anywhere", keeps_mtime=True)
    assert len(damage.expected) == 200

    found = verify(out)
    assert {flaw.output: (flaw.state, flaw.written_as) for flaw in found.flaws} == damage.expected
    assert (found.documents, found.aside, found.right) == ([], [], False)
    assert found.unknown == []

    executor = new_executor()
    done = repair(found, models=Models({}, {"demo": facts}), executor=executor)
    copied = {name for name, (state, _) in damage.expected.items() if state == "swapped" or name.startswith("b/")}
    assert len(copied) == 40
    assert set(done.copied) == copied
    assert sorted(executor.rendered) == sorted(int(Path(name).stem) for name in damage.expected.keys() - copied)
    assert (done.notes, done.after.right) == ([], True)
    assert pictures(out) == before
    assert done.moved == 200 - 5, "nothing is lost: whatever was there is in .latentpress/replaced"
    assert folder(MANY, out).render(executor=executor).summary == Summary(0, 250, 0)


def test_a_flip_of_the_same_size_and_time_is_found_by_status(folder, new_executor, tmp_path):
    folder(SIX).render(executor=new_executor())
    damage = Damage(tmp_path / "out", ["s/3.png"], 1)
    damage.tear("a bit of the pixels", keeps_mtime=True)
    assert [str(job.output) for job in folder(SIX).status().jobs("missing")] == ["s/3.png"]


def test_what_a_failing_disk_changes_is_found_and_made_again(folder, facts, new_executor, tmp_path):
    """The file system says the same of the file as before."""
    out = tmp_path / "out"
    folder(SIX).render(executor=new_executor())
    before = pictures(out)
    Damage(out, ["s/3.png"], 1).tear("a bit of the pixels", keeps_mtime=True)
    with sqlite3.connect(out / ".latentpress/ledger.sqlite") as connection:
        stamp = stamp_of((out / "s/3.png").lstat())
        connection.execute("UPDATE images SET stamp=? WHERE output='s/3.png'", (stamp,))
    connection.close()
    assert folder(SIX).status().counts["done"] == 6
    found = verify(out)
    assert [flaw.line for flaw in found.flaws] == ["torn      s/3.png"]
    done = repair(found, models=Models({}, {"demo": facts}), executor=new_executor())
    assert (done.rendered, done.after.right) == (["s/3.png"], True)
    assert pictures(out) == before


def test_what_lies_elsewhere_is_copied(folder, new_executor, tmp_path):
    """Under an unknown name, in .latentpress, and in a folder that lies in the picture's place."""
    out = tmp_path / "out"
    folder(SIX).render(executor=new_executor())
    before = pictures(out)
    (out / "s/1.png").rename(out / "elsewhere.png")
    (out / ".latentpress/replaced/9").mkdir(parents=True)
    (out / "s/2.png").rename(out / ".latentpress/replaced/9/mine.png")
    (out / "s/3.png").rename(out / "kept.png")
    (out / "s/3.png").mkdir()
    (out / "kept.png").rename(out / "s/3.png/3.png")
    found = verify(out)
    assert {flaw.output: flaw.state for flaw in found.flaws} == {
        "s/1.png": "missing",
        "s/2.png": "missing",
        "s/3.png": "foreign",
    }
    assert found.unknown == ["elsewhere.png", "s/3.png/3.png"]
    done = repair(found)
    assert (sorted(done.copied), done.rendered, done.after.right) == (["s/1.png", "s/2.png", "s/3.png"], [], True)
    assert pictures(out) == before | {"elsewhere.png": before["s/1.png"]}


def test_a_sheet_is_looked_at_and_drawn_again(folder, facts, new_executor, tmp_path, capsys):
    body, out = SIX + "sheet: {columns: seed}\n", tmp_path / "out"
    sheet = out / "sheet.png"
    folder(body).render(executor=new_executor())
    before = pictures(out)
    torn = before["sheet.png"][:-9]
    for harm, state in ((sheet.unlink, "missing"), (lambda: sheet.write_bytes(torn), "torn")):
        harm()
        found = verify(out)
        assert ([flaw.state for flaw in found.documents], found.flaws, found.unknown) == ([state], [], [])
        done = repair(found, models=Models({}, {"demo": facts}))
        assert (done.drawn, done.after.right, pictures(out) == before) == (["sheet.png"], True, True)
    assert (out / ".latentpress/replaced/1/sheet.png").read_bytes() == torn
    Image.new("RGB", (64, 64)).save(sheet)
    assert [flaw.state for flaw in verify(out).documents] == ["foreign"]


def test_what_cannot_be_made_again_is_told(folder, facts, new_executor, tmp_path, capsys):
    out = tmp_path / "out"
    folder(SIX).render(executor=new_executor())
    (out / "s/2.png").unlink()
    (out / "s/5.png").write_bytes(b"")
    assert run_cli(["verify", str(out), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["counts"] == {"whole": 4, "missing": 1, "torn": 1, "foreign": 0, "swapped": 0}
    assert [flaw["output"] for flaw in said["flaws"]] == ["s/2.png", "s/5.png"]

    def told(body):
        Path("m.yaml").write_text(f"version: 1\nname: m\nmodel: demo\n{body}")
        executor = new_executor()
        done = repair(verify(out), models=Models({}, {"demo": facts}), executor=executor)
        return executor.rendered, done.notes, [flaw.output for flaw in done.after.flaws]

    # The manifest has another picture under the one name, and no job for the other any more.
    edited = SIX.replace("matrix: {seed: 1..6}", "jobs: [{seed: 1..2, steps: 4}, {seed: 3}]")
    rendered, notes, left = told(edited)
    assert (rendered, left) == ([], ["s/2.png", "s/5.png"])
    assert "m.yaml: s/2.png, s/5.png cannot be made again, for no job in the manifest is theirs any more" in notes[0]
    Path("m.yaml").unlink()
    assert run_cli(["verify", str(out), "--repair"]) == 1
    err = capsys.readouterr().err
    assert f"{out}: s/2.png, s/5.png cannot be made again, for their manifest {out}/../m.yaml is gone; " in err
    assert told(SIX) == ([5, 2], [], [])
    assert run_cli(["verify", str(out)]) == 0
    assert "6 of 6 pictures are what was written" in capsys.readouterr().out


def test_pictures_in_latentpress_are_told_apart(folder, new_executor, tmp_path):
    out = tmp_path / "out"
    folder(SIX).render(executor=new_executor())
    folder(SIX.replace("steps: 3", "steps: 4")).render(executor=new_executor())
    old = out / ".latentpress/replaced/1/s"
    assert verify(out).right
    (old / "1.png").unlink()
    assert verify(out).right, "what was moved aside may be deleted"
    (old / "2.png").write_bytes((old / "2.png").read_bytes()[:-1])
    found = verify(out)
    assert ([flaw.output for flaw in found.aside], found.flaws) == ([".latentpress/replaced/1/s/2.png"], [])
    (note,) = repair(found).notes
    assert note.startswith(
        f"{out}: .latentpress/replaced/1/s/2.png cannot be made again, for no job wants them any more; "
    )


def test_a_folder_without_a_ledger_names_the_way_out(tmp_path, capsys):
    out = tmp_path / "out"
    assert run_cli(["verify", str(out)]) == 2
    assert f"`latentpress rebuild {out}`" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["kept", "names"])
def test_a_ledger_of_an_earlier_release_is_read(name, tmp_path):
    with tarfile.open(DATA / "ledgers-version-3.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    out = tmp_path / "5bef550/out" / name
    ledger = out / ".latentpress/ledger.sqlite"
    before = ledger.read_bytes()
    out.joinpath(".latentpress").chmod(0o555)
    found = verify(out)
    assert (found.right, found.unknown) == (True, [])
    victim = sorted(path for path in out.glob("*.png") if path.name != "sheet.png")[1]
    victim.write_bytes(victim.read_bytes()[:100])
    found = verify(out)
    assert [(flaw.output, flaw.state) for flaw in found.flaws] == [(victim.name, "torn")]
    assert ledger.read_bytes() == before
    out.joinpath(".latentpress").chmod(0o755)
