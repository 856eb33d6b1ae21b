"""The rows as a markdown table for each case and a plot. Figures that were not measured are dashes."""

import statistics
from pathlib import Path
from typing import Any

import numpy as np

from gpu.results import Row, of_kind, read
from gpu.settings import CASES
from gpu.sides import REFERENCE


def write(scratch: Path, out: Path) -> None:
    """table.md and plot.png in `out`, of what lies in `scratch`."""
    rows = read(scratch)
    (out / "table.md").write_text(table(rows, scratch))
    plot(rows, out / "plot.png")


def table(rows: list[Row], scratch: Path) -> str:
    """Everything measured, in markdown."""
    parts: list[str] = []
    for machine in of_kind(rows, "machine"):
        parts.append(machine_lines(machine))
    for case in CASES:
        if shown := of_kind(rows, "render", case=case):
            parts.append(render_table(rows, shown, case, scratch))
        if shown := of_kind(rows, "export", case=case):
            parts += [
                f"{case}, export for `{row['side']}`: {row['seconds']:.0f} s, checkpoint {row['checkpoint_seconds']:.0f} s, "
                f"{row['bytes'] / 1e9:.2f} GB"
                for row in shown
            ]
        if shown := of_kind(rows, "parity", case=case):
            parts.append(parity_table(rows, shown, case))
        if shown := of_kind(rows, "switch", case=case):
            parts.append(switch_table(shown, case))
    for row in of_kind(rows, "done", job="tests"):
        last = str(row["end"]).strip().splitlines()
        parts.append(f"tests/gpu: {last[-1] if last else '-'}")
    parts += [f"{row['job']}: {row['why']}" for row in of_kind(rows, "failure")]
    return "\n\n".join(parts) + "\n"


def machine_lines(row: Row) -> str:
    """What it was measured on."""
    lines = [f"{row['name']}; GPU {row['gpu']}; Python {row['python']}; {row['packages']}"]
    if row.get("ceiling"):
        lines.append(f"Ceiling: {row['ceiling'] / 1e12:.3g} TFLOP/s, {row['ceiling_how']}.")
    if row.get("product"):
        lines.append(
            f"A product of random half-precision matrices 8192 wide ran at {row['product'] / 1e12:.0f} TFLOP/s."
        )
    not_ready = {name: why for name, why in row["engines"].items() if why != "ready" and name in ("cuda", "tensorrt")}
    lines += [f"Engine {name} was not measured: {why}." for name, why in not_ready.items()]
    return "\n".join(lines)


def rate(row: Row) -> float:
    """Images per second, at the median of the renders."""
    return row["images"] / statistics.median(row["seconds"])


def render_table(rows: list[Row], shown: list[Row], case: str, scratch: Path) -> str:
    """A line for each side and batch."""
    flops = next(iter(of_kind(rows, "flops", case=case)), None)
    ceiling = next((row.get("ceiling") for row in of_kind(rows, "machine")), None)
    first = shown[0]
    lines = [
        f"### {case}: {first['size']}x{first['size']}, {first['steps']} steps, guidance, random weights",
        "",
        "| side | pictures in flight | images/s | TFLOP/s | of the ceiling | PSNR to diffusers fp32, dB | peak GB | "
        "opened s | first render s |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in sorted(shown, key=lambda row: (row["side"], row["batch"])):
        done = flops["picture"] * rate(row) if flops else None
        share = f"{done / ceiling:.1%}" if done and ceiling else "-"
        tera = f"{done / 1e12:.4g}" if done else "-"
        memory = f"{row['peak_bytes'] / 1e9:.1f}" if row["peak_bytes"] is not None else "-"
        lines.append(
            f"| {row['side']} ({row['provider']}) | {row['batch']} | {rate(row):.3f} | {tera} | {share} | "
            f"{psnr(scratch, rows, row)} | {memory} | {row['load_seconds']:.1f} | {row['warm_seconds']:.1f} |"
        )
    return "\n".join(lines)


def psnr(scratch: Path, rows: list[Row], row: Row) -> str:
    """The least PSNR of a side's first pictures to those of diffusers in float32, dB."""
    references = of_kind(rows, "render", case=row["case"], side=REFERENCE)
    ours = _pictures(scratch, row)
    theirs = _pictures(scratch, references[0]) if references else None
    if ours is None or theirs is None or ours.shape[1:] != theirs.shape[1:]:
        return "-"
    count = min(len(ours), len(theirs))
    error = (ours[:count].astype(np.float64) - theirs[:count]) / 255
    worst = float(np.square(error).mean((1, 2, 3)).max())
    return "same" if worst == 0 else f"{-10 * np.log10(worst):.1f}"


def parity_table(rows: list[Row], shown: list[Row], case: str) -> str:
    """Each output's distance from torch in float32, and whether rows depend on their batch mates."""
    lines = [
        f"### {case}: each component against torch in float32",
        "",
        "| component | output | engine | precision | inputs | relative | bound | PSNR dB |",
        "|---|---|---|---|---|--:|--:|--:|",
    ]
    lines += [
        f"| {row['component']} | {row['output']} | {row['engine']} | {row['precision']} | {row['shapes']} | "
        f"{row['relative']:.1e} | {row['bound']:.0e} | {row['psnr']:.1f} |"
        for row in shown
    ]
    lines += ["", "| component | engine | batches | a row's bits whatever its mates |", "|---|---|---|---|"]
    for row in of_kind(rows, "rows", case=case):
        answer = "the same" if row["equal"] else f"differ by up to {row['max_abs']:.1e}"
        lines.append(f"| {row['component']} | {row['engine']} | {', '.join(map(str, row['batches']))} | {answer} |")
    return "\n".join(lines)


def switch_table(shown: list[Row], case: str) -> str:
    """The UNet's call with each switch turned."""
    lines = [
        f"### {case}: one UNet call",
        "",
        "| switch | rows | median ms | 90% ms | first call ms | second | to the first line, relative |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in shown:
        if "failed" in row:
            lines.append(f"| {row['switch']} | {row['failed']} | | | | | |")
            continue
        p90 = "-" if row["p90"] is None else f"{row['p90']:.2f}"
        lines.append(
            f"| {row['switch']} ({row['provider']}) | {row['rows']} | {row['median']:.2f} | {p90} | "
            f"{row['first_ms']:.0f} | {row['second_ms']:.0f} | {row['relative_to_first']:.1e} |"
        )
    return "\n".join(lines)


def plot(rows: list[Row], path: Path) -> None:
    """Images per second over the pictures in flight, a line for each side, a panel for each case."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    FigureCanvasAgg(figure)
    panels: Any = figure.subplots(1, len(CASES))
    for axes, case in zip(panels, CASES, strict=True):
        shown = of_kind(rows, "render", case=case)
        for side in sorted({row["side"] for row in shown} - {REFERENCE}):
            points = sorted((row["batch"], rate(row)) for row in shown if row["side"] == side)
            style = "-o" if side.startswith("latentpress") else "--s"
            axes.plot([batch for batch, _ in points], [value for _, value in points], style, label=side)
        axes.set(title=case, xlabel="pictures in flight", ylabel="images/s", ylim=(0, None))
        if axes.lines:
            axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)


def _pictures(scratch: Path, row: Row) -> Any:
    from gpu.settings import case
    from gpu.work import pictures_file

    path = pictures_file(scratch / "pictures", case(row["case"], False), row["side"], row["batch"])
    return np.load(path) if path.exists() else None
