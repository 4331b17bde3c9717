import base64
import io
import re
from html import escape

import pytest
from matplotlib.image import imread
from sample_figures import every_illustration

from course_utils import plots


@pytest.mark.parametrize(
    "name",
    [
        "sheet",
        "beside",
        "curves",
        "map",
        "pictures",
        "prototypes",
        "null",
        "search",
        "flames",
        "roofline",
        "ladder",
        "threads",
        "stages",
        "bill",
        "overheads",
    ],
)
def test_every_figure_has_caption_and_alternative_text_and_a_picture(name):
    shown = every_illustration()[name]
    assert len(shown.caption) > 40
    assert len(shown.alt) > 40
    assert imread(io.BytesIO(shown.png())).shape[2] == 4


@pytest.mark.parametrize(
    "name", ["map", "pictures", "null", "search", "flames", "roofline", "ladder", "threads", "overheads"]
)
def test_every_axis_has_a_label(name):
    for axes in every_illustration()[name].figure.axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel() or axes.get_yticklabels()[0].get_text()


def test_the_same_input_gives_the_same_bytes():
    again = every_illustration.__wrapped__()
    for name, shown in every_illustration().items():
        assert shown.png() == shown.png() == again[name].png()
        assert b"Software" not in shown.png()


def test_the_dark_theme_has_a_dark_ground_and_light_ink():
    for name, shown in every_illustration("dark").items():
        pixels = imread(io.BytesIO(shown.png()))[..., :3]
        assert pixels[0, 0].max() < 0.2, name
        assert pixels.max() > 0.7, name  # thin lines are antialiased, and more so in old versions


def test_a_notebook_gets_picture_alt_text_and_caption_and_all_of_it_as_text():
    shown = every_illustration()["map"]
    bundle = shown._repr_mimebundle_()
    assert sorted(bundle) == ["text/html", "text/plain"]
    assert bundle["text/plain"] == f"{shown.alt}\n{shown.caption}"
    assert f'alt="{escape(shown.alt)}"' in bundle["text/html"]
    assert escape(shown.caption) in bundle["text/html"]
    width, height, data = re.search(
        'width="(.+?)" height="(.+?)" src="data:image/png;base64,([^"]+)', bundle["text/html"]
    ).groups()
    picture = base64.b64decode(data)
    assert picture == shown.png()
    assert (int(height), int(width)) == imread(io.BytesIO(picture)).shape[:2]
    assert "0x" not in repr(shown)


def test_html_is_self_contained_and_escaped():
    hostile = plots.Illustration(every_illustration()["map"].figure, "<script>", '"><script>')
    html = hostile._repr_mimebundle_()["text/html"]
    assert "<script>" not in html
    assert 'src="data:image/png;base64,' in html
