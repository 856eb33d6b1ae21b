"""examples/nightly: the service's commands and the crontab's line, taken out of the files, run as systemd and cron run them.

With an empty environment, as a user without a name and a home, from another folder; the paths are put below a folder of the
test's. The engine is the real one, in a process of its own.
"""

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pages import spans

ROOT = Path(__file__).resolve().parent.parent
NIGHTLY = ROOT / "examples" / "nightly"
USER = "12345"
PICTURES = 9


def lacking(what):
    """Skip, or fail where all tests are to be run (.ci/run)."""
    (pytest.fail if os.environ.get("LATENTPRESS_TEST_EVERYTHING") else pytest.skip)(what)


def unit(name):
    """The keys of a unit file, by section."""
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str
    parser.read_string((NIGHTLY / name).read_text())
    return parser


def cron():
    """(variables, schedule, command) of the crontab."""
    lines = [line for line in (NIGHTLY / "crontab").read_text().splitlines() if line and not line.startswith("#")]
    *variables, line = lines
    *schedule, command = line.split(" ", 5)
    return dict(one.split("=", 1) for one in variables), schedule, command


class Place:
    """A folder with /opt/latentpress and /srv/latentpress in it, and a user to whom the second belongs."""

    def __init__(self, folder, bundle):
        self.folder, self.srv = folder, folder / "srv/latentpress"
        folder.chmod(0o755)
        (folder / "opt/latentpress/bin").mkdir(parents=True)
        self.srv.mkdir(parents=True)
        shutil.copytree(bundle, folder / "bundle")
        program = folder / "opt/latentpress/bin/latentpress"
        python = f"PYTHONPATH={shlex.quote(str(ROOT / 'src'))} OMP_NUM_THREADS=1 exec {shlex.quote(sys.executable)}"
        program.write_text(f'#!/bin/sh\n{python} -W error -m latentpress "$@"\n')
        program.chmod(0o755)
        text = (NIGHTLY / "night.yaml").read_text()
        for line, quick in (("model: demo\n", f"model: {folder}/bundle\n"), ("steps: 20\n", "steps: 2\n")):
            assert text.count(line) == 1
            text = text.replace(line, quick)
        (self.srv / "night.yaml").write_text(text.replace("steps: 30\n", "steps: 3\n"))
        subprocess.run(["chown", "-R", f"{USER}:{USER}", str(self.srv)], check=True)
        self.user = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"]
        if subprocess.run([*self.user, str(program), "--version"], capture_output=True, env={}).returncode:
            # A checkout that others may not enter, as below /root: may be read, and written no more than before.
            self.user += ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]

    def here(self, text):
        """`text` with the paths of the example in this folder."""
        return re.sub(r"(?<![\w/])/(opt|srv)/latentpress", lambda found: f"{self.folder}{found[0]}", text)

    def run(self, command, variables, cwd):
        """`command`, words or a shell's line, as the user, with these variables alone."""
        words = ["/bin/sh", "-c", command] if isinstance(command, str) else command
        return subprocess.run([*self.user, *words], env=variables, cwd=cwd, capture_output=True, text=True)

    def check(self):
        """All that a night leaves is there, and belongs to the user."""
        out = self.srv / "out/night"
        assert len(list(out.glob("*/*.png"))) == PICTURES
        assert "9 of 9 images done, 0 failed" in (self.srv / "report.html").read_text()
        events = [json.loads(line) for line in (self.srv / "night.jsonl").read_text().splitlines()]
        assert (events[-1]["event"], events[-1]["end"], events[-1]["exit"]) == ("ended", "finished", 0)
        assert {path.stat().st_uid for path in self.srv.rglob("*")} == {int(USER)}
        assert {path.name for path in self.srv.iterdir()} == {
            "night.yaml",
            "out",
            "cache",
            "night.jsonl",
            "report.html",
        }
        return events


@pytest.fixture
def place(assets):
    if os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    with tempfile.TemporaryDirectory() as name:
        yield Place(Path(name), assets / "bundle")


def test_the_service_runs_as_systemd_runs_it(place):
    """The first night ends after its first pictures, as by the clock, and the second one goes on."""
    service = unit("latentpress-night.service")["Service"]
    variables = dict(word.split("=", 1) for word in shlex.split(place.here(service["Environment"])))
    cwd = place.here(service["WorkingDirectory"])
    command = shlex.split(place.here(service["ExecStart"]))
    report = shlex.split(place.here(service["ExecStopPost"].removeprefix("-")))
    first = place.run([*command, "--stop-after", "0s", "--batch-rows", "2"], variables, cwd)
    assert str(first.returncode) in service["SuccessExitStatus"].split(), first.stderr
    said = place.run(report, variables, cwd)
    assert (said.returncode, said.stderr) == (0, "")
    assert re.search(r"\n`latentpress render night.yaml -o out/night` goes on: \d pictures, about ", said.stdout)
    second = place.run(command, variables, cwd)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    said = place.run(report, variables, cwd)
    assert said.stdout.splitlines()[0] == "out/night: 9 of 9 images done, 0 failed"
    events = place.check()
    first = next(one["output"] for one in events if one["event"] == "done")
    assert first == "cover/41-none.png", "of the highest priority"
    assert [one["end"] for one in events if one["event"] == "ended"] == ["stopped", "finished"]


def test_the_crontabs_line_runs_as_cron_runs_it(place):
    variables, schedule, command = cron()
    assert len(schedule) == 5
    assert "%" not in command, "cron makes a line's end of it"
    given = {name: place.here(value) for name, value in variables.items()}
    done = place.run(place.here(command), given | {"SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}, "/")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "out/night: 9 of 9 images done, 0 failed", "what is mailed"
    place.check()


def test_systemd_finds_no_fault(tmp_path):
    if not shutil.which("systemd-analyze"):
        lacking("there is no systemd-analyze here, which the package systemd has")
    for file in NIGHTLY.glob("latentpress-night.*"):
        text = file.read_text().replace("/opt/latentpress/bin/latentpress", "/bin/true")
        (tmp_path / file.name).write_text(text.replace("User=renderer", "User=root"))
    units = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (tmp_path / "latentpress-night.timer").write_text("[Timer]\nOnCalendar=at night\n")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    assert "at night" in done.stderr, "it looks"


def test_the_page_explains_each_line():
    page = (ROOT / "docs/nightly.md").read_text()
    named = {span.partition("=")[0] for span in spans(page)}
    for name in ("latentpress-night.service", "latentpress-night.timer"):
        for section, keys in unit(name).items():
            assert set(keys) <= named, section
