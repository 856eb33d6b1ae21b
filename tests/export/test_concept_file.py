"""Concept files, well-formed and hostile: read without torch, told by content, refused in one sentence."""

import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from concept_files import read_concept, saved
from latentpress.bundle.info import TextEncoderInfo, open_bundle
from latentpress.errors import ConceptError
from latentpress.export.concepts import add_concepts
from latentpress.export.reading.concept_content import MAX_BYTES
from latentpress.export.reading.concept_file import MAX_VECTORS

ENCODER = TextEncoderInfo(component="text_encoder", tokenizer="tokenizer", hidden_size=8, layers=1, pooled_size=None)
DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_every_float_type_reads_as_torch_reads_it(tmp_path, dtype, suffix):
    vectors = torch.randn(3, 8, generator=torch.Generator().manual_seed(1)).to(dtype)
    # The suffix is the other format's: content decides.
    path = tmp_path / f"x.{suffix}"
    (saved if suffix == "safetensors" else lambda path, content: save_file(content, path))(path, {"<x>": vectors})
    found = read_concept(path, encoders=[ENCODER])
    assert found.tokens == ["<x>", "<x>_1", "<x>_2"]
    np.testing.assert_array_equal(found.vectors["text_encoder"], vectors.float().numpy())


def test_views_into_a_shared_storage_read_as_torch_reads_them(tmp_path):
    whole = torch.arange(24.0).reshape(4, 6)
    for view in (whole[1], whole[:, 2], whole.T, whole[1:3, ::2], torch.ones(6).expand(2, 6).clone()):
        found = read_concept(saved(tmp_path / "x.bin", {"<x>": view})).vectors[""]
        np.testing.assert_array_equal(found, view.reshape(-1, view.shape[-1]).numpy())


def test_forms_found_in_the_wild(tmp_path):
    vectors = torch.randn(2, 8)
    parameter = torch.nn.Parameter(vectors)
    old = {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "style", "step": 10}
    held = {"string_to_token": {"*": 265}, "string_to_param": torch.nn.ParameterDict({"*": parameter}), "name": "pd"}
    assert read_concept(saved(tmp_path / "a.pt", old)).token == "a"
    assert read_concept(saved(tmp_path / "p.bin", {"<p>": parameter})).token == "<p>"
    save_file({"emb_params": vectors}, tmp_path / "kohya.safetensors")
    assert read_concept(tmp_path / "kohya.safetensors").token == "kohya"
    found = read_concept(saved(tmp_path / "pd.pt", held))
    assert found.token == "pd"
    np.testing.assert_array_equal(found.vectors[""], vectors.numpy())


@pytest.mark.parametrize("names", [("clip_l", "clip_g"), ("text_encoders_0", "text_encoders_1")])
@pytest.mark.parametrize("saver", [save_file, lambda content, path: saved(path, content)], ids=["safetensors", "torch"])
def test_a_concept_for_two_text_encoders(tmp_path, names, saver):
    first, second = torch.randn(2, 8), torch.randn(2, 16)
    path = tmp_path / "duck.safetensors"
    saver({names[0]: first, names[1]: second}, path)
    wide = ENCODER.model_copy(update={"component": "text_encoder_2", "hidden_size": 16, "pooled_size": 16})
    found = read_concept(path, encoders=[ENCODER, wide])
    assert found.tokens == ["duck", "duck_1"]
    assert read_concept(path, encoders=[ENCODER, wide], token="<duck>").tokens == ["<duck>", "<duck>_1"]
    np.testing.assert_array_equal(found.vectors["text_encoder"], first.numpy())
    np.testing.assert_array_equal(found.vectors["text_encoder_2"], second.numpy())
    # The refiner has the second encoder alone.
    assert read_concept(path, encoders=[wide]).vectors.keys() == {"text_encoder_2"}


