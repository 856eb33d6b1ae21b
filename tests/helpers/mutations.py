"""Manifests gone wrong, from a seed: the examples and a corpus of hostile ones, with values, keys and characters exchanged.

Nothing here asks for more than some thousand pictures: how many a manifest may ask for has tests of its own.
"""

import json
import random
import re
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
HEAD = "version: 1\nname: m\nmodel: demo\n"

# What a value, a key or a piece of text may become.
SCALARS = (
    *("", "~", "null", "no", "yes", "on", "NaN", ".nan", ".inf", "-.inf", "none", "true", "0", "-0", "-1", "1e999"),
    *("1e-999", "0x10", "0o17", "1_000", "12:30", "9" * 40, "9" * 5000, "18446744073709551615", "18446744073709551616"),
    *("1..3", "3..1", "1..", "..", "1..2..3", "-5..5", "512x512", "8x8", "0x0", "512×512", "1/0", "50%", "=1+1", "<<"),
    *(
        "*a",
        "&a b",
        "!!python/object/apply:os.system [id]",
        "!!binary aGk=",
        "|",
        ">",
        "'",
        '"',
        "%",
        "@x",
        "`x`",
        "- -",
    ),
    *("{a: {b: {c: [[[]]]}}}", "[]", "{}", "[1, [2, [3]]]", "{? [a]: b}", "[,]", "{,}", "{a: 1, a: 2}", "? a"),
    *("‮gnp.exe", "\u2028", "\u0085", "﻿", "é", "é", "İ", "ß", "😀" * 50, "\u0000", "\\u0000", "\ud7ff", "ﷺ"),
    *(
        "../../etc/passwd",
        "/dev/zero",
        "/dev/stdin",
        "CON",
        "a/b.png",
        "{seed}.png",
        "{",
        "}",
        "{{}}",
        "{0}",
        "{seed!r}",
    ),
    *(
        "{seed:>9999999}",
        "{index:99999999999}",
        "{prompt:\u0663}",
        "{a.b[c]}",
        "(a:1.3)",
        "((((a",
        "[a:b:0.5]",
        "[a|b|]",
    ),
    *("(" * 900, "[" * 400 + "a", "a++--", "(a:1e999)", "(a:nan)", "BREAK BREAK", "<line-art>", "<lora:x:1>", "__x__"),
    *("a1111", "compel", "chunks", "clip", "canny", "euler_a", "karras", "demo", "../demo", "org/name"),
)
KEYS = (
    *(
        "version",
        "name",
        "model",
        "defaults",
        "matrix",
        "jobs",
        "concepts",
        "output",
        "sheet",
        "prompt",
        "seed",
        "n",
        "id",
    ),
    *(
        "negative_prompt",
        "steps",
        "size",
        "sampler",
        "loss",
        "guidance_scale",
        "guidance_stop",
        "refiner",
        "init_image",
    ),
    *("mask_image", "strength", "prompt_weighting", "long_prompts", "text_cleaning", "timesteps", "exclude", "label"),
    *("value", "style", "background", "eta", "<<", "__class__", "", "~", "no", "1", "a.b", "‮"),
)


def _bomb():
    levels = ["x0: &x0 [a, a, a, a, a, a, a, a, a]\n"]
    levels += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 12)]
    return "".join(levels)


