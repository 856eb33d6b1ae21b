"""The columns of a solver's rows, and how a model's output becomes x0, eps or itself.

Tables are built column by column: a `Table` maps each name of COLUMNS to an array with one value a UNet call.
"""

from typing import Literal

import numpy as np

from latentpress.runtime.sampling.schedule import Float

# Predictions kept per image: what PNDM's fifth call reaches back to, past the second call that its formulas leave out.
DEPTH = 5

_SOURCES = ("x", "anchor", *(f"m{j}" for j in range(DEPTH)))
COLUMNS = (
    "timestep",
    "in_scale",
    "x0_x",
    "x0_out",
    "nudge",
    "keep_x",
    "keep_out",
    "keep_move",
    "anchor_move",
    *(f"next_{source}" for source in _SOURCES),
    "next_noise",
    *(f"anchor_{source}" for source in _SOURCES),
    "draw",
    "path_from",
    "path_to",
    "level_image",
    "level_noise",
)
INDEX = {name: position for position, name in enumerate(COLUMNS)}

Table = dict[str, Float]


def blank(timesteps: Float) -> Table:
    """A table of zeros for the calls at `timesteps`."""
    table = {name: np.zeros(len(timesteps)) for name in COLUMNS}
    table["timestep"] = timesteps.astype(np.float64)
    return table


def stacked(table: Table) -> Float:
    """The rows of `table`: (calls, len(COLUMNS))."""
    return np.stack([table[name] for name in COLUMNS], axis=1)


def sigma_space(timesteps: Float, sigmas: Float, prediction_type: str, keep: Literal["eps", "x0"]) -> Table:
    """A table for latents x = x0 + sigma * eps, which the model sees as x / sqrt(sigma^2 + 1); sigmas > 0."""
    table = blank(timesteps)
    scale = 1 / np.sqrt(sigmas**2 + 1)
    table["in_scale"] = scale
    table["level_image"][:], table["level_noise"] = 1.0, sigmas
    table["nudge"] = sigmas**2
    if prediction_type == "epsilon":
        eps_x, eps_out = np.zeros_like(sigmas), np.ones_like(sigmas)
        table["x0_x"][:], table["x0_out"] = 1.0, -sigmas
    else:  # v = alpha * eps - sigma_vp * x0 (arXiv 2202.00512), of the scaled latents
        eps_x, eps_out = sigmas * scale**2, scale
        table["x0_x"], table["x0_out"] = scale**2, -sigmas * scale
    if keep == "eps":
        table["keep_x"], table["keep_out"] = eps_x, eps_out
    else:
        _keep_x0(table, np.ones_like(sigmas))
    return table


def signal_space(
    timesteps: Float, alpha: Float, sigma: Float, prediction_type: str, keep: Literal["eps", "x0", "out"]
) -> Table:
    """A table for latents x = alpha * x0 + sigma * eps, alpha^2 + sigma^2 = 1.

    alpha may be 0 with v-prediction: there x holds nothing of the picture, and a loss cannot move it.
    """
    table = blank(timesteps)
    table["in_scale"][:] = 1.0
    table["level_image"], table["level_noise"] = alpha, sigma
    reciprocal = np.divide(1.0, alpha, out=np.zeros_like(alpha), where=alpha > 0)
    # The sigma^2 of sigma space, carried over by x = alpha * x_sigma_space: (sigma / alpha)^2 * alpha.
    table["nudge"] = sigma**2 * reciprocal
    if prediction_type == "epsilon":
        eps_x, eps_out = np.zeros_like(alpha), np.ones_like(alpha)
        table["x0_x"], table["x0_out"] = reciprocal, -sigma * reciprocal
    else:
        eps_x, eps_out = sigma, alpha
        table["x0_x"], table["x0_out"] = alpha, -sigma
    if keep == "eps":
        table["keep_x"], table["keep_out"] = eps_x, eps_out
    elif keep == "x0":
        _keep_x0(table, reciprocal)
    else:  # the output that belongs to the moved x and the old eps = eps_x * x + eps_out * out
        table["keep_out"][:] = 1.0
        table["keep_move"] = -eps_x * np.divide(1.0, eps_out, out=np.zeros_like(alpha), where=eps_out > 0)
    return table


def weaken(table: Table, limit: float) -> None:
    """Make losses weaker where the noise is above sigma / alpha = `limit`, by (limit * alpha / sigma)^4.

    With sigma up to `limit` a loss's push on x0 is sigma^2, above it is limit^4 / sigma^2, and so it ends in 0 where x holds
    nothing of the picture, at alpha = 0. On a schedule rescaled to zero terminal SNR sigma rises to 4096 and more, and
    with sigma^2 the push would be a thousand times what x holds of a picture.
    """
    if np.isfinite(limit):
        # alpha and sigma are the noise levels of a step's first call, the only one that losses act on.
        alpha, sigma = table["level_image"], table["level_noise"]
        table["nudge"] *= np.minimum(limit * alpha / sigma, 1.0) ** 4


def _keep_x0(table: Table, move: Float) -> None:
    table["keep_x"], table["keep_out"], table["keep_move"] = table["x0_x"].copy(), table["x0_out"].copy(), move
