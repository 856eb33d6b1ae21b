"""Which engine a person chose, and whether a bundle's graphs are made for it. Opens nothing."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import get_args

from latentpress.bundle.info import BundleInfo, Precision
from latentpress.engines import table
from latentpress.engines.engine import Engine, EngineChoice
from latentpress.engines.session import TORCH
from latentpress.errors import EnvironmentFailure, UsageError

DEFAULT_ENGINE = EngineChoice(table.ENGINES[0])


def choices() -> list[EngineChoice]:
    """Everything that can be asked for: each engine, and beside it each further precision it takes (openvino:bf16)."""
    return [EngineChoice(engine, precision) for engine in table.ENGINES for precision in (None, *engine.precisions[1:])]


def listed(names: Iterable[object], last: str = "or") -> str:
    """`a, b or c`."""
    *first, final = map(str, names)
    return f"{', '.join(first)} {last} {final}" if first else final


def engine_called(provider: str) -> str:
    """The engine, as on the command line, that the ledger's column `provider` says; the text itself if that is none."""
    found = [choice for choice in choices() if provider == choice.stored or provider.startswith(f"{choice.stored}-")]
    return str(max(found, key=lambda choice: len(choice.stored))) if found else provider


def gradient_called(stored: str) -> str:
    """What computed the gradients of losses, as on the command line, of what a ledger says; torch where that is nothing."""
    return engine_called(stored) if stored not in ("", TORCH.stored) else TORCH.name


def parse_engine(text: str) -> EngineChoice:
    """`openvino`, `openvino:bf16` and so on; raises UsageError, without a place, for anything else."""
    name, _, precision = text.partition(":")
    for engine in table.ENGINES:
        if name == engine.name:
            if not precision:
                return EngineChoice(engine)
            if precision in engine.precisions:
                return EngineChoice(engine, None if precision == engine.precisions[0] else precision)
            others = [choice for choice in choices() if choice.precision]
            only = "is the only one" if len(others) == 1 else "are the only ones"
            raise UsageError(
                f"engine {text!r}: {name} takes no precision {precision!r}; {listed(others, 'and')} {only}, other "
                "engines compute in the precision the bundle was exported with"
            )
    names = [engine.name for engine in table.ENGINES]
    close = get_close_matches(name, names, 1, 0.7)  # one wrong letter of three (gpu) is not a typo for cpu
    hint = f"did you mean {close[0]!r}?" if close else f"it must be one of {', '.join(names)}"
    raise UsageError(f"engine {text!r} is unknown; {hint}")


def parse_gradient(text: str) -> EngineChoice:
    """What computes the gradients of losses: torch, or an engine that opens their graphs; raises UsageError."""
    if text == TORCH.name:
        return EngineChoice(TORCH)
    try:
        choice = parse_engine(text)
    except UsageError:
        choice = None
    if choice is None or choice.kind.graph is None:
        able = [one for one in choices() if one.kind.graph is not None]
        why = "it is unknown" if choice is None else f"no gradients of losses run on {choice.name}"
        raise UsageError(f"gradient {text!r}: {why}; it must be torch, {listed(able)}")
    return choice


def gradient_of(engine: EngineChoice, asked: EngineChoice | None = None) -> EngineChoice:
    """What computes the gradients of losses beside `engine`: as asked, else the same engine in its exact precision.

    Beside an engine that opens no such graph it is the first that does and is installed, else torch.
    """
    if asked is not None:
        return asked
    for kind in (engine.kind, *table.ENGINES):
        if kind.graph is not None and not kind.lacking(None):
            return EngineChoice(kind)
    return EngineChoice(TORCH)


def parse_precision(text: str, choice: EngineChoice | None = None) -> Precision:
    """A bundle's precision, for the engine `choice` if one was named; raises UsageError, without a place."""
    for known in get_args(Precision):
        if text == known:
            if choice is not None and (refusal := choice.kind.refusal(known)) is not None:
                raise UsageError(
                    f"precision {known} cannot be had with --engine {choice.name}: {refusal.why}; use {refusal.way_out}"
                )
            return known
    raise UsageError(f"precision {text!r} is unknown; it must be one of {', '.join(get_args(Precision))}")


def engine_for(precision: Precision) -> EngineChoice:
    """The engine a bundle in `precision` is for unless someone says otherwise: the first that runs it, on the CPU."""
    able = (engine for engine in table.ENGINES if not engine.on_gpu and engine.refusal(precision) is None)
    return EngineChoice(next(able))


def engine_of(info: BundleInfo, choice: EngineChoice | None = None) -> EngineChoice:
    """`choice`, or where that is None the engine the bundle was exported for. Raises UsageError as `check_choice` does."""
    chosen = choice or parse_engine(info.engine)
    check_choice(info, chosen)
    return chosen


def check_prompt_length(choice: EngineChoice, chunks: int) -> None:
    """Raise UsageError if the engine, built for the tokens of one chunk, cannot run prompts of so many."""
    if chunks > 1 and choice.kind.one_length:
        other = next(engine for engine in table.ENGINES if engine.on_gpu and not engine.one_length)
        raise UsageError(
            f"a prompt takes {chunks} chunks (long_prompts: chunks), and {choice.name} engines are built for the tokens of "
            f"one; render with --engine {other.name}, or leave long_prompts out"
        )


def check_installed(choice: EngineChoice) -> None:
    """Raise EnvironmentFailure, as opening the engine would, where a package of it is missing. Opens and imports nothing."""
    if why := choice.kind.lacking(choice.precision):
        raise EnvironmentFailure(why)


def running(info: BundleInfo) -> list[Engine]:
    """The engines that can run the bundle's graphs at all."""
    return [engine for engine in table.ENGINES if runs(info, EngineChoice(engine))]


def runs(info: BundleInfo, choice: EngineChoice) -> bool:
    """Whether the engine can run the bundle's graphs at all."""
    try:
        check_choice(info, choice)
    except UsageError:
        return False
    return True


def check_choice(info: BundleInfo, choice: EngineChoice) -> None:
    """Raise UsageError if the bundle's graphs are of a flavour or precision that the engine cannot run."""
    if info.flavour not in choice.kind.flavours:
        readers = [engine.name for engine in table.ENGINES if info.flavour in engine.flavours]
        raise UsageError(
            f"bundle {info.name} was exported in the {info.flavour!r} flavour, which runs on {' and '.join(readers)}, "
            f"not on {choice.name}; export the checkpoint again with --engine {choice.name}"
        )
    if (refusal := choice.kind.refusal(info.precision)) is not None:
        raise UsageError(
            f"bundle {info.name} was exported in {info.precision}, and {refusal.why}; render with another engine, or "
            f"export it again with {refusal.way_out}"
        )
