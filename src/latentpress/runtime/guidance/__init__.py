"""Loss guidance. The table of built-in losses, one file each; `gradient` guides by them, and alone imports torch."""

from collections.abc import Mapping

from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.guidance.losses.brightness import BRIGHTNESS
from latentpress.runtime.guidance.losses.canny import CANNY
from latentpress.runtime.guidance.losses.channel import CHANNEL
from latentpress.runtime.guidance.losses.clip import CLIP
from latentpress.runtime.guidance.losses.colour_matrix import COLOUR_MATRIX
from latentpress.runtime.guidance.losses.contrast import CONTRAST
from latentpress.runtime.guidance.losses.elastic import ELASTIC
from latentpress.runtime.guidance.losses.exposure import EXPOSURE
from latentpress.runtime.guidance.losses.frequency import FREQUENCY
from latentpress.runtime.guidance.losses.gram import GRAM
from latentpress.runtime.guidance.losses.grayscale import GRAYSCALE
from latentpress.runtime.guidance.losses.hue import HUE
from latentpress.runtime.guidance.losses.latents import LATENTS
from latentpress.runtime.guidance.losses.mix import MIX
from latentpress.runtime.guidance.losses.palette import PALETTE
from latentpress.runtime.guidance.losses.perceptual import PERCEPTUAL
from latentpress.runtime.guidance.losses.reference import REFERENCE
from latentpress.runtime.guidance.losses.saturation import SATURATION
from latentpress.runtime.guidance.losses.sepia import SEPIA
from latentpress.runtime.guidance.losses.sobel import SOBEL
from latentpress.runtime.guidance.losses.soft_canny import SOFT_CANNY
from latentpress.runtime.guidance.losses.symmetry import SYMMETRY
from latentpress.runtime.guidance.losses.tv import TV
from latentpress.runtime.guidance.losses.vignette import VIGNETTE

_BUILT_IN = (
    *(CANNY, CHANNEL, SATURATION, CONTRAST, SYMMETRY),
    *(SOFT_CANNY, SOBEL, TV, BRIGHTNESS, EXPOSURE),
    *(GRAYSCALE, SEPIA, HUE, PALETTE, MIX),
    *(COLOUR_MATRIX, VIGNETTE, FREQUENCY, ELASTIC, LATENTS),
    *(REFERENCE, PERCEPTUAL, GRAM, CLIP),
)
# In the order in which messages list them.
LOSSES: Mapping[str, Loss] = {loss.name: loss for loss in _BUILT_IN}
