"""People's own losses: their code and parameters read without running it, run as it was read, and told where they fail."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from latentpress.batch.plan.job import data_of_stored, request_data, request_from, stored
from latentpress.errors import UsageError
from latentpress.manifest.own_losses import KnownLosses
from latentpress.pictures import render_pictures
from latentpress.runtime.guidance.context import Context
from latentpress.runtime.guidance.own import packages, printed
from latentpress.runtime.guidance.own.run import LossFailed, loss_of
from latentpress.runtime.guidance.own.signature import read_signature
from latentpress.runtime.guidance.own.source import read_source, source_from
from latentpress.runtime.guidance.own.trust import refuse_untrusted
from latentpress.runtime.request import LossCode, LossSpec, RenderRequest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples/losses"
QUICK = ("violet", "latents")
TWELVE = sorted(path for path in EXAMPLES.glob("*.py") if path.stem != "colours")


def write(folder, **files):
    for name, text in files.items():
        path = folder / f"{name.replace('_in_', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "mine.py"


def loaded(path, function="loss"):
    """The loss as a picture that was planned with it gets it."""
    code = LossCode(read_source(path).sha256, path, function)
    return loss_of(LossSpec("mine", 1.0, code=code), {})


def value_of(path, params=None, function="loss", image=None):
    """(value, its gradient by the image) of a random image of 16x16."""
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)) if image is None else image
    image.requires_grad_()
    latents = torch.rand(1, 4, 2, 2, generator=torch.Generator().manual_seed(2)).requires_grad_()
    context = Context(latents, 3, 10, torch.Generator().manual_seed(3))
    value = loaded(path, function)(image, params or {}, context)
    assert value.shape == (1,)
    gradient = torch.autograd.grad(value.sum(), [image, latents], allow_unused=True)
    return float(value.detach()), next(one for one in gradient if one is not None)


@pytest.mark.parametrize("path", TWELVE, ids=lambda path: path.stem)
def test_twelve_losses_as_students_write_them_fall_along_their_gradient(path):
    assert len(TWELVE) == 12
    params = read_signature(read_source(path).text, path, "loss").params().model_dump()
    if path.stem == "latents":
        value, gradient = value_of(path, params)
        image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
        assert value_of(path, params, image=1 - image)[0] == value, "it never looks at the picture"
        assert gradient.shape == (1, 4, 2, 2)
        return
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    before, gradient = value_of(path, params, image=image.clone())
    after, _ = value_of(path, params, image=(image - 0.05 * gradient / gradient.norm()).detach())
    # To the first order the value falls by the length of the step times that of the gradient.
    assert before - after == pytest.approx(0.05 * float(gradient.norm()), rel=0.25)
    assert value_of(path, params, image=image.clone())[0] == before, "and the same numbers are drawn again"


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[] if path.stem in QUICK else pytest.mark.full, id=path.stem) for path in TWELVE],
)
def test_twelve_losses_as_students_write_them_guide_pictures(path, bundle):
    """Each in its place in a render: what it is of the picture's latents or pixels falls where it acts."""
    job = {"prompt": "a mouse", "seed": 5, "size": 64, "steps": 6, "sampler": "euler"}
    guided = {**job, "loss": {"name": "mine", "scale": 30, "every": 1}}
    plain, moved, again = render_pictures(bundle, [job, guided, guided], losses={"mine": path})
    assert moved.tobytes() == again.tobytes() != plain.tobytes()
    if path.stem in ("latents", "elastic"):  # one sees no pixels, the other other random numbers
        return
    before, after = (
        value_of(path, image=torch.from_numpy(np.asarray(one) / 255).permute(2, 0, 1)[None].float())[0]
        for one in (plain, moved)
    )
    assert after < before


def test_reading_runs_nothing_and_hashes_what_is_local(tmp_path):
    ran = tmp_path / "ran"
    touch = f"open({str(ran)!r}, 'w')\n"
    path = write(
        tmp_path / "a",
        mine=f"{touch}import torch, helpers\nfrom kit import shapes\ndef loss(image):\n    import late\n",
        helpers=f"{touch}import math\n",
        late=touch,
        kit_in___init__=f"{touch}from . import colours\n",
        kit_in_shapes=f"{touch}from .colours import red\n",
        kit_in_colours=f"{touch}from ..unseen import x\nred = 1\n",
        unasked=touch,
        torch_in_notes="",  # a folder of that name does not stand in for the package
    )
    source = read_source(path)
    assert set(source.modules) == {"mine", "helpers", "late", "kit", "kit.shapes", "kit.colours"}
    read_signature(source.text, path, "loss")
    assert not ran.exists()
    assert source_from(json.loads(json.dumps(source.data())), path.parent) == source
    for name in ("mine", "helpers", "late", "kit/__init__", "kit/shapes", "kit/colours"):
        edited = path.parent / f"{name}.py"
        edited.write_text(edited.read_text() + "# edited\n")
        assert (changed := read_source(path).sha256) != source.sha256, name
        edited.write_text(edited.read_text().removesuffix("# edited\n"))
    path.with_name("unasked.py").write_text("other = 1\n")
    assert read_source(path.rename(path.with_name("other.py"))).sha256 == source.sha256 != changed


