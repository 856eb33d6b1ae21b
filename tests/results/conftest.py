"""The fixtures of a bundle and an executor that cost nothing."""

from fakes import facts, folder, go, manifest

__all__ = ["facts", "folder", "go", "manifest"]
