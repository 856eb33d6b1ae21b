"""The folder of a fake render, and one browser for all pages."""

import pytest

from browser import Browser
from fakes import facts, folder, made, manifest

__all__ = ["facts", "folder", "made", "manifest"]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A browser; each test opens its own page in it."""
    one = Browser(tmp_path_factory.mktemp("chromium"))
    yield one
    one.close()
