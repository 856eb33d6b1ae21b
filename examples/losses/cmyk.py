"""Inks of print: much of one, little black, both even."""

from typing import Literal

from colours import cmyk


def loss(image, ink: Literal["cyan", "magenta", "yellow"] = "magenta", evenness: float = 0.1):
    inks = cmyk(image)
    wanted = inks[["cyan", "magenta", "yellow"].index(ink)]
    return inks[3].mean() - wanted.mean() + evenness * (wanted.var() + inks[3].var())
