"""What the tests of many searches share."""

import pytest
from many import search


@pytest.fixture(scope="module")
def found():
    return search()
