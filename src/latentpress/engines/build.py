"""Builds the engines of a bundle, proves them where they can run, and records both under its engines/ folder."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from latentpress.bundle.info import Bundle, file_sha256
from latentpress.bundle.samples import read_samples
from latentpress.engines import devices, table
from latentpress.engines.choice import check_choice, listed
from latentpress.engines.devices import parse_target
from latentpress.engines.engine import Built, BuiltComponent, EngineChoice, Place, Session
from latentpress.engines.keys import engine_key
from latentpress.engines.opening import open_session
from latentpress.engines.proof import parity_line, prove, require_parity, row_test_line
from latentpress.engines.records import (
    EngineRecord,
    engine_folder,
    read_record,
    stale_part,
    write_record,
)
from latentpress.engines.shapes import ShapeProfile
from latentpress.errors import EnvironmentFailure, UsageError

_WAY_OUT = "use another engine, or export the checkpoint again with --precision fp32"


@dataclass(frozen=True)
class EngineOrder:
    """What is to be built and proved: an engine, for which shapes, for which GPU (None: the one here), how.

    threads: of a CPU engine; rebuild: also engines that are still valid.
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
    whose record is gone.
    """
    check_choice(bundle.info, order.choice)
    place = _place(order)
    built = order.choice.kind.built
    records: list[EngineRecord] = []
    for component in bundle.info.component_names:
        folder = engine_folder(bundle, component, order.choice, place.target)
        known = None if order.rebuild else read_record(folder, component)
        key = engine_key(bundle, component, order.choice, place, order.profile if built else None)
        if known is not None and stale_part(known, key) is None:
            report(f"{component}: {folder.name} is already there")
            records.append(known)
            continue
        report(f"{component}: {order.choice} {'on this CPU' if place.target == 'cpu' else f'for {place.target}'}")
        (folder / f"{component}.json").unlink(missing_ok=True)
        try:
            record = _proved(bundle, component, order, place, key)
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


def build_component(
    bundle: Bundle, component: str, choice: EngineChoice, place: Place, profile: ShapeProfile
) -> tuple[EngineRecord, Session | None]:
    """Build `component`'s engine for `place`: minutes. The record is not yet written; nor is it proved.

    The session is there where building opened one, or where the GPU is here.
    """
    how, folder = choice.kind.open, engine_folder(bundle, component, choice, place.target)
    assert isinstance(how, Built), "other engines have nothing to build"
    to_build = BuiltComponent(bundle, component, profile, folder, place)
    started = time.perf_counter()
    files, session = how.build(to_build)
    seconds = time.perf_counter() - started
    made = {file.relative_to(folder).as_posix(): file_sha256(file) for file in files}
    key = engine_key(bundle, component, choice, place, profile)
    if session is None and place.gpu is not None:
        session = how.open(to_build)
    return EngineRecord(component=component, key=key, files=made, seconds=seconds), session


def _place(order: EngineOrder) -> Place:
    """What the engines are for. Raises UsageError or EnvironmentFailure where that cannot be."""
    engine = order.choice.kind
    if order.device is not None and not engine.elsewhere:
        able = listed((other.name for other in table.ENGINES if other.elsewhere), "and")
        raise UsageError(
            f"--device {order.device}: only engines of {able} are built for a GPU that is elsewhere; leave it out"
        )
    if order.device is not None:
        target = "sm" + "".join(map(str, parse_target(order.device)))
        return Place(target, next((gpu for gpu in devices.gpus()[:1] if gpu.target == target), None))
    if engine.elsewhere and not devices.gpus():
        raise EnvironmentFailure(
            f"engine {engine.name}: this machine has no NVIDIA GPU to build for; name one, e.g. --device sm89 for RTX 40"
        )
    return engine.place()


def _proved(bundle: Bundle, component: str, order: EngineOrder, place: Place, key: dict[str, str]) -> EngineRecord:
    """Build where there is something to build, then prove where the engine can run."""
    profile: ShapeProfile | None = None
    if order.choice.kind.built:
        profile = order.profile
        record, session = build_component(bundle, component, order.choice, place, profile)
        if session is None:
            return record  # built for a GPU that is elsewhere
    else:
        record = EngineRecord(component=component, key=key)
        session = open_session(bundle, component, order.choice, order.threads)
    samples = read_samples(bundle, component)
    parity, test = prove(
        session, bundle.info.component(component), samples, bundle.info.precision, order.choice, profile
    )
    require_parity(parity, _WAY_OUT)
    return record.model_copy(update={"parity": parity, "row_test": test})
