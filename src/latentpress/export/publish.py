"""Makes a bundle folder appear whole or not at all, and replaces no other folder. Of its files it knows bundle.json."""

import contextlib
import json
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path

from latentpress.bundle.info import INFO_FILE, UNLISTED, BundleInfo, file_sha256
from latentpress.engines.records import FOLDER as ENGINES
from latentpress.errors import EnvironmentFailure, UsageError
from latentpress.folders import folder_beside, publish_folder


def check_output(output: Path) -> None:
    """Raise UsageError if `output` exists and is neither empty nor a bundle: nothing else is ever replaced."""
    if output.is_dir():
        if (output / INFO_FILE).exists() or not any(output.iterdir()):
            return
        raise UsageError(f"{output}: exists and is not a bundle; choose another folder, or remove it first")
    if output.exists() or output.is_symlink():
        raise UsageError(f"{output}: exists and is not a folder; choose another name, or remove it first")


@contextlib.contextmanager
def workspace(output: Path) -> Generator[Path]:
    """A new folder beside `output`, on the same file system; removed on the way out unless it was published."""
    output = output.resolve()
    with contextlib.ExitStack() as stack:
        try:
            work = stack.enter_context(folder_beside(output))
        except OSError as error:
            raise EnvironmentFailure(
                f"{output.parent}: cannot be written ({error.strerror}); choose another place with -o"
            ) from None
        yield work


def hash_files(folder: Path, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Name (relative, with /) -> sha256 of every file in `folder` but bundle.json and those of built engines.

    `known` ones are not read again.
    """
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    own = [name for name in names if name != INFO_FILE and not name.startswith(f"{ENGINES}/")]
    known = known or {}
    return {name: known.get(name) or file_sha256(folder / name) for name in own}


def sizes_in(folder: Path, names: Iterable[str]) -> dict[str, int]:
    """Name -> bytes of the files of these names in `folder`."""
    return {name: (folder / name).stat().st_size for name in names}


def write_info(folder: Path, info: BundleInfo) -> None:
    """Write bundle.json: the same info gives the same bytes, whose sha256 is the bundle's hash."""
    # A bundle that came from no hub, has no base, or was made before its content was recorded, is the same bytes as ever.
    absent = {"components"} if info.format_version == UNLISTED else set[str]()
    absent |= {name for name in ("revisions", "content", "sizes") if not getattr(info, name)}
    if info.base is None:
        absent.add("base")
    data = info.model_dump(mode="json", exclude=absent)
    text = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / INFO_FILE).write_text(text + "\n", encoding="utf-8")


def share(work: Path) -> None:
    """Give the files in the new folder `work` a new file's permissions; safetensors writes private files."""
    usual = work.stat().st_mode & 0o666
    for file in work.rglob("*"):
        if file.is_file():
            file.chmod(usual)


def publish(work: Path, output: Path) -> None:
    """Rename `work` to `output`, all its bytes on disk first; a bundle already there is replaced.

    A process killed between the two renames that takes leaves the old bundle whole, under the name .NAME.*.old.
    """
    output = output.resolve()  # a link stays, and what it points at is replaced
    check_output(output)
    share(work)
    publish_folder(work, output, replace=True)
