"""The examples and the exit codes that the help of each command shows. A command without an entry is a mistake."""

from collections.abc import Mapping
from dataclasses import dataclass

# What every command can end with.
_WRONG = {"2": "the manifest or an argument is wrong"}
_MACHINE = {"3": "this machine lacks something, such as disk space or a package"}
_LOCKED = {"75": "another process is rendering into the output folder"}
_SIGNAL = {"130": "stopped by Ctrl-C; 129 by SIGHUP, 143 by SIGTERM"}
_READER = {"141": "the reader of what is printed is gone, as in `... | head`"}


@dataclass(frozen=True)
class Help:
    """examples: command lines, each with a comment if it needs one; exits: exit code -> meaning, in rising order."""

    examples: tuple[str, ...]
    exits: Mapping[str, str]


def _help(*examples: str, **own: str) -> Help:
    """own: `_0="..."` for what this command means by a code."""
    return _made(examples, {}, own)


def _reading(*examples: str, **own: str) -> Help:
    """Of a command that does nothing but print."""
    return _made(examples, _READER, own)


def _locking(*examples: str, **own: str) -> Help:
    """Of a command that writes into an output folder."""
    return _made(examples, _LOCKED, own)


def _made(examples: tuple[str, ...], further: Mapping[str, str], own: Mapping[str, str]) -> Help:
    meant = {code.removeprefix("_"): meaning for code, meaning in own.items()}
    exits = {**_WRONG, **_MACHINE, **_SIGNAL, **further, **meant}
    return Help(examples, {code: exits[code] for code in sorted(exits, key=int)})


