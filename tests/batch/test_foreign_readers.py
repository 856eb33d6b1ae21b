"""Programs of others read from our pictures what we wrote: 26 awkward prompts, four formats, four programs."""

import re
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np
import pytest

from a1111_grammar import read
from fakes import fake_facts
from foreign_readers import FIELDS, exifreader, exiftool, sd_parsers, sd_prompt_reader
from latentpress.batch.pictures.encode import picture_bytes
from latentpress.batch.pictures.metadata import text_chunks
from latentpress.batch.plan.plan import build_plan
from latentpress.manifest.manifest import read_manifest
from latentpress.manifest.quoted import quoted, unbraced
from latentpress.runtime.request import Origin

# (prompt, negative prompt), the second None where there is none.
CORPUS = [
    ("a red kite", "blurry"),
    ("a red kite", None),
    ("a kite, (best quality:1.2), [dull]", "(worst quality:1.4), lowres"),
    ("kite: red, Size: 3 metres, Model: x", "Seed: 5"),
    ("a kite\nover the sea\n\nin the morning", "fog\nrain"),
    ("a Größe ½ – café", "naïve"),
    ("  outer blanks  ", "  blurry "),
    ("a kite\nSteps: 99, Sampler: Foo, CFG scale: 1, Seed: 1\nin flat", None),
    ("a kite\nNegative prompt: hello", "blurry"),
    ("a kite, Negative prompt: hello, Steps: 7", "blurry"),
    ("絵文字の凧、赤い", "ぼやけ"),
    ("طائرة ورقية حمراء", "ضبابي"),
    ("a 😀 kite 👨‍👩‍👧 🏳️‍🌈", "👎"),
    ("красный змей", "размыто"),
    ('a "quoted" kite, \\"escaped\\"', 'a "bad" one'),
    ("<line-art> of a kite & <b>bold</b>", "<moeb-style>"),
    ("a kite {red|blue} __color__ $x$ %20", "{x}"),
    ("a kite; a; b | c > d < e = f", "a=b"),
    ("word, " * 40, "bad, " * 30),
    ("https://example.org/a?b=c#d, a kite", "C:\\temp"),
    ('{"prompt": "a kite", "seed": 3}', "{}"),
    ("-1", "0"),
    ("none", "none"),
    ("a kite\n", "blurry\n"),
    ("step by step, sampler, model hash", "steps"),
    ("a kite, seed 7, size 64x64, CFG scale 3", "sampler Euler"),
]
# Which of them imitate the format, so that no reader can be right; plan warns of them.
IMITATING = {7, 8, 9}
# Where sd-prompt-reader fails by itself, with A1111's files too, whose EXIF is the same: it decodes the text in the wrong
# byte order first, in which a character whose code ends in D8 to DF, as that of ß, is half of a pair, and gives up. A mark
# of the byte order would help it, and A1111 would read the mark as a part of the prompt.
OF_THEIR_OWN = {
    sd_parsers: set(),
    sd_prompt_reader: {(5, ".jpg"), (5, ".webp")},
}
SUFFIXES = ("png", "jpg", "webp", "avif")
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """path -> (number, job, its texts), of each prompt in each format; and the plan's warnings."""
    folder = tmp_path_factory.mktemp("foreign")
    jobs = ""
    for number, (prompt, negative) in enumerate(CORPUS):
        fields = {"prompt": prompt} | ({} if negative is None else {"negative_prompt": negative})
        said = ", ".join(f"{name}: {quoted(unbraced(text))}" for name, text in fields.items())
        jobs += f"  - {{id: n{number}, seed: {1000 + number}, {said}}}\n"
    head = "version: 1\nname: m\nmodel: demo\nwildcards: none\n"
    settings = "defaults: {sampler: dpmpp_2m_karras, steps: 20, guidance_scale: 6.5, size: 64x48, loss: canny}\njobs:\n"
    (folder / "m.yaml").write_text(head + settings + jobs)
    facts = {"demo": facts_of_a_bundle()}
    plan = build_plan(read_manifest(folder / "m.yaml"), facts, {}, lambda: 7)
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    found = {}
    for number, job in enumerate(plan.jobs):
        texts = text_chunks(job, facts, Origin("cpu", 8, "any"), "a" * 64)
        for suffix in SUFFIXES:
            path = folder / f"{number:02}.{suffix}"
            path.write_bytes(picture_bytes(image, texts, PurePath(path), None))
            found[str(path)] = number, job, texts
    return found, plan.warnings


