"""The samplers by name: what each is called here and elsewhere, where it comes from and what it costs. Does no arithmetic.

A full name is `base[_sigmas][_spacing]`, e.g. `dpmpp_2m_sde_karras` or `ddim_trailing`. Sigmas and spacing are as the
name says; without a spacing the checkpoint's own scheduler configuration decides.
"""

import difflib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from latentpress.errors import UsageError, shown

SIGMA_OPTIONS = ("karras", "exponential", "beta")
SPACINGS = ("leading", "linspace", "trailing")

Noise = Literal["none", "draws", "path"]
Calls = Literal["N", "N+1", "2N-1"]


@dataclass(frozen=True)
class Sampler:
    """One sampler.

    scheduler: the diffusers class it equals; calls: UNet calls of N steps; noise: none, fresh draws, or one Brownian
    path; sigmas: whether SIGMA_OPTIONS apply; spaced: whether SPACINGS apply; label: A1111's name; aliases: other names,
    small letters and digits only; given: whether its timesteps may be given, as by `timesteps` of its class' set_timesteps.
    """

    name: str
    label: str
    scheduler: str
    source: str
    calls: Calls = "N"
    noise: Noise = "none"
    sigmas: bool = True
    spaced: bool = True
    aliases: tuple[str, ...] = ()
    given: bool = False

    @property
    def order(self) -> int:
        """diffusers' `order`: the UNet calls from one step's beginning to the next one's."""
        return 2 if self.calls == "2N-1" else 1

    def unet_calls(self, steps: int) -> int:
        """UNet calls of a whole run of `steps` >= 1 steps; each is one row more with classifier-free guidance."""
        return {"N": steps, "N+1": steps + (steps > 1), "2N-1": 2 * steps - 1}[self.calls]


_K = "k-diffusion"
BASES: dict[str, Sampler] = {
    sampler.name: sampler
    for sampler in (
        Sampler("ddim", "DDIM", "DDIMScheduler", "arXiv 2010.02502", sigmas=False),
        Sampler("ddpm", "DDPM", "DDPMScheduler", "arXiv 2006.11239", noise="draws", sigmas=False, given=True),
        Sampler(
            "pndm", "PLMS", "PNDMScheduler", "arXiv 2202.09778, skip_prk_steps", "N+1", sigmas=False, aliases=("plms",)
        ),
        Sampler(
            "lcm", "LCM", "LCMScheduler", "arXiv 2310.04378", noise="draws", sigmas=False, spaced=False, given=True
        ),
        Sampler("tcd", "TCD", "TCDScheduler", "arXiv 2402.19159, algorithm 4", sigmas=False, spaced=False, given=True),
        Sampler("euler", "Euler", "EulerDiscreteScheduler", f"{_K} sample_euler", given=True),
        Sampler(
            "euler_a",
            "Euler a",
            "EulerAncestralDiscreteScheduler",
            f"{_K} sample_euler_ancestral",
            noise="draws",
            sigmas=False,
            aliases=("eulerancestral",),
        ),
        Sampler(
            "heun", "Heun", "HeunDiscreteScheduler", "arXiv 2206.00364, algorithm 1 without churn", "2N-1", given=True
        ),
        Sampler("lms", "LMS", "LMSDiscreteScheduler", f"{_K} sample_lms"),
        Sampler(
            "kdpm2", "DPM2", "KDPM2DiscreteScheduler", f"{_K} sample_dpm_2", "2N-1", aliases=("dpm2", "dpm2discrete")
        ),
        Sampler(
            "kdpm2_a",
            "DPM2 a",
            "KDPM2AncestralDiscreteScheduler",
            f"{_K} sample_dpm_2_ancestral",
            "2N-1",
            noise="draws",
            aliases=("dpm2a", "dpm2ancestral", "kdpm2ancestral"),
        ),
        Sampler("dpmpp_2m", "DPM++ 2M", "DPMSolverMultistepScheduler", "arXiv 2211.01095, algorithm 2", given=True),
        Sampler(
            "dpmpp_2m_sde",
            "DPM++ 2M SDE",
            "DPMSolverMultistepScheduler, sde-dpmsolver++",
            "arXiv 2211.01095, section 5",
            noise="draws",
            given=True,
        ),
        Sampler("dpmpp_sde", "DPM++ SDE", "DPMSolverSDEScheduler", f"{_K} sample_dpmpp_sde", "2N-1", noise="path"),
        Sampler("unipc", "UniPC", "UniPCMultistepScheduler", "arXiv 2302.04867, bh2, order 2", aliases=("unipcbh2",)),
        Sampler("deis", "DEIS", "DEISMultistepScheduler", "arXiv 2204.13902, log-rho, order 2"),
    )
}


def _squeezed(name: str) -> str:
    """Small letters and digits of `name`, ++ spelt pp: what every spelling of a name has in common."""
    return "".join(char for char in name.lower().replace("+", "p") if char.isalnum())


