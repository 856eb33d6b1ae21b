"""The morning's report: its figures are the ledger's, its page holds all it needs and runs nothing, also during a render."""

import base64
import io
import os
import re
import shutil
import sqlite3
from contextlib import closing
from html.parser import HTMLParser

import pytest
from PIL import Image

from fakes import FakeExecutor
from latentpress.batch.ledger.lock import locked
from latentpress.cli import run_cli
from latentpress.manifest.names import SUFFIXES
from latentpress.runtime.request import Rendered
from published import read

EVIL = '</td><script>alert(1)</script> & "quoted" \\u202e'
BODY = """\
defaults: {size: 16x16}
jobs:
  - {id: good, prompt: a kite, seed: 1..6}
  - {id: bad, prompt: 'nan < img src=x onerror=alert(1) > " & ', seed: 1..2}
  - {id: large, prompt: nan, seed: 3}
output: "{id}/{seed}.png"
"""


class Failing(FakeExecutor):
    """The fake, one of whose failures has a cause, and all of them a reason that is no text for a page."""

    def render(self, requests):
        for one in super().render(requests):
            cause = "memory" if one.error and one.key == 9 else ""
            yield Rendered(one.key, one.image, one.error and f"{one.error} {EVIL}", 0.5, one.origin, cause=cause)


