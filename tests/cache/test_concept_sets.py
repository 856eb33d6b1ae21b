"""A set of concepts against a full copy of the bundle with the same concepts baked in: facts, hashes, files and pixels."""

import errno
import gc
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from concept_sets import FILES, MANIFEST, concept, made_ready, opened
from latentpress.batch.folder import OutputFolder
from latentpress.batch.pictures.png import pixel_sha256
from latentpress.bundle.info import open_bundle
from latentpress.bundle.verified import file_sha256
from latentpress.cli import run_cli
from latentpress.errors import BundleError, EnvironmentFailure, ManifestError
from latentpress.export import demo
from latentpress.export.concepts import add_concepts
from latentpress.export.reading.concept_paths import AskedConcept
from latentpress.manifest.manifest import read_manifest
from latentpress.models import facts_of, models_for
from latentpress.runtime.prompts.parts import Reading
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import RenderRequest

PROMPTS = (
    *("a kite", "a <mine> kite", "<many>, <many>", "an owl and an owlet", "<Mine> kite", "<nobody> kite", "x<many>_1y"),
    *("(<mine>:1.3), <MANY>", "< many > kite", "<mine> " * 30, "<many> " * 30, "owl.owl", r"\<mine\> <|startoftext|>"),
)
READINGS = (Reading(), Reading("a1111", "chunks"), Reading("compel", "chunks"), Reading(cleaning="clip"))


@pytest.fixture(params=["sd1", "sdxl"])
def asked(request, tmp_path, monkeypatch):
    """A folder with a bundle of its own, m.yaml with four concepts for it, and no cache yet."""
    original = request.getfixturevalue("bundle" if request.param == "sd1" else "exported")
    original = original if request.param == "sd1" else original("sdxl").bundle
    return made_ready(original, tmp_path, monkeypatch)


@pytest.fixture
def one(bundle, tmp_path, monkeypatch):
    """As `asked`, for SD 1 alone."""
    return made_ready(bundle, tmp_path, monkeypatch)


def full_copy(folder, target):
    """A copy of the bundle with the concepts baked in, one after the other."""
    shutil.copytree(folder / "bundle", target)
    for token, stem in FILES.items():
        add_concepts(target, [AskedConcept((folder / f"{stem}.safetensors",), token)])
    return open_bundle(target)


def seen(bundle):
    """Everything that planning sees of a bundle but its bundle.json's hash."""
    facts = facts_of({"b": bundle})["b"]
    plain = ("name", "source_sha256", "default_size", "versions", "content", "parts", "source", "ordinary", "loras")
    found = {name: getattr(facts, name) for name in plain}
    found |= {"concepts": dict(facts.concepts), "vectors": dict(facts.vectors)}
    checks = {(prompt, reading): facts.check(prompt, reading) for prompt in PROMPTS for reading in READINGS}
    request = RenderRequest("x", 0, 64, 64, "ddim", 2, 5.0, prompt_weighting="a1111")
    rules = [facts.rules(RenderRequest(**{**vars(request), "prompt": prompt})) for prompt in PROMPTS]
    return found | {"checks": checks, "rules": rules}


def hashes(folder, models):
    plan = OutputFolder(folder / "m.yaml", folder / "out", models=models).plan()
    return plan.plan_hash, plan.warnings, [(job.job_hash, str(job.output)) for job in plan.jobs]


def test_a_plan_knows_what_a_full_copy_would_be(asked):
    baked = full_copy(asked, asked / "full")
    planned = opened(asked, verify=False, keep=False)
    overlaid = opened(asked)
    assert seen(planned) == seen(overlaid) == seen(baked)
    assert any(check.concepts for check in seen(planned)["checks"].values())
    manifest, cache = read_manifest(asked / "m.yaml"), asked / "cache"
    expected = hashes(asked, models_for(manifest, cache))
    assert hashes(asked, models_for(manifest, cache, verify=False, keep=False)) == expected
    assert len({job_hash for job_hash, _ in expected[2]}) == 8


