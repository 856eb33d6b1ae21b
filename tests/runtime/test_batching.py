"""Step-level batching from outside: which rows share a call, what is copied and encoded, what runs beside what."""

import hashlib
import threading
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from latentpress.engines.cpu import OnnxCpuSession
from latentpress.engines.devices import device_name
from latentpress.runtime.loop.rows import ConditioningRows
from latentpress.runtime.prompts.conditioning import Conditioning
from latentpress.runtime.render import Renderer
from latentpress.runtime.request import ImageFile, RenderRequest
from latentpress.version import __version__


def request(seed, steps=4, guidance_scale=5.0, prompt="a mouse", size=64, **more):
    return RenderRequest(prompt, seed, size, size, "euler", steps, guidance_scale, **more)


class Watched:
    """A session that keeps its inputs, and calls `before` with them first."""

    def __init__(self, bundle, component, before=lambda inputs: None):
        self.session = OnnxCpuSession(bundle.file(f"{component}.onnx"))
        self.engine, self.note = self.session.engine, self.session.note
        self.before = before
        self.calls = []

    def run(self, inputs):
        self.calls.append({name: array.copy() for name, array in inputs.items()})
        self.before(inputs)
        return self.session.run(inputs)


def digests(rendered):
    return {picture.key: hashlib.sha256(picture.image.tobytes()).hexdigest() for picture in rendered}


def test_places_are_refilled_at_once_by_pictures_of_other_steps(bundle):
    unet = Watched(bundle, "unet")
    work = [(seed, request(seed, steps=3 + seed % 3)) for seed in range(9)]
    list(Renderer(bundle, batch_rows=6, sessions={"unet": unet}).render(work))
    rows = [len(call["sample"]) for call in unet.calls]
    total = sum(2 * asked.steps for _, asked in work)
    assert sum(rows) == total
    assert max(rows) == 6
    # Full calls until nothing waits any more: the longest picture's steps are all that may run short.
    assert all(count == 6 for count in rows[:-5])
    assert any(len(set(call["timestep"])) > 1 for call in unet.calls), "rows of one call are at different steps"


def test_sizes_that_take_turns_in_a_manifest_do_not_empty_the_batch(bundle):
    unet = Watched(bundle, "unet")
    work = [(seed, request(seed, 3, size=(64, 72)[seed % 2])) for seed in range(8)]
    list(Renderer(bundle, batch_rows=8, sessions={"unet": unet}).render(work))
    assert [call["sample"].shape for call in unet.calls] == [(8, 4, side, side) for side in (8, 8, 8, 9, 9, 9)]


def test_pictures_without_guidance_take_one_row(bundle):
    unet = Watched(bundle, "unet")
    list(Renderer(bundle, batch_rows=4, sessions={"unet": unet}).render([(s, request(s, 2, 1.0)) for s in range(4)]))
    assert [len(call["sample"]) for call in unet.calls] == [4, 4]


def test_prompts_and_negatives_are_encoded_once_each(bundle):
    text = Watched(bundle, "text_encoder")
    renderer = Renderer(bundle, sessions={"text_encoder": text})
    work = [
        (seed, request(seed, 2, prompt=("a mouse", "a red house")[seed % 2], negative_prompt="blurry"))
        for seed in range(6)
    ]
    list(renderer.render(work))
    list(renderer.render(work))
    assert len(text.calls) == 3


def test_a_negative_prompt_is_one_array_for_all(renderer):
    condition = renderer._model.condition
    first, second = (condition.uncond(request(seed, negative_prompt="blurry")) for seed in (1, 2))
    assert first is second
    assert condition.uncond(request(1, negative_prompt="dark")) is not first


def row(value, pooled=False):
    states = np.full((77, 8), value, np.float32)
    return (
        Conditioning(states, np.full(4, value, np.float32), np.full(6, value, np.float32))
        if pooled
        else Conditioning(states)
    )


