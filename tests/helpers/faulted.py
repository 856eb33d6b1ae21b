"""Runs of the command line that a fault befalls at a counted system call: killed, refused, cut short or stopped there.

`Runner` starts this file as a process with faults.c preloaded. It imports everything once and forks a child for each run, so
that a run takes some 20 ms. Pictures come from an executor that costs nothing; everything else is the real thing.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from itertools import count
from pathlib import Path

SOURCE = Path(__file__).with_name("faults.c")
ACTIONS = ("log", "kill before", "kill after", "fail", "short", "torn", "stop")
GONE, CLOSED = "gone", "closed"
KINDS = ("open", "write", "lock", "sync", "syncdir", "rename", "link", "unlink", "mkdir", "truncate")


@dataclass(frozen=True)
class Fault:
    """What befalls the `nth` counted call, from 1, of one of `kinds`, () for any; 0 is none, and calls are counted still.

    action: one of ACTIONS; error: the errno of "fail"; always: and every such call after it.
    """

    nth: int = 0
    action: str = "log"
    error: int = 0
    always: bool = False
    kinds: tuple[str, ...] = ()

    def __str__(self):
        what = errno.errorcode.get(self.error, self.action)
        return f"{what} at call {self.nth}{' and on' if self.always else ''} of {', '.join(self.kinds) or 'all'}"


@dataclass(frozen=True)
class Run:
    """code: the exit code, minus the signal for a run that was killed; rendered: PROMPT/SEED of each picture that it made.

    sites: the counted calls that were reached, "KIND /PATH" below the folder.
    """

    code: int
    out: str
    err: str
    sites: list[str]
    rendered: list[str]


def compiled(folder):
    """The injector, compiled into `folder`; the test fails where there is no C compiler."""
    library = folder / "faults.so"
    command = ["gcc", "-O1", "-Wall", "-Wextra", "-Wno-implicit-fallthrough", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


class Runner:
    """Runs commands in children of one process; a context manager, which ends it."""

    counting = Fault()

    def __init__(self, scratch):
        environment = os.environ | {"LD_PRELOAD": str(compiled(scratch)), "OMP_NUM_THREADS": "1"}
        environment["LATENTPRESS_CACHE"] = str(scratch / "cache")
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=scratch,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(self, folder, *arguments, fault=None, **options):
        """A whole run; the calls below `folder` are counted where there is a fault."""
        return self.wait(self.start(folder, *arguments, fault=fault, **options))

    def start(self, folder, *arguments, fault=None, **options):
        """The process id of a run that was started.

        Options: user, whose rights it has; clock, what its calls of time.time give; patience, seconds that it waits for a
        ledger; streams, what its descriptors 0 to 2 are instead: a path, GONE (a pipe that nobody reads) or CLOSED.
        """
        arm = fault and {**vars(fault), "folder": str(folder)}
        options = dict.fromkeys(("user", "clock", "patience", "streams")) | options
        return self._ask(start=list(map(str, arguments)), arm=arm, **options)

    def wait_for_stop(self, pid):
        """Wait until the process has stopped itself."""
        assert self._ask(stopped=pid), "the run ended before it was stopped"

    def wait(self, pid):
        """What came of a started run."""
        return Run(**self._ask(wait=pid))

    def _ask(self, **question):
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def pretend():
    """Put an executor and a bundle that cost nothing in place of the real ones; returns where pictures are noted."""
    import latentpress.batch.executors.local
    import latentpress.batch.executors.supervised
    import latentpress.batch.folder
    from fakes import FakeExecutor, fake_facts
    from latentpress.models import Models

    noted = []

    class Executor(FakeExecutor):
        def __init__(self, *_):
            super().__init__()

        def render(self, requests):
            asked = dict(requests)
            for rendered in super().render(asked.items()):
                request = asked[rendered.key]
                os.write(noted[0], f"{request.prompt}/{request.seed}\n".encode())
                yield rendered

        def close(self):
            pass

    latentpress.batch.executors.local.LocalExecutor = Executor
    latentpress.batch.executors.supervised.SupervisedExecutor = Executor
    latentpress.batch.folder.models_for = lambda *_, **__: Models({}, {"demo": fake_facts()})
    latentpress.batch.folder.secrets.randbits = lambda _: 7  # a run and its resume draw the same seed
    return noted


WARMING = """\
version: 1
model: demo
defaults: {prompt: a, steps: 1}
matrix: {seed: 1..2}
output: "{seed}.png"
sheet: {rows: seed}
"""


def warm(noted):
    """Render once, so that the children find everything imported and made ready."""
    import typer.main

    import latentpress.cli

    latentpress.cli.app = typer.main.get_command(latentpress.cli.app)  # which it makes anew for each call
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        noted[:] = [nowhere.fileno()]
        path = Path(folder, "warming.yaml")
        path.write_text(WARMING)
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            assert latentpress.cli.run_cli(["render", str(path), "-o", f"{folder}/out"]) == 0


def child(question, noted, files):
    """The forked child: one run of the command line, which ends the process."""
    import latentpress.batch.plan.database

    code = 1
    try:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(files[name], number)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        noted[:] = [files["rendered"]]
        if question["clock"]:
            steps = count()
            time.time = lambda: question["clock"][min(next(steps), len(question["clock"]) - 1)]
        if question["patience"]:
            latentpress.batch.plan.database._TIMEOUT = question["patience"]
        if question["user"]:
            os.setresuid(*[question["user"]] * 3)
        if arm := question["arm"]:
            only = "".join(f"{kind} " for kind in arm["kinds"])
            ctypes.CDLL(None).faults_arm(
                arm["folder"].encode(),
                only.encode(),
                ctypes.c_long(arm["nth"]),
                ACTIONS.index(arm["action"]),
                arm["error"],
                int(arm["always"]),
                files["sites"],
            )
        from latentpress.cli import main, run_cli

        if question["streams"] is None:
            code = run_cli(question["start"])
        else:
            attach(question["streams"])
            sys.argv[1:] = question["start"]
            main()
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(code)


def attach(streams):
    """Make of descriptors 0 to 2 what `streams` say, and of Python's streams what it makes of them when it starts."""
    for number, what in enumerate(streams):
        if what == CLOSED:
            os.close(number)
        elif what == GONE:
            reading, writing = os.pipe()
            os.dup2(writing, number)
            os.close(reading)
            os.close(writing)
        elif what:
            descriptor = os.open(what, os.O_RDWR)
            os.dup2(descriptor, number)
            os.close(descriptor)
    sys.stdout, sys.stderr = (
        None if streams[number] == CLOSED else os.fdopen(number, "w", closefd=False) for number in (1, 2)
    )


def serve(answers):
    """Answer the questions that stand on stdin, a line each."""
    import gc

    noted = pretend()
    warm(noted)
    running = {}
    for line in sys.stdin:
        question = json.loads(line)
        if "start" in question:
            files = {name: os.memfd_create(name) for name in ("out", "err", "sites", "rendered")}
            for file in files.values():  # threads write at once
                fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)
            gc.freeze()  # what the children do not touch, they share
            if (pid := os.fork()) == 0:
                child(question, noted, files)
            running[pid] = files
            answer = pid
        elif "stopped" in question:
            answer = os.WIFSTOPPED(os.waitpid(question["stopped"], os.WUNTRACED)[1])
        else:
            status = os.waitpid(question["wait"], 0)[1]
            files = running.pop(question["wait"])
            said = {name: content(file) for name, file in files.items()}
            answer = {
                "code": os.waitstatus_to_exitcode(status),
                "out": said["out"],
                "err": said["err"],
                "sites": said["sites"].splitlines(),
                "rendered": said["rendered"].splitlines(),
            }
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def content(file):
    """All that was written to a file in memory, which is closed."""
    with os.fdopen(file, "rb") as stream:
        stream.seek(0)
        return stream.read().decode()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a test run that nohup began ignores it
    own = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(own)
