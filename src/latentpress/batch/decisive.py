"""What decides a plan beside the manifest's own files: this program with its libraries, where it runs, and the bundles."""

import hashlib
import json
import os
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from latentpress.batch.plan.database import Database
from latentpress.batch.plan.identity import VERSION
from latentpress.runtime import rules
from latentpress.runtime.facts import Bundles
from latentpress.version import __version__

# Packages by which manifests, pictures and prompts are read.
_LIBRARIES = ("PyYAML", "Pillow", "numpy", "ftfy")


def program(manifest: Path) -> list[str]:
    """What of this program, and of where it runs, decides the plan of `manifest` and the places that its warnings name."""
    numbers = json.dumps([(rule.name, rule.number) for rule in rules.RULES])
    return [str(manifest), str(Path.cwd()), __version__, str(VERSION), numbers, _code(), sys.version, *_libraries()]


def bundles_data(bundles: Bundles) -> list[list[str]]:
    """What of bundles decides a plan: hash, content, and what their concepts teach."""
    return [
        [name, one.hash, one.content, json.dumps(sorted(one.concepts.items())), " ".join(one.ordinary)]
        for name, one in bundles.items()
    ]


def seeds_data(table: Database) -> list[float]:
    """What tells whether a ledger's drawn seeds are others; the plan has each of them too."""
    return list(table.one("SELECT count(*), total(seed), total(length(key)) FROM seeds"))


@lru_cache(1)
def _code() -> str:
    """Tells whether the program's own files are others, of one version: while it is developed they are."""
    package = Path(__file__).parents[1]
    files = sorted(package.rglob("*.py"))
    states = ((str(file.relative_to(package)), os.stat(file)) for file in files)  # noqa: PTH116
    text = json.dumps([(name, state.st_size, state.st_mtime_ns) for name, state in states])
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(1)
def _libraries() -> tuple[str, ...]:
    return tuple(map(_version, _LIBRARIES))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
