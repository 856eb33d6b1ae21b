"""A report in sentences, and as JSON data: how it went, how estimates held, what is left and how to go on."""

import os
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from latentpress.batch.ledger.runs import BROKEN, FINISHED, RunRow
from latentpress.batch.progress import duration
from latentpress.batch.state.standing import KILLED, moment
from latentpress.batch.summary import cause_of
from latentpress.engines.choice import engine_called
from latentpress.errors import counted, one_line
from latentpress.results.report import Report

# What the ledger calls a manifest that came on stdin.
_STDIN = "<stdin>"
# Failures that the text names; the page has all.
_NAMED = 10


def report_lines(report: Report) -> Iterator[str]:
    """The morning's news, a sentence each."""
    yield f"{report.folder}: {counts(report)}"
    if line := report.standing.line(report.missing + report.gone[1]):
        yield line
    if (why := ending(report)) is not None:
        yield why
    if (held := estimate(report.standing.last)) is not None:
        yield held
    for one in report.failures[:_NAMED]:
        name = "quarantined" if one.quarantined else "failed"
        reason = f"{cause_of(one.cause)}: {one.error}" if one.cause else one.error
        yield one_line(f"{name}: {one.title}: {one.output}: {reason}")
    if (more := report.failed - _NAMED) > 0:
        yield f"and {more:,} more failed"
    yield from (f"gone, or not whole: {one_line(name)}" for name in report.gone[0][:_NAMED])
    for line in report.warnings[:_NAMED]:
        yield one_line(line)
    yield from ways_on(report)


def counts(report: Report) -> str:
    """How far the plan has come."""
    if not report.planned:
        return f"{counted(report.others, 'picture')} done, and its ledger holds no plan that says what is left"
    parts = [f"{report.done:,} of {counted(report.total, 'image')} done"]
    parts += [f"{report.missing:,} missing"] if report.missing else []
    parts += [
        f"{report.failed:,} failed" + (f", {report.quarantined:,} of them quarantined" * bool(report.quarantined))
    ]
    parts += [f"{report.gone[1]:,} of the files gone"] if report.gone[1] else []
    return ", ".join(parts)


def ending(report: Report) -> str | None:
    """What ended the last render before it was finished; None where nothing did."""
    last = report.standing.last
    if last is None or report.standing.pid or report.standing.end == FINISHED:
        return None
    if last.why:
        return one_line(f"{'an error ended it' if last.end == BROKEN else 'it stopped'}: {last.why}")
    if last.end is None:
        return "it was killed, or the machine went off: nothing says how it ended"
    return "a signal stopped it" if last.end != BROKEN else None


def estimate(last: RunRow | None) -> str | None:
    """How the estimate of a render held; None where there was none, or it did not come to its end."""
    if last is None or not last.estimate or last.seconds is None:
        return None
    took = f"estimated {duration(last.estimate)}, took {duration(last.seconds)} without loading"
    return took if last.off is None else f"{took} ({last.off:+.0%})"


def ways_on(report: Report) -> list[str]:
    """What is left, and the commands that go on."""
    pid, name = report.standing.pid, report.manifest[1] if report.manifest else ""
    if pid:
        return [f"process {pid} renders; `latentpress watch {_quoted(report.folder)}` shows how it goes"]
    known = name and Path(name).name != _STDIN
    manifest = "MANIFEST"
    if known:  # from where the folder is named
        found = (report.folder / name).resolve()
        manifest = str(found) if report.folder.is_absolute() else os.path.relpath(found)
    command = f"latentpress render {_quoted(manifest)} -o {_quoted(report.folder)}"
    if not report.planned:
        return [f"`{command}` records its plan again, and makes no picture again that is there"]
    lines: list[str] = []
    if report.left:
        # What failed takes as long as nobody knows.
        seconds = report.standing.left(report.left) if report.failed == report.quarantined else None
        about = f", about {duration(seconds)}" if seconds else ""
        lines.append(f"`{command}` goes on: {counted(report.left, 'picture')}{about}")
    if report.quarantined:
        which = f"the {report.quarantined:,} quarantined" if report.quarantined > 1 else "the quarantined one"
        lines.append(f"`{command} --retry` tries {which} again")
    return lines or ["nothing is left to do"]


def report_data(report: Report) -> dict[str, object]:
    """The same as JSON data; docs/schemas/report.json."""
    names = ("run", "pictures", "done", "failed", "estimate", "loading", "seconds", "device", "why")
    return {
        "folder": str(report.folder),
        "made": moment(report.made),
        "planned": report.planned,
        "manifest": report.manifest and {"name": report.manifest[0], "path": report.manifest[1]},
        "counts": {
            "total": report.total,
            "done": report.done,
            "failed": report.failed,
            "quarantined": report.quarantined,
            "missing": report.missing,
            "others": report.others,
            "gone": report.gone[1],
            "left": report.left,
        },
        "bytes": report.bytes,
        "standing": report.standing.data(report.missing + report.gone[1]),
        "causes": {cause or "unknown": count for cause, count in report.causes},
        "failures": [
            asdict(one) | {"cause": one.cause or None, "finished": moment(one.finished)} for one in report.failures
        ],
        "gone": report.gone[0],
        "slowest": [asdict(one) | {"finished": moment(one.finished)} for one in report.slowest],
        "engines": [{"engine": name, "device": device, "pictures": count} for name, device, count in report.engines],
        "renders": [
            {name: getattr(one, name) for name in names}
            | {"began": moment(one.began), "ended": moment(one.ended), "warnings": one.warnings}
            | {"end": end_of(report, one), "engine": engine_called(one.engine) if one.engine else None}
            for one in report.renders
        ],
        "warnings": report.warnings,
        "sheets": report.sheets,
        "ways_on": ways_on(report),
    }


def end_of(report: Report, row: RunRow) -> str | None:
    """How a render ended; None while it runs."""
    return report.standing.end if row == report.standing.last else row.end or KILLED


def _quoted(path: Path | str) -> str:
    return one_line(shlex.quote(str(path)))
