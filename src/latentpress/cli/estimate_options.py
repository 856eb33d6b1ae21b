"""Options of `plan`, `render` and `status` that choose a part of a manifest, and how sure a render must be of its disk."""

from typing import Annotated

import typer

AnySpaceOption = Annotated[
    bool,
    typer.Option("--any-space", help="Begin also where the disk seems to have less room than the pictures take."),
]
