import base64
import functools
import hashlib
import io
import json
import re
from dataclasses import asdict
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from course_utils import DISCLAIMER
from course_utils.analysis import Clustering, Evaluation, cluster, evaluate
from course_utils.analysis.associations import Association
from course_utils.report import write_report
from course_utils.runs import RunError

RECORD = {
    "disclaimer": DISCLAIMER,
    "command": "course embed archive -o out",
    "started": "2025-03-02T10:11:12+00:00",
    "finished": "2025-03-02T10:11:42+00:00",
    "git_commit": "0123456789abcdef",
    "versions": {"python": "3.11.9", "torch": "2.9.0"},
    "machine": {"system": "Linux x86_64", "processor": "a processor", "cores": 2},
    "device": "cpu",
    "precision": "fp32",
    "backbone": "efficientnet_lite0",
    "weights": {
        "id": "lite0-imagenet",
        "source": "a package",
        "sha256": "ab" * 32,
        "licence": "Apache-2.0",
        "pretrained": True,
    },
    "preprocessing": {"config": {"size": 512, "voi": "auto"}, "fingerprint": "feedfacefeedface"},
    "seeds": {"torch": 0},
    "counts": {"found": 20, "embedded": 18, "failed": 2},
    "timings": {"total": 3.1},
}


def png(seed: int) -> bytes:
    data = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