class Page(HTMLParser):
    """The page's tags, its words, and what it refers to."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.referred, self.pictures = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        assert not [name for name, _ in attributes if name.startswith("on")]
        for name, value in attributes:
            if name == "src":
                self.pictures.append(value)
            elif name == "href":
                self.referred.append(value)

    def handle_data(self, data):
        self.words.append(data)


def page_of(path):
    text = path.read_text(encoding="utf-8")
    assert "http:" not in text
    assert "https:" not in text
    return Page(text)


@pytest.fixture
def night(folder):
    """The folder of a render of which three of nine failed, one of them, which had no memory, too often."""
    made = folder(BODY + "policy: {retries: 0}\n")
    made.render(executor=Failing())
    with closing(sqlite3.connect(made.home / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE runs SET estimate=seconds/2, warnings=?", ('["warning: <b>cut</b> `here`"]',))
    return made


def report(capsys, *arguments):
    code = run_cli(["report", *map(str, arguments)])
    return capsys.readouterr().out, code


def test_the_figures_are_the_ledgers(night, capsys):
    (night.path / "good/2.png").unlink()
    (night.path / "good/3.png").write_bytes(b"torn")
    data = read("report", report(capsys, "out", "--json")[0])
    assert not (night.path / ".latentpress/report.html").exists(), "--json alone writes nothing"
    assert data["counts"] == {
        "total": 9, "done": 6, "failed": 3, "quarantined": 1, "missing": 0, "others": 0, "gone": 2, "left": 4,
    }  # fmt: skip
    assert data["gone"] == ["good/2.png", "good/3.png"]
    assert data["causes"] == {"memory": 1, "unknown": 2}
    with closing(sqlite3.connect(night.home / "ledger.sqlite")) as ledger:
        query = "SELECT output, error, attempts FROM images WHERE status='failed' ORDER BY output"
        rows = ledger.execute(query).fetchall()
        size = ledger.execute("SELECT sum(file_size) FROM images").fetchone()[0]
    failures = sorted((one["output"], one["error"], one["attempts"]) for one in data["failures"])
    assert failures == rows
    assert [one["output"] for one in data["failures"] if one["quarantined"]] == ["large/3.png"]
    assert data["bytes"] == size
    assert data["manifest"]["path"] == "../m.yaml"
    assert [(one["end"], one["done"], one["failed"]) for one in data["renders"]] == [("finished", 6, 3)]
    assert data["warnings"] == ["warning: <b>cut</b> `here`"]
    assert data["ways_on"][0].startswith("`latentpress render m.yaml -o out` goes on: 4 pictures")
    assert data["ways_on"][1] == "`latentpress render m.yaml -o out --retry` tries the quarantined one again"


def test_a_few_lines_tell_it_and_the_exit_code_says_it_to_scripts(night, capsys):
    said, code = report(capsys, night.path)
    lines = said.splitlines()
    assert code == 0
    assert lines[0] == f"{night.path}: 6 of 9 images done, 3 failed, 1 of them quarantined"
    assert lines[1].startswith("last render: began ")
    assert re.fullmatch(r"estimated [\d.]+ s, took [\d.]+ s without loading", lines[2]), "three failed"
    assert sum(line.startswith("failed: job ") for line in lines) == 2
    assert (
        sum(line.startswith("quarantined: job 9 (id large, seed 3): large/3.png: did not fit") for line in lines) == 1
    )
    assert lines[-1] == f"report: {night.path}/.latentpress/report.html"
    assert report(capsys, night.path, "--exit-code")[1] == 1
    shutil.rmtree(night.path / "good")
    assert report(capsys, night.path, "--exit-code")[1] == 4
    assert report(capsys, "m.yaml", "-o", "out")[0].splitlines()[-1] == "report: out/.latentpress/report.html"


def test_the_page_holds_all_it_needs_and_runs_nothing(night, capsys):
    report(capsys, night.path)
    page = page_of(night.path / ".latentpress/report.html")
    assert "script" not in page.tags
    words = "".join(page.words)
    assert 'the latents became NaN </td><script>alert(1)</script> & "quoted"' in words
    assert 'nan < img src=x onerror=alert(1) > " & ' in words
    assert "warning: <b>cut</b> here" in words
    assert "\u202e" not in words
    assert f"latentpress render {night.path.parent}/m.yaml -o {night.path} --retry" in words
    assert all(picture.startswith("data:image/") for picture in page.pictures)
    assert len(page.pictures) == 6
    shown = Image.open(io.BytesIO(base64.b64decode(page.pictures[0].partition(",")[2])))
    own = [Image.open(night.path / f"good/{seed}.png").convert("RGB").tobytes() for seed in range(1, 7)]
    assert shown.convert("RGB").tobytes() in own
    targets = {os.path.normpath(night.path / ".latentpress" / link) for link in page.referred}
    assert targets == {str(night.path / f"good/{seed}.png") for seed in range(1, 7)}


def test_the_sheet_is_shown_small(folder, capsys):
    night = folder("defaults: {size: 256x256, prompt: a}\nmatrix: {seed: 1..8}\nsheet: {columns: seed}\n")
    night.render(executor=FakeExecutor())
    report(capsys, night.path, "--page", "morning.html")
    page = page_of(night.path.parent / "morning.html")
    sheet = Image.open(io.BytesIO(base64.b64decode(page.pictures[0].partition(",")[2])))
    with Image.open(night.path / "sheet.png") as own:
        assert own.width > sheet.width == 1600
        assert sheet.height == round(own.height * 1600 / own.width)
    assert "out/sheet.png" in page.referred
    assert "8 of 8 images done, 0 failed" in "".join(page.words)
    assert "nothing is left to do" in "".join(page.words)


def test_pictures_of_every_format_are_shown(folder, capsys):
    for ending in SUFFIXES:
        night = folder(f"defaults: {{size: 16x16, prompt: a}}\noutput: '{{seed}}{ending}'\n", ending.strip("."))
        night.render(executor=FakeExecutor())
        report(capsys, night.path)
        assert len(page_of(night.path / ".latentpress/report.html").pictures) == 1, ending


def test_only_a_report_is_replaced(night, capsys):
    for name in ("notes.html", "m.yaml", "out"):
        (night.path.parent / "notes.html").write_text("<p>mine</p>")
        assert report(capsys, night.path, "--page", name)[1] == 2
    assert (night.path.parent / "notes.html").read_text() == "<p>mine</p>"
    assert [report(capsys, night.path, "--page", "r.html")[1] for _ in range(2)] == [0, 0]
    assert report(capsys, night.path, "--page", "no/such/r.html")[1] == 0
    said, code = report(capsys, night.path, "--page", "m.yaml/r.html")
    assert (code, said.splitlines()[0]) == (3, f"{night.path}: 6 of 9 images done, 3 failed, 1 of them quarantined")


def test_what_is_no_output_folder_is_told(night, capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    for name, words in (("empty", "nothing was rendered into it yet"), ("nothing", "no such file or folder")):
        assert run_cli(["report", name]) == 2
        assert words in capsys.readouterr().err
        assert read("error", report(capsys, name, "--json")[0])["error"]["exit_code"] == 2


def test_while_a_render_runs_and_after_it_was_killed(night, capsys):
    with closing(sqlite3.connect(night.home / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE runs SET ended=NULL, end=NULL, done=NULL, failed=NULL, seconds=NULL")
    with locked(night.path, night.home):
        data = read("report", report(capsys, night.path, "--json")[0])
        assert (data["standing"]["pid"], data["renders"][0]["end"]) == (os.getpid(), None)
        said, _ = report(capsys, night.path)
        assert f"process {os.getpid()} renders; `latentpress watch {night.path}` shows how it goes" in said
    said, _ = report(capsys, night.path)
    assert "it was killed, or the machine went off: nothing says how it ended" in said
    assert "killed" in "".join(page_of(night.path / ".latentpress/report.html").words)


class Broken(FakeExecutor):
    def render(self, requests):
        raise OSError("the <disk> is gone")
        yield


def test_what_ended_a_render_is_told(folder, capsys):
    night = folder(BODY)
    with pytest.raises(OSError, match="disk"):
        night.render(executor=Broken())
    said, _ = report(capsys, night.path)
    assert "an error ended it: the <disk> is gone" in said
    assert "0 of 9 images done, 9 missing, 0 failed" in said
    assert "an error ended it: the <disk> is gone" in "".join(page_of(night.path / ".latentpress/report.html").words)


def test_of_many_failures_the_page_has_the_first(folder, capsys):
    night = folder("defaults: {size: 8x8, prompt: nan, steps: 1}\nmatrix: {seed: 1..1200}\n")
    night.render(executor=FakeExecutor())
    report(capsys, night.path)
    page = page_of(night.path / ".latentpress/report.html")
    assert "and 700 more" in "".join(page.words)
    assert page.tags.count("tr") < 540


def test_pictures_and_sheet_of_an_earlier_plan_are_not_tonights(folder, capsys):
    body = "defaults: {size: 16x16, prompt: %s}\nmatrix: {seed: %s}\noutput: '{prompt}-{seed}.png'\nsheet: {columns: seed}\n"
    folder(body % ("kite", "1..3")).render(executor=FakeExecutor())
    first = read("report", report(capsys, "out", "--json")[0])
    assert (len(first["slowest"]), first["sheets"]) == (3, ["sheet.png"])
    with pytest.raises(KeyboardInterrupt):
        folder(body % ("owl", "1..5")).render(executor=FakeExecutor(crash_after=2))
    night = read("report", report(capsys, "out", "--json")[0])
    assert {one["output"].split("-")[0] for one in night["slowest"]} == {"owl"}
    assert (len(night["slowest"]), night["counts"]["others"], night["sheets"]) == (2, 3, [])
    report(capsys, "out")
    words = "".join(page_of(folder(body % ("owl", "1..5")).path / ".latentpress/report.html").words)
    assert "owl-5.png" in words
    assert "kite-1.png" not in words
    folder(body % ("owl", "1..5")).render(executor=FakeExecutor())
    assert read("report", report(capsys, "out", "--json")[0])["sheets"] == ["sheet.png"]


def test_after_a_rebuild_it_says_that_nothing_is_planned(night, capsys):
    (night.home / "ledger.sqlite").unlink()
    assert run_cli(["rebuild", "out"]) == 0
    capsys.readouterr()
    data = read("report", report(capsys, "out", "--json")[0])
    assert (data["planned"], data["counts"]["others"], len(data["ways_on"])) == (False, 6, 1)
    said, _ = report(capsys, "out")
    assert said.startswith("out: 6 pictures done, and its ledger holds no plan that says what is left\n")
    assert (
        "`latentpress render MANIFEST -o out` records its plan again, and makes no picture again that is there" in said
    )
    assert "nothing is left" not in said
    words = "".join(page_of(night.path / ".latentpress/report.html").words)
    assert "records its plan again" in words
    assert "nothing is left" not in words
