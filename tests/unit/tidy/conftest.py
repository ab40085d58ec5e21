"""The made-up lab with all its methods."""

import pytest

from zhurnal.api import Lab


@pytest.fixture
def own_lab(own_lab):
    return Lab(own_lab.folder)
