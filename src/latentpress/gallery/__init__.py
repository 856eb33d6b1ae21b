"""Output folders as a page to look through, which opens from the disk: no server, no network, nothing to build."""

from latentpress.gallery.make import Made, make_gallery

__all__ = ["Made", "make_gallery"]
