"""Runs of `latentpress bench --json` that lie in files."""

import json
from pathlib import Path
from typing import Any, cast

from latentpress.bench.report import VERSION
from latentpress.errors import UsageError
from latentpress.files import read_regular, unread

_MOST_BYTES = 256 << 20


def read_run(path: Path) -> dict[str, Any]:
    """The run in the file at `path`; raises UsageError where that is none, or one of another version of the program."""
    try:
        data = json.loads(read_regular(path, _MOST_BYTES))
    except OSError as error:
        raise UsageError(
            f"{path} {unread(path, error)}; name a file that `latentpress bench --json FILE` wrote"
        ) from None
    except ValueError:
        data = None
    run = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    if not run.keys() >= {"version", "components", "bundle_hash"}:
        raise UsageError(
            f"{path}: is no run of `latentpress bench`; name a file that `latentpress bench --json FILE` wrote"
        )
    if run["version"] != VERSION:
        raise UsageError(
            f"{path}: is of version {run['version']}, and this program compares those of version {VERSION}; measure again"
        )
    return run
