"""Pictures and exit code do not depend on what becomes of stdout and stderr, on a home folder or on an encoding."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from eight import tree
from faulted import CLOSED, GONE, Fault

HELPERS = Path(__file__).resolve().parent.parent / "helpers"
PROGRAM = (sys.executable, "-W", "error", str(HELPERS / "painted.py"))
PYTHONPATH = os.pathsep.join([str(HELPERS.parent.parent / "src"), str(HELPERS)])
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "TERM"} | {"PYTHONPATH": PYTHONPATH}
KITES = """\
version: 1
name: かわいい凧
model: demo
defaults: {prompt: かわいい凧, steps: 2, size: 16x16}
matrix: {word: [kite, 凧, café]}
output: "{word}.png"
"""
FULL, NULL = "/dev/full", "/dev/null"
SIGNALS = {signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 130}


def wait_for(what, seconds=60.0):
    """The first true answer of `what`, asked again and again."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("streams", [(NULL, GONE, GONE), (NULL, FULL, FULL), (NULL, NULL, CLOSED), (CLOSED,) * 3])
def test_nobody_needs_to_read_what_a_render_prints(streams, options, eight):
    folder = eight.folder()
    done = eight.runner.run(folder, "render", eight.manifest, "-o", folder, *options, streams=streams)
    assert done.code == 0
    eight.check_whole(folder, streams)


def test_a_reader_that_goes_while_a_library_prints(eight, tmp_path):
    """In a process of its own, to its end: nothing is said of a broken pipe, and its code is none of Python's."""
    script = "{ $LP render $1 -o $2 2>&1; echo $? >$3; } | head -1"
    folder, code = eight.folder(), tmp_path / "code"
    environment = ENVIRONMENT | {"LP": " ".join(PROGRAM), "PAINTED_SAYS": "a library says something\n"}
    command = ["sh", "-c", script, "sh", str(eight.manifest), str(folder), str(code)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (code.read_text(), done.stderr) == ("0\n", "")
    assert done.stdout.count("\n") == 1
    assert tree(folder) == eight.tree


def test_an_unknown_user_without_a_home_renders_the_same(eight):
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("only root becomes another user, and with setpriv")
    other = ["env", "-i", f"PYTHONPATH={PYTHONPATH}", shutil.which("setpriv")]
    other += ["--reuid", "12345", "--regid", "12345", "--clear-groups"]
    if subprocess.run([*other, sys.executable, "-c", "import numpy, fakes"], capture_output=True).returncode:
        pytest.skip("another user cannot run this Python")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        manifest = shutil.copy(eight.manifest, folder)
        command = [*other, *PROGRAM, "render", str(manifest), "-o", str(folder / "out")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, tree(folder / "out")) == (0, eight.tree), done.stderr
        assert (folder / "out").stat().st_uid == 12345


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_characters_that_an_encoding_lacks_are_escaped(encoding, tmp_path):
    manifest = tmp_path / "kites.yaml"
    manifest.write_text(KITES, encoding="utf-8")
    command = [*PROGRAM, "render", str(manifest)]
    done = subprocess.run(command, env=ENVIRONMENT | {"PYTHONIOENCODING": encoding}, capture_output=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out" / "かわいい凧"
    assert sorted(path.name for path in out.glob("*.png")) == ["café.png", "kite.png", "凧.png"]
    assert done.stdout.decode(encoding).startswith(
        "out/\\u304b\\u308f\\u3044\\u3044\\u51e7: 3 rendered, 0 already done"
    )


def test_a_lost_result_is_an_exit_code(eight):
    folder = eight.folder()
    for options in ([], ["--json"]):
        codes = [
            eight.runner.run(folder, "plan", eight.manifest, "-o", folder, *options, streams=(NULL, out, NULL)).code
            for out in (FULL, GONE, CLOSED, NULL)
        ]
        assert codes == [3, 141, 0, 0], options


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_render_that_is_resumed(number, eight):
    """While the fourth of its pictures gets its name; what is under way then is finished."""
    folder = eight.folder()
    streams = (NULL, NULL, None)
    fault = Fault(4, "stop", kinds=("link",))
    pid = eight.runner.start(folder, "render", eight.manifest, "-o", folder, fault=fault, streams=streams)
    eight.runner.wait_for_stop(pid)
    if number == signal.SIGINT:  # ignored as in a shell's background
        os.kill(pid, signal.SIGCONT)
        assert eight.runner.wait(pid).code == 0
        return
    os.kill(pid, number)
    os.kill(pid, signal.SIGCONT)
    ended = eight.runner.wait(pid)
    assert ended.code == SIGNALS[number], ended.err
    name = signal.Signals(number).name
    assert ended.err.splitlines()[-1] == f"error: stopped by {name}; the same command resumes"
    done = eight.check_nothing_is_torn(folder, name)
    eight.check_resume(folder, done, name)


def test_a_signal_ends_process_1_of_a_container(eight):
    """The kernel gives process 1 no signal that it has no handler for."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this user may make no process namespace, or there is no unshare")
    folder = eight.folder()
    command = [*unshare, *PROGRAM, "render", str(eight.manifest), "-o", str(folder)]
    with subprocess.Popen(
        command, env=ENVIRONMENT | {"PAINTED_SECONDS": "0.5"}, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: tree(folder))
        [inner] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(inner), signal.SIGTERM)
        said = process.stderr.read()
    assert process.returncode == 143, said
    assert said.splitlines()[-1] == "error: stopped by SIGTERM; the same command resumes"
    done = eight.check_nothing_is_torn(folder, "process 1")
    assert 1 <= len(done) < len(eight.ledger)
    eight.check_resume(folder, done, "process 1")


STUCK = """
import time
from latentpress.cli.signals import stop_on_signals
stop_on_signals()
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("stopping", flush=True)
    time.sleep(60)
"""


def test_a_second_signal_ends_a_process_that_does_not_come_to_an_end():
    with subprocess.Popen([sys.executable, "-c", STUCK], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)  # by whoever passes signals on twice: they count as one
        assert process.stdout.readline() == "stopping\n"
        time.sleep(1.1)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143
