"""What a shell is offered on Tab beside names of commands, options and files: words that an option or an argument takes.

Typer makes the shells' scripts and answers them. A shell offers files where nothing comes from here.
"""

import glob
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from latentpress.errors import UsageError

# Written out, so that a shell need not wait for the tables they are in; tests/test_cli_completion.py holds them to those.
ENGINES = ("cpu", "openvino", "openvino:bf16", "cuda", "tensorrt", "tensorrt-rtx")
# Those that are built ahead for a GPU which need not be here.
ELSEWHERE = ("tensorrt-rtx",)
FIELD_WORDS: Mapping[str, tuple[str, ...]] = {
    "loss": (
        *("none", "canny", "channel", "saturation", "contrast", "symmetry", "soft_canny"),
        *("sobel", "tv", "brightness", "exposure", "grayscale", "sepia", "hue"),
        *("palette", "mix", "colour_matrix", "vignette", "frequency", "elastic", "latents"),
    ),
    "picture_reading": ("shown", "diffusers"),
    "prompt_weighting": ("none", "a1111", "compel"),
    "long_prompts": ("truncate", "chunks"),
    "text_cleaning": ("basic", "clip"),
}

_SCRIPTS = ("--install-completion", "--show-completion")
# How deep below what was typed folders are looked for, and how many are offered.
_LEVELS = ("*", "*/*")
_MOST = 200


def check_shell(arguments: Sequence[str]) -> None:
    """Raise UsageError where completion is asked for from no shell that typer knows."""
    if not (arguments and arguments[0] in _SCRIPTS):
        return
    import shellingham  # typer's own, by which it tells the shell

    try:
        shell = shellingham.detect_shell()[0]
    except (shellingham.ShellDetectionFailure, OSError):
        shell = None
    if shell not in ("bash", "zsh", "fish", "powershell", "pwsh"):
        raise UsageError(
            f"{arguments[0]}: {shell or 'no shell'} is what runs this command, and completion is for bash, zsh, fish and "
            "PowerShell; run it in one of them, or print its script with `_LATENTPRESS_COMPLETE=source_bash latentpress`"
        )


def completing() -> bool:
    """Whether a shell asks, who wants an answer at once: then the tables that take half a second to import stay out."""
    return "_LATENTPRESS_COMPLETE" in os.environ


def tab_help(text: str) -> str:
    """An option's or a command's help as it stands beside it on Tab: with the engines' names put in.

    zsh is handed it within quotes, out of which typer's way to write an apostrophe takes it: there it is the printer's.
    """
    names = dict.fromkeys(engine.partition(":")[0] for engine in ENGINES)
    for word, known in (("ENGINES", ENGINES), ("NAMES", names), ("ELSEWHERE", ELSEWHERE)):
        *first, last = known
        text = text.replace(f"{{{word}}}", f"{', '.join(first)} or {last}" if first else last)
    return text.replace("'", "\u2019") if os.environ.get("_LATENTPRESS_COMPLETE") == "complete_zsh" else text


def engine_names(incomplete: str) -> list[str]:
    """What `--engine` takes."""
    return _beginning(ENGINES, incomplete)


def gradient_names(incomplete: str) -> list[str]:
    """What `--gradient` takes."""
    return _beginning(["cpu", "openvino", "openvino:bf16", "torch"], incomplete)


def bundles(incomplete: str) -> list[str]:
    """`demo`, and the bundles below what was typed."""
    return [*_beginning(["demo"], incomplete), *_folders_with("bundle.json", incomplete)]


def output_folders(incomplete: str) -> list[str]:
    """The output folders below what was typed."""
    return _folders_with(".latentpress", incomplete)


def words(*known: str) -> Callable[[str], list[str]]:
    """A completion from a fixed list."""

    def complete(incomplete: str) -> list[str]:
        return _beginning(known, incomplete)

    return complete


def field_values(name: str) -> Callable[[str], list[str]]:
    """A completion with the words that a field of a job takes; none where it takes no words."""

    def complete(incomplete: str) -> list[str]:
        if name == "sampler":
            from latentpress.runtime.sampling.samplers import SAMPLERS

            return _beginning(SAMPLERS, incomplete)
        return _beginning(FIELD_WORDS.get(name, ()), incomplete)

    return complete


def _beginning(known: Iterable[str], incomplete: str) -> list[str]:
    return [one for one in known if one.startswith(incomplete)]


def _folders_with(mark: str, incomplete: str) -> list[str]:
    """The folders that hold a file `mark`, begin as was typed and are not far below that; the nearest first."""
    found: dict[str, None] = {}
    for level in _LEVELS:
        for path in glob.iglob(f"{glob.escape(incomplete)}{level}/{glob.escape(mark)}"):  # noqa: PTH207
            found[str(Path(path).parent)] = None
            if len(found) == _MOST:
                return sorted(found)
    return sorted(found)
