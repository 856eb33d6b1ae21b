"""Our normal draws against torch's own, and against pinned ones, which hold on a CPU for which torch has other kernels."""

import hashlib

import numpy as np
import pytest
import torch

from latentpress.runtime.sampling import generator
from latentpress.runtime.sampling.generator import Generator

SEEDS = [0, 1, 42, 2**31, 2**32 - 1, 2**32, 123456789012345678, 2**63 - 1, 2**63, 2**64 - 1]
TORCH = {np.float32: torch.float32, np.float64: torch.float64}
# torch's `default` kernel (ATEN_CPU_CAPABILITY=default chooses it on any CPU) takes logarithm, sine and cosine from the C
# library, and 2 pi times a uniform in double precision, where the others round both 2 pi (by 1.7e-7) and the angle (by
# 2.4e-7) to float32: times the largest radius, 5.8, that is 2.4e-6, and a last bit of 4.8e-7.
OTHER_KERNEL = 3e-6
SAME_KERNEL = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")

ARGUMENTS = 1 << 24  # of the logarithm, and of sine and cosine: a uniform has 24 bits


def agree(ours, theirs):
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    if SAME_KERNEL or ours.dtype == np.float64 or ours.size < generator.BLOCK:
        assert ours.tobytes() == theirs.tobytes()
    else:
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=OTHER_KERNEL)


@pytest.mark.parametrize("dtype", TORCH, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("seed", SEEDS)
def test_draws_of_every_size_in_any_order_are_torchs(seed, dtype):
    ours, theirs = Generator(seed), torch.Generator().manual_seed(seed)
    sizes = np.random.default_rng(seed).permutation([*range(70), 1, 3, 5, 250, 4096, 16387])
    for size in sizes.tolist():
        agree(ours.normal((size,), dtype), torch.randn(size, generator=theirs, dtype=TORCH[dtype]).numpy())


def test_one_generator_draws_both_types_and_keeps_a_value_from_one_to_the_other():
    ours, theirs = Generator(7), torch.Generator().manual_seed(7)
    for shape, dtype in [((3,), np.float32), ((1, 1), np.float64), ((4, 8, 8), np.float64), ((5,), np.float32)]:
        agree(ours.normal(shape, dtype), torch.randn(shape, generator=theirs, dtype=TORCH[dtype]).numpy())


@pytest.mark.parametrize("seed", [3, 2**40 + 3])
def test_a_large_picture_noise_is_torchs(seed):
    ours, theirs = Generator(seed), torch.Generator().manual_seed(seed)
    for shape in ((4, 128, 128), (4, 97, 131), (16, 128, 128)):
        agree(ours.normal(shape), torch.randn(shape, generator=theirs).numpy())


def test_every_radius_and_every_angle_is_torchs():
    """All 2^24 of each, in pairs: a generator of torch's is given the words to draw, instead of a seed."""
    theirs = torch.Generator().manual_seed(0)
    state = theirs.get_state()
    fields = state.numpy()
    # at::CPUGeneratorImplStateLegacy: seed (8 bytes), words left before the next twist (4), seeded (4), next (8), words.
    fields[8:12].view(np.int32)[0] = 624
    fields[16:24].view(np.uint64)[0] = 0
    words = fields[24 : 24 + 624 * 8].view(np.uint64)
    drawn = torch.empty(608)  # the whole blocks in 623 words
    for start in range(0, ARGUMENTS, ARGUMENTS // 16):
        radii = np.arange(start, start + ARGUMENTS // 16, dtype=np.uint32)
        radii = np.pad(radii, (0, -len(radii) % 304))
        angles = (radii * np.uint32(7) + np.uint32(12345)) % np.uint32(ARGUMENTS)
        asked = np.stack([radii.reshape(-1, 8), angles.reshape(-1, 8)], axis=1).reshape(-1, 608)
        ours = generator._box_muller32(asked.ravel().astype(np.float32) * np.float32(2**-24)).reshape(asked.shape)
        found = np.empty_like(ours)
        for index, row in enumerate(untempered(asked)):
            words[:608] = row
            theirs.set_state(state)
            found[index] = drawn.normal_(generator=theirs).numpy()
        agree(ours, found)


def untempered(words):
    """The state words from which MT19937 makes `words`: its last four steps (Matsumoto and Nishimura, 1998) undone."""
    y = words.astype(np.uint64)
    y ^= y >> np.uint64(18)
    y ^= (y << np.uint64(15)) & np.uint64(0xEFC60000)
    x = y.copy()
    for _ in range(4):
        x = y ^ ((x << np.uint64(7)) & np.uint64(0x9D2C5680))
    y, x = x, x.copy()
    for _ in range(2):
        x = y ^ (x >> np.uint64(11))
    return x


@pytest.mark.full
def test_no_sum_is_rounded_twice(monkeypatch):
    """`_fused` against exact arithmetic, for every argument it is used with."""

    def exactly(a, b, c):
        product, c = np.multiply(a, b, dtype=np.float64), np.asarray(c, np.float64)
        total = product + c
        part = total - product
        lost = (product - (total - part)) + (c - part)  # Knuth's two-sum: exactly what `total` lacks
        # Rounded to odd, a float64 rounds on to float32 as the exact sum would (Boldo and Melquiond, 2008).
        even = (lost != 0) & (total.view(np.int64) & 1 == 0)
        return np.where(even, np.nextafter(total, np.copysign(np.inf, lost)), total).astype(np.float32)

    for start in range(0, ARGUMENTS, ARGUMENTS // 16):
        uniforms = np.arange(start, start + ARGUMENTS // 16).astype(np.float32) * np.float32(2**-24)

        def outcomes(uniforms=uniforms):
            return [generator.log32(1 - uniforms), *generator.sincos32(np.float32(2 * np.pi) * uniforms)]

        ours = outcomes()
        with monkeypatch.context() as patched:
            patched.setattr(generator, "_fused", exactly)
            for value, exact in zip(ours, outcomes(), strict=True):
                np.testing.assert_array_equal(value, exact)


# sha256 of little-endian float32, as torch 2.13 drew them on a CPU with AVX-512.
PINNED = {
    (0, (4, 64, 64)): "38bf4edb1542364b8dffa79091100dac9053c0c76afbba30f7ba4e93a7cb12d1",
    (42, (4, 128, 128)): "38fc59aa40ddf82acc3a80528eb109b34a60f37f3b574172244b24a552fcd042",
    (2**63 - 1, (4, 9, 11)): "879e65be047598af7c14aca31bcf978f4a1135e9cfe703cc5d03c15b71197f7d",
    (7, (4, 1, 2)): "131e4fc71bc07caf709e7c9f19ee1d6b6c86bf8be3af8395334eb65352403939",
}


@pytest.mark.parametrize(("seed", "shape"), PINNED)
def test_draws_are_the_same_on_every_cpu(seed, shape):
    draws = Generator(seed)
    data = b"".join(draws.normal(shape).astype("<f4").tobytes() for _ in range(3))
    assert hashlib.sha256(data).hexdigest() == PINNED[seed, shape]


def test_the_first_values_of_a_seed():
    # What torch.manual_seed(0); torch.randn(3) prints.
    np.testing.assert_allclose(Generator(0).normal((3,)), [1.5410, -0.2934, -2.1788], atol=5e-5)