def test_an_overlay_is_its_text_encoders_and_draws_what_a_full_copy_does(asked):
    baked = full_copy(asked, asked / "full")
    overlaid = opened(asked)
    assert overlaid.path.parent == asked / "cache/derived"
    assert (overlaid.path / "bundle.json").read_bytes() == (baked.path / "bundle.json").read_bytes()
    own = [path for path in overlaid.path.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in own)
    texts = [f"{encoder.component}.onnx" for encoder in baked.info.text_encoders]
    folders = tuple(f"{encoder.tokenizer}/" for encoder in baked.info.text_encoders)
    least = sum(
        baked.file(name).stat().st_size for name in baked.info.files if name in texts or name.startswith(folders)
    )
    assert least < size < least + 64 * 1024, "bundle.json, vectors and overlay.json are small"
    assert size < sum(baked.file(name).stat().st_size for name in baked.info.files) / 3
    assert {name: file_sha256(overlaid.file(name)) for name in baked.info.files} == dict(baked.info.files)
    requests = [(prompt, RenderRequest(prompt, 7, 64, 64, "ddim", 2, 5.0)) for prompt in PROMPTS[1:4]]
    pictures = [
        {one.key: pixel_sha256(one.image) for one in Renderer(bundle, batch_rows=2).render(requests)}
        for bundle in (baked, overlaid)
    ]
    assert pictures[0] == pictures[1]
    assert len(set(pictures[0].values())) == 3


def below(*folders):
    """Every path below the folders, with what would tell of any change."""
    found = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    return {path: (path.lstat().st_mtime_ns, path.lstat().st_ctime_ns, path.lstat().st_size) for path in found}


@pytest.mark.parametrize("age", ["new", "old"])
def test_plan_and_status_leave_no_file_behind(age, one, monkeypatch, tmp_path_factory):
    home, temporary = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("temporary")
    monkeypatch.delenv("LATENTPRESS_CACHE")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    if age == "old":  # the content of its graphs is not recorded, and is computed
        data = json.loads((one / "bundle/bundle.json").read_text())
        del data["content"]
        (one / "bundle/bundle.json").write_text(json.dumps(data))
    before = below(one, home, temporary)
    for command in (
        ["plan", "m.yaml"],
        ["status", "m.yaml"],
        ["plan", "m.yaml", "--json"],
        ["status", "m.yaml", "-o", "x"],
    ):
        assert run_cli(command) == 0
    assert below(one, home, temporary) == before
    assert run_cli(["render", "m.yaml", "--batch-rows", "2"]) == 0
    after = below(one, home, temporary)
    assert len(after) > len(before)
    for command in ("plan", "status"):
        assert run_cli([command, "m.yaml"]) == 0
    assert below(one, home, temporary) == after


@pytest.mark.parametrize("cache", ["empty", "damaged"])
def test_the_first_plan_of_the_built_in_model_is_a_plan(cache, one, assets, monkeypatch, tmp_path_factory, capsys):
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr(demo, "export_demo", lambda path: shutil.copytree(assets / "bundle", path, dirs_exist_ok=True))
    (one / "m.yaml").write_text(MANIFEST.replace("model: bundle", "model: demo"))
    if cache == "damaged":
        demo.demo_path(one / "cache").mkdir(parents=True)
    before = below(one, temporary)
    assert run_cli(["plan", "m.yaml"]) == 0
    said = capsys.readouterr()
    assert said.err.count("the built-in model is not in the cache") == 1
    assert "0 of 8 images" in said.out
    gc.collect()  # as the end of the process does
    assert below(one, temporary).keys() == before.keys()
    assert below(one) == {path: facts for path, facts in before.items() if path.is_relative_to(one)}
    assert run_cli(["render", "m.yaml", "--batch-rows", "2"]) == 0
    assert "is exported to" in capsys.readouterr().err
    assert run_cli(["plan", "m.yaml"]) == 0
    assert "exported" not in capsys.readouterr().err


def test_a_base_that_lies_elsewhere_is_found(one):
    first = opened(one)
    inode = (first.path / "text_encoder.onnx").stat().st_ino
    (one / "bundle").rename(one / "moved")
    with pytest.raises(
        BundleError, match=r"is a set of concepts on another bundle, which cannot be used: .*bundle: not a"
    ):
        open_bundle(first.path)
    (one / "m.yaml").write_text(MANIFEST.replace("model: bundle", "model: moved"))
    again = opened(one)
    assert again.path == first.path
    assert (again.path / "text_encoder.onnx").stat().st_ino == inode, "nothing is made again"
    assert again.file("unet.onnx") == one / "moved/unet.onnx"