@pytest.fixture(autouse=True, scope="module")
def small_figures():
    """Draw at a fraction of the resolution: the tests read words, and drawing is what takes the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("course_utils.plots.illustration.DPI", 30)
        yield


@functools.cache
def judged_clusters() -> tuple[Clustering, Evaluation]:
    found = cluster(grouped_vectors(18), k=3)
    views = pd.DataFrame({"view": ["CC", "MLO", "ML"] * 6, "side": ["LR"[i // 2 % 2] for i in range(18)]})
    return found, evaluate(grouped_vectors(18), found, metadata=views, draws=20)


def grouped_vectors(n: int) -> np.ndarray:
    return np.eye(30)[np.arange(n) % 3] * 8 + np.random.default_rng(0).standard_normal((n, 30))


def run_folder(
    folder: Path,
    n: int = 18,
    *,
    vectors: np.ndarray | None = None,
    record: dict | None = None,
    **columns: list,
) -> Path:
    """Write what ``course embed`` writes: n images in three groups that are the views, crossed with the side.

    Without vectors of their own there are 18, and what ``course cluster`` writes of them too.
    """
    if vectors is None:
        vectors = grouped_vectors(n)
        found, judged = judged_clusters()
        rows = pd.DataFrame({"image_id": [f"img-{i:012x}" for i in range(n)], "cluster": found.labels})
        rows.to_csv(folder / "clusters.csv", index=False)
        stored = {**found.to_dict(), "evaluation": judged.to_dict()}
        (folder / "clusters.json").write_text(json.dumps(stored), encoding="utf-8")
    table = pd.DataFrame(
        {
            "image_id": [f"img-{i:012x}" for i in range(n)],
            "file": [f"case/{i}.dcm" for i in range(n)],
            "sha256": [f"{i:064x}" for i in range(n)],
            "patient_key": [f"pat-{i // 4:012x}" for i in range(n)],
            "view": [["CC", "MLO", "ML"][i % 3] for i in range(n)],
            "laterality": ["LR"[i // 2 % 2] for i in range(n)],
        }
        | columns
    )
    flat = pa.array(np.asarray(vectors, np.float32).ravel())
    column = pa.FixedSizeListArray.from_arrays(flat, np.shape(vectors)[1])
    arrow = pa.Table.from_pandas(table, preserve_index=False).append_column("embedding", column)
    pq.write_table(arrow, folder / "embeddings.parquet")
    pictures = pa.array([png(i) for i in range(n)], pa.binary())
    pq.write_table(
        pa.table({"image_id": table["image_id"].tolist(), "thumbnail": pictures}),
        folder / "thumbnails.parquet",
    )
    pd.DataFrame({"file": ["notes.dcm"], "stage": ["read"], "reason": ["This is not a DICOM file."]}).to_csv(
        folder / "failures.csv", index=False
    )
    (folder / "run.json").write_text(json.dumps(RECORD | (record or {})), encoding="utf-8")
    return folder


class Page(HTMLParser):
    """Collects tags, attributes and visible text; complains about tags that do not match."""

    VOID = ("meta", "img", "source", "br", "link", "hr", "input")

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, Page]:
    folder = run_folder(tmp_path_factory.mktemp("run"))
    return folder, page(folder)


def test_the_disclaimer_is_the_first_and_the_last_thing_on_the_page(whole):
    text = whole[1].text.split("report of a run ", 1)[1]
    assert text.startswith(DISCLAIMER)
    assert text.endswith(DISCLAIMER)


def test_the_verdict_comes_first_in_plain_words(whole):
    text = whole[1].text.split("mammograms In short ", 1)[1]
    assert text.startswith(
        "Too few to judge So few images cannot show whether the clusters are really there. 18"
    )
    assert (
        text.index("Too few to judge") < text.index("What was done") < text.index("18 of 20 files were read")
    )


def test_figures_scroll_on_a_phone_before_their_words_are_too_small_and_captions_of_tables_stay(whole):
    least = [
        float(re.search(r"--least: ([0-9.]+)rem", one["style"])[1])
        for one in whole[1].all("div")
        if "style" in one
    ]
    assert len(least) == len(
        [one for one in whole[1].all("img") if not one["alt"].startswith("Preprocessed")]
    )
    assert min(least) == 17  # a map, 5 inches wide, fits a phone of 390 px
    assert max(least) > 27
    text = (whole[0] / "report.html").read_text(encoding="utf-8")
    assert text.count("<caption><span>") == text.count("<caption>")


def test_the_page_asks_nobody_for_anything(whole):
    folder, shown = whole
    for tag, attributes in shown.tags:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "srcset", "href"):
            value = attributes.get(name) or "#"
            assert value.startswith(("data:image/png;base64,", "#"))
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "url(" not in text
    assert "@import" not in text
    assert str(folder) not in text


def test_the_page_can_be_read_without_seeing_it(whole):
    shown = whole[1]
    assert shown.all("html")[0]["lang"] == "en"
    assert len(shown.all("h1")) == 1
    assert all(len(image["alt"]) > 10 for image in shown.all("img"))
    assert len(shown.all("caption")) == len(shown.all("table")) == 3
    assert all(cell["scope"] in ("col", "row") for cell in shown.all("th"))
    headings = [int(tag[1]) for tag, _ in shown.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(headings))
    targets = {attributes.get("id") for _, attributes in shown.tags}
    assert all(link["href"][1:] in targets for link in shown.all("a"))


def test_the_page_tells_the_run_its_clusters_and_how_far_to_believe_them(whole):
    text = whole[1].text
    assert "18 of 20 files were read" in text
    assert "vector of 30 numbers" in text
    assert "Too few to judge" in text
    assert (
        "The clusters are the same as view: ARI 1.00, 95% interval 1.00 to 1.00, among the 18 images" in text
    )
    assert "The clusters agree no better than chance with side" in text
    assert "Cluster 2 · 6 images view: ML 6; side: left 3, right 3" in text
    assert "notes.dcm read This is not a DICOM file." in text
    for value in ("0123456789abcdef", "feedfacefeedface", "ab" * 32, "Apache-2.0", "2.9.0", "a processor"):
        assert value in text
    assert "RANDOM" not in text


def test_there_is_a_map_for_the_clusters_and_for_each_thing_that_the_files_say(whole):
    alts = [image["alt"] for image in whole[1].all("img")]
    for name in ("cluster", "view", "side"):
        assert any(f"coloured by {name}" in alt for alt in alts)
    assert sum(alt.startswith("Preprocessed mammogram") for alt in alts) == 18 + 18


def test_the_same_files_give_the_same_bytes(whole):
    first = (whole[0] / "report.html").read_bytes()
    assert write_report(whole[0]).read_bytes() == first


def test_clusters_of_the_folder_are_taken_with_what_they_say_of_the_images(tmp_path):
    folder = run_folder(tmp_path)
    table = pq.read_table(folder / "embeddings.parquet").to_pandas()
    vectors = np.stack(table["embedding"].to_list())
    found = cluster(vectors, k=2)
    rows = table[["image_id", "file"]].assign(cluster=found.labels, density=["a", "b"] * 9)
    rows.to_csv(folder / "clusters.csv", index=False)
    judged = evaluate(vectors, found, metadata=rows[["density"]], draws=3)
    stored = {**found.to_dict(), "evaluation": judged.to_dict()}
    (folder / "clusters.json").write_text(json.dumps(stored), encoding="utf-8")
    text = page(folder).text
    assert "k-means grouped them into 2 clusters." in text
    assert judged.verdict in text
    assert "coloured by density" in text
    assert "This folder held no clusters" not in text

    rows.assign(image_id="img-other").to_csv(folder / "clusters.csv", index=False)
    assert "belong to other embeddings" in page(folder).text


def test_clusters_that_nobody_made_yet_are_made_for_the_page(tmp_path):
    folder = run_folder(tmp_path)
    (folder / "clusters.json").unlink()
    text = page(folder).text
    assert "This folder held no clusters, so this report made some: run “course cluster” to keep them" in text
    assert "k-means grouped them into 3 clusters, chosen from 2 to 9." in text
    assert "Too few to judge" in text  # five women


def test_random_weights_are_shouted(tmp_path):
    weights = RECORD["weights"] | {"pretrained": False}
    shown = page(run_folder(tmp_path, record={"weights": weights}))
    assert shown.text.count("RANDOM") >= 4
    assert any(attributes.get("class") == "random" for attributes in shown.all("p"))
    assert "was never trained" in shown.text


@pytest.mark.parametrize(
    ("n", "sentence"),
    [
        (0, "No file could be embedded"),
        (1, "There are no clusters to show: clusters need at least three images; this run has 1."),
        (2, "There are no clusters to show: clusters need at least three images; this run has 2."),
        (2, "A map needs at least three images; this run has 2."),
        (3, "3 images of 1 woman say little about any others."),
    ],
)
def test_few_images_give_a_page_that_says_what_cannot_be_shown(tmp_path, n, sentence):
    shown = page(run_folder(tmp_path, n, vectors=np.random.default_rng(0).standard_normal((n, 30))))
    assert sentence in shown.text
    assert DISCLAIMER in shown.text


def test_one_image_many_times_gives_a_page_that_says_so(tmp_path):
    text = page(run_folder(tmp_path, 5, vectors=np.ones((5, 30)))).text
    assert "There are no clusters to show: all 5 vectors are identical" in text
    assert "There is no map" in text


def test_files_that_say_nothing_of_view_and_side_are_shown_as_such(tmp_path):
    nothing = [None] * 18
    folder = run_folder(tmp_path, view=nothing, laterality=nothing, patient_key=nothing)
    judged = json.loads((folder / "clusters.json").read_text(encoding="utf-8"))
    judged["evaluation"] |= {"associations": []}
    judged["stability"] = None
    (folder / "clusters.json").write_text(json.dumps(judged), encoding="utf-8")
    shown = page(folder)
    assert "view not stated" in shown.text
    assert not any("coloured by view" in image["alt"] for image in shown.all("img"))
    assert "there is nothing to compare with" in shown.text


def test_hostile_names_are_text_and_nothing_else(tmp_path):
    hostile = '"><script>alert(1)</script>'
    folder = run_folder(
        tmp_path, file=[hostile] * 18, view=[hostile, "CC", "MLO"] * 6, record={"command": hostile}
    )
    pd.DataFrame({"file": [hostile], "stage": ["read"], "reason": [hostile]}).to_csv(
        folder / "failures.csv", index=False
    )
    shown = page(folder)
    assert shown.all("script") == []
    assert hostile in shown.text


def test_no_absolute_path_gets_onto_the_page_even_if_a_file_holds_one(tmp_path):
    paths = ["/srv/ann/archive/x.dcm", r"D:\archive\ann\x.dcm", "~/archive/ann/x.dcm", r"\\server\ann\x.dcm"]
    source = "https://example.org/weights/resnet50.pth"
    record = {
        "command": f"course embed {paths[0]} {paths[1]}",
        "weights": RECORD["weights"] | {"source": source},
    }
    folder = run_folder(tmp_path, record=record, warnings=[[f"Read from {paths[3]}."]] * 18)
    pd.DataFrame({"file": [paths[0]], "stage": ["read"], "reason": [f"Nothing at {paths[2]}."]}).to_csv(
        folder / "failures.csv", index=False
    )
    text = page(folder).text
    assert "ann" not in text.replace("channel", "").replace("cannot", "")
    assert "course embed x.dcm x.dcm" in text
    assert source in text


def test_warnings_are_counted_and_the_most_frequent_comes_first(tmp_path):
    warnings = [["No view."], ["No view.", "Two windows."], *[[]] * 16]
    text = page(run_folder(tmp_path, warnings=warnings)).text
    assert "images warning 2 No view. 1 Two windows." in text


def test_large_runs_show_a_selection_and_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr("course_utils.report.page.MOST_PICTURES", 6)
    monkeypatch.setattr("course_utils.report.page.MOST_ROWS", 2)
    folder = run_folder(tmp_path)
    reasons = pd.DataFrame({"file": list("abcd"), "stage": "read", "reason": "Not DICOM."})
    reasons.to_csv(folder / "failures.csv", index=False)
    text = page(folder).text
    assert "6 of 18 images, spread evenly" in text
    assert "The first 2 are listed here; failures.csv has them all." in text


def test_a_folder_without_record_pictures_and_failures_still_gives_a_page(tmp_path):
    folder = run_folder(tmp_path)
    for name in ("thumbnails.parquet", "failures.csv", "run.json"):
        (folder / name).unlink()
    text = page(folder).text
    assert "no picture kept" in text
    assert "every file that was found could be embedded" in text
    assert "This folder has no run.json" in text


def test_a_folder_that_is_no_run_gets_one_clear_sentence(tmp_path):
    with pytest.raises(RunError, match=r"holds no embeddings.parquet: make one with `course embed"):
        write_report(tmp_path)
    (tmp_path / "embeddings.parquet").write_bytes(b"not parquet")
    with pytest.raises(RunError, match=r"embeddings.parquet cannot be read \(ArrowInvalid\)"):
        write_report(tmp_path)


@pytest.fixture
def no_maps(monkeypatch):
    """Leave out the figures, which take most of a page's time, where a test is about words alone."""
    monkeypatch.setattr("course_utils.report.figures.maps", lambda run: [])
    for name in ("pictures_on_map", "silhouette_figure", "valley_figure", "associations_figure"):
        monkeypatch.setattr(f"course_utils.report.figures.{name}", lambda run: None)


