"""What every test of the engine starts from."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def _pictures_are_not_drawn():
    """Drawing one takes as long as training a toy; the tests of the picture draw it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reid.engine.watch.draw_curves", lambda rows, path, title, note: path.write_bytes(b""))
        yield
