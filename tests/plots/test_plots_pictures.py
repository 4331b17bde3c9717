import io

import numpy as np
import pytest
from sample_figures import PICTURES

from course_utils import plots


@pytest.mark.parametrize(("n", "limit"), [(0, 5), (1, 5), (5, 5), (100, 7), (7, 3)])
def test_a_selection_is_spread_evenly_with_both_ends(n, limit):
    chosen = plots.spread(n, limit).tolist()
    assert len(chosen) == min(n, limit)
    if n:
        assert chosen[0] == 0
        assert chosen[-1] == (n - 1 if limit > 1 else 0)
        gaps = np.diff(chosen)
        assert len(chosen) < 2 or gaps.max() - gaps.min() <= 1


def test_a_contact_sheet_of_many_says_that_it_is_a_selection():
    shown = plots.contact_sheet(PICTURES, limit=4)
    assert "4 of 18 pictures" in shown.caption
    assert sum(bool(axes.images) for axes in shown.figure.axes) == 4


def test_pictures_may_be_png_bytes_or_arrays():
    data = io.BytesIO()
    from PIL import Image

    Image.fromarray((PICTURES[0][0] * 255).round().astype(np.uint8)).save(data, "PNG")
    from_png = plots.contact_sheet([data.getvalue()]).figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(from_png, PICTURES[0][0], atol=0.003)
