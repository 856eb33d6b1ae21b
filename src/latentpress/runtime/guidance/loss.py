"""What a loss is: a name, parameters and a function. The built-in losses lie in `losses`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict

from latentpress.runtime.guidance.context import Context
from latentpress.runtime.request import ImageFile, LossCode

if TYPE_CHECKING:  # whoever reads a manifest needs the losses' names and parameters, and no torch
    from torch import Tensor


class LossParams(BaseModel):
    """A loss's own parameters, with bounds and defaults; a loss without any takes this class as it is.

    later: those that a release after the loss's first one added. They are left out of a job at their default, which the
    loss's function has too, so that earlier jobs stay what they were.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    later: ClassVar[frozenset[str]] = frozenset()

    def complete(self) -> dict[str, float | str]:
        """All of them by name, as `LossSpec` holds them, but for the later ones at their default.

        What is given as a default is becomes the default itself: 100.0 and 100 would make two jobs of one.
        """
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        found: dict[str, float | str] = self.model_dump()
        return {
            name: defaults[name] if _same_number(value, defaults[name]) else value
            for name, value in found.items()
            if name not in self.later or value != defaults[name]
        }


@dataclass(frozen=True)
class Loss:
    """A loss that can guide a picture.

    name: what a manifest calls it; params: the model of its parameters, each a number or text;
    function: the image (batch, 3, H, W), float32, about 0..1 and not clamped, and the parameters as keywords -> one value
    per image, (batch,), differentiable by the image. It must not reduce over the batch: the mean of a batch would divide
    each image's gradient by the batch size. It imports what it needs (torch, cv2) in its body, not with its module.
    source: where it comes from, one line;
    formula, range, does: the equation, the values that images in 0..1 give, and what guiding by it does, one line each;
    wants: the names of what the function takes of the image's `Context`, as keywords; nothing of it by default;
    pictures: the names of those parameters that are files of pictures in a manifest; the function gets each as
    (1, 3, H, W), 0..1, of the image's size;
    looks: whether the function takes the image; where no loss of a picture does, nothing is decoded;
    folders: the names of those parameters that are folders of CLIP models; the function gets the `ImageFile` of each;
    one_of: names of which exactly one is given, parameters and pictures; without any, every picture is needed;
    both_ways: whether a negative scale, which raises the loss, makes sense too;
    start: the share of the steps from which it acts, where nothing says otherwise;
    keeps: of the same images a value each, (batch,), that the loss's gradient leaves as it is, to first order: what of it
    would change that value is taken out;
    code: of a person's own loss (own/), None for a built-in one.
    """

    name: str
    params: type[LossParams]
    function: Callable[..., "Tensor"]
    source: str
    formula: str = ""
    range: str = ""
    does: str = ""
    wants: frozenset[str] = frozenset()
    both_ways: bool = False
    code: LossCode | None = None
    pictures: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    start: float = 0.0
    looks: bool = True
    keeps: "Callable[[Tensor], Tensor] | None" = None

    @property
    def files(self) -> tuple[str, ...]:
        """The parameters that are paths in a manifest."""
        return *self.pictures, *self.folders

    @property
    def needed(self) -> tuple[str, ...]:
        """Those of `files` without which there is no such loss."""
        return tuple(name for name in self.files if name not in self.one_of)

    def __call__(
        self,
        image: "Tensor | None",
        params: "Mapping[str, float | str | Tensor | ImageFile]",
        context: Context | None = None,
    ) -> "Tensor":
        """The loss of each image, (batch,).

        image: None where it does not look; params: complete, as `LossSpec` holds them, with pictures as tensors; context:
        where it wants any.
        """
        surroundings = {name: getattr(context, name) for name in self.wants}
        return self.function(*([image] if self.looks else []), **params, **surroundings)


def _same_number(value: object, default: object) -> bool:
    return type(value) in (int, float) and type(default) in (int, float) and value == default