def cards(shown: Page) -> list[bytes]:
    """The pictures of the contact sheet, in its order, as PNG."""
    images = [one["src"] for one in shown.all("img") if one["alt"].startswith("Preprocessed mammogram")]
    return [base64.b64decode(one.split(",", 1)[1]) for one in images]


def test_images_of_the_same_id_keep_their_own_pictures_and_warnings(tmp_path):
    twins = ["img-000000000000"] * 3
    folder = run_folder(tmp_path, 3, vectors=np.eye(3, 30), image_id=twins)
    pictures = pq.read_table(folder / "thumbnails.parquet")
    warnings = pa.array([["No view."], ["No view."], []])
    pq.write_table(pictures.append_column("warnings", warnings), folder / "thumbnails.parquet")
    shown = page(folder)
    assert cards(shown)[:3] == [png(0), png(1), png(2)]
    assert "images warning 2 No view." in shown.text


def test_pictures_of_another_run_are_left_away_and_the_page_says_so(tmp_path, no_maps):
    folder = run_folder(tmp_path)
    pictures = pq.read_table(folder / "thumbnails.parquet")
    pq.write_table(pictures.take(np.arange(18)[::-1]), folder / "thumbnails.parquet")
    shown = page(folder)
    assert "The pictures in this folder belong to another run, so none is shown" in shown.text
    assert "no picture kept" in shown.text
    assert cards(shown) == []


