"""A page of a sheet's PDF that holds a drawing, such as a plot of measures, with text of its own around it."""

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from latentpress.sheets.cells import DONE, Cell
from latentpress.sheets.page import Page, Picture, Rect


@dataclass(frozen=True)
class Plate:
    """svg: what is drawn, without text; page: the text, as of any page; its `alt` says what the drawing shows."""

    svg: bytes
    page: Page

    def with_drawing(self, name: str) -> Page:
        """The page with the drawing below its text, as a picture called `name`."""
        whole = Rect(0, 0, self.page.width, self.page.height)
        cell = Cell({}, DONE, PurePosixPath(name), 0, 0, alt=self.page.alt)
        return replace(self.page, boxes=(Picture(whole, cell), *self.page.boxes))