@pytest.mark.parametrize("pooled", [False, True])
def test_packed_rows_are_the_rows_whatever_was_there_before(pooled):
    made = [row(value, pooled) for value in range(8)]
    packer = ConditioningRows()
    random = np.random.default_rng(5)
    for _ in range(50):
        chosen = [made[index] for index in random.integers(0, 8, random.integers(1, 7))]
        packed = packer.pack(chosen)
        assert packed.keys() == made[0].inputs().keys()
        for name, array in packed.items():
            assert (array == np.stack([one.inputs()[name] for one in chosen])).all()


def test_only_changed_rows_are_copied():
    made = [row(value) for value in range(4)]
    packer = ConditioningRows()
    first = packer.pack(made)["encoder_hidden_states"]
    first[:] = -1  # what is not copied stays as it is
    again = packer.pack([made[0], made[3], made[2], made[3]])["encoder_hidden_states"]
    assert again[:, 0, 0].tolist() == [-1, 3, -1, -1]


def test_decoding_beside_the_denoising_gives_the_same_pictures(bundle):
    work = [(seed, request(seed, steps=2 + seed % 4, size=(64, 72)[seed // 6])) for seed in range(10)]
    serial = digests(Renderer(bundle, batch_rows=6, decode_beside=False).render(work))
    assert len(serial) == 10
    assert digests(Renderer(bundle, batch_rows=6, decode_beside=True).render(work)) == serial


def test_the_decoder_runs_while_the_unet_does(bundle):
    """The first decoding waits for another UNet call to start, which a render that decodes in between never does."""
    decoding, called = threading.Event(), threading.Event()
    overlapped = []

    def in_decoder(inputs):
        decoding.set()
        overlapped.append(called.wait(20))

    def in_unet(inputs):
        if decoding.wait(0.5 if len(unet.calls) > 4 else 0):
            called.set()

    unet = Watched(bundle, "unet", in_unet)
    decoder = Watched(bundle, "vae_decoder", in_decoder)
    renderer = Renderer(bundle, batch_rows=2, sessions={"unet": unet, "vae_decoder": decoder}, decode_beside=True)
    assert len(digests(renderer.render([(seed, request(seed)) for seed in range(4)]))) == 4
    assert overlapped
    assert overlapped[0]


def test_memory_that_runs_out_halves_the_bucket_and_changes_no_pixel(bundle):
    def scarce(inputs):
        if len(inputs["sample"]) > 3:
            raise RuntimeError("bad allocation")

    unet = Watched(bundle, "unet", scarce)
    work = [(seed, request(seed)) for seed in range(5)]
    renderer = Renderer(bundle, batch_rows=8, sessions={"unet": unet})
    assert renderer.batch_rows == 8
    assert digests(renderer.render(work)) == digests(Renderer(bundle, batch_rows=8).render(work))
    assert renderer.batch_rows == 2, "what the ledger records"
    assert [len(call["sample"]) for call in unet.calls][:3] == [8, 4, 2]
    assert {len(call["sample"]) for call in unet.calls[2:]} == {2}


@pytest.mark.parametrize("decode_beside", [False, True])
def test_a_picture_says_the_rows_it_was_made_with_whatever_comes_after(bundle, decode_beside):
    """Four pictures fill the calls until they are done; then memory for more than three rows is gone."""

    def scarce(inputs):
        if len(unet.calls) > 2 and len(inputs["sample"]) > 3:
            raise RuntimeError("bad allocation")

    unet = Watched(bundle, "unet", scarce)
    renderer = Renderer(bundle, batch_rows=8, sessions={"unet": unet}, decode_beside=decode_beside)
    pictures = list(renderer.render([(seed, request(seed, steps=2)) for seed in range(8)]))
    here = pictures[0].origin
    early, late = (replace(here, provider="onnxruntime-cpu", batch_rows=rows, row_rule="untested") for rows in (8, 2))
    assert {one.key: one.origin for one in pictures} == {seed: early if seed < 4 else late for seed in range(8)}
    assert here.device == device_name()
    assert here.versions == f"latentpress {__version__}, onnxruntime {version('onnxruntime')}"
    missing = request(0, init_image=ImageFile("0" * 64, Path("missing.png")), strength=0.5)
    (unread,) = renderer.render([(0, missing)])
    assert unread.error
    assert unread.origin == late
