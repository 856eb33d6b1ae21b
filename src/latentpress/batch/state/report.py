"""What `plan` and `status` print: lines for people, plain data for programs. Also refuses a disk that is too full."""

from collections.abc import Iterator
from pathlib import Path

from latentpress.batch.aside import REPLACED
from latentpress.batch.state.mixture import export_line
from latentpress.batch.state.status import DONE, EARLIER, FAILED, FOUND, MISSING, OTHER, Status
from latentpress.errors import counted

# Names that a sentence lists at most.
_LISTED = 5


def counts_line(state: Status, folder: Path, room: str) -> str:
    """How far the plan has come, in one line; room: what those that a render tries take on disk."""
    counts, kept_out = state.counts, len(state.quarantined)
    disk = f", {room} to write" if state.left > kept_out else ""
    quarantined = f", {kept_out:,} of them quarantined" if kept_out else ""
    done = sum(counts[state] for state in (DONE, EARLIER, OTHER, FOUND))
    of = counted(state.total, "image")
    return f"{folder}: {done:,} of {of} done, {counts[MISSING]:,} missing, {counts[FAILED]:,} failed{quarantined}{disk}"


def remarks(state: Status, folder: Path) -> Iterator[str]:
    """What else to know of finished pictures, and of what lies under names that pictures want; a sentence each."""
    counts = state.counts
    if found := counts[FOUND]:
        they = "1 of them lies" if found == 1 else f"{found:,} of them lie"
        yield f"{they} here under another name, and `render` gives it the new one"
    if (line := earlier_line(state)) is not None:
        yield line
    if (line := export_line(state)) is not None:
        yield f"{line}; `render --mixed` keeps them, `render --redraw` draws them anew"
    if replaced := len(state.replaced):
        they = "1 file is damaged or has" if replaced == 1 else f"{replaced:,} files are damaged or have"
        them = "it" if replaced == 1 else "them"
        yield f"{they} a name that another picture gets; `render` moves {them} to {folder / REPLACED}"
    if state.taken:
        yield taken_line(state, folder)


def taken_line(state: Status, folder: Path) -> str:
    """The names that pictures want and that something else has, which must stay; those with one reason together."""
    by_reason: dict[str, list[int]] = {}
    for index, why in state.taken.items():
        by_reason.setdefault(why, []).append(index)
    told: list[str] = []
    for why, indices in by_reason.items():
        listed = [str(state.plan.jobs[index - 1].output) for index in indices[:_LISTED]]
        if (more := len(indices) - len(listed)) > 0:
            listed.append(f"and {more:,} more")
        told.append(f"{', '.join(listed)}{', each of which' if len(indices) > 1 else ''} {why}")
    return f"{folder}: {'; '.join(told)}"


def earlier_line(state: Status) -> str | None:
    """What to know of finished pictures that a later rule would draw otherwise, None where there are none."""
    count = state.counts[EARLIER]
    if not count:
        return None
    which = ", ".join(state.rules)
    were = "1 picture was" if count == 1 else f"{count:,} pictures were"
    return f"{were} drawn by an earlier rule ({which}) and kept; `render --redraw` draws them anew, docs/rules.md shows how"


def plan_data(state: Status, folder: Path) -> dict[str, object]:
    """The plan and its state as JSON data; `bundle` is the first job's, `bundles` are all that jobs are rendered on."""
    plan = state.plan
    bundles = [{"name": one.name, "content": one.content, "sha256": one.hash} for one in plan.rendered_on]
    return {
        "name": plan.name,
        "plan_hash": plan.plan_hash,
        "bundle": bundles[0],
        "bundles": bundles,
        "folder": str(folder),
        "total": state.total,
        "distinct": plan.distinct,
        "counts": state.counts,
        "quarantined": [str(plan.jobs[index - 1].output) for index in sorted(state.quarantined)],
        "undrawn_seeds": plan.undrawn,
        "warnings": list(plan.warnings),
    }