def test_what_a_loss_prints_stays_off_stdout(tmp_path, capsys, monkeypatch):
    text = "import sys\nprint('loaded')\ndef loss(image):\n    print('called', end='')\n"
    path = write(tmp_path, mine=f"{text}    print('!', file=sys.stderr)\n    return image.mean()\n")
    value_of(path)
    assert capsys.readouterr() == ("", "loaded\ncalled!\n")
    lines = []
    monkeypatch.setattr(printed, "_hearing", [lines.append])
    value_of(path)
    assert capsys.readouterr() == ("", "")
    assert lines == ["called!"]


def test_two_losses_with_helpers_of_one_name_do_not_meet(tmp_path):
    text = "import helpers\ndef loss(image):\n    from helpers import weight\n    return weight * image.mean()\n"
    one = write(tmp_path / "one", mine=text, helpers="weight = 2\n")
    other = write(tmp_path / "other", mine=text, helpers="weight = 3\n")
    assert value_of(other)[0] == pytest.approx(1.5 * value_of(one)[0])


@pytest.mark.parametrize(
    ("signature", "given", "found"),
    [
        ("image, target: float = 0.9", {"target": 1}, {"target": 1.0}),
        ("image, n: int = 3, *, mode='l1', sure=True", {}, {"n": 3, "mode": "l1", "sure": True}),
        ("image, weight=1", {"weight": 0.5}, {"weight": 0.5}),
        ("image, unseen=1 / 255, none=None", {}, {}),
        ("image, unseen=1 / 255, none: float | None = None", {"unseen": 2, "none": 3}, {"unseen": 2, "none": 3.0}),
        ("image, step, steps=None, *, generator, latents", {}, {}),
        ("image, copy: float = -1.0, json='x'", {}, {"copy": -1.0, "json": "x"}),
        ("image, how: Literal['a', 'b'] = 'a', **rest", {"how": "b"}, {"how": "b"}),
    ],
)
def test_parameters_are_those_of_the_signature(signature, given, found):
    read = read_signature(f"def loss({signature}): pass", Path("mine.py"), "loss")
    assert read.params.model_validate(given).model_dump(exclude_none=True) == found
    assert read.wants == {name for name in ("step", "steps", "generator", "latents") if name in signature}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def sepia(image): pass", r"mine.py:1:1: it has no function `loss` .*write mine.py:sepia"),
        ("loss = 1", r"mine.py:1:1: it has no function `loss` .*`def loss\(image\)"),
        (
            "\ndef loss(): pass",
            r"mine.py:2:1: `loss` takes no image; its first parameter is the image, \(3, H, W\), or `latents`",
        ),
        ("def loss(image, scale=1): pass", r"mine.py:1:17: the parameter `scale` stands for something else"),
        ("def loss(image, at, /): pass", r"mine.py:1:17: `at` is positional-only"),
        ("def loss(image, to: Tensor): pass", r"mine.py:1:17: `to` is a Tensor, and a manifest gives numbers"),
        ("def loss(image, k: int = 'x'): pass", r"mine.py:1:17: the default of `k` is 'x'; it must be a whole number"),
        ("def loss(image, k: Literal['a', 2] = 'b'): pass", r"mine.py:1:17: the default of `k` is 'b'.* one of a, 2"),
        ("def loss(image:\n", r"mine.py:\d:\d+: it is no Python"),
        ("a\0b", r"mine.py.*: it .*Python"),
    ],
)
def test_what_is_no_loss_is_told_with_its_place(text, said):
    with pytest.raises(UsageError, match=f"^{said}"):
        read_signature(text, Path("mine.py"), "loss", ["scale"])