# Every known spelling, squeezed -> base name: ours, A1111's label, diffusers' class with and without its ending.
_KNOWN: dict[str, str] = {}
for _sampler in BASES.values():
    _class = _squeezed(_sampler.scheduler.partition(",")[0])
    _spellings = {_squeezed(_sampler.name), _squeezed(_sampler.label), *_sampler.aliases}
    for _spelling in (*_spellings, _class, _class.removesuffix("scheduler")):
        _KNOWN.setdefault(_spelling, _sampler.name)

SAMPLERS: tuple[str, ...] = tuple(
    f"{sampler.name}{option}"
    for sampler in BASES.values()
    for option in ("", *(f"_{sigmas}" for sigmas in SIGMA_OPTIONS if sampler.sigmas))
)


@dataclass(frozen=True)
class SamplerName:
    """A canonical name, taken apart: the sampler, its sigma option and its spacing, None where the name has none."""

    base: Sampler
    sigmas: str | None
    spacing: str | None


@lru_cache(1024)
def parse_sampler(name: str) -> SamplerName:
    """The parts of `name`, in any spelling known; raises UsageError saying what is wrong with it."""
    rest, sigmas, spacing = _squeezed(name), None, None
    if rest.endswith("sgmuniform"):
        rest = f"{rest.removesuffix('sgmuniform')}trailing"
    while (ending := next((word for word in (*SIGMA_OPTIONS, *SPACINGS) if rest.endswith(word)), None)) is not None:
        if (sigmas if ending in SIGMA_OPTIONS else spacing) is not None:
            break
        sigmas, spacing = (ending, spacing) if ending in SIGMA_OPTIONS else (sigmas, ending)
        rest = rest.removesuffix(ending)
    base = next(
        (_KNOWN[word] for word in (rest, rest.removeprefix("k"), rest.removeprefix("sample")) if word in _KNOWN), None
    )
    if base is None:
        near = difflib.get_close_matches(rest, [*_KNOWN], n=1)
        hint = f"did you mean {_KNOWN[near[0]]!r}? " if near else ""
        raise UsageError(f"sampler {shown(name)} is unknown; {hint}known are {', '.join(BASES)}")
    sampler = BASES[base]
    if sigmas is not None and not sampler.sigmas:
        raise UsageError(
            f"sampler {shown(name)}: {base} has no {sigmas} sigmas, as diffusers' {sampler.scheduler} has none; use {base}"
        )
    if spacing is not None and not sampler.spaced:
        raise UsageError(f"sampler {shown(name)}: {base} has timesteps of its own and takes no spacing; use {base}")
    return SamplerName(sampler, sigmas, spacing)


def canonical_sampler(name: str) -> str:
    """The canonical name for `name` in any spelling; raises UsageError as `parse_sampler` does."""
    parts = parse_sampler(name)
    return "_".join(part for part in (parts.base.name, parts.sigmas, parts.spacing) if part)


def sampler_lines() -> list[str]:
    """What `latentpress samplers` prints: one line a base, then what may follow its name."""
    rows = [("name", "as A1111 calls it", "UNet calls", "noise", "diffusers")]
    rows += [(s.name, s.label, s.calls, s.noise, s.scheduler) for s in BASES.values()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    plain = ", ".join(sampler.name for sampler in BASES.values() if not sampler.sigmas)
    own = ", ".join(sampler.name for sampler in BASES.values() if not sampler.spaced)
    return [
        *lines,
        "",
        f"Sigmas: add one of _{', _'.join(SIGMA_OPTIONS)}, e.g. dpmpp_2m_karras; not to {plain}.",
        f"Spacing: add one of _{', _'.join(SPACINGS)}, e.g. ddim_trailing; not to {own}.",
        f"Timesteps of your own: {', '.join(sampler.name for sampler in BASES.values() if sampler.given)}, without _sigmas.",
        "_sgm_uniform, as ComfyUI and A1111 call it, means _trailing.",
        "Other spellings are understood: 'DPM++ 2M Karras', k_lms, EulerAncestralDiscreteScheduler.",
    ]


def sampler_data() -> list[dict[str, object]]:
    """What `latentpress samplers --json` prints: one entry a base, in the order of this file."""
    return [
        {
            "name": sampler.name,
            "label": sampler.label,
            "aliases": sorted({spelling for spelling, base in _KNOWN.items() if base == sampler.name} - {sampler.name}),
            "scheduler": sampler.scheduler,
            "source": sampler.source,
            "unet_calls": sampler.calls,
            "noise": sampler.noise,
            "sigmas": [f"{sampler.name}_{option}" for option in SIGMA_OPTIONS] if sampler.sigmas else [],
            "spacings": list(SPACINGS) if sampler.spaced else [],
            "timesteps": sampler.given,
        }
        for sampler in BASES.values()
    ]
