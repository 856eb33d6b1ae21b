"""The fixtures of bundles and of pictures that cost nothing."""

from fakes import facts, manifest, new_executor

__all__ = ["facts", "manifest", "new_executor"]
