"""`latentpress cache dir`, `cache list` and `cache prune`."""

import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from latentpress.cache.place import WAY_OUT, cache_dir
from latentpress.cli.help import Command, Group
from latentpress.cli.options import JsonOption, print_json
from latentpress.errors import EnvironmentFailure, counted

cache_app = typer.Typer(cls=Group, help="Show and clear what is kept to be used again.", no_args_is_help=True)


@cache_app.command("dir", cls=Command)
def dir_command() -> None:
    """Show where the cache folder is."""
    typer.echo(cache_dir())


@cache_app.command("list", cls=Command)
def list_command(as_json: JsonOption = False) -> None:
    """List what is in the cache: size, last use, and what it is for."""
    from latentpress.cache.entries import entries

    cache = _cache()
    found = entries(cache)
    if as_json:
        print_json({"cache": str(cache), "entries": [entry.data(cache) for entry in found]})
        return
    for entry in found:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        name = entry.path.relative_to(cache)
        typer.echo(f"{entry.kind:<9} {_mib(entry.bytes)}  {used}  {name}{f': {entry.about}' if entry.about else ''}")
    typer.echo(
        f"{cache}: {_mib(sum(entry.bytes for entry in found)).strip()} in {counted(len(found), 'entry', 'entries')}"
    )


@cache_app.command("prune", cls=Command)
def prune_command(
    days: Annotated[float, typer.Option(min=0, help="Also what was not used for so many days.")] = 30,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this it is only listed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List, or remove, what the cache need not keep: leftovers, full copies, sets whose bundle is gone, what is not used."""
    from latentpress.cache.entries import entries
    from latentpress.cache.prune import forget_gone, removable, remove

    cache = _cache()
    gone: list[dict[str, Any]] = []
    freed = 0
    for entry, why in removable(entries(cache), days):
        removed = yes and remove(entry)
        freed += entry.bytes if removed or not yes else 0
        gone.append(entry.data(cache) | {"why": why, "removed": removed})
        if not as_json:
            busy = "; in use, and kept" if yes and not removed else ""
            typer.echo(f"{entry.path.relative_to(cache)}: {_mib(entry.bytes).strip()}, {why}{busy}")
    if yes:
        forget_gone(cache)
    if as_json:
        print_json({"cache": str(cache), "bytes": freed, "entries": gone})
        return
    typer.echo(f"{cache}: {_mib(freed).strip()} {'removed' if yes else 'could go; --yes removes it'}")


def _cache() -> Path:
    """The cache folder, which need not be there. Raises EnvironmentFailure where it cannot be looked through."""
    cache = cache_dir()
    try:
        with os.scandir(cache):
            return cache
    except FileNotFoundError:
        if not cache.is_symlink():
            return cache
        said = "a link that leads nowhere"
    except OSError as error:
        said = error.strerror or str(error)
    raise EnvironmentFailure(f"{cache}: the cache folder cannot be read ({said}); {WAY_OUT}")


def _mib(size: int) -> str:
    return f"{size / (1 << 20):8.1f} MiB"
