"""The demo model's recipe, run whole for a few steps on drawn-here pictograms, and its parts against plain arithmetic."""

import json

import numpy as np
import pytest
import torch

from demo_model import concepts, dataset, evaluate, pictograms, styles, text_to_image, training, vae
from demo_model.settings import tiny
from latentpress.export import export_bundle
from latentpress.export.reading.checkpoint import load_components
from latentpress.export.reading.concept_file import read_concepts
from latentpress.export.reading.concept_paths import concepts_asked

SHAPES = {
    "apple": '<circle cx="16" cy="16" r="12" fill="#d62828"/>',
    "box": '<rect x="6" y="6" width="20" height="20" fill="#1e50b4"/>',
    "kite": '<path d="M16 2 L30 16 L16 30 L2 16 Z" fill="#28a046"/>',
    "bone": '<rect x="2" y="13" width="28" height="6" fill="#777"/>',
}


@pytest.fixture(scope="module")
def sets():
    """Style -> subject -> large picture, as `dataset.build` draws them."""
    icons = {"icons": {name: {"body": body} for name, body in SHAPES.items()}, "width": 32, "height": 32}
    size = tiny().size * pictograms.OVERSAMPLING
    drawn = {name: pictograms.draw(pictograms.svg_of(icons, name), size) for name in SHAPES}
    return {package.style: drawn for package in pictograms.PACKAGES}


@pytest.mark.parametrize("shipped", [False, pytest.param(True, marks=pytest.mark.full)])
def test_the_recipe_trains_resumes_and_ships(shipped, sets, tmp_path, monkeypatch):
    """shipped: exported too, which takes a minute; else what it made is read as an export reads it."""
    settings, device = tiny(), torch.device("cpu")
    made = dataset.save(
        tmp_path / "data", dataset.assemble(sets, settings.size, {"apple", "box", "kite"}, {"apple", "box"})
    )
    monkeypatch.setattr(concepts, "SAMPLED", ("apple",))
    monkeypatch.setattr(text_to_image, "SAMPLED", ("an apple in the style of flat", "a box"))
    pictures = dataset.load(tmp_path / "data")
    assert [entry.caption for entry in pictures.entries] == [entry.caption for entry in made.entries]
    autoencoder = vae.fit(settings, pictures, tmp_path, device)
    checkpoint = text_to_image.fit(settings, pictures, autoencoder, tmp_path, device)
    files = concepts.fit(settings, pictures, checkpoint, tmp_path, device)
    assert {file.name for file in files} == {f"{concept.token.strip('<>')}.bin" for concept in dataset.CONCEPTS}
    steps = [json.loads(line)["step"] for line in (tmp_path / "unet-loss.jsonl").read_text().splitlines()]
    assert steps == [settings.unet.steps]
    assert (tmp_path / "unet-loss.png").stat().st_size > 0
    report = evaluate.evaluate(checkpoint, tmp_path / "concepts", pictures, settings, tmp_path)
    assert report.captions["pixels"].renders == settings.judged_captions * settings.judged_seeds
    assert set(report.styles["latents"]) == {concept.token for concept in dataset.CONCEPTS}
    assert json.loads((tmp_path / "evaluation.json").read_text())["psnr"] == report.psnr
    if shipped:
        made_of = export_bundle(checkpoint, tmp_path / "bundle", files).concepts
    else:
        width = load_components(checkpoint).texts[0].hidden_size
        made_of = [one for given in concepts_asked(files) for one in read_concepts(given)]
        assert {vectors.shape[1] for one in made_of for vectors in one.vectors.values()} == {width}
    assert sorted(concept.token for concept in made_of) == sorted(c.token for c in dataset.CONCEPTS)


def test_a_killed_training_ends_with_the_same_weights(tmp_path):
    """Two runs of four steps, one stopped after its second: equal bit for bit, the averages too."""

    def run(folder, stop):
        torch.manual_seed(0)
        module = torch.nn.Linear(3, 2)

        def loss(generator, step):
            if stop and len(calls) == stop:
                raise KeyboardInterrupt
            calls.append(1)
            return module(torch.randn(5, 3, generator=generator)).square().mean()

        calls: list[int] = []
        training.train("m", module, loss, tiny().vae, folder, seed=1, device=torch.device("cpu"), say=lambda line: None)
        return module.weight.detach().clone()

    whole = run(tmp_path / "whole", None)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", 2)
    assert torch.equal(run(tmp_path / "killed", None), whole)


def test_the_average_is_the_closed_form():
    module = torch.nn.Linear(1, 1, bias=False)
    ema = training.Ema(module, 0.5)
    start = float(module.weight.detach())
    with torch.no_grad():
        module.weight.add_(1.0)
    ema.update(1000)
    ema.swap()
    assert float(module.weight.detach()) == pytest.approx(start + 0.5)


def test_nearest_is_the_least_squared_error():
    random = np.random.default_rng(0)
    gallery = random.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    renders = random.integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    errors = np.square(renders[:, None].astype(float) - gallery[None]).mean((2, 3, 4))
    assert (evaluate.nearest(renders, gallery, 3) == np.argsort(errors, 1)[:, :3]).all()


def test_recolouring_turns_the_hue_and_keeps_the_brightness(sets):
    apple = styles.small(sets["flat"]["apple"], 32)
    hue = styles.hue_of(apple)
    assert hue is not None
    assert styles.name_of_hue(hue) == "red"
    blue = styles.recoloured(apple, hue, "blue")
    assert styles.name_of_hue(styles.hue_of(blue)) == "blue"
    assert (blue.max(-1) == apple.max(-1)).mean() > 0.99
    assert styles.hue_of(styles.small(sets["flat"]["bone"], 32)) is None


def test_the_base_never_sees_a_concepts_style(sets):
    made = dataset.assemble(sets, 32, {"apple", "kite"}, {"kite"})
    tokens = {concept.token for concept in dataset.CONCEPTS}
    pairs = {f"{ink} {how} on {paper}" for ink, paper in dataset.HELD_PAIRS for how in ("print", "outline")}
    for kind in text_to_image.SHARES:
        shown = {made.entries[index].style for index in made.indices(kind)}
        assert shown
        assert not shown & (tokens | pairs)
        assert {made.entries[i].subject.split()[-1] for i in made.indices(kind)} <= {"apple", "kite"}
        assert {made.entries[i].subject.split()[-1] for i in made.indices(kind, core=True)} == {"kite"}
    captions = {made.entries[index].caption for kind in text_to_image.SHARES for index in made.indices(kind)}
    assert not captions & {made.entries[index].caption for index in made.indices("held")}


def test_a_changed_package_is_refused(tmp_path):
    package = pictograms.Package("noto", "1.2.9", "0" * 64, "noto")
    (tmp_path / "iconify-json-noto-1.2.9.tgz").write_bytes(b"something else")
    with pytest.raises(RuntimeError, match=r"iconify-json-noto-1\.2\.9\.tgz has sha256 .* expected 0000"):
        pictograms.fetch(package, tmp_path)
