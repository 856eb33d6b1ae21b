"""Loss guidance. The table of built-in losses, one file each; `gradient` guides by them, and alone imports torch."""

from collections.abc import Mapping

from latentpress.runtime.guidance.loss import Loss
from latentpress.runtime.guidance.losses.canny import CANNY
from latentpress.runtime.guidance.losses.channel import CHANNEL
from latentpress.runtime.guidance.losses.contrast import CONTRAST
from latentpress.runtime.guidance.losses.saturation import SATURATION
from latentpress.runtime.guidance.losses.symmetry import SYMMETRY

# In the order in which messages list them.
LOSSES: Mapping[str, Loss] = {loss.name: loss for loss in (CANNY, CHANNEL, SATURATION, CONTRAST, SYMMETRY)}
