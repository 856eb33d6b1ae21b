"""What lies under a bundle's engines/: for each engine and device a folder, and in it a record for each component.

engines/tensorrt-rtx-sm89/unet.json     the record: key, files, what it was measured at
engines/tensorrt-rtx-sm89/unet.engine   the engine itself, and whatever else its provider wants

A record's key names everything that can make an engine stale. An engine is used only if every part of its key is what
this machine and this bundle have now.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from latentpress.bundle.info import Bundle, Parity, RowTest, file_sha256
from latentpress.engines.choice import choices
from latentpress.engines.engine import EngineChoice
from latentpress.errors import BundleError
from latentpress.files import write_durably

FOLDER = "engines"
# What a key's parts are called in a message.
PARTS = {
    "graph": "the graph (sha256 of its file and weights)",
    "engine": "the engine",
    "provider": "the version of its software",
    "device": "the GPU or CPU",
    "driver": "the GPU's driver",
    "precision": "the precision",
    "shapes": "the range of shapes",
    "options": "the options it was built with",
}


class EngineRecord(BaseModel):
    """An engine of one component.

    key: part (of PARTS) -> value; files: name beside the record -> sha256; seconds: what building took; parity,
    row_test: measured on the device, empty where it was built without one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    component: str
    key: dict[str, str]
    files: dict[str, str] = {}
    seconds: float = 0.0
    parity: list[Parity] = []
    row_test: RowTest | None = None


def engines_of(bundle: Bundle, component: str) -> Path:
    """The folder with the engines of `component`, beside its graph: a set of concepts shares those of its base."""
    return bundle.file(f"{component}.onnx").with_name(FOLDER)


def engine_folder(bundle: Bundle, component: str, choice: EngineChoice, target: str) -> Path:
    """Where the engine of `choice` for `target` (sm89, cpu) lies."""
    name = folder_name(choice)
    return engines_of(bundle, component) / (name if target == "cpu" else f"{name}-{target}")


def folder_name(choice: EngineChoice) -> str:
    """What the folder of an engine's records is called."""
    return str(choice).replace(":", "-")


def graph_hash(bundle: Bundle, component: str) -> str:
    """One digest of a component's graph and weights, from the hashes that bundle.json has of them."""
    names = (f"{component}.onnx", f"{component}.onnx.data")
    return " ".join(bundle.info.files[name] for name in names if name in bundle.info.files)


def read_record(folder: Path, component: str) -> EngineRecord | None:
    """The record of `component` in `folder`; None if there is none. Raises BundleError for one that is damaged."""
    path = folder / f"{component}.json"
    try:
        return EngineRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise BundleError(f"{path}: cannot be read ({_first_line(error)}); {rebuild_hint(folder)}") from None


def write_record(folder: Path, record: EngineRecord) -> None:
    """Write a record, last: an engine without one does not count."""
    text = json.dumps(record.model_dump(mode="json"), indent=2, sort_keys=True, allow_nan=False)
    write_durably(folder / f"{record.component}.json", (text + "\n").encode())


def all_records(bundle: Bundle) -> list[tuple[Path, EngineRecord]]:
    """Every record of the bundle with its folder; damaged ones raise BundleError."""
    places = {component: engines_of(bundle, component) for component in bundle.info.component_names}
    paths = sorted(path for folder in set(places.values()) for path in folder.glob("*/*.json"))
    # A record of a component that lies elsewhere is that of the base's own graph.
    own = [path for path in paths if places.get(path.stem, path.parent.parent) == path.parent.parent]
    return [(path.parent, record) for path in own if (record := read_record(path.parent, path.stem)) is not None]


def stale_part(record: EngineRecord, wanted: Mapping[str, str]) -> str | None:
    """The first part of the record's key that is not the `wanted` one, in words; None for an engine that is good."""
    for part in dict.fromkeys((*PARTS, *wanted, *record.key)):
        had, now = record.key.get(part), wanted.get(part)
        if had != now:
            return f"{PARTS.get(part, part)} was {_short(had)} and is now {_short(now)}"
    return None


def require_engine(folder: Path, component: str, wanted: Mapping[str, str], *, built_for: str) -> EngineRecord:
    """The record of an engine that may be used here: it is there, whole, and `wanted` is its key.

    built_for: what a message calls the device. Raises BundleError saying which part is stale, or what is missing.
    """
    record = read_record(folder, component)
    if record is None:
        raise BundleError(f"{folder}: holds no engine of {component} for {built_for}; {rebuild_hint(folder)}")
    if (why := stale_part(record, wanted)) is not None:
        raise BundleError(f"{folder / component}.json: the engine is stale: {why}; {rebuild_hint(folder)}")
    for name, expected in record.files.items():
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file() or file_sha256(file) != expected:
            raise BundleError(f"{file}: missing, or not the file that was built; {rebuild_hint(folder)}")
    return record


def rebuild_hint(folder: Path) -> str:
    """The command that makes the engines in `folder` again."""
    name, _, target = folder.name.partition("-sm")
    choice = next((choice for choice in choices() if folder_name(choice) == name), None)
    device = f" --device sm{target}" if choice is not None and choice.kind.elsewhere and target else ""
    return f"rebuild it with `latentpress engines {folder.parent.parent} --engine {choice or name}{device} --rebuild`"


def _short(value: str | None) -> str:
    if value is None:
        return "unknown"
    return value if len(value) <= 100 else f"{value[:48]}…{value[-48:]}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
