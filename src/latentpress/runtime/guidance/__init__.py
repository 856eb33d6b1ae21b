"""Loss guidance: what the losses are called and take (no torch), and, in `losses` and `gradient`, what they do."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class LossParams(BaseModel):
    """The own parameters of a loss; subclasses are the losses."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Canny(LossParams):
    """Squared distance to the picture's own Canny edge map; hysteresis thresholds 0..255 of OpenCV."""

    low: float = Field(100, ge=0, le=255)
    high: float = Field(200, ge=0, le=255)

    @model_validator(mode="after")
    def _ordered(self) -> "Canny":
        if self.low > self.high:
            raise ValueError(f"low is {self.low:g} and high is {self.high:g}; low must not exceed high")
        return self


class Channel(LossParams):
    """Mean distance of one colour channel to `target` (0..1)."""

    channel: Literal["red", "green", "blue"] = "blue"
    target: float = Field(0.9, ge=0, le=1)


class Saturation(LossParams):
    """Raises the colour spread of each pixel."""


class Contrast(LossParams):
    """Raises the standard deviation of the luma."""


class Symmetry(LossParams):
    """Squared distance to the mirror image (left-right)."""


LOSSES: dict[str, type[LossParams]] = {
    "canny": Canny,
    "channel": Channel,
    "saturation": Saturation,
    "contrast": Contrast,
    "symmetry": Symmetry,
}
