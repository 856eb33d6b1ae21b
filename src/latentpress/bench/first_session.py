"""A first session on a new card or machine, as one Markdown page to paste into an issue: doctor, parity, row test, figures.

What fails is written down with its sentence, and the rest goes on: the page is for those who mend it.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict

from latentpress.bench.machine import GpuState, MachineState
from latentpress.bench.measure import Measured
from latentpress.bench.report import benchmark_lines
from latentpress.bundle.info import Bundle
from latentpress.engines.build import EngineOrder, make_engines
from latentpress.engines.doctor import Report, examine
from latentpress.engines.engine import EngineChoice
from latentpress.engines.shapes import shape_profile
from latentpress.errors import LatentpressError


def first_session(
    bundle: Bundle, choice: EngineChoice, rows: int, threads: int | None, measure: Callable[[], Measured]
) -> tuple[str, bool]:
    """The page, and whether all of it went well.

    rows: the most of a call, for engines built ahead; measure: the benchmark, run after the engines were proved.
    """
    parts = [f"# latentpress, a first session: {choice} on this machine", _doctor(examine())]
    proof: list[str] = []
    order = EngineOrder(choice, shape_profile(bundle.info, rows, []), None, threads, rebuild=True)
    failures = [_tried(lambda: make_engines(bundle, order, proof.append), proof)]
    parts.append(_section("Parity with torch, and the row test", proof))
    lines: list[str] = []
    found: list[Measured] = []
    failures.append(_tried(lambda: found.append(measure()), lines))
    for one in found:
        lines += benchmark_lines(one)
        parts.append(_section("Where it ran", _where(one)))
    parts.append(_section("Figures", lines))
    return "\n\n".join(parts) + "\n", not any(failures)


def _tried(work: Callable[[], object], lines: list[str]) -> bool:
    """Whether `work` failed, which `lines` then tell; what is no fault of the program's own is not caught."""
    try:
        work()
    except LatentpressError as error:
        lines.append(f"failed: {error}")
        return True
    return False


def _doctor(report: Report) -> str:
    lines = [f"{name}: {value}" for name, value in report.machine.items()]
    for one in report.engines:
        lines.append(f"{one.engine}: {'ready' if one.ready else 'not ready'}: {one.why}")
    return _section("Doctor", lines)


def _where(found: Measured) -> list[str]:
    about = asdict(found.conditions)
    lines = [f"{name}: {value}" for name, value in about.items() if value not in (None, {}, [])]
    return [*lines, *_state(found.machine)]


def _state(machine: MachineState) -> list[str]:
    facts = {**asdict(machine), "gpu": None}
    lines = [f"{name}: {value}" for name, value in facts.items() if value is not None]
    return lines + ([] if machine.gpu is None else _gpu(machine.gpu))


def _gpu(gpu: GpuState) -> list[str]:
    return [f"gpu {name}: {value}" for name, value in asdict(gpu).items() if value is not None]


def _section(title: str, lines: Sequence[str]) -> str:
    text = "\n".join(lines).replace("```", "'''")
    return f"## {title}\n\n```text\n{text}\n```"
