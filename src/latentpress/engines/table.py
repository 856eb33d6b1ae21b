"""The engines there are, in the order in which they are shown and offered; the first is the default."""

from latentpress.engines.cpu import CPU
from latentpress.engines.cuda import CUDA
from latentpress.engines.engine import Engine
from latentpress.engines.openvino import OPENVINO
from latentpress.engines.tensorrt import TENSORRT
from latentpress.engines.tensorrt_rtx import TENSORRT_RTX

ENGINES: tuple[Engine, ...] = (
    CPU,
    OPENVINO,
    CUDA,
    TENSORRT,
    TENSORRT_RTX,
)