def test_a_file_that_names_no_token_gets_one(tmp_path):
    bare = saved(tmp_path / "sketch.pt", torch.ones(2, 8))
    assert read_concept(bare).tokens == ["sketch", "sketch_1"]
    assert read_concept(bare, token="<sketch>").token == "<sketch>"
    assert read_concept(saved(tmp_path / "star.bin", {"*": torch.ones(8)})).token == "star"
    assert read_concept(saved(tmp_path / "two words.pt", torch.ones(8))).token == "two words"
    # A1111 itself goes by the file's name, whatever stands within.
    a1111 = {"string_to_token": {"*": 265}, "string_to_param": {"*": torch.ones(8)}, "step": 10, "sd_checkpoint": None}
    assert read_concept(saved(tmp_path / "file.pt", {**a1111, "name": "within"}), token="given").token == "given"
    for inner in ("within", None):
        assert read_concept(saved(tmp_path / "file.pt", {**a1111, "name": inner})).token == "file"
    # A file that names its token keeps it, unless another is asked for.
    named = saved(tmp_path / "named.bin", {"<meeg>": torch.ones(8)})
    assert read_concept(named).token == "<meeg>"
    assert read_concept(named, token="<dreams>").tokens == ["<dreams>"]


def test_a_library_folder_says_the_token_beside_the_file(tmp_path):
    for name, content in {"bare": torch.ones(8), "named": {"<own>": torch.ones(8)}}.items():
        folder = tmp_path / name
        folder.mkdir()
        path = saved(folder / "learned_embeds.bin", content)
        if name == "bare":
            with pytest.raises(
                ConceptError, match=r"learned_embeds\.bin: names no token.*; ask for one: TOKEN=learned"
            ):
                read_concept(path)
            assert read_concept(path, token="<asked>").token == "<asked>"
        (folder / "token_identifier.txt").write_text("<meeg>\n")
        assert read_concept(path).token == ("<meeg>" if name == "bare" else "<own>")
    (tmp_path / "bare/token_identifier.txt").write_bytes(b"x" * 1000)
    with pytest.raises(ConceptError, match="1 to 100 characters"):
        read_concept(tmp_path / "bare/learned_embeds.bin")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"<x>": torch.ones(7)}, "<x> is 7 wide, the text encoder 8"),
        ({"<x>": torch.ones(MAX_VECTORS + 1, 8)}, "shape 76x8"),
        ({"<x>": torch.ones(1, 1, 8)}, "shape 1x1x8"),
        ({"<x>": torch.tensor(1.0)}, "a single number"),
        ({"<x>": torch.full((8,), float("nan"))}, "NaN"),
        ({"<x>": torch.ones(8, dtype=torch.int64)}, "<x> is a int64, not a tensor of floats"),
        ({"<x>": 3}, "is a int, not a tensor"),
        ({"<x>": torch.ones(8), "<y>": torch.ones(8)}, "2 keys"),
        ({"clip_l": torch.ones(8), "clip_g": torch.ones(8)}, "SDXL"),
        ({"two\nlines": torch.ones(8)}, "control character; ask for another"),
        ({"": torch.ones(8)}, "1 to 100 characters"),
        ([torch.ones(8)], "holds a list"),
        ({"clip_l": torch.ones(8), "text_encoders_0": torch.ones(8)}, "2 keys"),
        ({"string_to_param": {"*": torch.ones(8), "x": torch.ones(8)}, "name": "x"}, "without one tensor"),
        ({}, "0 keys"),
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
    ],
)
def test_what_is_no_concept_is_refused_by_name(tmp_path, content, says):
    path = saved(tmp_path / "bad.bin", content)
    with pytest.raises(ConceptError) as caught:
        read_concept(path, encoders=[ENCODER])
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_missing_huge_or_cut_short_is_refused(tmp_path):
    with pytest.raises(ConceptError, match=r"none\.bin: cannot be read"):
        read_concept(tmp_path / "none.bin")
    with (tmp_path / "huge.bin").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    with pytest.raises(ConceptError, match="a whole model"):
        read_concept(tmp_path / "huge.bin")
    whole = saved(tmp_path / "x.bin", {"<x>": torch.ones(8)}).read_bytes()
    save_file({"<x>": torch.ones(8)}, tmp_path / "x.safetensors")
    for raw in (whole, (tmp_path / "x.safetensors").read_bytes()):
        for length in range(0, len(raw), 7):
            (tmp_path / "cut.bin").write_bytes(raw[:length])
            with pytest.raises(ConceptError, match=r"cut\.bin"):
                read_concept(tmp_path / "cut.bin")


