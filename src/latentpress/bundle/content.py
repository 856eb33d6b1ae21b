"""What of a bundle decides pixels, part by part, and what each concept teaches: as hashes that equal exports share.

No package's version, no parity figure, no name, no concept and nothing measured is in a part. An export records the parts
in bundle.json; those of an older bundle are computed from its files when they are first asked for, and remembered in the
program's cache folder by the sha256 of the files they were computed from.

COMPONENT           what its graph computes (graph_content), of a text encoder without its concepts' rows
tokenizer, ...      vocabulary, merges and special tokens of each text encoder's tokenizer, without its concepts' tokens
loss_decoder        the torch decoder's weights and layout, which loss guidance alone uses
settings            what else rendering reads: the noise schedule, scales, what the components are to one another
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from latentpress.bundle.digests import digest, json_sha256
from latentpress.bundle.info import Bundle, BundleInfo
from latentpress.bundle.source import exported_from
from latentpress.errors import BundleError
from latentpress.files import write_durably

SETTINGS, LOSS_DECODER = "settings", "loss_decoder"
VECTORS = "concepts.safetensors"
_DECODER_FILE = "vae_decoder.safetensors"
_FOLDER = "content"
# A part that is computed in another way is another entry of the cache.
_METHOD = 1
_HASH = re.compile(r"[0-9a-f]{64}")

# Keys of a scheduler's configuration that runtime/sampling reads, what makes them comparable, and what it takes for one
# that is missing; None where the sampler decides.
SCHEDULE: dict[str, tuple[Callable[[Any], object], object]] = {
    "num_train_timesteps": (int, 1000),
    "beta_start": (float, 0.0001),
    "beta_end": (float, 0.02),
    "beta_schedule": (str, "linear"),
    "trained_betas": (lambda betas: [float(beta) for beta in betas], None),
    "prediction_type": (str, "epsilon"),
    "timestep_spacing": (str, None),
    "steps_offset": (int, 0),
    "set_alpha_to_one": (bool, None),
    "rescale_betas_zero_snr": (bool, False),
    "variance_type": (lambda name: name == "fixed_large", False),
    "original_inference_steps": (int, 50),
    "timestep_scaling": (float, 10.0),
    "lower_order_final": (bool, True),
}
# The same of diffusers' AutoencoderKL (0.39), as far as its decoder goes.
DECODER: dict[str, object] = {
    "out_channels": 3,
    "up_block_types": ["UpDecoderBlock2D"],
    "block_out_channels": [64],
    "layers_per_block": 1,
    "act_fn": "silu",
    "latent_channels": 4,
    "norm_num_groups": 32,
    "use_post_quant_conv": True,
    "mid_block_add_attention": True,
}


def parts_of(bundle: Bundle) -> dict[str, str]:
    """Part -> sha256: as the bundle records them, else computed from its files, which are checked first.

    Raises BundleError for a file that is missing, damaged or of no use.
    """
    if bundle.info.content:
        return dict(bundle.info.content)
    files, cache = bundle.info.files, bundle.cache
    keeping = cache if bundle.keeps else None
    found: dict[str, str] = {}
    checked = False
    for name, part in _parts(bundle.file, bundle.info).items():
        key = json_sha256([_METHOD, name, {file: files[file] for file in part.files}, part.hidden])
        known = _recalled(cache, key) if part.files else None
        if part.files and known is None and not checked:
            bundle.verify()  # a damaged file's part would be remembered as the whole one's
            checked = True
        found[name] = known or part.compute()
        if part.files and known is None:
            _remember(keeping, key, found[name])
    return found


def parts_in(folder: Path, info: BundleInfo) -> dict[str, str]:
    """The same, computed from the files in `folder`, which `info` names: for who has just made them."""
    return {name: part.compute() for name, part in _parts(folder.joinpath, info).items()}


def content_hash(parts: Mapping[str, str]) -> str:
    """sha256 of all parts: what of a bundle decides pixels, its concepts apart."""
    return json_sha256(dict(parts))


def source_hash(info: BundleInfo) -> str:
    """sha256 of what the bundle was exported from: checkpoint, LoRAs with their scales, VAE, base.

    Exports of one source in two precisions, or for two engines, share it.
    """
    loras = [(lora.sha256, lora.scale) for lora in info.loras]
    vae, base = (part and part.sha256 for part in (info.vae, info.base))
    return exported_from(info.source_sha256, loras, vae, base)


class TaughtVectors(Mapping[str, str]):
    """Token -> sha256 of the vectors (float32) that its concept teaches each text encoder, whatever file they came in.

    The bundle's file is opened at the first question. For a concept whose vectors are not there, its file's own sha256.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._files = {concept.token: concept.sha256 for concept in bundle.info.concepts}
        self._known: dict[str, str] = {}

    def __getitem__(self, token: str) -> str:
        if token not in self._known:
            self._known[token] = self._vectors(token) or self._files[token]
        return self._known[token]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    @cached_property
    def _stored(self) -> Any:
        from safetensors import SafetensorError, safe_open

        file = self._bundle.file(VECTORS)
        try:
            opened: Any = safe_open(file, framework="numpy")
            return opened, set(opened.keys())
        except (OSError, SafetensorError) as error:
            raise BundleError(f"{file}: cannot be read ({error}); export the bundle again") from None

    def _vectors(self, token: str) -> str | None:
        components = [encoder.component for encoder in self._bundle.info.text_encoders]
        known = self._bundle.taught.vectors if self._bundle.taught else {}
        if all(f"{component}.{token}" in known for component in components):
            return _digest({component: known[f"{component}.{token}"].astype("<f4") for component in components})
        if token not in self._files or VECTORS not in self._bundle.info.files:
            return None
        opened, names = self._stored
        if not names.issuperset(f"{component}.{token}" for component in components):
            return None
        taught = {component: opened.get_tensor(f"{component}.{token}").astype("<f4") for component in components}
        return _digest(taught)