def test_clusters_of_the_same_images_but_other_vectors_are_not_taken(tmp_path, no_maps):
    folder = run_folder(tmp_path)
    stored = json.loads((folder / "clusters.json").read_text(encoding="utf-8"))
    vectors = grouped_vectors(18).astype(np.float32)
    for belongs, hashed in ((True, vectors), (False, vectors + 1)):
        stored["embeddings_sha256"] = hashlib.sha256(hashed.tobytes()).hexdigest()
        (folder / "clusters.json").write_text(json.dumps(stored), encoding="utf-8")
        assert ("belong to other embeddings, so this report made new ones" in page(folder).text) != belongs


def test_many_columns_give_a_dozen_maps_and_the_number_left_out(tmp_path):
    folder = run_folder(tmp_path)
    rows = pd.read_csv(folder / "clusters.csv")
    columns = {f"label{i}": ["a", "b"] * 9 for i in range(40)}
    rows.assign(**columns, constant="x").to_csv(folder / "clusters.csv", index=False)
    shown = page(folder)
    drawn = [one["alt"] for one in shown.all("img") if "coloured by label" in one["alt"]]
    assert len(drawn) == 12
    assert "No map is drawn for 28 further columns of clusters.csv." in shown.text
    assert "label11: a" in shown.text
    assert "label12: a" not in shown.text


