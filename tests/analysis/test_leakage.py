import json
from pathlib import Path

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


def test_very_many_pairs_are_counted_in_seconds_and_kept_in_part():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((2, 40)), 700, axis=0) + 0.01 * rng.standard_normal((1400, 40))
    found = leaks(x, groups=np.arange(1400))
    assert len(found.twins) == leakage.MOST_PAIRS
    assert "as are at least 999 more pairs" in found.warnings[0]
    likeness = [twin.likeness for twin in found.twins]
    assert likeness == sorted(likeness, reverse=True)


def test_two_numbers_an_image_make_no_twins():
    assert leaks(RNG.standard_normal((60, 2)), groups=WOMAN).twins == ()
    with pytest.raises(AnalysisError, match="8 × 8 or more"):
        leaks(VECTORS, groups=WOMAN, thumbnails=np.ones((60, 1, 1)))


@pytest.mark.parametrize("scale", [1e-100, 1e100])
def test_the_unit_of_the_vectors_does_not_matter_for_twins(scale):
    x = VECTORS.copy()
    x[40] = x[3]
    assert [(twin.first, twin.second) for twin in leaks(x * scale, groups=WOMAN).twins] == [(3, 40)]


def test_a_size_that_is_not_known_stops_nothing_and_may_itself_give_the_target_away():
    size = np.where(DENSE == "dense", np.nan, 19_000_000.0)
    found = leaks(VECTORS, groups=WOMAN, y=DENSE, sizes=size)
    assert found.readable["sizes"].score.value == 1
    for names in ([""] * 60, [None] * 60):
        assert leaks(VECTORS, groups=WOMAN, y=DENSE, files=names).warnings == ()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sizes": ["a"] * 60}, "sizes are numbers"),
        ({"sizes": 3}, "1 sizes for 60 vectors"),
        ({"sizes": [np.inf] * 60}, "larger than any file"),
        ({"thumbnails": [np.ones((9, 9)), np.ones((9, 10))] * 30}, "thumbnails differ in size"),
        ({"thumbnails": np.full((60, 9, 9), np.nan)}, "finite gray values"),
        ({"alike": "0.9"}, "cosines above 0 and at most 1"),
        ({"alike": True}, "cosines above 0 and at most 1"),
        ({"seed": -1}, "a seed is a whole number"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_in_one_sentence(wrong, message):
    with pytest.raises(AnalysisError, match=message):
        leaks(VECTORS, groups=WOMAN, y=DENSE, **wrong)


@pytest.mark.parametrize("cohort", ["vectors", "replication"])
def test_the_courses_cohorts_have_no_twins_and_a_picture_stored_again_is_one(cohort):
    cv2 = pytest.importorskip("cv2")
    import pyarrow.parquet as pq

    folder = Path(__file__).parents[2] / "data_samples" / cohort
    table = pq.read_table(folder / "embeddings.parquet").to_pandas()
    x, woman = np.stack(table.embedding), table.patient_key.to_numpy()
    stored = pq.read_table(folder / "thumbnails.parquet").to_pandas().iloc[:, -1]
    pictures = np.stack([cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_GRAYSCALE) for one in stored])
    assert leaks(x, groups=woman, thumbnails=pictures).twins == ()
    rng = np.random.default_rng(0)
    for _ in range(10):  # a small run of four women is no reason to see any
        rows = np.flatnonzero(np.isin(woman, rng.choice(np.unique(woman), 4, replace=False)))[::2]
        assert leaks(x[rows], groups=woman[rows], thumbnails=pictures[rows]).twins == ()
    again = [cv2.imdecode(cv2.imencode(".jpg", one, [1, 30])[1], 0) for one in pictures[:20]]
    found = leaks(
        np.vstack([x, rng.standard_normal((20, x.shape[1]))]),
        groups=[*woman, *(f"new {i}" for i in range(20))],
        thumbnails=np.concatenate([pictures, again]),
    )
    assert {(twin.first, twin.second) for twin in found.twins} >= {(i, len(x) + i) for i in range(20)}
