"""The fixtures of a bundle and a renderer that cost nothing."""

from fakes import facts, manifest, new_renderer, planned

__all__ = ["facts", "manifest", "new_renderer", "planned"]
