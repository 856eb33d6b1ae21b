"""Opens one component of a bundle on the chosen engine, which imports its package then and not before."""

from latentpress.bundle.info import Bundle
from latentpress.engines.choice import check_choice
from latentpress.engines.engine import Built, BuiltComponent, EngineChoice, Session
from latentpress.engines.keys import engine_key
from latentpress.engines.records import engine_folder, read_record, require_engine
from latentpress.engines.shapes import parse_profile


def open_session(bundle: Bundle, component: str, choice: EngineChoice, threads: int | None = None) -> Session:
    """The session of `component` (text_encoder, unet, ...) of `bundle` on the engine `choice`.

    threads: of a CPU engine, None for all cores. Raises UsageError for a bundle made for other engines, BundleError for
    a built engine that is missing, stale or foreign, EnvironmentFailure for what this machine lacks.
    """
    check_choice(bundle.info, choice)
    how = choice.kind.open
    assert how is not None, "every engine of the table opens sessions"
    if isinstance(how, Built):
        return how.open(_built_here(bundle, component, choice))
    return how(bundle, component, choice, threads)


def _built_here(bundle: Bundle, component: str, choice: EngineChoice) -> BuiltComponent:
    """The component's built engine for this machine's GPU, once it is found whole and not stale."""
    place = choice.kind.place()
    assert place.gpu is not None, "engines are built for GPUs"
    folder = engine_folder(bundle, component, choice, place.target)
    record = read_record(folder, component)
    profile = parse_profile(bundle.info, record.key.get("shapes", "") if record else "")
    # Where an engine serves a whole architecture, that is named too.
    here = f"{place.gpu.name} ({place.target})" if choice.kind.elsewhere else place.gpu.name
    require_engine(folder, component, engine_key(bundle, component, choice, place, profile), built_for=here)
    return BuiltComponent(bundle, component, profile, folder, place)