def test_a_base_that_changed_is_told(one):
    first = opened(one)
    add_concepts(one / "bundle", {"<fifth>": one / "mine.safetensors"})
    assert opened(one).path != first.path, "it is another bundle"
    assert first.file("unet.onnx").exists()
    shutil.copyfile(one / "bundle/vae_encoder.onnx", one / "bundle/unet.onnx")
    with pytest.raises(
        ManifestError, match=r"unet.onnx: has .* bytes, and was exported with .*export the bundle again"
    ):
        opened(one)
    data = json.loads((one / "bundle/bundle.json").read_text())
    data["files"]["unet.onnx"] = file_sha256(one / "bundle/unet.onnx")
    (one / "bundle/bundle.json").write_text(json.dumps(data))
    with pytest.raises(BundleError, match=r"is a set of concepts on the bundle .*, which is another one now"):
        open_bundle(first.path)


@pytest.mark.parametrize("damage", ["overlay.json", "text_encoder.onnx", "bundle.json", "tokenizer/vocab.json"])
def test_what_is_damaged_is_made_again(damage, one):
    first = opened(one)
    content = (first.path / damage).read_bytes()
    (first.path / damage).write_bytes(content[: len(content) // 2])
    again = opened(one)
    again.verify()
    assert again.path == first.path
    if damage != "overlay.json":  # it says when it was made
        assert (again.path / damage).read_bytes() == content


def test_a_full_copy_of_an_earlier_version_is_used_as_it_is(one):
    place = opened(one).path
    shutil.rmtree(place)
    full_copy(one, place)
    found = opened(one)
    assert (found.path, found.overlay) == (place, None)
    assert found.file("unet.onnx").parent == place


def test_engines_of_shared_graphs_are_the_bases(one):
    overlaid = opened(one)
    assert run_cli(["engines", str(overlaid.path), "--engine", "cpu"]) == 0
    assert sorted(path.name for path in (one / "bundle/engines/cpu").iterdir()) == [
        *("unet.json", "vae_decoder.json", "vae_encoder.json"),
    ]
    assert [path.name for path in (overlaid.path / "engines/cpu").iterdir()] == ["text_encoder.json"]
    assert run_cli(["inspect", str(overlaid.path), "--verify"]) == 0


Usage = namedtuple("Usage", "total used free")


def test_no_room_is_told_before_anything_is_written(one, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 30, 1 << 30, 1 << 10))
    with pytest.raises(EnvironmentFailure) as caught:
        opened(one)
    said = str(caught.value)
    assert said.startswith(
        f"{one}/cache: 0.0 MiB are free there, and the text encoder with the manifest's concepts takes "
    )
    assert said.endswith("; free some space, or name another cache folder with LATENTPRESS_CACHE")
    assert not (one / "cache/derived").exists()


def test_a_disk_that_fills_meanwhile_is_one_sentence(one, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("latentpress.export.concept_set.add_tokens", full)
    with pytest.raises(
        EnvironmentFailure, match=r"cache: there is no room for .*name another cache folder with LATENT"
    ):
        opened(one)
    assert not list((one / "cache/derived").iterdir())


def test_a_cache_that_cannot_be_written_names_its_variable(one, capsys):
    (one / "cache").write_text("a file where the folder should be")
    assert run_cli(["plan", "m.yaml"]) == 0
    assert run_cli(["render", "m.yaml"]) == 3
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert line.startswith(f"error: {one}/cache: cannot be used for the text encoder with the manifest's concepts (")
    assert line.endswith("; name another cache folder with LATENTPRESS_CACHE")


def test_a_concept_of_no_use_is_named_where_it_stands_and_nothing_is_made(one):
    concept(one / "many.safetensors", 3, [12], 1)
    (one / "owl.safetensors").write_bytes(b"x")
    for keep in (False, True):
        with pytest.raises(ManifestError) as caught:
            opened(one, keep=keep)
        assert [problem.split(": ")[0] for problem in caught.value.problems] == ["m.yaml:6:11", "m.yaml:7:8"]
    assert not Path(one / "cache/derived").exists()
