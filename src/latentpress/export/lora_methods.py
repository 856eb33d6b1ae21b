"""What each method of a LoRA file makes of a layer's weight. Knows nothing of files or of models.

A method's function takes the layer's parts by role and its weight, (out, in) or (out, in, h, w), all float32, and gives
the change to add: of the strength the person asked for, and of `ratio`, alpha / rank. LoRA: Hu et al., arXiv 2106.09685;
LoHa, LoKr, (IA)3, GLoRA, OFT, BOFT: LyCORIS, Yeh et al., arXiv 2309.14859; DoRA: Liu et al., arXiv 2402.09353.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from latentpress.export.exact_product import product

Parts = Mapping[str, Tensor]
# Roles that are one number, not a matrix.
_NUMBERS = ("alpha", "on_input")


@dataclass(frozen=True)
class Method:
    """A method: its name, the roles one of which shows it, those it may have beside them, and its change of a weight.

    rank: what alpha is divided by, None where alpha is no scale. needs: groups of roles; of each group one must be there,
    `a+b` meaning both.
    """

    title: str
    needs: tuple[tuple[str, ...], ...]
    change: Callable[[Parts, Tensor, float, float], Tensor]
    rank: Callable[[Parts], int | None] = lambda parts: None
    may: tuple[str, ...] = ()

    @property
    def roles(self) -> set[str]:
        """The roles that show this method."""
        return {role for group in self.needs for choice in group for role in choice.split("+")} - {"weight"}

    def lacks(self, parts: Parts) -> str | None:
        """The first role that is missing."""
        for group in self.needs:
            if any(all(role in parts for role in choice.split("+")) for choice in group):
                continue
            begun = next((each for each in group if any(role in parts for role in each.split("+"))), group[0])
            return next(role for role in begun.split("+") if role not in parts)
        return None


def fused(method: Method, parts: Parts, weight: Tensor, strength: float, ratio: float) -> Tensor:
    """`weight` with the change of `parts`, float32; raises RuntimeError where they do not fit each other or it."""
    if "dora_scale" in parts:
        whole = weight + _shaped(method.change(parts, weight, 1.0, ratio), weight)
        # As A1111 and ComfyUI: the decomposed weight at full strength, and as much of the way there as asked for.
        return weight + strength * (_decomposed(whole, parts["dora_scale"]) - weight)
    change = _shaped(method.change(parts, weight, strength, ratio), weight)
    if "magnitude" in parts:
        # PEFT scales the low-rank change and decomposes after that; at full strength both are one.
        return _decomposed(weight + change, parts["magnitude"].reshape(-1, 1))
    return weight + change


def shape_of(method: Method, parts: Parts, weight: Tensor) -> tuple[int, ...]:
    """(out, in x kernel) of the change, without computing it; raises RuntimeError where the parts do not fit together."""
    given = {role: part if role in _NUMBERS else torch.empty(part.shape, device="meta") for role, part in parts.items()}
    like = torch.empty(weight.shape, device="meta")
    change = method.change(given, like, 1.0, 1.0)
    for role in given.keys() & {"dora_scale", "magnitude"}:
        _decomposed(like, given[role] if role == "dora_scale" else given[role].reshape(-1, 1))
    return tuple(change.shape if change.ndim < 2 else change.flatten(1).shape)


def _shaped(change: Tensor, weight: Tensor) -> Tensor:
    return change.reshape(weight.shape)


def _decomposed(weight: Tensor, magnitude: Tensor) -> Tensor:
    """`weight` with norms of `magnitude`: (out, 1, ...) of its rows, (1, in, ...) of its columns."""
    flat = weight.flatten(2) if weight.ndim > 2 else weight[..., None]
    rows = magnitude.shape[0] == weight.shape[0]
    norm = flat.norm(dim=(1, 2) if rows else (0, 2), keepdim=True)
    each = magnitude.reshape((-1, 1, 1) if rows else (1, -1, 1))
    return (flat * (each / (norm + torch.finfo(torch.float32).eps))).reshape(weight.shape)


def _tucker(core: Tensor, out_side: Tensor, in_side: Tensor) -> Tensor:
    """(out, in, h, w) of a core (r, r, h, w), (r, out) and (r, in)."""
    first = product(out_side.T, core.flatten(1)).unflatten(1, core.shape[1:])
    return product(first.movedim(1, -1).flatten(0, -2), in_side).unflatten(0, (-1, *core.shape[2:])).movedim(-1, 1)


def _lora(parts: Parts, weight: Tensor, strength: float, ratio: float) -> Tensor:
    up, down = parts["up"].flatten(1), parts["down"].flatten(1)
    whole = _tucker(parts["mid"], up.T, down) if "mid" in parts else product(up, down)
    return (strength * ratio) * whole


def _loha(parts: Parts, weight: Tensor, strength: float, ratio: float) -> Tensor:
    halves: list[Tensor] = []
    for number in "12":
        a, b = parts[f"hada_w{number}_a"], parts[f"hada_w{number}_b"]
        core = parts.get(f"hada_t{number}")
        halves.append(product(a, b.flatten(1)) if core is None else _tucker(core, a, b))
    return (strength * ratio) * (halves[0] * halves[1])


def _lokr(parts: Parts, weight: Tensor, strength: float, ratio: float) -> Tensor:
    first = parts["lokr_w1"] if "lokr_w1" in parts else product(parts["lokr_w1_a"], parts["lokr_w1_b"])
    if "lokr_w2" in parts:
        second = parts["lokr_w2"]
    elif "lokr_t2" in parts:
        second = _tucker(parts["lokr_t2"], parts["lokr_w2_a"], parts["lokr_w2_b"])
    else:
        second = product(parts["lokr_w2_a"], parts["lokr_w2_b"].flatten(1))
    # A kernel is of the second alone: its sides are the innermost of the columns.
    return (strength * ratio) * torch.kron(first, second.flatten(1))


def _glora(parts: Parts, weight: Tensor, strength: float, ratio: float) -> Tensor:
    """W a1 a2 + b1 b2, or W a2 a1 + b2 b1 in LyCORIS' first version, which named the parts the other way round."""
    first, second = ("2", "1") if _old_glora(parts) else ("1", "2")
    left, right = (parts[f"a{each}"].flatten(1) for each in (first, second))
    added = parts[f"b{first}"].flatten(1), parts[f"b{second}"]
    last = weight.movedim(1, -1)  # the inputs, which a1 and a2 mix
    through = product(product(last.flatten(0, -2), left), right).unflatten(0, last.shape[:-1]).movedim(-1, 1)
    return (strength * ratio) * (through.flatten(1) + product(added[0], added[1].flatten(1)))


