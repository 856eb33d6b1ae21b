"""What one process of a stage does, a row written as soon as there is one: export, proof, renders, switches, machine."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu.memory import PeakMemory
from gpu.results import append
from gpu.settings import Case, Place
from gpu.sides import SIDES, batches, bundle_folder, checkpoint_folder, warm_up
from latentpress.bench.ceiling import cpu_ceiling, gpu_ceiling

# A figure is the median of so many renders, or of fewer where they take longer than SECONDS together.
REPEATS, SECONDS = 3, 12.0


def export(case: Case, where: Place, scratch: Path, engine: str) -> None:
    """The checkpoint, and its bundle for `engine` by the product's own export. Needs no GPU; says how long it took."""
    from latentpress.engines.choice import parse_engine
    from latentpress.export import export_bundle

    started = time.perf_counter()
    checkpoint = make(case, where, scratch)
    built = time.perf_counter()
    from gpu.flops import picture_flops

    append(scratch, {"kind": "flops", "case": case.name, **picture_flops(case, checkpoint)})
    lines: list[tuple[float, str]] = []

    def report(line: str) -> None:
        lines.append((round(time.perf_counter() - built, 1), line))
        print(f"{lines[-1][0]:7.1f} s  {line}", flush=True)

    chosen = parse_engine(engine)
    folder = bundle_folder(scratch, case, engine)
    if not (folder / "bundle.json").exists():
        export_bundle(checkpoint, folder, engine=chosen, precision=where.precision, report=report)
    append(
        scratch,
        {
            "kind": "export",
            "case": case.name,
            "side": engine,
            "checkpoint_seconds": built - started,
            "seconds": time.perf_counter() - built,
            "bytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
            "lines": lines,
        },
    )


def make(case: Case, where: Place, scratch: Path) -> Path:
    """The case's checkpoint."""
    from gpu.checkpoint import make_checkpoint

    return make_checkpoint(case, checkpoint_folder(scratch, case), full_size=where.full_size)


def proof(case: Case, where: Place, scratch: Path, engine: str) -> None:
    """Each component of the bundle against torch in float32, and the row test, on `engine`; beyond its bound or not."""
    from latentpress.bundle.info import open_bundle
    from latentpress.bundle.samples import read_samples
    from latentpress.engines.build import build_component
    from latentpress.engines.choice import parse_engine
    from latentpress.engines.engine import provider_of
    from latentpress.engines.opening import open_session
    from latentpress.engines.proof import parity_line, prove, row_test_line
    from latentpress.engines.records import engine_folder, write_record
    from latentpress.engines.shapes import shape_profile

    bundle, choice = open_bundle(bundle_folder(scratch, case, engine), verify=False), parse_engine(engine)
    for component in bundle.info.component_names:
        started = time.perf_counter()
        profile = None
        if engine == "tensorrt":
            profile = shape_profile(bundle.info, 2 * max(case.batches))
            place = choice.kind.place()
            record, session = build_component(bundle, component, choice, place, profile)
            assert session is not None, "it is built where it runs"
            write_record(engine_folder(bundle, component, choice, place.target), record)
        else:
            session = open_session(bundle, component, choice)
        opened = time.perf_counter() - started
        parity, test = prove(
            session,
            bundle.info.component(component),
            read_samples(bundle, component),
            bundle.info.precision,
            choice,
            profile,
        )
        common = {"case": case.name, "side": engine}
        append(
            scratch,
            {"kind": "opened", **common, "component": component, "seconds": opened, "provider": provider_of(session)},
        )
        for row in parity:
            print(parity_line(row), flush=True)
            append(scratch, {"kind": "parity", **common, **row.model_dump(mode="json")})
        if test is not None:
            print(row_test_line(test), flush=True)
            append(scratch, {"kind": "rows", **common, **test.model_dump(mode="json")})


def render(case: Case, where: Place, scratch: Path, side: str) -> None:
    """One side at each of its batch sizes: images/s, memory, and the first pictures, kept to be compared."""
    make(case, where, scratch)
    with PeakMemory() as memory:
        started = time.perf_counter()
        run, provider = SIDES[side](case, where, scratch)
        loaded = time.perf_counter() - started
        for batch in batches(case, side):
            started = time.perf_counter()
            asked = case.requests(max(2 * batch, case.pictures))
            run(warm_up(asked[:batch]), batch)
            warm = time.perf_counter() - started
            seconds: list[float] = []
            pictures: list[Any] = []
            while len(seconds) < REPEATS and (not seconds or sum(seconds) + seconds[-1] < SECONDS):
                started = time.perf_counter()
                pictures = run(asked, batch)
                seconds.append(time.perf_counter() - started)
                if side.endswith("fp32"):
                    break
            folder = scratch / "pictures"
            folder.mkdir(exist_ok=True)
            np.save(pictures_file(folder, case, side, batch), np.stack(pictures[: case.pictures]))
            row = {
                "kind": "render",
                "case": case.name,
                "side": side,
                "batch": batch,
                "images": len(asked),
                "seconds": seconds,
                "load_seconds": loaded,
                "warm_seconds": warm,
                "peak_bytes": memory.take(),
                "provider": provider,
                "steps": case.steps,
                "size": case.side,
            }
            append(scratch, row)
            print(f"{side}, {batch} in flight: {len(asked) / min(seconds):.3f} images/s at best", flush=True)


def pictures_file(folder: Path, case: Case, side: str, batch: int) -> Path:
    """Where a side's first pictures are kept, (n, H, W, 3) uint8."""
    return folder / f"{case.name}-{side.replace(' ', '-').replace(',', '')}-{batch}.npy"


def machine(where: Place, scratch: Path) -> None:
    """What is measured on: names, versions, and the ceiling, both the maker's and that of a product measured here."""
    from latentpress.engines.devices import device_name
    from latentpress.engines.doctor import examine

    name = device_name(gpu=where.device == "cuda")
    found = gpu_ceiling(name) if where.device == "cuda" else cpu_ceiling(name)
    report = examine()
    row: dict[str, Any] = {
        "kind": "machine",
        "name": name,
        "ceiling": None if found is None else found.flops,
        "ceiling_how": None if found is None else found.how,
        "engines": {finding.engine: "ready" if finding.ready else finding.why for finding in report.engines},
        **report.machine,
    }
    if where.device == "cuda":
        row["product"] = product_flops(getattr(torch, where.half))
    append(scratch, row)
    print("\n".join(f"{key}: {value}" for key, value in row.items()), flush=True)


def product_flops(dtype: torch.dtype, size: int = 8192, repeats: int = 20) -> float:
    """FLOP/s of `size`-wide products of random matrices on the GPU: what large calls can reach at most."""
    a, b = (torch.randn(size, size, device="cuda").to(dtype) for _ in range(2))
    for _ in range(3):
        a @ b
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(repeats):
        a @ b
    end.record()
    torch.cuda.synchronize()
    return 2.0 * size**3 * repeats / (begin.elapsed_time(end) / 1000)
