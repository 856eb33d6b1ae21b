"""What the export's tests share: small random models of every family."""

import pytest

from ldm_names import LEVELS, small_models


@pytest.fixture(scope="session")
def small():
    """family -> component -> torch model; not to be changed."""
    return {family: small_models(family) for family in LEVELS}