def _old_glora(parts: Parts) -> bool:
    """Whether a1 is the matrix that narrows: (rank, in)."""
    return parts["a1"].shape[0] < parts["a1"].shape[1]


def _ia3(parts: Parts, weight: Tensor, strength: float, ratio: float) -> Tensor:
    side = (1, -1) if bool(parts["on_input"].item()) else (-1, 1)
    factors = parts["weight"].reshape(*side, *(1,) * (weight.ndim - 2))
    return (strength * factors) * weight


def _rotations(blocks: Tensor, constraint: float) -> Tensor:
    """Cayley's (I + Q)(I - Q)^-1 of the blocks' skew parts Q, whose norm is held to `constraint` if that is not 0."""
    skew = blocks - blocks.transpose(-1, -2)
    if constraint > 0:
        skew = skew * (constraint / skew.norm().clamp(min=constraint))
    unit = torch.eye(blocks.shape[-1], device=blocks.device)
    return (unit + skew) @ torch.linalg.inv(unit - skew)


def _oft(parts: Parts, weight: Tensor, strength: float, ratio: float) -> Tensor:
    """Diag-OFT (blocks of three axes), also kohya's, and BOFT (four): rotations of the outputs."""
    blocks = parts["oft_blocks"]
    # `alpha` is the constraint here, of each output.
    limit = parts.get("alpha")
    constraint = 0.0 if limit is None else float(limit) * weight.shape[0]
    turns = _rotations(blocks, constraint)
    size = blocks.shape[-1]
    turned = weight.flatten(1)
    if blocks.ndim == 3:
        turned = torch.einsum("knm,kni->kmi", turns, turned.unflatten(0, (blocks.shape[0], size))).flatten(0, 1)
    else:
        unit = torch.eye(size, device=blocks.device)
        for stage, turn in enumerate(turns):
            step = 2**stage * (size // 2)
            turned = turned.unflatten(0, (-1, 2, step)).transpose(1, 2).flatten(0, 2).unflatten(0, (-1, size))
            # The strength bends each stage towards no turn, as LyCORIS and ComfyUI do.
            turned = torch.einsum("bij,bjk->bik", turn * strength + (1 - strength) * unit, turned)
            turned = turned.flatten(0, 1).unflatten(0, (-1, step, 2)).transpose(1, 2).flatten(0, 2)
    if "rescale" in parts:
        turned = turned * parts["rescale"].reshape(-1, 1)
    change = turned - weight.flatten(1)
    return change if blocks.ndim == 4 else strength * change


def _difference(role: str) -> Callable[[Parts, Tensor, float, float], Tensor]:
    return lambda parts, weight, strength, ratio: strength * parts[role]


def _lokr_rank(parts: Parts) -> int | None:
    """None where both matrices are whole: LyCORIS writes an alpha then, and does not use it."""
    ranks = [parts[role].shape[0] for role in ("lokr_w1_b", "lokr_w2_b") if role in parts]
    return ranks[0] if ranks else None


def _glora_rank(parts: Parts) -> int:
    return min(parts["a1"].shape[:2])


_LOKR_FIRST, _LOKR_SECOND = ("lokr_w1", "lokr_w1_a+lokr_w1_b"), ("lokr_w2", "lokr_w2_a+lokr_w2_b")
_HADA = tuple((f"hada_w{number}_{side}",) for number in "12" for side in "ab")
METHODS = {
    "lora": Method(
        "LoRA",
        (("down",), ("up",)),
        _lora,
        lambda parts: parts["down"].shape[0],
        ("mid", "dora_scale", "magnitude"),
    ),
    "loha": Method(
        "LoHa", _HADA, _loha, lambda parts: parts["hada_w1_b"].shape[0], ("hada_t1", "hada_t2", "dora_scale")
    ),
    "lokr": Method("LoKr", (_LOKR_FIRST, _LOKR_SECOND), _lokr, _lokr_rank, ("lokr_t2", "dora_scale")),
    "glora": Method("GLoRA", (("a1",), ("a2",), ("b1",), ("b2",)), _glora, _glora_rank),
    "ia3": Method("(IA)3", (("on_input",), ("weight",)), _ia3),
    "oft": Method("OFT", (("oft_blocks",),), _oft, may=("rescale",)),
    "full": Method("full difference", (("diff",),), _difference("diff")),
    "norm": Method("norm", (("w_norm",),), _difference("w_norm")),
}
# What changes a bias, whatever changes the weight beside it; PEFT's is scaled as its matrices are.
BIASES = ("diff_b", "b_norm", "up_bias")


def method_of(parts: Parts) -> str | None:
    """The name of the method whose parts these are, None for none (a bias alone)."""
    return next((name for name, method in METHODS.items() if method.roles & parts.keys()), None)


def ratio_of(method: Method, parts: Parts) -> float:
    """alpha / rank, 1 for a method or a layer without; raises ValueError where alpha is not a single number."""
    alpha, rank = parts.get("alpha"), method.rank(parts)
    if alpha is not None and alpha.numel() != 1:
        raise ValueError("alpha is not a single number")
    if alpha is None or not rank or not math.isfinite(float(alpha)):
        return 1.0
    return float(alpha) / rank


def text_width(parts: Parts) -> int | None:
    """The inputs of a layer, where a part shows them."""
    for role in ("down", "hada_w1_b", "diff", "b2"):
        if role in parts and parts[role].ndim > 1:
            return parts[role].shape[1]
    return None
