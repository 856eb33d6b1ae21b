"""What an engine must show before it is used: its distance from torch, and whether a row's batch mates change it."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from latentpress.bundle.components import Component
from latentpress.bundle.info import Parity, Precision, RowTest
from latentpress.bundle.inputs import Array
from latentpress.bundle.samples import Sample
from latentpress.engines.engine import EngineChoice, Session
from latentpress.engines.memory import is_out_of_memory
from latentpress.engines.shapes import ShapeProfile
from latentpress.errors import ParityError

# Batch sizes of the row test: the odd and the even, below and above the widths of vector units.
ROW_BATCHES = (1, 2, 3, 4, 8)


def bound_for(component: Component, precision: Precision, choice: EngineChoice) -> float:
    """How far `component` of a bundle of `precision` may be from torch on the engine `choice`."""
    return choice.kind.bound(component.precision, precision, choice.precision)


def prove(
    session: Session,
    component: Component,
    samples: Sequence[Sample],
    precision: Precision,
    choice: EngineChoice,
    profile: ShapeProfile | None = None,
    rows: int = 1,
    *,
    with_rows: bool = True,
) -> tuple[list[Parity], RowTest | None]:
    """Run `samples` of `component` through `session`: parity of each output, and the row test, None without samples.

    precision: of the bundle. profile: the shape ranges a built engine accepts; calls stay inside them, at the smallest,
    best and largest batch, which a sample's rows are repeated to fill. rows: an extra batch size for the row test.
    """
    name, own = component.name, component.precision
    fitting = fitting_samples(samples, name, profile)
    if not fitting:
        return [], None
    bound = bound_for(component, precision, choice)
    parity = [
        compare(name, output, batch.shapes, right, found[output], bound, engine=str(choice), precision=own)
        for batch in _batches(fitting, name, profile)
        for found in [session.run(batch.inputs)]
        for output, right in batch.outputs.items()
    ]
    if not with_rows:
        return parity, None
    return parity, row_test(session, row_sample(fitting, choice), choice, row_batches(name, profile, rows))


def fitting_samples(samples: Sequence[Sample], component: str, profile: ShapeProfile | None) -> list[Sample]:
    """Those of a size that an engine of fixed ranges takes."""
    return [sample for sample in samples if profile is None or profile.fits(component, sample.inputs)]


def row_sample(samples: Sequence[Sample], choice: EngineChoice) -> Sample:
    """The sample for the row test: the smallest on a CPU, the largest on a GPU, which picks its kernels by size."""
    pick = max if choice.kind.on_gpu else min
    return pick(samples, key=lambda sample: sum(array[0].size for array in sample.inputs.values()))


def row_test(session: Session, sample: Sample, choice: EngineChoice, batches: Sequence[int]) -> RowTest:
    """Whether row 0 of `sample` has the same bits alone, and in several slots of each of `batches`, beside other rows.

    batches: rising, from 1; a size's answers are compared with one another too (RowTest.bits). Sizes that do not fit into
    memory are left out.
    """
    alone = {name: array[:1] for name, array in sample.inputs.items()}
    right = _row(session, alone, 0)
    answers: dict[int, list[dict[str, Array]]] = {}
    for size in batches:
        try:
            answers[size] = [_row(session, *how) for how in _arrangements(sample, size)]
        except Exception as error:
            if size == batches[0] or not is_out_of_memory(error):
                raise
            break
    answers[batches[0]].append(_row(session, alone, 0))  # once more, after all the others
    distances = [_distance(answer, right) for found in answers.values() for answer in found]
    return RowTest(
        component=sample.component,
        engine=str(choice),
        batches=list(answers),
        equal=all(_alike(answer, right) for found in answers.values() for answer in found),
        max_abs=max(distances),
        bits={
            size: _digest(found[0])
            for size, found in answers.items()
            if all(_alike(answer, found[0]) for answer in found)
        },
    )


def row_bits(session: Session, sample: Sample, size: int) -> str:
    """The digest, as in RowTest.bits, that row 0 of `sample` has now in a batch of `size` copies of it."""
    return _digest(
        _row(session, {name: np.repeat(array[:1], size, axis=0) for name, array in sample.inputs.items()}, 0)
    )


def compare(
    component: str,
    output: str,
    shapes: str,
    expected: Array,
    found: Array,
    bound: float,
    *,
    engine: str = "cpu",
    precision: Precision = "fp32",
) -> Parity:
    """Measure `found` against `expected`: largest difference, that over the largest expected value, PSNR in dB.

    A NaN or Inf in `found` comes out as a relative difference of NaN or Inf, beyond every bound.
    """
    if expected.shape != found.shape:
        raise ParityError(
            f"{component} ({output}) at {shapes} on {engine}: it gives shape {found.shape}, torch {expected.shape}; "
            "nothing was published: this checkpoint's architecture does not export right"
        )
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    peak = float(np.abs(expected).max()) or 1.0
    worst = float(difference.max())
    error = float((difference**2).mean())
    # JSON has no infinity; 200 dB is below float32's own rounding.
    psnr = min(200.0, 10 * np.log10(peak**2 / error)) if error > 0 else 200.0
    return Parity(
        component=component,
        engine=engine,
        precision=precision,
        output=output,
        shapes=shapes,
        max_abs=worst,
        relative=worst / peak,
        psnr=float(psnr),
        bound=bound,
    )


def require_parity(rows: Sequence[Parity], way_out: str = "try the versions in constraints.txt") -> None:
    """Raise ParityError naming the first row beyond its bound; a NaN is beyond it."""
    for row in rows:
        if not row.relative <= row.bound:
            what = f"differs from torch by {row.relative:.3g} of the largest value, the bound is {row.bound:g}"
            if not np.isfinite(row.relative):
                what = f"gives NaN or infinite values in {row.precision}"
            raise ParityError(
                f"{row.component} ({row.output}) at {row.shapes}: the graph on {row.engine} {what}; "
                f"nothing was published: {way_out}"
            )


def parity_line(row: Parity) -> str:
    """One line of the parity table: component, engine, precision, figures, and last the shapes, which can be long."""
    what = f"{row.component:<14} {row.output:<13} {row.engine:<13} {row.precision}"
    return f"{what}  relative {row.relative:.1e}  max abs {row.max_abs:.1e}  PSNR {row.psnr:5.1f} dB  {row.shapes}"


def row_test_line(test: RowTest) -> str:
    """One line on the row test."""
    found = "the same bits" if test.equal else f"differences up to {test.max_abs:.1e}"
    line = f"{test.component:<14} rows          {test.engine:<13} {found} in batches of {', '.join(map(str, test.batches))}"
    if test.equal or test.bits is None:
        return line
    return f"{line}; the same bits in every batch of {' or '.join(map(str, test.bits)) or 'no one size'}"


def _batches(samples: Sequence[Sample], component: str, profile: ShapeProfile | None) -> list[Sample]:
    """Each sample as it is; and for an engine of fixed ranges each at its smallest, best and largest batch."""
    if profile is None:
        return list(samples)
    sizes = sorted(set(profile.batch_of(component)))
    return [_repeated(sample, size) for sample in samples for size in sizes]


def row_batches(component: str, profile: ShapeProfile | None, rows: int = 1) -> list[int]:
    """The batch sizes of `component`'s row test, `rows` among them; those that an engine of fixed ranges takes."""
    if profile is None:
        return sorted({*ROW_BATCHES, rows})
    low, _, high = profile.batch_of(component)
    return sorted({size for size in (*ROW_BATCHES, rows, high) if low <= size <= high})