@pytest.mark.parametrize(
    ("body", "line", "said"),
    [
        ("return inner(image)\ndef inner(image):\n    raise ValueError('no\\nway')", 5, "raised ValueError: no way"),
        ("import nosuchpackage", 3, "raised ModuleNotFoundError: No module named 'nosuchpackage'"),
        ("exit(3)", 3, "raised SystemExit: 3"),
        ("return image", 2, r"gave a tensor of shape \(3, 16, 16\) and must give one number; end it with .mean"),
        ("return torch.fft.fft2(image).mean()", 2, "gave a complex number and must give a real one; take its .abs"),
        ("return float(image.detach().mean())", 2, "gave a float and must give a tensor"),
        ("return None", 2, "gave a NoneType and must give a tensor"),
        ("return image.detach().mean()", 2, "gave a value that the image has no gradient of"),
        ("return image.mean() * float('nan')", 2, "gave nan; mind"),
        ("return image.mean() / 0", 2, "gave inf; mind"),
        ("return (0 * image).sum().sqrt()", 2, "has a gradient that is NaN or infinite; add 1e-6"),
    ],
)
def test_what_fails_is_told_with_file_and_line(body, line, said, tmp_path):
    path = write(tmp_path, mine=f"import torch\ndef loss(image):\n    {body}\n")
    with pytest.raises(LossFailed, match=f"^{path}:{line}: the loss mine {said}"):
        value_of(path)


def test_code_that_fails_while_it_loads_or_has_changed_is_told(tmp_path):
    path = write(tmp_path, mine="import helpers\ndef loss(image): return image.mean()\n", helpers="\n1 / 0\n")
    with pytest.raises(LossFailed, match=r"helpers.py:2: the loss mine raised ZeroDivisionError"):
        value_of(path)
    with pytest.raises(LossFailed, match=r"mine.py:1: the code of the loss mine has changed"):
        loss_of(LossSpec("mine", 1.0, code=LossCode("0" * 64, path)), {})


def test_a_loss_gets_one_image_or_a_batch_and_cannot_change_it(tmp_path):
    path = write(
        tmp_path,
        mine="def loss(image):\n    assert image.shape == (3, 16, 16)\n    return image.clamp_(0.4, 0.6).mean()\n"
        "def batch(images, *, step, steps):\n    assert images.shape == (1, 3, 16, 16)\n"
        "    return images.mean() * step / steps\n",
    )
    image = torch.rand(1, 3, 16, 16)
    kept = image.clone()
    value_of(path, image=image)
    assert torch.equal(image.detach(), kept)
    assert value_of(path, function="batch", image=image)[0] == pytest.approx(0.3 * float(kept.mean()))


def test_a_request_says_what_the_code_is_and_another_process_where_it_lies():
    code = LossCode("a" * 64, Path("losses/mine.py"), "warm")
    request = RenderRequest("", 0, 8, 8, "euler", 1, 1.0, losses=(LossSpec("mine", 1.0, code=code),))
    data = request_data(request)
    assert data["losses"][0]["code"] == {"sha256": "a" * 64, "function": "warm"}
    kept = json.loads(json.dumps(stored(request, data)))
    again = request_from(kept)
    assert again == request
    assert data_of_stored(kept) == data
    assert again.losses[0].code.path == code.path
    assert (
        "code"
        not in request_data(RenderRequest("", 0, 8, 8, "euler", 1, 1.0, losses=(LossSpec("x", 1.0),)))["losses"][0]
    )


def test_a_package_offers_losses_by_an_entry_point_and_is_not_imported_to_find_them(tmp_path, monkeypatch):
    packages.package_losses.cache_clear()
    packages.package_loss.cache_clear()
    ran = tmp_path / "ran"
    write(
        tmp_path,
        warmth_in___init__=f"open({str(ran)!r}, 'w').close()\n",
        warmth_in_losses="from warmth import tones\ndef warm(image, by: float = 2.0): return tones.red(image) * by\n",
        warmth_in_tones="def red(image): return image[0].mean()\n",
    )
    info = tmp_path / "warmth-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: warmth\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[latentpress.losses]\nwarm = warmth.losses:warm\nlost = warmth.gone:warm\n")
    monkeypatch.syspath_prepend(tmp_path)
    known = KnownLosses({}, [])
    assert "warm" in list(known)
    loss = known["warm"]
    assert (loss.source, loss.code.package, loss.code.function) == ("warmth 1.2", "warmth.losses", "warm")
    with pytest.raises(UsageError, match=r"the loss lost of warmth is warmth.gone:warm, whose source is not found"):
        known.get("lost")
    assert not ran.exists()
    refuse_untrusted({loss.code.sha256: loss.code}, allow=False)
    image = torch.rand(1, 3, 4, 4).requires_grad_()
    found = loss_of(LossSpec("warm", 1.0, code=loss.code), {})(image, {"by": 3.0}, None)
    assert ran.exists()
    assert float(found.detach()) == pytest.approx(3 * float(image[0, 0].detach().mean()))
    (tmp_path / "warmth/tones.py").write_text("def red(image): return image[0].max()\n")
    packages.package_loss.cache_clear()
    assert KnownLosses({}, [])["warm"].code != loss.code, "another code is another job"
    packages.package_losses.cache_clear()
