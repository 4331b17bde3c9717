import pytest


@pytest.fixture(autouse=True, scope="module")
def small_figures():
    """Draw at a fraction of the resolution, since drawing is what takes the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("course_utils.plots.illustration.DPI", 40)
        yield