@pytest.mark.parametrize(
    "embedding",
    [
        pa.array([1.0, 2.0]),
        pa.array(["a", "b"]),
        pa.array([["a"], ["b"]]),
        pa.array([[1.0], [1.0, 2.0]]),
        pa.array([[1.0], None]),
        pa.array([[[1.0]], [[2.0]]]),
        pa.array([{"x": 1.0}, {"x": 2.0}]),
    ],
    ids=str,
)
def test_embeddings_of_another_kind_get_one_clear_sentence(tmp_path, embedding):
    table = pa.table({"image_id": ["a", "b"], "embedding": embedding})
    pq.write_table(table, tmp_path / "embeddings.parquet")
    with pytest.raises(RunError, match=r"embeddings.parquet cannot be read .* run `course embed` again"):
        write_report(tmp_path)


def test_embeddings_with_strange_columns_are_shown_without_them(tmp_path):
    lists = pa.array([[1.0, 2.0], [2.0, 1.0], [5.0, 0.0]], pa.list_(pa.float64()))
    columns = {"image_id": [1, 2, 3], "embedding": lists, "view": lists, "side": lists, "laterality": lists}
    pq.write_table(pa.table(columns), tmp_path / "embeddings.parquet")
    assert "vector of 2 numbers" in page(tmp_path).text
    pq.write_table(pa.table({"image_id": ["a"]}), tmp_path / "embeddings.parquet")
    with pytest.raises(RunError, match="has no columns image_id and embedding"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    "columns",
    [
        {"picture": [b""] * 18},
        {"image_id": ["a"] * 18},
        {"image_id": ["a"] * 18, "thumbnail": ["text"] * 18},
        {"image_id": ["a"] * 18, "thumbnail": [1] * 18},
    ],
)
def test_thumbnails_of_another_kind_get_one_clear_sentence(tmp_path, columns):
    folder = run_folder(tmp_path)
    pq.write_table(pa.table(columns), folder / "thumbnails.parquet")
    with pytest.raises(RunError, match=r"thumbnails.parquet cannot be read .* run `course embed` again"):
        write_report(folder)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", "5"),
        ("run.json", "[1, 2]"),
        ("run.json", '{"weights": 5}'),
        ("run.json", "{"),
        ("failures.csv", "path,reason\na,b\n"),
        ("failures.csv", ""),
    ],
)
def test_a_damaged_record_or_list_of_failures_gets_one_clear_sentence(tmp_path, name, text):
    folder = run_folder(tmp_path)
    (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=rf"{name} cannot be read .* run `course embed` again"):
        write_report(folder)


