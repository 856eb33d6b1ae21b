"""A folder on a drive without locks keeps its ledger elsewhere: every command follows it there, and none begins a second."""

import json
import shutil
from errno import ENOLCK, ENOTSUP

import pytest

from eight import PICTURES, tree
from faulted import Fault
from latentpress.batch.folder import OutputFolder
from latentpress.batch.ledger.ledger import ledger_path
from latentpress.batch.ledger.lock import locked
from latentpress.batch.proof.rebuild import rebuild
from latentpress.batch.proof.verify import verify
from latentpress.errors import OutputLocked, UsageError
from latentpress.models import Models
from latentpress.results import result_rows

BODY = "defaults: {steps: 2, prompt: a red kite}\nmatrix: {seed: 1..3}\noutput: '{seed}.png'\n"


@pytest.fixture
def kept(manifest, facts, tmp_path):
    """kept(ledger, body) is the output folder tmp_path/out with what `--ledger` names."""

    def make(ledger=None, body=BODY):
        return OutputFolder(manifest(body), tmp_path / "out", models=Models({}, {"demo": facts}), ledger=ledger)

    return make


def inside(folder):
    return sorted(path.name for path in (folder / ".latentpress").iterdir())


@pytest.mark.parametrize("error", [ENOLCK, ENOTSUP])
def test_a_drive_without_locks_is_rendered_into(error, eight):
    """No call that locks below the folder succeeds, Python's or SQLite's."""
    folder, rooms = eight.folder(), eight.scratch / f"rooms{error}"
    fault = Fault(1, "fail", error, True, ("lock",))
    assert eight.render(folder, fault=fault).code == 3
    arguments = ("render", eight.manifest, "-o", folder, "--ledger", rooms)
    run = eight.runner.run(folder, *arguments, fault=fault)
    assert run.code == 0, run.err
    assert not [site for site in run.sites if site.startswith("lock")]
    assert tree(folder) == eight.tree
    assert inside(folder) == ["elsewhere.json"]
    (home,) = rooms.iterdir()
    assert (home / "output-folder").read_text() == f"{folder}\n"
    for command in ("render", "status"):  # the folder remembers
        again = eight.runner.run(folder, command, eight.manifest, "-o", folder, fault=fault)
        assert (again.code, again.rendered) == (0, [])
    assert f"{PICTURES} of {PICTURES} images done" in again.out
    assert inside(folder) == ["elsewhere.json"]


def test_a_killed_run_goes_on_with_its_ledger_elsewhere(eight):
    folder, rooms = eight.folder(), eight.scratch / "rooms"
    arguments = ("render", eight.manifest, "-o", folder, "--ledger", rooms)
    for nth in (1, 2, 3, 5, 8, 20, 60):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(rooms, ignore_errors=True)
        assert eight.runner.run(folder, *arguments, fault=Fault(nth, "kill after")).code == -9
        again = eight.runner.run(folder, *arguments)
        assert again.code == 0, again.err
        assert tree(folder) == eight.tree
        assert inside(folder) == ["elsewhere.json"]


def test_every_command_follows(kept, new_executor, tmp_path):
    kept(tmp_path / "rooms").render(executor=new_executor())
    out = tmp_path / "out"
    assert ledger_path(out).parent.parent == tmp_path / "rooms"
    assert kept().status().counts["done"] == 3
    assert kept().render(executor=new_executor()).summary.skipped == 3
    assert verify(out).right
    assert [row["status"] for row in result_rows(out)] == ["done"] * 3
    assert rebuild(out).known == 3
    edited = kept(body=BODY.replace("1..3", "1..2"))
    assert edited.tidy()[0] == 1
    assert inside(out) == ["elsewhere.json", "replaced"]
    assert kept(tmp_path / "rooms").status().counts["done"] == 2, "named again, it is the same"


def test_the_lock_is_where_the_ledger_is(kept, new_executor, tmp_path):
    kept(tmp_path / "rooms").render(executor=new_executor())
    with locked(tmp_path / "out"), pytest.raises(OutputLocked):
        kept().render(executor=new_executor())


def test_no_second_ledger_begins(kept, new_executor, tmp_path, monkeypatch):
    kept(tmp_path / "rooms").render(executor=new_executor())
    with pytest.raises(UsageError, match=r"keeps its ledger in .*rooms/out-[0-9a-f]{12}, and --ledger .*others"):
        kept(tmp_path / "others")
    monkeypatch.setenv("LATENTPRESS_LEDGER", str(tmp_path / "others"))
    assert kept().status().counts["done"] == 3, "the variable is for folders that have none"
    monkeypatch.delenv("LATENTPRESS_LEDGER")
    shutil.rmtree(tmp_path / "out")
    kept().render(executor=new_executor())
    with pytest.raises(
        UsageError, match=r"keeps its ledger inside, so --ledger .* leave --ledger out, or move"
    ) as caught:
        kept(tmp_path / "others")
    assert not (tmp_path / "others").exists()
    home = tmp_path / "others" / str(caught.value).rpartition("/others/")[2].partition("/")[0]
    home.mkdir(parents=True)
    (tmp_path / "out/.latentpress/ledger.sqlite").rename(home / "ledger.sqlite")
    assert kept(tmp_path / "others").render(executor=new_executor()).summary.skipped == 3, "as the sentence says"


def test_a_ledger_that_is_gone_is_missed(kept, new_executor, tmp_path, monkeypatch):
    kept(tmp_path / "rooms").render(executor=new_executor())
    (tmp_path / "rooms").rename(tmp_path / "moved")
    for ask in (kept, lambda: verify(tmp_path / "out"), lambda: kept(tmp_path / "nowhere")):
        with pytest.raises(UsageError, match=r"which is not there; name the folder in which out-[0-9a-f]{12} lies now"):
            ask()
    monkeypatch.setenv("LATENTPRESS_LEDGER", str(tmp_path / "moved"))
    assert verify(tmp_path / "out").right
    monkeypatch.delenv("LATENTPRESS_LEDGER")
    assert kept(tmp_path / "moved").status().counts["done"] == 3
    assert kept(tmp_path / "moved").render(executor=new_executor()).summary.skipped == 3
    assert kept().status().counts["done"] == 3, "a render remembers where it went"


def test_a_ledger_that_is_lost_or_damaged_elsewhere_is_made_again(kept, new_executor, tmp_path):
    kept(tmp_path / "rooms").render(executor=new_executor())
    path = ledger_path(tmp_path / "out")
    path.write_bytes(b"not a ledger")
    with pytest.raises(UsageError, match=f"`latentpress rebuild {tmp_path}/out` makes it again"):
        kept().status()
    done = rebuild(tmp_path / "out")
    assert done.moved is not None
    assert done.moved.is_relative_to(tmp_path / "rooms"), "no file is carried from one disk to another"
    shutil.rmtree(tmp_path / "rooms")
    assert rebuild(tmp_path / "out", ledger=tmp_path / "anew").silent == 0
    assert json.loads((tmp_path / "out/.latentpress/elsewhere.json").read_text())["ledger"].startswith(
        f"{tmp_path}/anew/out-"
    )
    assert kept().status().plan.jobs


@pytest.mark.parametrize("place", ["out/rooms", "file"])
def test_a_place_that_is_none_is_refused(place, kept, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--ledger .*(lies in the output folder|is a file)"):
        kept(tmp_path / place)
    assert not (tmp_path / "out").exists()
