"""Builds the engines of a bundle, proves them where they can run, and records both under its engines/ folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from latentpress.bundle.info import Bundle
from latentpress.bundle.inputs import components
from latentpress.bundle.samples import read_samples
from latentpress.engines.choice import EngineChoice, check_choice
from latentpress.engines.devices import gpus, parse_target, require_gpu
from latentpress.engines.opening import open_session
from latentpress.engines.proof import parity_line, prove, require_parity, row_test_line
from latentpress.engines.records import (
    EngineRecord,
    engine_folder,
    read_record,
    stale_part,
    write_record,
)
from latentpress.engines.row_test import unbuilt_key
from latentpress.engines.shapes import ShapeProfile
from latentpress.engines.tensorrt_rtx import tensorrt_rtx_key
from latentpress.errors import EnvironmentFailure, UsageError

_WAY_OUT = "use another engine, or export the checkpoint again with --precision fp32"


@dataclass(frozen=True)
class EngineOrder:
    """What is to be built and proved: an engine, for which shapes, for which GPU (None: the one here), how.

    threads: of a CPU engine; rebuild: also what is there and good.
    """

    choice: EngineChoice
    profile: ShapeProfile
    device: str | None = None
    threads: int | None = None
    rebuild: bool = False


def make_engines(bundle: Bundle, order: EngineOrder, report: Callable[[str], None]) -> list[EngineRecord]:
    """Build and prove `order`'s engine of every component of `bundle`, those that are good already excepted.

    Each record is written when its engine is done, so an interrupted run goes on where it stopped. Raises UsageError for
    graphs of another engine, EnvironmentFailure for what this machine lacks, ParityError for an engine that is wrong,
    of which no record is left.
    """
    check_choice(bundle.info, order.choice)
    if order.device is not None and order.choice.name != "tensorrt-rtx":
        raise UsageError(
            f"--device {order.device}: only engines of tensorrt-rtx are built for a GPU that is elsewhere; leave it out"
        )
    folder, target = _place(bundle, order)
    records: list[EngineRecord] = []
    for component in components(bundle.info):
        known = None if order.rebuild else read_record(folder, component)
        if known is not None and stale_part(known, _key(bundle, component, order, target)) is None:
            report(f"{component}: {folder.name} is already there")
            records.append(known)
            continue
        report(f"{component}: {order.choice} {'on this CPU' if target == 'cpu' else f'for {target}'}")
        (folder / f"{component}.json").unlink(missing_ok=True)
        try:
            record = _made(bundle, component, order, folder, target)
        except BaseException:
            (folder / f"{component}.json").unlink(missing_ok=True)
            raise
        write_record(folder, record)
        for line in record_lines(record):
            report(line)
        records.append(record)
    return records


def record_lines(record: EngineRecord) -> list[str]:
    """A record in words: what building took, each output's distance from torch, and the row test."""
    lines = [parity_line(row) for row in record.parity]
    if record.row_test is not None:
        lines.append(row_test_line(record.row_test))
    if record.seconds:
        lines.insert(0, f"{record.component:<14} built in {record.seconds:.1f} s")
    return lines


def _place(bundle: Bundle, order: EngineOrder) -> tuple[Path, str]:
    """The folder of the engines and what they are for: cpu, or a GPU's architecture."""
    name = order.choice.name
    if name in ("cpu", "openvino"):
        target = "cpu"
    elif order.device is not None:
        target = "sm" + "".join(map(str, parse_target(order.device)))
    elif name == "tensorrt-rtx" and not gpus():
        raise EnvironmentFailure(
            "engine tensorrt-rtx: this machine has no NVIDIA GPU to build for; name one, e.g. --device sm89 for RTX 40"
        )
    else:
        target = require_gpu(name).target
    return engine_folder(bundle, str(order.choice), target), target


def _key(bundle: Bundle, component: str, order: EngineOrder, target: str) -> dict[str, str]:
    if order.choice.name == "tensorrt-rtx":
        return tensorrt_rtx_key(bundle, component, target, order.profile)
    if order.choice.name == "tensorrt":
        from latentpress.engines.tensorrt import tensorrt_key

        return tensorrt_key(bundle, component, require_gpu("tensorrt"), order.profile)
    return unbuilt_key(bundle, component, order.choice)


def _made(bundle: Bundle, component: str, order: EngineOrder, folder: Path, target: str) -> EngineRecord:
    """Build where there is something to build, then prove where the engine can run."""
    profile: ShapeProfile | None = order.profile
    if order.choice.name == "tensorrt-rtx":
        from latentpress.engines.tensorrt_rtx import open_tensorrt_rtx
        from latentpress.engines.tensorrt_rtx_builder import build_tensorrt_rtx

        record = build_tensorrt_rtx(bundle, component, order.profile, target)
        if not any(gpu.target == target for gpu in gpus()[:1]):
            return record  # built for a GPU that is elsewhere
        write_record(folder, record)  # opening asks for it
        session = open_tensorrt_rtx(bundle, component)
    elif order.choice.name == "tensorrt":
        from latentpress.engines.tensorrt import build_tensorrt

        session, record = build_tensorrt(bundle, component, order.profile)
    else:
        record = EngineRecord(component=component, key=_key(bundle, component, order, target))
        session, profile = open_session(bundle, component, order.choice, order.threads), None
    samples = read_samples(bundle, component)
    parity, test = prove(session, component, samples, bundle.info.precision, order.choice, profile)
    require_parity(parity, _WAY_OUT)
    return record.model_copy(update={"parity": parity, "row_test": test})