@pytest.mark.parametrize(
    "change",
    [
        "[]",
        "{}",
        "5",
        {"params": None},
        {"params": {}},
        {"params": {"k": 3, "dims": None, "n_init": 10, "standardise": False}},
        {"evaluation": {"surprise": 1}},
        {"evaluation": [1]},
        "surprise",
    ],
    ids=str,
)
def test_damaged_clusters_give_a_page_without_clusters_that_says_so(tmp_path, no_maps, change):
    folder = run_folder(tmp_path)
    stored = json.loads((folder / "clusters.json").read_text(encoding="utf-8"))
    if change == "surprise":
        stored["evaluation"]["surprise"] = 1
    text = json.dumps(stored | change) if isinstance(change, dict) else change
    text = json.dumps(stored) if change == "surprise" else text
    (folder / "clusters.json").write_text(text, encoding="utf-8")
    assert re.search(
        r"no clusters to show: clusters.json cannot .* `course cluster` again", page(folder).text
    )


@pytest.mark.parametrize("text", ["", "cluster\n0\n", "image_id,cluster\na,\n", "image_id\na\n"])
def test_a_damaged_table_of_clusters_gives_a_page_without_clusters_that_says_so(tmp_path, no_maps, text):
    folder = run_folder(tmp_path)
    (folder / "clusters.csv").write_text(text, encoding="utf-8")
    assert re.search(r"no clusters to show: clusters.csv cannot .* `course cluster` again", page(folder).text)


def test_a_run_without_rows_is_told_beside_the_clusters_of_an_older_one(tmp_path):
    folder = run_folder(tmp_path)
    for name in ("embeddings.parquet", "thumbnails.parquet"):
        pq.write_table(pq.read_table(folder / name).slice(0, 0), folder / name)
    text = page(folder).text
    assert "No file could be embedded" in text
    assert "There are no clusters to show" in text


@pytest.mark.parametrize(
    ("ari", "p_value", "told", "said"),
    [
        (0.1, 0.05, True, "partly follow site: ARI 0.10"),
        (0.0999, 0.05, False, "The clusters hardly follow what is known about the images (site)."),
        (0.9, 0.051, False, "The clusters follow nothing that is known about the images (site)."),
    ],
)
def test_only_what_clusters_follow_by_a_tenth_or_more_is_told_in_short(
    tmp_path, no_maps, ari, p_value, told, said
):
    folder = run_folder(tmp_path)
    stored = json.loads((folder / "clusters.json").read_text(encoding="utf-8"))
    levels = {"a": 9, "b": 9}
    stored["evaluation"]["associations"] = [
        asdict(
            Association(
                "site",
                "categories",
                18,
                None,
                levels,
                ari,
                0.2,
                0.3,
                None,
                None,
                None,
                -0.1,
                0.1,
                0.15,
                p_value,
                p_value,
                1,
                999,
                "images",
            )
        )
    ]
    (folder / "clusters.json").write_text(json.dumps(stored), encoding="utf-8")
    short = page(folder).text.split("In short")[1].split("What the network saw")[0]
    assert said in short
    assert ("What the clusters follow was known already" in short) == told


def test_halves_of_letters_and_control_characters_break_no_page(tmp_path, no_maps):
    folder = run_folder(tmp_path, record={"command": "course \ud800 \x1b[2J", "backbone": "\udfff"})
    stored = json.loads((folder / "clusters.json").read_text(encoding="utf-8"))
    stored["evaluation"]["verdict"] = "No \ud83d better."
    stored["evaluation"]["associations"][0]["column"] = "\udc00"
    (folder / "clusters.json").write_text(json.dumps(stored), encoding="utf-8")
    text = page(folder).text
    assert "No � better." in text
    assert "course � �[2J" in text


def test_a_run_some_of_whose_pictures_are_missing_shows_the_others_on_the_map(tmp_path):
    folder = run_folder(tmp_path)
    pictures = pq.read_table(folder / "thumbnails.parquet")
    kept = pa.array([None, *pictures["thumbnail"].to_pylist()[1:]], pa.binary())
    pq.write_table(pictures.set_column(1, "thumbnail", kept), folder / "thumbnails.parquet")
    text = page(folder).text
    assert "no picture kept" in text
    assert "1 without a picture is a dot." in text