def test_a_zip_that_unpacks_beyond_the_limit_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
        archive.writestr("a/data/0", bytes(MAX_BYTES + 1))
    with pytest.raises(ConceptError, match="unpacks to more"):
        read_concept(tmp_path / "bomb.bin")


class Call:
    """Pickles as a call of `function`, which the reader must not make or must survive."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("size", "stride"), [((1 << 32, 1 << 32), (0, 0)), ((9,), (1,)), ((2,), (-1,)), ((0,), (1,)), ((2, 2), (1,))]
)
@pytest.mark.parametrize("storage", [[1, 2, 3, 4], torch.ones(8)], ids=["list", "tensor"])
def test_a_tensor_cannot_reach_beyond_its_storage(tmp_path, storage, size, stride):
    # A tensor as the storage: what the reader hands out is float32 memory, and its bounds must hold too.
    path = saved(tmp_path / "x.bin", {"<x>": Call(torch._utils._rebuild_tensor_v2, storage, 0, size, stride)})
    with pytest.raises(ConceptError, match=r"x\.bin"):
        read_concept(path)


def test_a_tensor_as_storage_is_read_within_its_bounds(tmp_path):
    # The other side of the test above: it is refused for its bounds, not for its form.
    path = saved(
        tmp_path / "x.bin", {"<x>": Call(torch._utils._rebuild_tensor_v2, torch.arange(8.0), 2, (2, 3), (3, 1))}
    )
    np.testing.assert_array_equal(read_concept(path).vectors[""], [[2, 3, 4], [5, 6, 7]])


def test_two_files_that_claim_one_token_are_both_named(assets, tmp_path):
    first = saved(tmp_path / "first.bin", {"<new>": torch.ones(2, 64)})
    second = saved(tmp_path / "second.bin", {"<new>_1": torch.ones(64)})
    before = open_bundle(assets / "bundle").hash
    with pytest.raises(ConceptError, match=r"second\.bin: token <new>_1 is claimed by .*first\.bin"):
        add_concepts(assets / "bundle", [first, second])
    with pytest.raises(ConceptError, match=r"cat\.bin: token cat is already a word"):
        add_concepts(assets / "bundle", [saved(tmp_path / "cat.bin", {"cat": torch.ones(64)})])
    assert open_bundle(assets / "bundle").hash == before


def test_transformers_sees_added_tokens_whole_and_the_old_bundle_keeps_its_bytes(assets, tmp_path):
    import shutil

    from transformers import CLIPTokenizer

    copy = shutil.copytree(assets / "bundle", tmp_path / "bundle")
    before = open_bundle(copy)
    add_concepts(copy, [saved(tmp_path / "x.bin", {"<MixedCase>": torch.ones(2, 64)})])
    add_concepts(copy, [saved(tmp_path / "y.bin", {"qat": torch.ones(64)})])
    after = open_bundle(copy)
    tokenizer = CLIPTokenizer.from_pretrained(str(copy / "tokenizer"))
    for token, ids in after.concept_ids.items():
        names = [token, *(f"{token}_{index}" for index in range(1, len(ids)))]
        assert tokenizer.convert_tokens_to_ids(names) == ids
        assert tokenizer(f"a {token} photo").input_ids[2] == ids[0]
    assert max(max(ids) for ids in after.concept_ids.values()) == len(tokenizer) - 1
    # A word as token stands alone: it does not cut other words.
    assert after.concept_ids["qat"][0] not in tokenizer("qatar").input_ids
    assert after.info.concepts[: len(before.info.concepts)] == before.info.concepts
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "x.bin", "y.bin"]
    open_bundle(assets / "bundle")


def test_reading_and_adding_do_not_import_torch():
    code = "import sys; import latentpress.export.concepts; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
