import json

import numpy as np
import pandas as pd
import pytest

from course_utils.analysis import AnalysisError, Leaks, leaks
from course_utils.analysis.probing import leakage

WOMAN = np.repeat(np.arange(30), 2)
RNG = np.random.default_rng(0)
VECTORS = RNG.standard_normal((60, 40))
DENSE = pd.Series(np.array(["fatty", "dense"])[(np.arange(30) // 2 % 2)[WOMAN]], name="density")


def test_nothing_is_said_where_there_is_nothing():
    found = leaks(VECTORS, groups=WOMAN, y=DENSE, files=[f"image_{i:03}.dcm" for i in RNG.permutation(60)])
    assert (found.twins, found.warnings) == ((), ())
    assert set(found.readable) == {"file names", "numbers in the file names"}
    assert not any(one.is_more_than_chance for one in found.readable.values())


def test_nearly_the_same_vector_under_two_women_is_found_and_under_one_is_not():
    x = VECTORS.copy()
    x[11] = x[10] + 0.01  # one woman's two images
    x[40] = x[3] + RNG.normal(0, 0.05, 40)
    found = leaks(x, groups=WOMAN)
    assert [(twin.first, twin.second, twin.seen_in) for twin in found.twins] == [(3, 40, "vectors")]
    centred = x - x.mean(axis=0)
    cosine = centred[3] @ centred[40] / np.linalg.norm(centred[3]) / np.linalg.norm(centred[40])
    assert found.twins[0].likeness == pytest.approx(cosine, abs=1e-4)
    assert found.warnings[0].startswith("Images 3 and 40 are of different women and nearly the same picture")
    assert leaks(x, groups=WOMAN, alike=1.0).twins == ()


def test_twins_are_found_across_the_blocks_in_which_they_are_looked_for(monkeypatch):
    monkeypatch.setattr(leakage, "_CHUNK", 7)
    x = VECTORS.copy()
    x[40], x[59] = x[3], x[3]
    found = leaks(x, groups=WOMAN)
    assert [(twin.first, twin.second) for twin in found.twins] == [(3, 40), (3, 59), (40, 59)]
    assert "as are 2 more pairs" in found.warnings[0]


def test_thumbnails_find_what_the_vectors_do_not():
    pictures = RNG.random((60, 50, 40))
    pictures[40] = pictures[3]
    found = leaks(VECTORS, groups=WOMAN, thumbnails=pictures)
    assert [(twin.first, twin.second, twin.seen_in) for twin in found.twins] == [(3, 40, "thumbnails")]
    with pytest.raises(AnalysisError, match="thumbnails have shape"):
        leaks(VECTORS, groups=WOMAN, thumbnails=pictures[:5])


@pytest.mark.parametrize(
    ("name", "where"),
    [
        (lambda i: f"{DENSE[i]}/{i:03}.dcm", "file names"),
        (lambda i: f"site{'A' if DENSE[i] == 'dense' else 'B'}/{(i * 37) % 100:03}.dcm", "file names"),
        (lambda i: f"{i + 500 * (DENSE[i] == 'dense')}.dcm", "numbers in the file names"),
    ],
)
def test_a_target_that_the_name_gives_away_is_said(name, where):
    found = leaks(VECTORS, groups=WOMAN, y=DENSE, files=[name(i) for i in range(60)])
    assert found.readable[where].score.value > 0.9
    start = f"density can be read off the {where} alone (balanced accuracy "
    assert any(said.startswith(start) for said in found.warnings)


def test_a_target_that_the_size_gives_away_is_said():
    size = np.where(DENSE == "dense", 20_000_000, 19_000_000) + RNG.integers(0, 1000, 60)
    found = leaks(VECTORS, groups=WOMAN, y=DENSE, sizes=size)
    assert found.warnings[0].startswith("density can be read off the sizes alone")


def test_files_that_are_all_of_one_size_say_nothing():
    assert leaks(VECTORS, groups=WOMAN, y=DENSE, sizes=np.full((60, 2), 512)).readable == {}


def test_other_lengths_are_refused():
    for wrong in ({"files": ["a"]}, {"sizes": [1, 2]}, {"alike": 0.0}):
        with pytest.raises(AnalysisError):
            leaks(VECTORS, groups=WOMAN, y=DENSE, **wrong)


def test_leaks_come_back_from_json():
    x = VECTORS.copy()
    x[40] = x[3]
    found = leaks(x, groups=WOMAN, y=DENSE, sizes=np.arange(60))
    assert Leaks.from_dict(json.loads(json.dumps(found.to_dict()))) == found