def facts_of_a_bundle():
    """The fake bundle, whose tokenizer knows any angle brackets."""
    facts = fake_facts()
    return replace(facts, check=lambda text, reading: replace(facts.check(text, reading), unknown=()))


def expected(job, facts_name="fake"):
    request = job.request
    return {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt or "",
        "steps": str(request.steps),
        "seed": str(request.seed),
        "guidance_scale": f"{request.guidance_scale:g}",
        "sampler": "DPM++ 2M",
        "size": "64x48",
        "model": facts_name,
    }


def test_those_that_imitate_the_format_are_warned_of_and_no_others(written):
    found = (re.match(r".*m\.yaml:(\d+):\d+: warning: .* take for their own", line) for line in written[1])
    assert {int(line[1]) - 7 for line in found if line} == IMITATING


@pytest.mark.parametrize("reader", [sd_parsers, sd_prompt_reader])
def test_settings_and_prompts_are_read_right(reader, written):
    """But for outer blanks, which all trim; and prompts that imitate the format. Neither reads AVIF."""
    paths = [path for path in written[0] if not path.endswith(".avif")]
    read, wrong = reader(paths), set()
    for path in paths:
        number, job, _ = written[0][path]
        want, got = expected(job), read[path]
        if [name for name in FIELDS if (got.get(name) or "").strip() != want[name].strip()]:
            wrong.add((number, Path(path).suffix))
        elif reader is sd_parsers:
            assert got["model_hash"] == "0123456789"
    assert {one for one in wrong if one[0] not in IMITATING} == OF_THEIR_OWN[reader]


def test_the_grammar_of_the_format_gives_every_setting_back(written):
    """With what A1111 needs to know who drew the noise, and the line without which ComfyUI builds nothing."""
    for path, (number, job, texts) in written[0].items():
        if number in IMITATING or not path.endswith(".png"):
            continue
        prompt, negative, values = read(texts["parameters"])
        want = expected(job)
        shown = ["\n".join(map(str.strip, want[name].strip().split("\n"))) for name in ("prompt", "negative_prompt")]
        assert [prompt.strip(), negative.strip()] == shown
        keys = ("Steps", "Seed", "CFG scale", "Sampler", "Size", "Model")
        assert [values[key] for key in keys] == [
            want[name] for name in ("steps", "seed", "guidance_scale", "sampler", "size", "model")
        ]
        assert (values["RNG"], values["Model hash"], values["Schedule type"]) == ("CPU", "0123456789", "Karras")
        assert (values.get("Emphasis") == "None") == any(set(one) & set("()[]") for one in (prompt, negative))
        assert "\nNegative prompt:" in texts["parameters"]
        last = texts["parameters"].split("\n")[-1].replace('"', "")
        assert ", ".join(f"{key}: {value}" for key, value in values.items()) == last, "nothing is cut or left over"


@pytest.mark.parametrize("reader", [exiftool, exifreader])
def test_every_text_is_read_whole_from_every_format(reader, written):
    read = reader(list(written[0]))
    for path, (_, job, texts) in written[0].items():
        said = read[path]
        assert not {"Warning", "Error"} & said.keys(), said
        prompt = job.request.prompt
        blank = " " * (not path.endswith(".png") and texts["parameters"].startswith("{"))
        assert said["parameters"].replace("\r", "") == blank + texts["parameters"], path
        assert said["DigitalSourceType"] == TRAINED
        assert said["AISystemUsed"] == "Stable Diffusion, model fake, rendered by latentpress"
        assert said["AISystemVersionUsed"] == "sha256 of the checkpoint: 0123456789ab"
        assert str(said["AIPromptInformation"]).strip() == prompt.strip(), path
        assert said["AltTextAccessibility"] == f"Generated picture: {' '.join(prompt.split())}", path
        assert str(said["Title"]).rstrip("…") in " ".join(prompt.split())
        assert "seed 10" in said["Description"]
