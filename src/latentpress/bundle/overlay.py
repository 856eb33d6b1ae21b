"""A set of concepts as a small bundle: only its text encoders, tokenizers and vectors lie in its folder.

Its bundle.json is that of the whole bundle, byte for byte, so it has the same hash. overlay.json beside it says which files
are its own, and in which folder the bundle lies that has the others. Nothing of it decides pixels.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from latentpress.errors import BundleError
from latentpress.files import MAX_JSON_BYTES, read_regular, write_durably

FILE = "overlay.json"


class Overlay(BaseModel):
    """base: the folder of the bundle that has the other files; own: the names of those that lie here.

    The rest is for people: name, of the base; made: when, ISO 8601 in UTC; by: this program's version; manifest: the
    path of the one it was first made for.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    base: str
    own: list[str]
    name: str = ""
    made: str = ""
    by: str = ""
    manifest: str = ""


def read_overlay(folder: Path) -> Overlay | None:
    """What overlay.json in `folder` says; None for a whole bundle. Raises BundleError for one that is damaged."""
    path = folder / FILE
    try:
        return Overlay.model_validate_json(read_regular(path, MAX_JSON_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as error:
        raise BundleError(f"{path}: cannot be read ({str(error).splitlines()[0]}); delete {folder}") from None


def write_overlay(folder: Path, overlay: Overlay) -> None:
    """Write overlay.json in `folder`."""
    write_durably(folder / FILE, (overlay.model_dump_json(indent=2) + "\n").encode())
