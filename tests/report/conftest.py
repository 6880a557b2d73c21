from functools import partial

import pytest

from tests.report.example_pages import ExamplePages


@pytest.fixture(scope="session")
def pages(request, tmp_path_factory) -> ExamplePages:
    """Example pages; the workers of one run share the folder, so that each page is made once."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if hasattr(request.config, "workerinput") else own
    # the panel takes three seconds and is wanted for pages of cities alone
    return ExamplePages(folder=shared / "example_pages", panel=partial(request.getfixturevalue, "panel"))
