"""What a render tells: to people as much as they ask for, to a log file, and to a command or a web service at its end."""

import http.server
import json
import os
import signal
import threading
from datetime import UTC, datetime, timedelta

import pytest

from eight import TWO
from faulted import Fault
from latentpress.cli.on_complete import tell


@pytest.fixture
def two(tmp_path):
    """A manifest of two pictures, one of which fails."""
    (tmp_path / "two.yaml").write_text(TWO)
    return tmp_path / "two.yaml"


@pytest.fixture
def render(eight, two, tmp_path):
    """render(*options) renders the two into tmp_path/out."""
    return lambda *options: eight.runner.run(tmp_path, "render", two, "-o", tmp_path / "out", *options)


def events(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_people_are_told_as_much_as_they_ask_for(render, tmp_path):
    usual = render()
    assert usual.code == 1
    assert "2 images to render, 0 already done" in usual.err
    assert "failed: job 2 (id two, seed 0): the latents became NaN" in usual.err
    lines = usual.out.splitlines()
    assert lines[:2] == [f"{tmp_path}/out: 1 rendered, 0 already done, 1 failed", "failed: 1 failed otherwise"]
    assert lines[2].startswith("1 image in 0.")
    assert lines[2].endswith(" images/s")
    quiet = render("-q")
    assert (quiet.code, quiet.out) == (1, "")
    assert quiet.err == "failed: job 2 (id two, seed 0): the latents became NaN\n"
    (tmp_path / "out" / "kite.png").unlink()
    verbose = render("-v")
    assert "engines opened in" in verbose.err
    assert "done: job 1 (id two, seed 0): kite.png (0.5 s)" in verbose.err
    assert render("-q", "-v").code == 2


def test_the_json_has_the_summary(render):
    data = json.loads(render("--json").out)["summary"]
    assert data.pop("wall") >= data["seconds"] > 0
    assert data.pop("images_per_second") == pytest.approx(1 / data.pop("seconds"), rel=0.1)
    data.pop("loading")
    data.pop("estimate")
    assert data == {
        "done": 1,
        "skipped": 0,
        "failed": 1,
        "quarantined": 0,
        "left": 0,
        "stopped": None,
        "causes": {"unknown": 1},
    }


def test_the_log_has_every_event_with_its_time(eight, render, tmp_path):
    log = tmp_path / "log.jsonl"
    assert render("--log-file", log).code == 1
    found = [event for event in events(log) if event["event"] not in ("note", "warning")]
    assert [event["event"] for event in found] == [
        *("began", "opened", "rendering", "failed", "done", "rendered", "ended"),
    ]  # fmt: skip
    now = datetime.now(UTC)
    assert all(timedelta(0) <= now - datetime.fromisoformat(event["time"]) < timedelta(minutes=5) for event in found)
    failed, done, ended = found[3], found[4], found[6]
    assert (failed["output"], failed["error"], failed["seconds"]) == ("nan.png", "the latents became NaN", 0.5)
    assert (done["output"], done["job"]) == ("kite.png", "job 1 (id two, seed 0)")
    assert (ended["folder"], ended["end"], ended["exit"]) == (str(tmp_path / "out"), "finished", 1)
    # A second run appends, and an interrupted one says so.
    folder = eight.folder()
    command = ("render", eight.manifest, "-o", folder, "--log-file", log)
    pid = eight.runner.start(folder, *command, fault=Fault(4, "stop", kinds=("link",)), streams=(None,) * 3)
    eight.runner.wait_for_stop(pid)
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGCONT)
    assert eight.runner.wait(pid).code == 143
    last = events(log)[-1]
    assert (last["event"], last["end"], last["exit"], last["error"]) == (
        *("ended", "interrupted", 143, "stopped by SIGTERM"),
    )  # fmt: skip


@pytest.mark.parametrize("file", ["/dev/full", "/no/such/folder/log.jsonl", "pipe", ""])
def test_a_log_that_cannot_be_written_is_a_warning(file, eight, tmp_path):
    if file == "pipe":
        os.mkfifo(file := tmp_path / "pipe")
    folder = eight.folder()
    done = eight.runner.run(folder, "render", eight.manifest, "-o", folder, "--log-file", file or tmp_path)
    assert done.code == 0
    assert done.err.count("warning: --log-file: ") == 1
    eight.check_whole(folder, file)


def test_a_command_is_told_of_the_end(render, tmp_path):
    note = tmp_path / "note"
    told = 'echo "$LATENTPRESS_NAME $LATENTPRESS_FOLDER $LATENTPRESS_DONE $LATENTPRESS_FAILED $LATENTPRESS_EXIT"; cat'
    done = render("--on-complete", f"{{ {told}; }} >{note}; echo said; exit 3", "--json")
    assert done.code == 1
    json.loads(done.out)  # nothing else is there
    assert "said\n" in done.err
    assert done.err.splitlines()[-1].endswith("exit 3' ended with 3")
    line, data = note.read_text().split("\n", 1)
    assert line == f"two {tmp_path}/out 1 1 1"
    assert json.loads(data)["end"] == "finished"
    assert tell("sleep 60", {}, seconds=0.1).startswith("'sleep 60' was ended after 0.1 s")


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, self.headers["Content-Type"], json.loads(content)))
        self.send_response(500 if self.path == "/broken" else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_web_service_is_told_of_the_end(render, tmp_path):
    with http.server.HTTPServer(("127.0.0.1", 0), Hook) as server:
        server.heard = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert render("--on-complete", f"{url}/services/secret").code == 1
        assert tell(f"{url}/broken", {}) == "127.0.0.1 answered 500 Internal Server Error"
        server.shutdown()
        thread.join()
    (path, kind, data), _ = server.heard
    assert (path, kind) == ("/services/secret", "application/json")
    assert (data["folder"], data["done"], data["failed"], data["exit"]) == (str(tmp_path / "out"), 1, 1, 1)
    refused = render("--on-complete", f"{url}/services/secret")
    assert refused.code == 1
    assert "warning: --on-complete: 127.0.0.1 cannot be told" in refused.err
    assert "secret" not in refused.err