# By the words after `latentpress`.
HELP: Mapping[str, Help] = {
    "": _help(
        "latentpress plan my.yaml",
        "latentpress render my.yaml -o out/mine",
        'latentpress draw "a red kite" --seed 3 -o kite.png',
        _0="everything is done",
        _1="some pictures failed or differ",
        _4="pictures are missing, or a render was stopped by its policy",
        _75=_LOCKED["75"],
        _141=_READER["141"],
    ),
    "plan": _reading(
        "latentpress plan my.yaml",
        "latentpress plan my.yaml --only style=line-art --json",
        _0="the manifests are right",
    ),
    "status": _reading(
        "latentpress status my.yaml",
        "latentpress status 'nightly/*.yaml' -o 'night/{name}' --exit-code",
        _0="the status was told; with --exit-code: all pictures are done",
        _1="with --exit-code: some pictures failed, and none is missing",
        _4="with --exit-code: pictures are missing",
    ),
    "watch": _reading(
        "latentpress watch my.yaml",
        "latentpress watch out/mine --every 60",
        _0="all pictures are done",
        _1="some pictures failed, and none is missing",
        _4="pictures are missing, and nobody renders",
    ),
    "report": _reading(
        "latentpress report my.yaml",
        "latentpress report out/mine --page monday.html",
        _0="the report is written; with --exit-code: all pictures are done",
        _1="with --exit-code: some pictures failed, and none is missing",
        _4="with --exit-code: pictures are missing",
    ),
    "render": _locking(
        "latentpress render my.yaml -o out/mine",
        "latentpress render 'nightly/*.yaml' -o 'night/{date}/{name}' --stop-at 06:30",
        "latentpress render my.yaml --only seed=1000 --limit 8 --dry-run",
        _0="everything is done",
        _1="some pictures failed, or are quarantined",
        _4="stopped by --stop-after or --stop-at, and no picture failed",
    ),
    "openai": _locking(
        "latentpress openai batch.jsonl --model demo",
        "latentpress openai batch.jsonl --settings sdxl.yaml --files uploads -o out/batch",
        _0="every request is answered with pictures",
        _1="some requests are answered with an error",
    ),
    "draw": _help(
        'latentpress draw "a red kite" --seed 3 -o kite.png',
        "latentpress draw \"an owl\" -n 4 -o 'owl-{seed}.png' --sampler dpmpp_2m_karras --steps 20",
        "latentpress draw \"an owl\" --loss '{name: canny, scale: 200}'",
        _0="every picture is drawn",
        _1="some pictures failed",
    ),
    "sheet": _locking(
        "latentpress sheet out/mine",
        "latentpress sheet out/mine --rows style --columns seed --width 'nature double' -o figure.pdf",
        "latentpress sheet out/mine --only style=line-art -o cells.csv",
        "latentpress sheet out/mine --plots --by style -o figure.pdf  # and the numbers of its pictures",
        _0="the sheets, or the figure, are drawn",
    ),
    "tidy": _locking(
        "latentpress tidy my.yaml",
        "latentpress tidy my.yaml -o out/mine",
        _0="the folder holds what the manifest has",
    ),
    "trust": _help(
        "latentpress trust losses/mine.py",
        "latentpress trust    # what is trusted",
        _0="the losses may run",
    ),
    "gallery": _help(
        "latentpress gallery out/mine",
        "latentpress gallery out/mine out/other -o compare",
        "latentpress gallery out/mine --measures --by style",
        _0="the page is written",
        _75="another process writes this gallery",
    ),
    "verify": _reading(
        "latentpress verify out/mine",
        "latentpress verify out/mine --repair",
        _0="every picture is what was written",
        _1="some are missing, torn, foreign or swapped",
        _75=_LOCKED["75"],
    ),
    "rebuild": _locking(
        "latentpress rebuild out/mine",
        "latentpress rebuild /mnt/nas/mine --ledger /var/lib/latentpress",
        _0="the ledger knows the pictures",
    ),
    "diff": _reading(
        "latentpress diff out/monday out/tuesday --sheet differences.png",
        "latentpress diff a.png b.png --close 60",
        _0="all pictures are equal",
        _1="some differ, or are missing",
    ),
    "measure": _reading(
        "latentpress measure out/mine",
        "latentpress measure out/mine --against loss=none --by style -o styles.csv",
        _0="what could be measured is printed or written",
    ),
    "show": _help(
        "latentpress show out/mine/owl-1.png",
        "latentpress show out/mine/owl-1.png --manifest > again.yaml  # and render that",
        _0="it is printed",
        _2="an argument is wrong, or a picture says nothing or lacks an input",
    ),
    "rerender": _help(
        "latentpress rerender out/mine/owl-1.png",
        "latentpress rerender owl.png --model bundles/my-sd15 --concept '<owl>=owl.bin' -o again.png",
        _0="all pictures are equal to the pixel",
        _1="some differ",
        _2="an argument is wrong, or a picture lacks an input or metadata",
        _3="the engine of a picture is not to be had here, or the machine lacks something else",
    ),
    "results": _reading(
        "latentpress results out/mine",
        "latentpress results out/mine -o mine.parquet",
        _0="the rows are listed or written",
    ),
    "pack": _help(
        "latentpress pack out/mine -o figure.zip",
        "latentpress pack out/mine -o figure.zip --without 'concepts/*'  # whose licence forbids it",
        _0="the zip is written",
        _1="the folder holds something else than what was written, so nothing is packed",
        _75=_LOCKED["75"],
    ),
    "export": _help(
        "latentpress export ~/models/my-sd15 -o bundles/my-sd15 --concept '<owl>=owl.bin'",
        "latentpress export model.safetensors -o bundles/mine --lora style.safetensors:0.8 --precision fp16",
        "latentpress export org/checkpoint@v1.0 -o bundles/theirs",
        _0="the bundle is made",
    ),
    "concepts": _help(
        "latentpress concepts list demo",
        "latentpress concepts add bundles/my-sd15 midjourney.bin",
        _0="it is done",
    ),
    "concepts add": _help(
        "latentpress concepts add bundles/my-sd15 midjourney.bin",
        "latentpress concepts add bundles/my-sd15 '<person-500>=learned_embeds-step-500.bin'",
        _0="the concepts are in the bundle",
    ),
    "concepts list": _help("latentpress concepts list demo", _0="the concepts are listed"),
    "cache": _help("latentpress cache list", "latentpress cache prune --days 7 --yes", _0="it is done"),
    "cache dir": _help("latentpress cache dir", _0="the folder is printed"),
    "cache list": _help("latentpress cache list", _0="the entries are listed"),
    "cache prune": _help(
        "latentpress cache prune  # lists what could go",
        "latentpress cache prune --days 7 --yes",
        _0="it is listed or removed",
    ),
    "samplers": _reading("latentpress samplers", _0="the samplers are listed"),
    "losses": _reading("latentpress losses", "latentpress losses demo --calibrate", _0="the losses are listed"),
    "schema": _help("latentpress schema > manifest.schema.json", _0="the schema is printed"),
    "bench": _help(
        "latentpress bench demo",
        "latentpress bench bundles/my-sd15 --size 512x512 --job plain --job guided --json figures.json",
        "latentpress bench demo --sweep engine=cpu,openvino --sweep rows=2,8,16 --table sweep.md --plot front.png",
        "latentpress bench --compare before.json after.json --fail-slower 5%",
        "latentpress bench demo --history nightly --fail-slower 5%  # a regression check in one line",
        "latentpress bench bundles/my-sd15 --engine cuda --first-session report.md",
        _0="the figures are told",
        _1="a figure is slower by more than --fail-slower says",
    ),
    "inspect": _reading(
        "latentpress inspect demo",
        "latentpress inspect bundles/my-sd15 --verify --json",
        _0="the bundle is described",
    ),
    "engines": _help(
        "latentpress engines demo  # lists those that are there",
        "latentpress engines bundles/my-sd15 --engine openvino",
        _0="the engines are listed, or built and right",
    ),
    "doctor": _reading("latentpress doctor", _0="the engines are listed"),
}