def _arrangements(sample: Sample, size: int) -> Iterator[tuple[dict[str, Array], int]]:
    """Batches of `size` with row 0 of `sample`, and the slot it is in: beside other rows, then beside copies of itself."""
    mates = {name: _mates(array, size) for name, array in sample.inputs.items()}
    for slot in sorted({0, size // 2, size - 1}):
        yield {name: _put(mates[name], slot, array[0]) for name, array in sample.inputs.items()}, slot
    # As a batch is filled up that must not be smaller.
    yield {name: np.repeat(array[:1], size, axis=0) for name, array in sample.inputs.items()}, 0


def _row(session: Session, inputs: Mapping[str, Array], slot: int) -> dict[str, Array]:
    return {name: array[slot].copy() for name, array in session.run(inputs).items()}


def _alike(found: Mapping[str, Array], right: Mapping[str, Array]) -> bool:
    return all(found[name].tobytes() == array.tobytes() for name, array in right.items())


def _digest(outputs: Mapping[str, Array]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(outputs.items()):
        digest.update(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()[:32]


def _distance(found: Mapping[str, Array], right: Mapping[str, Array]) -> float:
    return max(
        float(np.abs(found[name].astype(np.float64) - array.astype(np.float64)).max()) for name, array in right.items()
    )


def _repeated(sample: Sample, size: int) -> Sample:
    def fill(arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {name: np.resize(array, (size, *array.shape[1:])) for name, array in arrays.items()}

    return Sample(sample.component, fill(sample.inputs), fill(sample.outputs))


def _mates(array: Array, size: int) -> Array:
    """`size` rows, none of them the sample's first if it has others; scaled, so that no two batches look alike."""
    others = array[1:] if len(array) > 1 else array
    rows = np.resize(others, (size, *array.shape[1:])).copy()
    if rows.dtype.kind == "f":
        rows *= np.linspace(0.5, 1.5, size, dtype=rows.dtype).reshape(-1, *[1] * (rows.ndim - 1))
    return rows


def _put(rows: Array, slot: int, row: Array) -> Array:
    filled = rows.copy()
    filled[slot] = row
    return filled
