"""Opens the decoder of losses' gradients on an engine, once that has shown that its gradients are torch's.

What it showed is kept beside the graphs (kept.py), in a record such as every engine of a bundle has. A small part of it is
looked at again each time, since nobody hashes these files.
"""

import contextlib
from pathlib import Path

from latentpress.bundle.info import Bundle, Parity
from latentpress.bundle.samples import Sample
from latentpress.engines.engine import EngineChoice
from latentpress.engines.keys import engine_key
from latentpress.engines.proof import compare, row_batches, row_bits, row_test
from latentpress.engines.records import EngineRecord, folder_name, read_record, stale_part, write_record
from latentpress.engines.strict import require_bits
from latentpress.errors import BundleError
from latentpress.runtime.guidance.decoder.kept import BACKWARD, COMPONENT, FORWARD, kept_graphs, read_kept_samples
from latentpress.runtime.guidance.decoder.passes import EngineDecoder


class Unfit(Exception):
    """An engine is not fit to compute the gradients: why, as part of a sentence."""


def open_decoder(
    bundle: Bundle, choice: EngineChoice, threads: int | None, cache: Path | None, *, strict: bool = False
) -> EngineDecoder:
    """The decoder of `bundle` on the engine `choice`; raises Unfit where torch has to do it.

    threads: of the engine; cache: as of `kept_graphs`. strict: raise EnvironmentFailure where a row has other bits than
    when it was tested.
    """
    try:
        folder = kept_graphs(bundle, cache)
    except ValueError as error:
        raise Unfit(str(error)) from None
    assert choice.kind.graph is not None, "gradient_of names an engine that opens graphs"
    try:
        forward, backward = (choice.kind.graph(folder / name, choice, threads) for name in (FORWARD, BACKWARD))
        samples = read_kept_samples(folder)
    except (BundleError, OSError) as error:
        raise Unfit(f"{error}; remove the folder {folder}, and it is made again") from None
    decoder = EngineDecoder(forward, backward, bundle.info.scaling_factor)
    small, *_ = samples
    _require(_parity(bundle, decoder, choice, [small]))
    record = _proved(bundle, decoder, choice, folder, samples)
    _require(record.parity)
    test = record.row_test
    assert test is not None, "_proved tests rows"
    if not test.equal:
        # Rows whose bits move with their batch go alone, in every run: what a picture is then depends on its job alone.
        if 1 not in (test.bits or ()):
            raise Unfit("it gives the same row other bits each time it is asked, even alone")
        decoder.most = 1
    if strict:
        require_bits(test, 1, row_bits(decoder, small, 1))
    return decoder


def _proved(
    bundle: Bundle, decoder: EngineDecoder, choice: EngineChoice, folder: Path, samples: list[Sample]
) -> EngineRecord:
    """The engine's record on this machine; made and kept unless there is one."""
    where = folder / folder_name(choice)
    parts = engine_key(bundle, bundle.info.decoder.name, choice, choice.kind.place())
    key = parts | {"graph": folder.name, "precision": choice.stored}
    with contextlib.suppress(BundleError):
        known = read_record(where, COMPONENT)
        if known is not None and known.row_test is not None and stale_part(known, key) is None:
            return known
    test = row_test(decoder, samples[0], choice, row_batches(COMPONENT, None))
    record = EngineRecord(
        component=COMPONENT, key=key, files={}, parity=_parity(bundle, decoder, choice, samples), row_test=test
    )
    # A cache that one may only read costs the next run the same test, and nothing else.
    with contextlib.suppress(OSError):
        write_record(where, record)
    return record


def _parity(bundle: Bundle, decoder: EngineDecoder, choice: EngineChoice, samples: list[Sample]) -> list[Parity]:
    bound = choice.kind.bound("fp32", bundle.info.precision, choice.precision)
    return [
        compare(COMPONENT, output, sample.shapes, right, found[output], bound, engine=str(choice))
        for sample in samples
        for found in [decoder.run(sample.inputs)]
        for output, right in sample.outputs.items()
    ]


def _require(parity: list[Parity]) -> None:
    for row in parity:
        if not row.relative <= row.bound:  # a NaN is beyond every bound
            raise Unfit(
                f"its {row.output} at {row.shapes} is off by {row.relative:.3g} of the largest value that torch gives, and "
                f"the bound is {row.bound:g}"
            )
