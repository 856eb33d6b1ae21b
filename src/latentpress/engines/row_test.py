"""The row test of an engine on this machine: what is recorded of it, or made now and recorded. Decides nothing."""

import contextlib
from pathlib import Path

from latentpress.bundle.info import Bundle, RowTest
from latentpress.bundle.samples import Sample, read_samples
from latentpress.engines.engine import EngineChoice, Session
from latentpress.engines.keys import engine_key
from latentpress.engines.proof import (
    fitting_samples,
    prove,
    require_parity,
    row_batches,
    row_bits,
    row_sample,
    row_test,
)
from latentpress.engines.records import (
    EngineRecord,
    engine_folder,
    engines_of,
    read_record,
    stale_part,
    write_record,
)
from latentpress.engines.shapes import ShapeProfile, parse_profile
from latentpress.errors import BundleError, EnvironmentFailure


def known_row_test(bundle: Bundle, component: str, choice: EngineChoice) -> RowTest | None:
    """What was measured of the engine on this machine; else at export, on whatever machine that was; None if nothing."""
    record = _record(bundle, component, choice)
    if record is not None and record.row_test is not None:
        return record.row_test
    tests = (test for test in bundle.info.row_tests if (test.component, test.engine) == (component, str(choice)))
    return next(tests, None)


def row_test_here(bundle: Bundle, component: str, choice: EngineChoice, session: Session, rows: int) -> RowTest:
    """The engine's row test on this machine, with batches of `rows` too: the recorded one, or one made now on `session`.

    What is made is kept in the bundle's engines/ folder where that can be written. Raises ParityError for an engine that
    is wrong, BundleError for a bundle without samples.
    """
    record = _record(bundle, component, choice)
    profile = _profile(bundle, choice, record)
    wanted = row_batches(component, profile, rows)
    known = record.row_test if record else None
    if known is not None and known.bits is not None and set(wanted) <= set(known.batches):
        return known
    samples = _samples(bundle, component)
    parity, test = prove(
        session, bundle.info.component(component), samples, bundle.info.precision, choice, profile, rows
    )
    require_parity(parity, "use another engine")
    if test is None:
        # A built engine may take none of the samples' sizes; `latentpress engines` builds them so that it takes one.
        raise _nothing(bundle, component)
    record = record or EngineRecord(component=component, key=_key(bundle, component, choice))
    # A bundle that cannot be written to costs the next run the same test, and nothing else.
    with contextlib.suppress(OSError):
        write_record(_folder(bundle, component, choice), record.model_copy(update={"parity": parity, "row_test": test}))
    return test


def row_test_of(bundle: Bundle, component: str, choice: EngineChoice, session: Session, rows: int) -> RowTest:
    """The row test of a session that is not the engine's own, made now and not recorded."""
    sample = row_sample(_samples(bundle, component), choice)
    return row_test(session, sample, choice, row_batches(component, None, rows))


def row_bits_now(bundle: Bundle, component: str, choice: EngineChoice, session: Session, size: int) -> str:
    """The digest that the row of the row test has on `session` in a batch of `size`, as in RowTest.bits."""
    profile = _profile(bundle, choice, _record(bundle, component, choice))
    fitting = fitting_samples(_samples(bundle, component), component, profile)
    return row_bits(session, row_sample(fitting, choice), size)


def _record(bundle: Bundle, component: str, choice: EngineChoice) -> EngineRecord | None:
    """The record of the engine, if it is of this machine; opening a built engine has checked that already."""
    if not engines_of(bundle, component).is_dir():
        return None  # without asking the GPU's driver which GPU that is, which takes it a while
    try:
        record = read_record(_folder(bundle, component, choice), component)
        if record is None or choice.kind.built:
            return record
        return record if stale_part(record, _key(bundle, component, choice)) is None else None
    except (BundleError, EnvironmentFailure):
        return None


def _profile(bundle: Bundle, choice: EngineChoice, record: EngineRecord | None) -> ShapeProfile | None:
    return parse_profile(bundle.info, record.key["shapes"]) if record and choice.kind.built else None


def _key(bundle: Bundle, component: str, choice: EngineChoice) -> dict[str, str]:
    """The key of an engine that is opened from the graph itself, as this machine would have it."""
    return engine_key(bundle, component, choice, choice.kind.place())


def _samples(bundle: Bundle, component: str) -> list[Sample]:
    if not (samples := read_samples(bundle, component)):
        raise _nothing(bundle, component)
    return samples


def _nothing(bundle: Bundle, component: str) -> BundleError:
    return BundleError(f"{bundle.path}: has no samples to test {component} with; export the bundle again")


def _folder(bundle: Bundle, component: str, choice: EngineChoice) -> Path:
    return engine_folder(bundle, component, choice, choice.kind.place().target)
