"""Tells a command or a web service that a render ended. What becomes of that changes nothing but a warning.

A manifest cannot ask for it: manifests are passed on, and one must not run commands on the machine of whoever renders it.
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping

from latentpress.version import __version__

# Seconds: a web service that has not answered by then is not waited for, and a command is ended.
WEB_SECONDS = 10.0
COMMAND_SECONDS = 600.0
# What of the data is in the command's environment too, as LATENTPRESS_FOLDER and so on.
_VARIABLES = ("manifest", "name", "folder", "end", "exit", "done", "skipped", "failed", "quarantined", "left")


def tell(target: str, data: Mapping[str, object], *, seconds: float | None = None) -> str | None:
    """Give `data` to `target`, a shell command or an http(s) URL; returns why that failed, None if it did not.

    seconds: how long it may take, instead of the above.
    """
    content = json.dumps(data).encode()
    if target.startswith(("http://", "https://")):
        return _post(target, content, seconds or WEB_SECONDS)
    variables = {f"LATENTPRESS_{name.upper()}": str(data[name]) for name in _VARIABLES if data.get(name) is not None}
    return _run(target, content, variables, seconds or COMMAND_SECONDS)


def _post(url: str, content: bytes, seconds: float) -> str | None:
    # What follows the host is often a secret.
    host = urllib.parse.urlsplit(url).hostname or url
    headers = {"Content-Type": "application/json", "User-Agent": f"latentpress/{__version__}"}
    try:
        request = urllib.request.Request(url, content, headers, method="POST")
        with urllib.request.urlopen(request, timeout=seconds):
            return None
    except urllib.error.HTTPError as error:
        error.close()
        return f"{host} answered {error.code} {error.reason}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"{host} cannot be told ({getattr(error, 'reason', None) or error})"


def _run(command: str, content: bytes, variables: Mapping[str, str], seconds: float) -> str | None:
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=2,  # --json has nothing else on stdout
            env={**os.environ, **variables},
            start_new_session=True,
        )
    except OSError as error:
        return f"{command!r} cannot be run ({error.strerror})"
    with process:
        try:
            process.communicate(content, seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return f"{command!r} was ended after {seconds:g} s; let it start what takes longer in the background"
    return f"{command!r} ended with {process.returncode}" if process.returncode else None
