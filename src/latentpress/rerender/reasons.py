"""Why a picture that was made again may not be the same one: whatever is known to differ, each in a few words."""

from collections.abc import Iterator, Mapping

from latentpress.engines.choice import engine_called, gradient_called
from latentpress.engines.strict import UNFIXED
from latentpress.errors import one_line, shown
from latentpress.rerender.inputs import Chosen, Inputs
from latentpress.rerender.ledgers import KnownHere, Made
from latentpress.rerender.original import Original
from latentpress.runtime.request import Origin, RenderRequest

NOTHING = "nothing that is known differs"
# Hexadecimal digits of a sha256 that are shown.
_SHOWN = 12


def certain(
    original: Original, inputs: Inputs, rules: Mapping[str, int], origin: Origin, known: KnownHere
) -> Iterator[str]:
    """What differs, whether or not the pixels do. rules: those that touch the request now; origin: of the new picture."""
    if original.computed_hash != original.job_hash:
        yield (
            f"its metadata was edited: it names job {original.job_hash[:_SHOWN]}, and what it says of the job comes to "
            f"{original.computed_hash[:_SHOWN]}"
        )
    for chosen, what in ((inputs.base, "bundle"), (inputs.refiner, "refiner's bundle")):
        if chosen is not None:
            yield from _bundle(chosen, what, known)
    for name, picture in inputs.pictures.items():
        if picture.sha256 != picture.claimed:
            was, now = picture.claimed[:_SHOWN], picture.sha256[:_SHOWN]
            yield f"{name} {picture.path} differs: its sha256 was {was} and is {now}"
    if original.rules != rules:
        yield from _rules(original.rules, rules)
    if (engine := engine_called(origin.provider)) != original.engine:
        yield f"another engine: {original.engine} then, {engine} now"
    yield from _gradient(original, origin)


def _gradient(original: Original, origin: Origin) -> Iterator[str]:
    """What computed the gradients of its losses, where that is another now."""
    if original.gradient and (now := gradient_called(origin.gradient)) != original.gradient:
        yield f"gradients of its losses computed elsewhere: on {one_line(original.gradient)} then, {now} now"


def possible(original: Original, request: RenderRequest, origin: Origin, made: Made) -> Iterator[str]:
    """What may have moved pixels beside that, where they did differ. made: on what the ledger says it was made."""
    if UNFIXED in (original.rows, origin.row_rule):
        yield "rows unfixed: on this engine pixels depend on what is rendered beside them (--strict prevents that)"
    elif original.rows is not None and original.rows != origin.row_rule:
        yield f"rows: {original.rows} UNet rows a call then, {origin.row_rule} now"
    if made.versions and made.versions != origin.versions:
        yield f"other versions: {made.versions} then, {origin.versions} now"
    if made.device and made.device != origin.device:
        yield f"another device: {made.device} then, {origin.device} now"
    if request.losses:
        yield "a loss guides it, whose last bits depend on torch's threads (--threads)"


def _bundle(chosen: Chosen, what: str, known: KnownHere) -> Iterator[str]:
    claimed = chosen.claimed
    called = f"{what} {shown(claimed.name)}"
    if not claimed.content:
        if not chosen.same_source:
            yield f"{called} was exported from {claimed.source[:_SHOWN]}, and {chosen.bundle.path} from another source"
    elif not chosen.same:
        _, parts = known.bundle(claimed.content)
        names = sorted(name for name in {*parts, *chosen.parts} if parts.get(name) != chosen.parts.get(name))
        where = f" in {', '.join(names)}" if parts else ""
        source = "another export of the same source" if chosen.same_source else "exported from another source"
        yield (
            f"{called} differs{where}: its content was {claimed.content[:_SHOWN]} and is {chosen.content[:_SHOWN]}, "
            f"{source} ({chosen.bundle.path})"
        )
    for token, sha256 in chosen.wrong.items():
        was = claimed.concepts[token][:_SHOWN]
        yield f"concept {one_line(token)} differs: the sha256 of its {claimed.kind} was {was} and is {sha256[:_SHOWN]}"


def _rules(then: Mapping[str, int], now: Mapping[str, int]) -> Iterator[str]:
    earlier = [name for name, number in now.items() if then.get(name, 1) < number]
    if earlier:
        yield f"it was drawn by an earlier rule: {', '.join(earlier)} (docs/rules.md)"
    if others := [one_line(name) for name, number in then.items() if number > now.get(name, 1)]:
        yield f"its metadata names a rule that does not touch it here: {', '.join(others)} (docs/rules.md)"
