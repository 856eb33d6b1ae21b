"""Programs of others that read pictures, each run once for all of them.

They lie in the folder that LATENTPRESS_TEST_READERS names, into which .ci/run installs them: node_modules for npm's, and an
environment for each package of PyPI's; exiftool is Debian's.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "readers"
# What the first two read of the A1111 text.
FIELDS = ("prompt", "negative_prompt", "steps", "seed", "guidance_scale", "sampler", "size", "model")
_SECONDS = 300


def _folder(package, place):
    """Where `place` lies in the folder of readers; skips the test where nothing does."""
    folder = Path(os.environ.get("LATENTPRESS_TEST_READERS", "")) / place
    if "LATENTPRESS_TEST_READERS" not in os.environ or not folder.exists():
        pytest.skip(f"{package} is not in the folder that LATENTPRESS_TEST_READERS names; .ci/run installs it")
    return folder


def _said(command, **options):
    ran = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False, **options)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def sd_parsers(paths):
    """path -> field -> text."""
    python = _folder("PyPI's sd-parsers", "sd-parsers/bin/python")
    return _said([python, SCRIPTS / "sd_parsers_reader.py", *paths])


def sd_prompt_reader(paths):
    """path -> field -> text."""
    python = _folder("PyPI's sd-prompt-reader", "sd-prompt-reader/bin/python")
    return _said([python, SCRIPTS / "sd_prompt_reader_reader.py", *paths])


def exifreader(paths):
    """path -> tag -> text."""
    modules = _folder("npm's exifreader", "node_modules/exifreader").parent
    if shutil.which("node") is None:
        pytest.skip("node is not on the PATH; Debian's package nodejs has it")
    return _said(["node", SCRIPTS / "exifreader_reader.js", *paths], env={**os.environ, "NODE_PATH": str(modules)})


def exiftool(paths):
    """path -> tag -> text."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not on the PATH; Debian's package libimage-exiftool-perl has it")
    tags = ("Parameters", "UserComment", "Title", "Description", "AltTextAccessibility", "DigitalSourceType")
    more = ("AISystemUsed", "AISystemVersionUsed", "AIPromptInformation", "Warning", "Error")
    listed = _said(["exiftool", "-j", "-charset", "utf8", *(f"-{tag}" for tag in (*tags, *more)), *paths])
    return {
        one["SourceFile"]: {"parameters": one.get("Parameters") or one.get("UserComment")}
        | {tag: one[tag] for tag in (*tags[2:], *more) if tag in one}
        for one in listed
    }
