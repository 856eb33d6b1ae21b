"""Wildcards and prompts from files: what dynamicprompts finds in the same folder, and mistakes at their own lines."""

import re
from pathlib import Path

import pytest
from dynamicprompts.generators import CombinatorialPromptGenerator
from dynamicprompts.wildcards.wildcard_manager import WildcardManager

from latentpress.errors import ManifestError

FILES = {
    "color.txt": "# colours\nred\n\nblue\n__dark/tone__\n",
    "dark/tone.txt": "navy\n{deep|dull} green\n",
    "animals/cat.txt": "lion\nlynx\n",
    "animals/dog.txt": "wolf\n",
}


@pytest.fixture
def wildcards(manifest, tmp_path):
    """wildcards(files) writes a folder of wildcards beside the manifest."""

    def write(files, folder="wildcards"):
        for name, text in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def prompts(read):
    return [draft.values["prompt"] for draft, _, _ in read.drafts()]


def job(prompt, more=""):
    return f"jobs:\n  - prompt: '{prompt}'\n{more}"


def refused(manifest, body):
    with pytest.raises(ManifestError) as caught:
        manifest(body)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    "prompt",
    [
        "a __color__ kite",
        "__animals/cat__ and __animals/dog__",
        "__animals/*__",
        "{2$$__animals/*__}",
        "{__color__|x}",
        "__a*/cat__",
        "__animals/**__",
        "__an**/c**__",
    ],
)
def test_wildcards_are_what_dynamicprompts_gives(prompt, manifest, wildcards, tmp_path):
    wildcards(FILES)
    manager = WildcardManager(tmp_path / "wildcards")
    manager.sort_wildcards = False
    theirs = CombinatorialPromptGenerator(manager).generate(prompt, max_prompts=1000)
    assert prompts(manifest(job(prompt))) == [str(one) for one in theirs]


def test_a_wildcard_is_drawn_as_braces_are(planned, wildcards):
    wildcards(FILES)
    plan = planned(job("a __~color__ {beast=~__animals/*__}", "    seed: 1..60\n") + 'output: "{beast}-{seed}.png"\n')
    found = [job.request.prompt for job in plan.jobs]
    assert {re.match("a (red|blue|navy|deep green|dull green) ", prompt)[1] for prompt in found} == {
        *("red", "blue", "navy", "deep green", "dull green")
    }
    assert {str(job.output).partition("-")[0] for job in plan.jobs} == {"lion", "lynx", "wolf"}
    # A line more is drawn by the pictures that have it, and changes no other.
    wildcards({"animals/dog.txt": "wolf\nfox\n"})
    after = planned(job("a __~color__ {beast=~__animals/*__}", "    seed: 1..60\n"))
    changed = [new.request.prompt for new, old in zip(after.jobs, found, strict=True) if new.request.prompt != old]
    assert changed
    assert all(prompt.endswith("fox") for prompt in changed)


def test_wildcards_are_characters_without_a_folder(planned):
    plan = planned(job("a __color__ kite"))
    assert [job.request.prompt for job in plan.jobs] == ["a __color__ kite"]
    assert (
        "'__color__' in the prompt is taken as characters; a folder `wildcards` beside the manifest" in plan.warnings[0]
    )


def test_wildcards_may_be_switched_off_or_escaped(planned, wildcards):
    wildcards(FILES)
    (only,) = planned(job("a __color__ kite") + "wildcards: none\n").jobs
    assert only.request.prompt == "a __color__ kite"
    plan = planned(job(r"a \__color__ kite, a__b, __init, 2 ** 3"))
    assert [job.request.prompt for job in plan.jobs] == ["a __color__ kite, a__b, __init, 2 ** 3"]
    assert not plan.warnings


def test_a_line_that_is_given_twice_is_no_weight_that_somebody_wrote(manifest, wildcards):
    wildcards({"x.txt": "ink\nink\noil\n", "y.txt": "ink\n2::ink\noil\n"})
    assert not manifest(job("a __x__ kite")).warnings
    (warning,) = manifest(job("a __y__ kite")).warnings
    assert "prompt has weights at '__y__', and all options are rendered" in warning


