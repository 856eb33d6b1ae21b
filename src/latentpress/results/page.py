"""A report as one page of HTML, which needs no script, no network and no other file; pictures are held in it, made small.

All that comes from manifests, files and engines is escaped.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from urllib.parse import quote

from latentpress.batch.ledger.runs import RunRow
from latentpress.batch.progress import duration
from latentpress.batch.summary import cause_of
from latentpress.engines.choice import engine_called
from latentpress.errors import mebibytes, one_line
from latentpress.results.reduced import reduced
from latentpress.results.report import FAILURES, RENDERS, Made, Report
from latentpress.results.style import STYLE
from latentpress.results.told import counts, end_of, ending, estimate, ways_on
from latentpress.version import __version__

# By this a page is known as ours, and replaced by the next one.
MARK = '<meta name="generator" content="latentpress report">'
# The longest sides of what is held in the page, in pixels.
_SHEET, _PICTURE = 1600, 160
# A browser that heeds it loads nothing from anywhere.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def report_html(report: Report, folder: Path) -> str:
    """The page of `report`, for a file in `folder`, from which pictures are linked."""
    name = report.folder.resolve().name
    body = "\n".join(
        [
            f"<h1>{_text(name)}</h1>",
            f'<p class="{_colour(report)} big">{_text(counts(report))}</p>',
            *_standing(report),
            *_figures(report),
            *_list("What is left", ways_on(report)),
            *_list("Warnings", report.warnings),
            *_failures(report),
            *_gone(report),
            *_sheets(report, folder),
            *_newest(report, folder),
            *_renders(report),
            *_slowest(report, folder),
            *_engines(report),
            f'<p class="dim">{_text(report.folder.resolve())}{_text(_manifest(report))}, looked at '
            f"{_time(report.made)} ({_zone(report.made)}) by latentpress {__version__}</p>",
        ]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'{MARK}\n<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{_text(f'{name}: {counts(report)}')}</title>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _colour(report: Report) -> str:
    if report.failed or report.gone[1]:
        return "bad"
    return "good" if report.planned and not report.left else "open"


def _standing(report: Report) -> Iterator[str]:
    line = report.standing.line(report.missing + report.gone[1])
    if line:
        yield f"<p>{_text(line)}</p>"
    if (why := ending(report)) is not None:
        yield f'<p class="bad">{_text(why)}</p>'


def _figures(report: Report) -> Iterator[str]:
    """A row of numbers: what one looks for first."""
    last, pace = report.standing.last, report.standing.pace
    figures = [("done", f"{report.done:,}"), ("failed", f"{report.failed:,}"), ("missing", f"{report.missing:,}")]
    figures = figures if report.planned else []
    if report.quarantined:
        figures.append(("quarantined", f"{report.quarantined:,}"))
    if last and last.seconds is not None:
        figures.append(("took", duration(last.seconds)))
    if last and last.estimate:
        figures.append(("estimated", duration(last.estimate)))
    if pace:
        figures.append(("images/s", f"{pace:.2f}"))
    figures.append(("on the disk", mebibytes(report.bytes)))
    yield '<dl class="figures">'
    yield from (f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in figures)
    yield "</dl>"
    if held := estimate(last):
        yield f'<p class="dim">{_text(held)}</p>'
    if report.others and report.planned:
        others = "finished pictures of other manifests, or of earlier versions of this one"
        yield f'<p class="dim">and {report.others:,} {others}</p>'


def _list(heading: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        items = "".join(f"<li>{_code(line)}</li>" for line in lines)
        yield f"<h2>{_text(heading)}</h2><ul>{items}</ul>"


def _failures(report: Report) -> Iterator[str]:
    if not report.failures:
        return
    yield "<h2>Failed</h2>"
    yield _table(("why", "#pictures"), [(_text(cause_of(cause)), f"{count:,}") for cause, count in report.causes])
    rows = [
        (
            f'{_text(one.output)}<br><span class="dim">{_text(one.title)}{", quarantined" * one.quarantined}</span>',
            f'{_text(one.error)}<br><span class="dim">{_text(one.what)}</span>',
            f"{one.attempts:,}",
            _time(one.finished),
        )
        for one in report.failures
    ]
    yield _table(("picture", "reason", "#tries", "@when"), rows)
    if (more := report.failed - FAILURES) > 0:
        yield f"<p>and {more:,} more</p>"


def _gone(report: Report) -> Iterator[str]:
    listed, count = report.gone
    if count:
        yield "<h2>Gone</h2><p>Recorded as finished, and not in the folder, or not whole.</p><ul>"
        yield from (f"<li>{_text(name)}</li>" for name in listed)
        yield "</ul>" + (f"<p>and {count - len(listed):,} more</p>" if count > len(listed) else "")


def _sheets(report: Report, folder: Path) -> Iterator[str]:
    for name in report.sheets:
        picture = reduced(report.folder / name, _SHEET)
        shown = f'<img class="sheet" src="{picture}" alt="">' if picture else "too large to be shown here"
        yield f'<h2>{_text(name)}</h2><a href="{_link(report.folder / name, folder)}">{shown}</a>'


def _newest(report: Report, folder: Path) -> Iterator[str]:
    shown = [(one, picture) for one in report.newest if (picture := reduced(report.folder / one.output, _PICTURE))]
    if shown:
        yield '<h2>Newest pictures</h2><div class="pictures">'
        for one, picture in shown:
            yield (
                f'<a href="{_link(report.folder / one.output, folder)}" title="{_text(one.what)}">'
                f'<img src="{picture}" alt="">{_text(one.output)}</a>'
            )
        yield "</div>"


def _renders(report: Report) -> Iterator[str]:
    if report.renders:
        yield "<h2>Renders</h2>"
        numbers = ("#pictures", "#done", "#failed", "#loading", "#took", "#estimated", "#off by", "#images/s")
        yield _table(("@began", *numbers, "end", "engine"), [_render(report, row) for row in report.renders])
        if len(report.renders) == RENDERS:
            yield f'<p class="dim">the last {RENDERS}</p>'


def _render(report: Report, row: RunRow) -> tuple[str, ...]:
    off = "" if row.off is None else f"{row.off:+.0%}"
    rate = "" if row.rate is None else f"{row.rate:.2f}"
    why = f'<br><span class="dim">{_text(row.why)}</span>' if row.why else ""
    return (
        _time(row.began),
        *("" if count is None else f"{count:,}" for count in (row.pictures, row.done, row.failed)),
        *("" if seconds is None else duration(seconds) for seconds in (row.loading, row.seconds, row.estimate)),
        *(
            off,
            rate,
            f"{_text(end_of(report, row) or 'runs')}{why}",
            _text(engine_called(row.engine) if row.engine else ""),
        ),
    )


def _slowest(report: Report, folder: Path) -> Iterator[str]:
    if report.slowest:
        yield '<h2>Slowest</h2><p class="dim">From the first step to the pixels, shared with those in the same calls.</p>'
        yield _table(("picture", "what", "#took", "@finished"), [_slow(report, one, folder) for one in report.slowest])


def _slow(report: Report, one: Made, folder: Path) -> tuple[str, ...]:
    name = f'<a href="{_link(report.folder / one.output, folder)}">{_text(one.output)}</a>'
    return name, _text(one.what), duration(one.seconds), _time(one.finished)


def _engines(report: Report) -> Iterator[str]:
    if report.engines:
        yield "<h2>Made on</h2>"
        rows = [(_text(engine), _text(device), f"{count:,}") for engine, device, count in report.engines]
        yield _table(("engine", "device", "#pictures"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML; columns whose head begins with # are numbers, those with @ times."""
    kinds = [{"#": ' class="n"', "@": ' class="t"'}.get(name[:1], "") for name in head]
    names = "".join(f"<th{kind}>{_text(name.lstrip('#@'))}</th>" for kind, name in zip(kinds, head, strict=True))
    lines = ["".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)) for row in rows]
    shown = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table><tr>{names}</tr>\n{shown}</table></div>'


def _manifest(report: Report) -> str:
    if report.manifest is None:
        return ""
    name, path = report.manifest
    return f", of the manifest {name}{f' ({path})' if path else ''}"


def _text(value: object) -> str:
    """`value` as text of the page: escaped, and what cannot be seen, or is no Unicode, spelled out."""
    return escape(one_line(str(value)))


def _code(line: str) -> str:
    """A sentence, what stands between backquotes in it as code."""
    parts = [_text(part) for part in line.split("`")]
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))


def _link(path: Path, folder: Path) -> str:
    """The way from a page in `folder` to a file, as a URL."""
    return escape(quote(os.fsencode(os.path.relpath(path.resolve(), folder.resolve()))))


def _time(seconds: float | None) -> str:
    """Seconds since 1970 in this machine's time."""
    try:
        return "" if seconds is None else datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):  # a clock that was wrong
        return "at an unknown time"


def _zone(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Z, %z")