# Hostile from the start, and given as they are: what grows beyond measure.
LONG = (
    lambda: HEAD + "defaults: {prompt: '" + "{a}" * 30_000 + "'}\nmatrix: {a: [" + "x" * 100_000 + "]}\n",
    lambda: HEAD + "defaults: {prompt: a}\nmatrix: {a: [" + "x" * 99_999 + "]}\noutput: '" + "{a}" * 1_000 + ".png'\n",
    lambda: HEAD + "defaults: {prompt: " + "a " * 5_000_000 + "}\n",
    lambda: HEAD + "defaults: {prompt: " + "(" * 5_000_000 + ", prompt_weighting: a1111}\n",
    lambda: HEAD + "defaults: {prompt: " + "a" * 10_000_000 + ", prompt_weighting: compel, long_prompts: chunks}\n",
    lambda: HEAD + "#" + "x" * 10_000_000 + "\n",
    lambda: HEAD + "x" * 10_000_000 + ": 1\n",
    lambda: HEAD + "defaults: " + "[" * 5_000_000,
    lambda: HEAD + "defaults: " + "{a: " * 1_000_000,
    lambda: HEAD + "- " * 1_000_000,
    lambda: "\n" * 10_000_000,
    lambda: HEAD + "defaults: {prompt: a}\n" + _bomb() + "matrix: {style: *x11}\n",
    lambda: HEAD + "defaults: {prompt: a, steps: " + "9" * 1_000_000 + "}\n",
    lambda: HEAD + "defaults: {prompt: a}\noutput: '" + "{seed}" * 1_000_000 + ".png'\n",
    lambda: HEAD + "defaults: {prompt: a}\nmatrix: {style: [" + "a, " * 20_000 + "]}\n",
    lambda: HEAD + "".join(f"k{n}: 1\n" for n in range(20_000)),
)
SHORT = (
    HEAD + 'defaults: {prompt: "a {style}", steps: 2}\nmatrix: {style: [x, y], seed: 1..3}\nsheet: {rows: style}\n',
    HEAD + "defaults: &d {prompt: a, seed: -1}\njobs: [{id: a, n: 2}, {id: b, seed: 5}]\noutput: '{id}/{seed}.png'\n",
    HEAD + "defaults: {prompt: '(a:1.2) [b:c:0.5]', prompt_weighting: a1111, long_prompts: chunks, size: [64, 72]}\n",
    HEAD + "defaults: {prompt: (a cat)++ and.and()', prompt_weighting: compel, loss: {name: canny, scale: 3}}\n",
    HEAD + "matrix:\n  style: [{label: a, value: b, seed: 1}]\n  loss: [none, canny]\n  exclude: [{style: a}]\n"
    "defaults: {prompt: '{style}', sampler: euler_a_karras, guidance_stop: 0.5, timesteps: [900, 500]}\n",
    HEAD + _bomb(),
    "{" + ", ".join(f'"{key}": null' for key in KEYS) + "}",
    json.dumps({"version": 1, "model": "demo", "jobs": [{"prompt": "a", "seed": 1}], "output": "{seed}.png"}),
)


def corpus():
    """What the mutations begin with."""
    return [path.read_text() for path in sorted(EXAMPLES.glob("*.yaml"))] + list(SHORT)


def mutated(texts, choose):
    """One of `texts`, changed in one to six places that the generator `choose` picks."""
    text = choose.choice(texts)
    for _ in range(choose.choice((1, 1, 1, 2, 4))):
        text = choose.choice(_CHANGES)(text, texts, choose)
    return text


def _value(text, _, choose):
    places = [match.span(1) for match in re.finditer(r"[:\[,-] *([^\s:\[\]{},#][^:\[\]{},#\n]*)", text)]
    return _put(text, choose.choice(places), choose.choice(SCALARS)) if places else text


def _key(text, _, choose):
    places = [match.span(1) for match in re.finditer(r"([\w<>-]+):", text)]
    return _put(text, choose.choice(places), choose.choice(KEYS)) if places else text


def _line(text, texts, choose):
    lines = text.splitlines(keepends=True) or [""]
    others = choose.choice(texts).splitlines(keepends=True) or [""]
    place = choose.randrange(len(lines))
    lines[place : place + choose.randrange(2)] = choose.choice(([], [choose.choice(others)], [lines[place]] * 2))
    return "".join(lines)


def _added(text, _, choose):
    indent = " " * choose.randrange(6)
    line = f"{indent}{choose.choice(KEYS)}: {choose.choice(SCALARS)}\n"
    lines = text.splitlines(keepends=True)
    lines.insert(choose.randrange(len(lines) + 1), line)
    return "".join(lines)


def _characters(text, _, choose):
    place = choose.randrange(len(text) + 1)
    return _put(
        text, (place, place + choose.randrange(4)), choose.choice(("", *"{}[]:,#&*!|>'\"%@`\n\t -?\r\0‮\u2028é"))
    )


def _nested(text, _, choose):
    start, end = choose.choice(("[]", "{}", ("{a: ", "}"), ("- ", "")))
    depth = choose.choice((1, 3, 63, 70, 500))
    return _put(text, (place := choose.randrange(len(text) + 1), place), start * depth + end * depth)


def _cut(text, _, choose):
    start = choose.randrange(len(text) + 1)
    return text[:start] + text[start + choose.randrange(1 + len(text) - start) :]


def _put(text, span, value):
    return text[: span[0]] + value + text[span[1] :]


_CHANGES = (_value, _value, _value, _key, _key, _line, _added, _added, _characters, _nested, _cut)


def many(number, seed):
    """`number` mutated manifests, always the same for a seed."""
    choose, texts = random.Random(seed), corpus()
    return (mutated(texts, choose) for _ in range(number))