def test_another_folder_may_be_named(manifest, wildcards):
    wildcards({"x.txt": "one\ntwo\n"}, "lists")
    assert prompts(manifest(job("__x__") + "wildcards: lists\n")) == ["one", "two"]
    assert refused(manifest, job("a") + "wildcards: list\n") == [
        "m.yaml:6:12: wildcards 'list' does not exist; paths start at the manifest's folder"
    ]


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a __colour__", "m.yaml:5:13: prompt has the wildcard '__colour__', and wildcards/colour.txt does not exist; did"),
        ("a __CAT__", "did you mean __animals/cat__?"),
        ("a __x**__", r"'__x**__', and no file in wildcards is called like that; write \__x**__ for the characters"),
        ("a {2::red}", "m.yaml:5:13: prompt has '{2::red}', a weight of one option alone; write the others beside it"),
        ("a __long__", "wildcards/long.txt:2:2: the line has 100,001 characters, and 100,000 are the most; shorten it"),
        ("a __most__", "m.yaml:5:13: prompt becomes longer than 100,000 characters; shorten it"),
        ("a __zzzz__", r"wildcards/zzzz.txt does not exist; write \__zzzz__ for the characters themselves"),
        ("a __../m__", "m.yaml:5:13: prompt has the wildcard '__../m__', which leads out of wildcards"),
        ("a __@color__", "m.yaml:5:13: prompt has cyclical braces, {@...} ('__@color__')"),
        ("a __empty__", "and wildcards/empty.txt holds no line that is one"),
        ("a __loop__", "wildcards/pool.txt:1:1: the line has a wildcard that holds itself: __loop__ -> __pool__ -> __l"),
        ("a __bad__", "wildcards/bad.txt:2:4: the line has '3$$' before 2 options"),
        ("a __named__", "wildcards/named.txt:1:1: the line names braces, {c=...}; name them in the prompt, {c=__wildcard"),
        ("a __bytes__", "wildcards/bytes.txt:2:3: byte 0xff is not UTF-8; save the file as UTF-8"),
        ("a __wide__", "wildcards/wide.txt:1:1: the file is UTF-16; save it as UTF-8"),
        ("a __nul__", "wildcards/nul.txt:1:2: the file holds a NUL"),
        ("a __filled__", "wildcards/filled.txt:2:9: the line names the placeholder {stile}, which nothing fills"),
        ("a {x|__~filled__}", "wildcards/filled.txt:2:9: the line names the placeholder {stile}, which nothing fills"),
        ("a __format__", "wildcards/format.txt:1:3: the line has '{seed:9999}'; after the colon goes"),
        ("a __open__", "wildcards/open.txt:1:5: the line has an unmatched brace"),
        ("a __outer__", "wildcards/bad.txt:2:4: the line has '3$$' before 2 options"),
        ("a __link__", "wildcards/link.txt:1:1: the file is a link to 'gone.txt', which does not exist; mend it, or take"),
        ("a __round__", "wildcards/round.txt:1:1: the file is a link to 'round.txt', and so on in a circle"),
        ("a __lin*__", "wildcards/link.txt:1:1: the file is a link to 'gone.txt', which does not exist"),
        ("a __dir__", "wildcards/dir.txt:1:1: the file cannot be read (it is a folder, not a regular file)"),
        ("a __inner/missing__", "wildcards/inner/missing.txt:3:6: the line has the wildcard '__no__', and wildcards/no.txt"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_where_it_stands(prompt, said, manifest, wildcards):
    wildcards(FILES | {"empty.txt": "# none\n", "bad.txt": "x\n2::{3$$a|b}\n", "named.txt": "{c=a|b}\n"})
    wildcards(
        {"loop.txt": "x\n__pool__\n", "pool.txt": "__loop__\n", "nul.txt": "a\0b\n", "outer.txt": "x\n __bad__\n"}
    )
    wildcards({"long.txt": "x\r " + "x" * 100_001, "most.txt": "x" * 100_000})
    wildcards({"filled.txt": "x\n  0.5:: {stile}\n", "format.txt": "a {seed:9999}", "open.txt": "{{a {b\n"})
    wildcards({"inner/missing.txt": "\n#\n\t a  __no__\n", "bytes.txt": "", "wide.txt": ""})
    Path("wildcards/bytes.txt").write_bytes(b"a\n b\xff")
    Path("wildcards/wide.txt").write_bytes("red\n".encode("utf-16"))
    Path("wildcards/link.txt").symlink_to("gone.txt")
    Path("wildcards/round.txt").symlink_to("round.txt")
    Path("wildcards/dir.txt").mkdir()
    (problem,) = refused(manifest, job(prompt))
    assert said in problem
    if not problem.startswith("m.yaml"):
        assert problem.endswith(" (used by the prompt at m.yaml:5:13)")


def test_every_mistake_in_a_file_of_wildcards_is_told_at_once(manifest, wildcards):
    wildcards({"x.txt": "ok\n{3$$a|b}\n__no__\n__y__\n", "y.txt": "{@a|b}\n"})
    assert [one.partition(": ")[0] for one in refused(manifest, job("a __x__"))] == [
        *("wildcards/x.txt:2:1", "wildcards/x.txt:3:1", "wildcards/y.txt:1:1")
    ]


def test_what_a_plan_says_of_words_from_a_file_is_told_there(planned, wildcards):
    wildcards({"x.txt": "ink\n 2::in <nowhere>\n", "y.txt": "__x__\n"})
    Path("p.txt").write_text("one\n\n  a <lost> kite\n")
    body = "defaults: {seed: 1}\njobs: [{prompt: a __~y__}, {prompt: a {__y__|oil}}, {prompt: {file: p.txt, whole: true}}]\n"
    with pytest.raises(ManifestError) as caught:
        planned(body.replace("a {__y__|oil}", "'a {__y__|oil}'"))
    assert [one.partition(" in the prompt looks like a concept")[0] for one in caught.value.problems] == [
        *("wildcards/x.txt:2:8: <nowhere>", "p.txt:3:5: <lost>")
    ]


def test_every_file_that_is_missing_is_told_at_once_and_each_place_once(manifest, wildcards):
    wildcards({"x.txt": "__g__ __h__\n"})
    body = job("__a__ {__b__|{__c__}} __a__ __x__", "    negative_prompt: __d__\n")
    found = refused(manifest, body + "  - {prompt: __a__, init_image: e.png}\n  - {prompt: {file: f.txt}}\n")
    assert [re.search(r"(^\S+): .*\b(\w)(.txt|.png)", one).group(1, 2) for one in found] == [
        *[("m.yaml:5:13", name) for name in "abc"],
        ("m.yaml:6:22", "d"),
        ("m.yaml:7:33", "e"),
        ("m.yaml:8:21", "f"),
        ("wildcards/x.txt:1:1", "g"),
        ("wildcards/x.txt:1:7", "h"),
    ]


def test_a_line_that_a_dialect_cannot_read_is_told_there(planned, wildcards):
    wildcards({"x.txt": "fine\n  a no good one\nno {good|bad}\n__y__ sky\n", "y.txt": "no good blue\n"})
    body = "jobs: [{prompt: a __x__, negative_prompt: b __~y__}, {prompt: __y__}, {prompt: no good __y__}]\n"
    with pytest.raises(ManifestError) as caught:
        planned(body)
    assert sorted({(file, line) for file, line, _ in caught.value.found}) == [
        *(("m.yaml", 4), ("wildcards/x.txt", 2), ("wildcards/y.txt", 1))
    ], "what no line has by itself is the whole prompt's"


def test_a_mistake_in_a_file_that_many_jobs_use_is_told_once(manifest, wildcards):
    wildcards({"x.txt": "{3$$a|b}\n"})
    body = "jobs:\n" + "".join(f"  - {{prompt: a __x__, seed: {seed}}}\n" for seed in range(20))
    assert len(refused(manifest, body)) == 1


LINES = "# prompts of the night\n\n a red kite \nan {old|young} owl in {style}\n"
MAC = LINES.replace("\n", "\r")


@pytest.mark.parametrize("text", [LINES, MAC], ids=["line feeds", "carriage returns"])
def test_a_file_of_prompts_is_one_picture_a_line(text, manifest):
    Path("p.txt").write_text(text)
    read = manifest("matrix: {style: [ink, oil]}\ndefaults: {prompt: {file: p.txt}}\n")
    assert prompts(read) == [
        *(
            "a red kite",
            "an old owl in ink",
            "an young owl in ink",
            "a red kite",
            "an old owl in oil",
            "an young owl in oil",
        )
    ]
    assert {str(draft.prompt_place) for draft, _, _ in read.drafts()} == {"p.txt:3:2", "p.txt:4:1"}
    assert prompts(manifest("jobs: [{prompt: {file: p.txt, whole: true}}]\nmatrix: {style: [ink]}\n"))[1].startswith(
        "# prompts"
    )


def test_a_file_of_lines_is_an_axis(manifest):
    Path("p.txt").write_text("a\nb {x|y}\n")
    read = manifest("matrix: {prompt: {file: p.txt}, seed: 1..2}\noutput: '{prompt}-{seed}.png'\n")
    assert [(draft.values["prompt"], seed) for draft, seed, _ in read.drafts()] == [
        (prompt, seed) for prompt in ("a", "b x", "b y") for seed in (1, 2)
    ]
    Path("w.txt").write_text("kite\nnull\n1..3\n")
    read = manifest("defaults: {prompt: 'a {noun}'}\nmatrix: {noun: {file: w.txt}}\n")
    assert prompts(read) == ["a kite", "a null", "a 1..3"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("jobs: [{prompt: {file: gone.txt}}]\n", "m.yaml:4:24: file gone.txt of prompt does not exist; paths start at"),
        ("jobs: [{prompt: {file: link.txt}}]\n", "m.yaml:4:24: file link.txt of prompt is a link to 'gone', which does not"),
        ("jobs: [{prompt: {file: bytes.txt}}]\n", "bytes.txt:2:2: byte 0xff is not UTF-8"),
        ("jobs: [{prompt: {flie: p.txt}}]\n", "m.yaml:4:18: unknown key 'flie' in prompt; did you mean 'file'?"),
        ("jobs: [{prompt: {file: empty.txt}}]\n", "m.yaml:4:24: empty.txt holds no prompt; write one a line"),
        ("jobs: [{prompt: {file: p.txt, whole: 3}}]\n", "m.yaml:4:38: whole is '3'; it must be true or false"),
        ("jobs: [{prompt: {file: p.txt}}]\n", "p.txt:2:3: prompt names the placeholder {stile}, which nothing fills"),
        ("matrix: {steps: {file: p.txt}}\n", "m.yaml:4:17: axis 'steps' is a file, and files have prompts"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_of_prompts_is_told(body, said, manifest):
    Path("p.txt").write_text("a\nb {stile}\n")
    Path("empty.txt").write_text("# none\n")
    Path("link.txt").symlink_to("gone")
    Path("bytes.txt").write_bytes(b"a\nb\xff\n")
    assert said in "\n".join(refused(manifest, body))
