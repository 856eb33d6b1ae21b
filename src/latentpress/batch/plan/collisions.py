"""Output names that two pictures of a plan would share: told apart where they are ours, refused where the manifest's."""

import re
import unicodedata
from collections import Counter
from collections.abc import Container

from latentpress.batch.plan.database import Database
from latentpress.batch.plan.job import title_of
from latentpress.batch.plan.jobs import seed_of
from latentpress.errors import short, shown
from latentpress.manifest import templates
from latentpress.manifest.manifest import DEFAULT_OUTPUT, Manifest
from latentpress.manifest.names import collision_key
from latentpress.manifest.nodes import Problems

# Of ledgers that do not say what sheet they drew.
SHEET_NAME = "sheet.png"
# Placeholders that may tell two jobs apart.
_APART = ("{seed}", "{index}", "{hash:.12}")


def check_collisions(manifest: Manifest, table: Database, problems: Problems) -> None:
    """Report every name that two jobs in `table` share, or one with the sheet; equal jobs of default names are numbered."""
    # Placeholders fill in no `/` and no part may be empty, so every name has the template's number of parts: no file
    # can lie where another job needs a folder. The sheet's name is not of the template, so it is looked for in both.
    place = manifest.output_place
    columns = "SELECT job, id, seed, output, collision FROM jobs JOIN drafts USING (draft)"
    for sheet in manifest.sheets:
        for kind in sheet.formats:
            name = f"{sheet.name}.{kind}"
            like = f"{collision_key(sheet.name)}%.{kind}%"
            for job, job_id, seed, output, key in table.answers(
                f"{columns} WHERE collision LIKE ? ORDER BY job", (like,)
            ):
                if re.match(rf"{re.escape(collision_key(sheet.name))}(-page-[0-9]+)?\.{kind}(/|$)", key):
                    what = "needs a folder named as" if "/" in output else "would be written over"
                    message = f"{title_of(job, job_id, seed_of(seed))} {what} the contact sheet {name}; rename it"
                    problems.add(place, message, "sheet")
    twice = "WHERE collision IN (SELECT collision FROM jobs GROUP BY collision HAVING count(*) > 1) ORDER BY job"
    if manifest.output == DEFAULT_OUTPUT:
        _number_equal(table, twice)
        return
    first: dict[str, tuple[str, str, str, str]] = {}
    held = templates.Template(manifest.output).names
    for job, job_id, seed, output, key, job_hash in table.answers(
        f"{columns.replace(' FROM', ', job_hash FROM')} {twice}"
    ):
        title = title_of(job, job_id, seed_of(seed))
        other, its_output, its_hash, its_id = first.setdefault(key, (title, output, job_hash, job_id))
        if other != title:
            way_out = _way_out(held, equal=job_hash == its_hash, ids=job_id != its_id and "id" not in held)
            problems.add(place, f"{other} and {title} {_said_of(its_output, output)}; {way_out}", "collision")


def _way_out(held: Container[str], *, equal: bool, ids: bool) -> str:
    """What tells two jobs apart whose template has the placeholders `held`.

    equal: whether they are equal jobs; ids: whether their ids tell them apart.
    """
    if equal:
        return f"they are equal jobs, so one picture: leave one out, or add {'{id}' if ids else '{index}'} to have it twice"
    left = [one for one in _APART if one.strip("{}").partition(":")[0] not in held] or ["{index}"]
    listed = " or ".join([", ".join(left[:-1]), left[-1]] if len(left) > 1 else left)
    return f"add a placeholder such as {listed}, or a label"


def _said_of(one: str, two: str) -> str:
    """What two jobs have whose names collide."""
    if one == two:
        return f"both have the output name {shown(one)}"
    if one.casefold() == two.casefold():
        return f"have the output names {shown(one)} and {shown(two)}, which are one where a system ignores letter case"
    same = unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", two)
    what = "the Unicode form" if same else "letter case and the Unicode form"
    # In ASCII, for the two look alike.
    return f"have the output names {short(one)!a} and {short(two)!a}, which are one where a system ignores {what}"


def _number_equal(table: Database, twice: str) -> None:
    """Put -2, -3 and so on behind all but the first of each name that equal jobs share: default names hold their hash."""
    seen: Counter[str] = Counter()
    for job, output, key in table.answers(f"SELECT job, output, collision FROM jobs {twice}"):
        seen[key] += 1
        if seen[key] > 1:
            name = f"{output.removesuffix('.png')}-{seen[key]}.png"
            table.run("UPDATE jobs SET output=?, collision=? WHERE job=?", (name, collision_key(name), job))
