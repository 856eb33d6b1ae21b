"""Styles made from a picture by rule: another colour, an outline, a two-colour print. numpy and OpenCV only."""

import cv2
import numpy as np

COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (214, 40, 40),
    "orange": (245, 130, 32),
    "yellow": (255, 214, 64),
    "green": (40, 150, 70),
    "blue": (30, 80, 180),
    "purple": (120, 50, 160),
    "pink": (245, 120, 180),
    "brown": (110, 70, 40),
    "cream": (250, 236, 205),
}
# Hues in degrees; the colours a picture's own hue can be turned to.
HUES = {"red": 0, "orange": 28, "yellow": 50, "green": 120, "blue": 215, "purple": 275, "pink": 325}


def hue_of(picture: np.ndarray) -> float | None:
    """The hue, in degrees, of a picture that has mainly one, else None. picture: uint8 RGB (height, width, 3)."""
    hue, saturation, value = _hsv(picture)
    coloured = (saturation > 0.35) & (value > 0.25)
    drawn = (saturation > 0.12) | (value < 0.9)
    if coloured.sum() < 0.4 * drawn.sum() or coloured.mean() < 0.05:
        return None
    angles = np.deg2rad(hue[coloured])
    weights = saturation[coloured]
    mean = np.sum(weights * np.exp(1j * angles)) / weights.sum()
    # The length of the mean direction is 1 where all hues agree; 0.8 lets shading and a second small colour pass.
    return float(np.rad2deg(np.angle(mean)) % 360) if abs(mean) > 0.8 else None


def name_of_hue(hue: float) -> str | None:
    """The colour word within 14 degrees of `hue`, or None."""
    name = min(HUES, key=lambda colour: _apart(HUES[colour], hue))
    return name if _apart(HUES[name], hue) <= 14 else None


def recoloured(picture: np.ndarray, hue: float, colour: str) -> np.ndarray:
    """`picture`, whose main hue is `hue`, turned so that it is `colour`'s; uint8 RGB."""
    own, saturation, value = _hsv(picture)
    turned = np.stack([(own + HUES[colour] - hue) % 360, saturation, value], axis=-1).astype(np.float32)
    return np.rint(cv2.cvtColor(turned, cv2.COLOR_HSV2RGB) * 255).astype(np.uint8)


def outline(large: np.ndarray, ink: str, paper: str, size: int) -> np.ndarray:
    """The edges of a large picture as lines of `ink` on `paper`, at `size` pixels a side."""
    smooth = cv2.bilateralFilter(large, 7, 40, 5)
    edges = np.maximum.reduce([cv2.Canny(np.ascontiguousarray(smooth[..., c]), 40, 100) for c in range(3)])
    lines = cv2.dilate(edges, np.ones((3, 3), np.uint8))
    return _mix(small(lines, size).astype(np.float32) / 255, ink, paper)


def two_tone(picture: np.ndarray, ink: str, paper: str) -> np.ndarray:
    """`picture`'s darkness as a tone between `paper` (white) and `ink` (black)."""
    return _mix(1 - cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255, ink, paper)


def small(large: np.ndarray, size: int) -> np.ndarray:
    """`large` at `size` pixels a side, each the mean of the pixels it covers."""
    return cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA)


def _mix(share: np.ndarray, ink: str, paper: str) -> np.ndarray:
    share = share[..., None]
    mixed = share * np.array(COLOURS[ink], np.float32) + (1 - share) * np.array(COLOURS[paper], np.float32)
    return np.rint(mixed).astype(np.uint8)


def _hsv(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hsv = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    return hsv[..., 0], hsv[..., 1], hsv[..., 2]


def _apart(a: float, b: float) -> float:
    return abs((a - b + 180) % 360 - 180)