def _digest(taught: Mapping[str, Any]) -> str:
    rows = ((component, *table.shape, table.tobytes()) for component, table in taught.items())
    return digest(*(piece for row in rows for piece in row)).hex()


@dataclass(frozen=True)
class _Part:
    """The files a part is computed from, the ids of concepts that it leaves out, and what computes it."""

    files: list[str]
    hidden: list[int]
    compute: Callable[[], str]


def _parts(file: Callable[[str], Path], info: BundleInfo) -> dict[str, _Part]:
    ids = sorted(index for concept in info.concepts for index in concept.token_ids)
    texts = {encoder.component for encoder in info.text_encoders}
    found: dict[str, _Part] = {}
    for component in info.component_names:
        path = file(f"{component}.onnx")
        names = [name for name in info.files if name in (path.name, f"{path.name}.data")]
        hidden = ids if component in texts else []
        found[component] = _Part(names, hidden, partial(_graph, path, hidden))
    for encoder in info.text_encoders:
        names = [name for name in info.files if name.startswith(f"{encoder.tokenizer}/")]
        found[encoder.tokenizer] = _Part(names, ids, partial(_tokenizer, file(encoder.tokenizer), ids))
    if _DECODER_FILE in info.files:
        compute = partial(_loss_decoder, file(_DECODER_FILE), info.vae_config)
        found[LOSS_DECODER] = _Part([_DECODER_FILE], [], compute)
    found[SETTINGS] = _Part([], [], lambda: json_sha256(_settings(info)))
    return found


def _graph(path: Path, without: list[int]) -> str:
    from latentpress.bundle.graph_content import graph_content

    return graph_content(path, frozenset(without))


def _tokenizer(folder: Path, without: list[int]) -> str:
    """Of what runtime/prompts/clip_tokenizer.py reads, the tokens with ids `without` left out."""
    try:
        vocabulary: dict[str, int] = json.loads((folder / "vocab.json").read_bytes())
        merges = [line.split() for line in (folder / "merges.txt").read_text("utf-8").strip().split("\n")[1:]]
        config: Any = json.loads((folder / "tokenizer_config.json").read_bytes())
        added = {
            entry["content"]: [int(key), bool(entry.get("single_word"))]
            for key, entry in config["added_tokens_decoder"].items()
            if int(key) not in without
        }
        given = {role: config[f"{role}_token"] for role in ("bos", "eos", "pad", "unk")}
        names = {role: str(name["content"] if isinstance(name, dict) else name) for role, name in given.items()}
        for name in names.values():
            added.setdefault(name, [vocabulary[name], False])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{folder}: not a tokenizer that can be read ({error}); export the bundle again") from None
    return json_sha256({"vocabulary": vocabulary, "merges": merges, "added": added, "special": names})


def _loss_decoder(file: Path, config: Mapping[str, Any]) -> str:
    from safetensors import SafetensorError, safe_open

    layout = {key: config.get(key, default) for key, default in DECODER.items()}
    found = hashlib.sha256(json_sha256(layout).encode())
    try:
        with safe_open(file, framework="numpy") as weights:
            for name in sorted(weights.keys()):
                array = weights.get_tensor(name)
                found.update(digest(name, array.dtype.name, *array.shape, array.tobytes()))
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{file}: cannot be read ({error}); export the bundle again") from None
    return found.hexdigest()


def _settings(info: BundleInfo) -> dict[str, Any]:
    added = info.added_conditioning
    return {
        "schedule": {key: _scheduled(info.scheduler, key) for key in SCHEDULE},
        "components": {each.name: [each.role, each.precision] for each in info.components},
        "text_encoders": [[each.component, each.tokenizer] for each in info.text_encoders],
        "scaling_factor": float(info.scaling_factor),
        "vae_scale_factor": info.vae_scale_factor,
        "latent_channels": info.latent_channels,
        "max_tokens": info.max_tokens,
        "unet_in_channels": info.unet_in_channels,
        "added_conditioning": None if added is None else [added.pooled_size, added.time_ids],
        "force_zeros_for_empty_prompt": info.force_zeros_for_empty_prompt,
        "requires_aesthetics_score": info.requires_aesthetics_score,
    }


def _scheduled(scheduler: Mapping[str, Any], key: str) -> object:
    comparable, default = SCHEDULE[key]
    value = scheduler.get(key)
    return default if key not in scheduler or (value is None and comparable is not bool) else comparable(value)


def _recalled(cache: Path | None, key: str) -> str | None:
    if cache is None:
        return None
    try:
        text = (cache / _FOLDER / key[:32]).read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return text if _HASH.fullmatch(text) else None


def _remember(cache: Path | None, key: str, part: str) -> None:
    if cache is not None:
        with contextlib.suppress(OSError):  # costs the same time again
            write_durably(cache / _FOLDER / key[:32], f"{part}\n".encode())
