"""What an engine must show before it is used: its distance from torch, and whether a row's batch mates change it."""

from collections.abc import Mapping, Sequence

import numpy as np

from latentpress.errors import ParityError
from latentpress.runtime.bundle import Parity, Precision, RowTest
from latentpress.runtime.engines.choice import GPU_ENGINES, EngineChoice
from latentpress.runtime.engines.samples import Sample
from latentpress.runtime.engines.shapes import ShapeProfile
from latentpress.runtime.session import Array, Session

# Of the largest value of torch's output. Measured float32 graphs differ by 1e-7 to 1e-5, float16 ones by 1e-3, bfloat16
# ones by 1e-2; a wrong graph by more than 1e-1.
BOUNDS: dict[Precision, float] = {"fp32": 1e-3, "fp16": 2e-2, "bf16": 8e-2}
# Batch sizes of the row test: the odd and the even, below and above the widths of vector units.
ROW_BATCHES = (1, 2, 3, 4, 8)


def component_precision(component: str, precision: Precision) -> Precision:
    """The precision of `component`'s graph in a bundle of `precision`: the autoencoder is float32 in every one."""
    return "fp32" if component.startswith("vae_") else precision


def bound_for(component: str, precision: Precision, choice: EngineChoice) -> float:
    """How far `component` of a bundle of `precision` may be from torch on the engine `choice`."""
    if choice.precision == "bf16":
        return BOUNDS["bf16"]
    own = component_precision(component, precision)
    # GPU engines compute float32 graphs in TF32, whose 10 bits of mantissa are float16's, except where the whole bundle
    # is float32 and the engine can be told to keep to it.
    tf32 = choice.name in GPU_ENGINES and own == "fp32" and (precision != "fp32" or choice.name == "tensorrt")
    return BOUNDS["fp16" if tf32 else own]


def prove(
    session: Session,
    component: str,
    samples: Sequence[Sample],
    precision: Precision,
    choice: EngineChoice,
    profile: ShapeProfile | None = None,
    *,
    with_rows: bool = True,
) -> tuple[list[Parity], RowTest | None]:
    """Run `samples` of `component` through `session`: parity of each output, and the row test, None without samples.

    precision: of the bundle. profile: of an engine built for fixed ranges, within which every call then is: at the
    smallest, best and largest batch. The rows of a sample are repeated to fill a batch.
    """
    fitting = [sample for sample in samples if profile is None or profile.fits(component, sample.inputs)]
    if not fitting:
        return [], None
    bound = bound_for(component, precision, choice)
    own = component_precision(component, precision)
    parity = [
        compare(component, name, batch.shapes, right, found[name], bound, engine=str(choice), precision=own)
        for batch in _batches(fitting, component, profile)
        for found in [session.run(batch.inputs)]
        for name, right in batch.outputs.items()
    ]
    if not with_rows:
        return parity, None
    smallest = min(fitting, key=lambda sample: sum(array[0].size for array in sample.inputs.values()))
    return parity, row_test(session, smallest, choice, _row_batches(component, profile))


def row_test(session: Session, sample: Sample, choice: EngineChoice, batches: Sequence[int]) -> RowTest:
    """Whether row 0 of `sample` has the same bits alone, and in every slot of each of `batches`, beside other rows."""
    alone = session.run({name: array[:1] for name, array in sample.inputs.items()})
    worst, equal = 0.0, True
    for size in batches:
        mates = {name: _mates(array, size) for name, array in sample.inputs.items()}
        for slot in sorted({0, size // 2, size - 1}):
            inputs = {name: _put(mates[name], slot, array[0]) for name, array in sample.inputs.items()}
            for name, found in session.run(inputs).items():
                row, right = found[slot], alone[name][0]
                equal = equal and row.tobytes() == right.tobytes()
                worst = max(worst, float(np.abs(row.astype(np.float64) - right.astype(np.float64)).max()))
    return RowTest(component=sample.component, engine=str(choice), batches=list(batches), equal=equal, max_abs=worst)


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
    return f"{test.component:<14} rows          {test.engine:<13} {found} in batches of {', '.join(map(str, test.batches))}"


def _batches(samples: Sequence[Sample], component: str, profile: ShapeProfile | None) -> list[Sample]:
    """Each sample as it is; and for an engine of fixed ranges each at its smallest, best and largest batch."""
    if profile is None:
        return list(samples)
    sizes = sorted(set(profile.batch_of(component)))
    return [_repeated(sample, size) for sample in samples for size in sizes]


def _row_batches(component: str, profile: ShapeProfile | None) -> list[int]:
    if profile is None:
        return list(ROW_BATCHES)
    low, _, high = profile.batch_of(component)
    return sorted({size for size in (*ROW_BATCHES, high) if low <= size <= high})


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
