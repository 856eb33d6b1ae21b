"""Options of `plan`, `render` and `status` that choose a part of a manifest, and how sure a render must be of its disk."""

from typing import TYPE_CHECKING, Annotated

import typer

from latentpress.cli.help import THERE_PANEL

if TYPE_CHECKING:
    from latentpress.batch.selection import Selection

OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="KEY=VALUE",
        help="Only pictures of this axis, field or id, or with a file name like this pattern; may be repeated.",
    ),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Only so many pictures, the first that a render takes.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Check all that a render would, say what it would do, and change nothing.")
]
AnySpaceOption = Annotated[
    bool,
    typer.Option(
        "--any-space",
        help="Begin also where the disk seems to have less room than the pictures take.",
        rich_help_panel=THERE_PANEL,
    ),
]


def selection_of(only: list[str] | None, limit: int | None) -> "Selection":
    """The part of a manifest that the options choose."""
    from latentpress.batch.selection import Selection

    return Selection(tuple(only or ()), limit)
