"""One resumable training loop: AdamW, warm-up and decay, EMA, checkpoints, a loss plot, time left. Plain torch."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

# loss(step's generator, step) -> scalar; the generator depends on the seed and the step alone, so a resumed run goes on
# exactly where the killed one stopped.
Loss = Callable[[torch.Generator, int], Tensor]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: linear warm-up, a constant rate, a linear decay to zero over the last quarter.

    The constant middle lets a run be ended earlier or later than planned by asking for other `steps` when resuming.
    """

    steps: int
    rate: float
    warmup: int = 200
    decay_share: float = 0.25
    ema_decay: float = 0.999
    weight_decay: float = 0.01
    save_every_s: float = 60.0
    sample_every_s: float = 600.0

    def rate_at(self, step: int) -> float:
        left = (self.steps - step) / max(1.0, self.steps * self.decay_share)
        return self.rate * min(1.0, (step + 1) / self.warmup, left)


class Ema:
    """The exponential moving average of a module's parameters; short at the start, so that it forgets the noise there."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = module
        self.decay = decay
        self.values = [parameter.detach().clone() for parameter in module.parameters()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.module.parameters()], 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the averages and the module's own values."""
        for value, parameter in zip(self.values, self.module.parameters(), strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)


def train(
    name: str,
    module: nn.Module,
    loss: Loss,
    schedule: Schedule,
    folder: Path,
    *,
    seed: int,
    device: torch.device,
    sample: Callable[[Path], None] | None = None,
    clip: float = 1.0,
    say: Callable[[str], None] = print,
) -> None:
    """Train `module` in place until `schedule.steps`; it ends with the averaged weights.

    Files in `folder`: NAME.pt (resumed from when it is there), NAME-loss.jsonl, NAME-loss.png, and what
    `sample(path)`, called with the averaged weights in place, leaves at NAME-STEP.png.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=schedule.rate, weight_decay=schedule.weight_decay, betas=(0.9, 0.99), fused=True
    )
    ema = Ema(module, schedule.ema_decay)
    path = folder / f"{name}.pt"
    first = _resume(path, module, optimizer, ema) if path.exists() else 0
    if first >= schedule.steps:
        ema.swap()
        return
    say(f"{name}: step {first} of {schedule.steps}, {sum(p.numel() for p in trained) / 1e6:.2f} M parameters")
    started = saved = sampled = told = time.monotonic()
    running, count = torch.zeros((), device=device), 0
    for step in range(first, schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate_at(step)
        value = loss(torch.Generator().manual_seed(seed * 1_000_003 + step), step)
        value.backward()
        nn.utils.clip_grad_norm_(trained, clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ema.update(step)
        running, count = running + value.detach(), count + 1
        now, last = time.monotonic(), step + 1 == schedule.steps
        if now - told > 20 or last:
            mean, told = float(running) / count, now
            left = (now - started) / (step + 1 - first) * (schedule.steps - step - 1)
            say(f"{name}: step {step + 1}/{schedule.steps}, loss {mean:.4f}, {_clock(left)} left")
            with (folder / f"{name}-loss.jsonl").open("a") as log:
                log.write(json.dumps({"step": step + 1, "loss": round(mean, 6)}) + "\n")
            running, count = torch.zeros((), device=device), 0
        if now - saved > schedule.save_every_s or last:
            saved = now
            _save(path, step + 1, module, optimizer, ema)
        if sample and (now - sampled > schedule.sample_every_s or last):
            sampled = now
            ema.swap()
            sample(folder / f"{name}-{step + 1:06d}.png")
            ema.swap()
            plot(folder / f"{name}-loss.jsonl")
    ema.swap()


def plot(log: Path) -> None:
    """Draw the losses of a jsonl file as a png of the same name."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    if not log.exists():
        return
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    figure, axes = pyplot.subplots(figsize=(6, 3.5), layout="constrained")
    axes.plot([row["step"] for row in rows], [row["loss"] for row in rows], linewidth=1)
    axes.set(xlabel="step", ylabel="loss", yscale="log", title=log.stem)
    figure.savefig(log.with_suffix(".png"), dpi=110)
    pyplot.close(figure)


def _save(path: Path, step: int, module: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema) -> None:
    state = {"step": step, "module": module.state_dict(), "optimizer": optimizer.state_dict(), "ema": ema.values}
    # Written beside and renamed: a run killed while saving still has its previous checkpoint.
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def _resume(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema) -> int:
    state: dict[str, Any] = torch.load(path, map_location=next(module.parameters()).device, weights_only=True)
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    ema.values = state["ema"]
    return int(state["step"])


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
