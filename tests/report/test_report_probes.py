"""What the page says of probes: what was found, what casts doubt on it, and which belong to other vectors."""

import functools
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_report import grouped_vectors, page, run_folder

from course_utils.analysis.probing import Leaks, Probe, probe
from course_utils.analysis.probing.leakage import Twin
from course_utils.report import figures, words
from course_utils.report.reading import read_run
from course_utils.runs import probe_file, write_probe

N = 18
GROUPS = np.arange(N) // 2
TABLE = pd.DataFrame({"image_id": [f"img-{i:012x}" for i in range(N)]})


@pytest.fixture(autouse=True, scope="module")
def small_figures():
    """Draw at a fraction of the resolution: the tests read words, and drawing is what takes the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("course_utils.plots.illustration.DPI", 30)
        yield


class Made:
    """What `write_probe` needs of an Extraction."""

    def __init__(self, vectors: np.ndarray):
        self.vectors, self.table = vectors.astype(np.float32), TABLE


@functools.cache
def found(target: str) -> Probe:
    y = np.where(np.arange(N) % 3 == 0, "CC", "other") if target != "age" else np.linspace(40, 60, N)
    beside = {"mean gray": np.random.default_rng(0).random(N)}
    return probe(
        grouped_vectors(N),
        pd.Series(y, name=target),
        groups=GROUPS,
        splits=3,
        repeats=1,
        permutations=0,
        baselines=beside,
    )


def keep(folder: Path, target: str = "view", *, vectors: np.ndarray | None = None, **more) -> Path:
    """Write what `course probe` writes."""
    result = {
        "groups": "patient",
        "probe": found(target).to_dict(),
        "leaks": Leaks((), {}, ()).to_dict(),
        "warnings": [],
        "left_out": {},
        "pictures": "",
    }
    made = Made(grouped_vectors(N) if vectors is None else vectors)
    return write_probe(folder, made, target, result | more)


def section(text: str) -> str:
    return text.split("What can be read off the vectors? A model", 1)[1].split(" Files set aside ", 1)[0]


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    folder = run_folder(tmp_path_factory.mktemp("run"))
    keep(
        folder,
        warnings=["vendor explains 90% of view here.", "Images 0 and 3 are of different women."],
        leaks=Leaks((Twin(0, 3, 0.99, "vectors"),), {}, ()).to_dict(),
        left_out={"woman": "it names women or images"},
        pictures="Mean gray is that of thumbnails.",
    )
    keep(folder, "age")
    return folder, page(folder)


def test_each_probe_has_its_sentences_its_cautions_and_what_stands_beside_it(probed):
    text = section(probed[1].text)
    for target in ("view", "age"):
        for sentence in found(target).sentences:
            assert sentence in text
    assert "vendor explains 90% of view here." in text
    assert "The most alike: case/0.dcm and case/3.dcm ." in text
    assert "Women are told apart by patient. Mean gray is that of thumbnails." in text
    assert "Not beside it: woman (it names women or images)." in text
    assert text.index(" age ") < text.index(" view ")
    cautions = [each for name, each in probed[1].tags if each.get("class") == "caution"]
    assert len(cautions) >= 2


def test_each_probe_has_its_figures_with_alternative_text_in_both_themes(probed):
    alts = [each["alt"] for each in probed[1].all("img")]
    assert sum(alt.startswith("Balanced accuracy for view, chance 0.50: the vectors ") for alt in alts) == 1
    assert sum(alt.startswith("R² for age, chance 0.00: the vectors ") for alt in alts) == 1
    assert sum(alt.startswith("Images of each class that were recognised: CC ") for alt in alts) == 1
    assert sum(alt.startswith("Confidence, and how often it was right: ") for alt in alts) == 1
    assert len(probed[1].all("source")) == len(probed[1].all("picture"))


def test_the_page_links_to_the_probes_only_where_there_are_some(probed, tmp_path):
    assert "#probes" in [each.get("href") for each in probed[1].all("a")]
    assert "probes" in [each.get("id") for each in probed[1].all("h2")]
    without = page(run_folder(tmp_path))
    assert "#probes" not in [each.get("href") for each in without.all("a")]
    assert "What can be read off" not in without.text


def test_the_limits_say_that_what_can_be_read_need_not_form_clusters(probed):
    run = read_run(probed[0])
    limits = " ".join(words.limits(run))
    assert [each.probe.is_more_than_chance for each in run.probes] == [False, True]
    assert "That a model can read view off the vectors makes no clusters of it" in limits
    assert "2 columns were probed, each by itself" in limits
    assert "columns were probed" not in " ".join(words.limits(_only(run, 1)))
    assert "a model can read" not in " ".join(words.limits(_only(run, 0)))


def _only(run, number: int):
    return replace(run, probes=(run.probes[number],))


def test_the_same_files_give_the_same_page(probed):
    before = (probed[0] / "report.html").read_bytes()
    page(probed[0])
    assert (probed[0] / "report.html").read_bytes() == before


def test_a_probe_of_other_vectors_is_a_note_and_the_others_are_shown(tmp_path):
    folder = run_folder(tmp_path)
    keep(folder, "view", vectors=grouped_vectors(N) + 1)
    keep(folder, "age")
    run = read_run(folder)
    assert [each.probe.target for each in run.probes] == ["age"]
    assert (
        "The probe of view in this folder belongs to other embeddings; make it again with “course probe”."
        in run.notes
    )


def _confused(stored):
    stored["probe"]["confusion"] = [[1.0, 2.0]]


def _bent(stored):
    stored["probe"]["reliability"] = [[0.5, 0.5]]


def _unscored(stored):
    stored["probe"]["baselines"]["mean gray"]["scores"] = {}


def _renamed(stored):
    stored["probe"]["target"] = "something else"


def _modelled(stored):
    stored["probe"]["model"] = "oracle"


def _far(stored):
    stored["leaks"]["twins"] = [{"first": 0, "second": 99, "likeness": 1.0, "seen_in": "vectors"}]


def _short(stored):
    del stored["warnings"]


def _levelless(stored):
    stored["probe"]["levels"] = {}


@pytest.mark.parametrize(
    "damage",
    [_confused, _bent, _unscored, _renamed, _modelled, _far, _short, _levelless, "{", "[]", ""],
    ids=lambda damage: getattr(damage, "__name__", damage),
)
def test_a_damaged_probe_is_a_note_and_the_others_are_shown(tmp_path, damage):
    folder = run_folder(tmp_path)
    keep(folder, "age")
    path = keep(folder, "view")
    if callable(damage):
        stored = json.loads(path.read_text(encoding="utf-8"))
        damage(stored)
        path.write_text(json.dumps(stored), encoding="utf-8")
    else:
        path.write_text(damage, encoding="utf-8")
    run = read_run(folder)
    assert [each.probe.target for each in run.probes] == ["age"]
    (note,) = [each for each in run.notes if "A probe" in each]
    reason = r"probe_view\.json cannot be read \(\w+\): run `course probe` again\."
    assert re.fullmatch(f"A probe of this folder is not shown: {reason}", note)


def test_no_folder_of_a_machine_and_no_markup_gets_onto_the_page(tmp_path):
    folder = run_folder(tmp_path)
    target = "/srv/anna/<script>alert(1)</script>"
    kept = found("view").to_dict() | {"target": target}
    path = keep(folder, "view", warnings=["/srv/anna/x is tied"], left_out={"/srv/anna/y": "z"})
    stored = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    changed = stored | {"target": target, "probe": kept}
    (folder / probe_file(target)).write_text(json.dumps(changed), encoding="utf-8")
    text = page(folder).text
    assert "can be read off the vectors" in text
    assert "anna" not in (folder / "report.html").read_text(encoding="utf-8")
    assert "<script>" not in (folder / "report.html").read_text(encoding="utf-8")


def test_a_number_has_no_confusion_and_no_reliability(probed):
    run = read_run(probed[0])
    shown = figures.probes(run)
    assert [len(each["classes"]) for each in shown] == [0, 2]
