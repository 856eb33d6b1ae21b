"""Every size and length of the recipe, in one place."""

from dataclasses import dataclass, field, replace

from demo_model.training import Schedule


@dataclass(frozen=True)
class Settings:
    """What `make demo-model` trains; `tiny()` is the same recipe for a test."""

    size: int = 64
    """Pixels a side."""
    seed: int = 7
    vae_channels: tuple[int, ...] = (16, 32, 64)
    vae_batch: int = 32
    vae: Schedule = field(default_factory=lambda: Schedule(steps=3400, rate=2e-3, ema_decay=0.998))
    text_width: int = 128
    text_layers: int = 3
    unet_channels: tuple[int, ...] = (96, 128, 192)
    unet_batch: int = 32
    unet: Schedule = field(default_factory=lambda: Schedule(steps=18000, rate=1.2e-3))
    unet_broad_steps: int = 9000
    """Steps that show every subject; the others show the core ones alone, which a small model then draws well."""
    concept_batch: int = 32
    concept: Schedule = field(
        default_factory=lambda: Schedule(steps=300, rate=2e-2, warmup=20, ema_decay=0.95, weight_decay=0.0)
    )
    sampling_steps: int = 25
    judged_captions: int = 200
    judged_seeds: int = 4
    judged_subjects: int = 10
    """Subjects a concept is judged by, of those it learned from and of those it did not see, each."""


def tiny() -> Settings:
    """A recipe of seconds, to prove that every stage runs and resumes; it draws nothing."""
    short = Schedule(steps=4, rate=1e-3, warmup=2, save_every_s=0.0, sample_every_s=0.0)
    return replace(
        Settings(),
        size=32,
        vae_channels=(8, 8, 8),
        vae_batch=4,
        text_width=32,
        text_layers=1,
        unet_channels=(8, 16, 16),
        unet_batch=4,
        unet_broad_steps=2,
        concept_batch=4,
        vae=short,
        unet=short,
        concept=short,
        sampling_steps=2,
        judged_captions=4,
        judged_seeds=1,
        judged_subjects=2,
    )
