"""`course map` writes a map and says how to read it; `course cluster --method` clusters in every way."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from course_utils import cli
from course_utils.analysis import reduce
from course_utils.analysis.map_quality import Faithfulness
from course_utils.runs import Extraction, read_maps, read_run

SAMPLE = Path(__file__).resolve().parents[1] / "data_samples" / "vectors"


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run():
    """Write a function that makes the run `out` of the first so many images of the sample."""

    def write(images: int) -> Path:
        out = Path("out")
        out.mkdir(exist_ok=True)
        for name in ("run.json", "failures.csv"):
            shutil.copy(SAMPLE / name, out / name)
        for name in ("embeddings.parquet", "thumbnails.parquet"):
            table: pa.Table = pq.read_table(SAMPLE / name)
            pq.write_table(table.slice(0, images), out / name)
        return out

    return write


def usable(out: Path) -> list[str | None]:
    read = read_run(out)
    return [each.why_unusable(read.table["image_id"].tolist(), read.vectors) for each in read_maps(out)]


@pytest.mark.parametrize(("method", "options"), [("pca", []), ("tsne", ["--perplexity", "4.5"])])
def test_a_map_lands_in_the_run_folder_with_what_it_keeps(run, method, options, capsys):
    out = run(24)
    assert cli.main(["map", "out", "--method", method, "--seed", "3", *options]) == 0
    (read,) = read_maps(out)
    vectors = Extraction.read(out).vectors
    params = {"perplexity": 4.5} if options else {}
    assert np.array_equal(read.points, reduce(vectors, method, seed=3, **params))
    assert (read.result["method"], read.result["seed"], read.result["params"]) == (method, 3, params)
    assert ("variance_shares" in read.result) == (method == "pca")
    assert usable(out) == [None]
    found = Faithfulness.from_dict(read.result["faithfulness"])
    assert (found.images, found.neighbours) == (24, 10)
    assert found.noise != found.kept
    lines = capsys.readouterr().out.splitlines()[1:]
    working = ["Working: tsne of 24 images and of noise to compare with …"] if options else []
    assert lines == [
        *working,
        found.sentence,
        f"Map of 24 images in out/map_{method}.csv",
        "Next: course report out",
    ]
    table = pd.read_csv(out / f"map_{method}.csv")
    assert list(table) == ["image_id", "file", "x", "y"]
    assert table["file"].tolist() == Extraction.read(out).table["file"].tolist()


def test_umap_gets_its_options_and_says_that_it_takes_a_while(run, monkeypatch, capsys):
    asked = []

    def stand_in(scores, dims, seed, **options):
        asked.append((scores.shape, dims, seed, options))
        return scores[:, :dims]

    monkeypatch.setattr("course_utils.analysis.reduction._umap", stand_in)
    run(12)
    arguments = [
        "map",
        "out",
        "--method",
        "umap",
        "--neighbours",
        "5",
        "--min-dist",
        "0.3",
        "--no-noise",
        "--seed",
        "7",
    ]
    assert cli.main(arguments) == 0
    assert asked == [((12, 11), 2, 7, {"neighbours": 5, "min_dist": 0.3})]
    said = capsys.readouterr().out
    assert "Working: umap of 12 images (umap is compiled first, which takes its time) …" in said
    assert "noise keeps" not in said
    assert read_maps("out")[0].result["faithfulness"]["noise"] is None


def test_what_is_too_much_for_few_images_is_lowered_said_and_recorded(run, capsys, caplog):
    run(7)
    assert cli.main(["map", "out", "--method", "tsne"]) == 0
    assert caplog.messages == [
        "A perplexity of 30 is too high for 7 images: 2 was used, a third of the others."
    ]
    assert read_maps("out")[0].result["params"] == {"perplexity": 2.0}


def test_maps_of_several_methods_live_side_by_side_and_know_their_embeddings(run):
    run(12)
    for method in ("pca", "tsne"):
        assert cli.main(["map", "out", "--method", method, "--no-noise"]) == 0
    assert usable(Path("out")) == [None, None]
    run(11)
    assert all("belongs to other embeddings" in why for why in usable(Path("out")))
    assert cli.main(["map", "out"]) == 0
    assert [why is None for why in usable(Path("out"))] == [True, False]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--method", "mds"], "invalid choice: 'mds'"),
        (["--perplexity", "5"], "--perplexity goes with --method tsne"),
        (["--method", "tsne", "--neighbours", "5"], "--neighbours goes with --method umap"),
        (["--method", "tsne", "--min-dist", "0.5"], "--min-dist goes with --method umap"),
        (["--method", "tsne", "--perplexity", "0.9"], "'0.9' is not a number, 1 or more"),
        (["--method", "tsne", "--perplexity", "nan"], "'nan' is not a number, 1 or more"),
        (["--method", "tsne", "--perplexity", "many"], "'many' is not a number, 1 or more"),
        (["--method", "umap", "--min-dist", "2"], "'2' is not a number, 0 to 1"),
        (["--method", "umap", "--neighbours", "1"], "'1' is not a whole number, 2 or more"),
        (["--seed", "-1"], "'-1' is not a whole number"),
    ],
)
def test_wrong_options_are_exit_status_2(run, arguments, sentence, capsys):
    run(12)
    try:
        status = cli.main(["map", "out", *arguments])
    except SystemExit as error:
        status = error.code
    assert status == 2
    assert sentence in capsys.readouterr().err
    assert read_maps("out") == ()


@pytest.mark.parametrize(
    ("images", "method", "status", "sentence"),
    [
        (0, "pca", 2, "a map needs at least four images; this run has 0"),
        (3, "pca", 2, "a map needs at least four images; this run has 3"),
        (4, "tsne", 1, "tsne lays out at least 5 vectors; got 4"),
    ],
)
def test_too_few_images_are_one_sentence(run, images, method, status, sentence, capsys):
    run(images)
    assert cli.main(["map", "out", "--method", method]) == status
    assert sentence in capsys.readouterr().err


def test_a_folder_without_a_run_is_one_sentence(tmp_path, capsys):
    assert cli.main(["map", str(tmp_path)]) == 1
    assert "course embed" in capsys.readouterr().err


def test_without_umap_the_command_says_how_to_get_it(run, monkeypatch, capsys):
    import sys

    monkeypatch.setitem(sys.modules, "umap", None)
    run(12)
    assert cli.main(["map", "out", "--method", "umap"]) == 1
    assert "UMAP needs the package umap-learn" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["gmm", "ward", "hdbscan"])
def test_every_method_clusters_from_the_command_line_and_its_report_is_written(run, method, capsys):
    out = run(48)
    k = [] if method == "hdbscan" else ["-k", "2"]
    assert cli.main(["cluster", "out", "--method", method, *k]) == 0
    result = json.loads((out / "clusters.json").read_text())
    assert result["method"] == method
    clusters, views = pd.read_csv(out / "clusters.csv"), Extraction.read(out).table["view"]
    assert pd.crosstab(clusters["cluster"], views).to_numpy().tolist() in (
        [[24, 0], [0, 24]],
        [[0, 24], [24, 0]],
    )
    assert "2 clusters of 48 images in out/clusters.csv" in capsys.readouterr().out
    assert cli.main(["report", "out"]) == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "There are no clusters" not in page
    assert "-1.00" not in page  # stands for a silhouette that is not defined, as in most clouds of HDBSCAN's


def test_images_that_hdbscan_leaves_out_are_said(run, monkeypatch, capsys):
    from course_utils.analysis import clustering

    real = clustering.fit

    def with_noise(*arguments):
        from dataclasses import replace

        found = real(*arguments)
        return replace(found, labels=np.where(np.arange(len(found.labels)) < 3, -1, found.labels))

    monkeypatch.setattr(clustering, "fit", with_noise)
    out = run(48)
    assert cli.main(["cluster", "out", "--method", "hdbscan"]) == 0
    assert "2 clusters of 48 images, 3 in none (noise), in out/clusters.csv" in capsys.readouterr().out
    assert pd.read_csv(out / "clusters.csv")["cluster"][:3].tolist() == [-1, -1, -1]
    assert cli.main(["report", "out"]) == 0
    assert "3 belong to none (noise)" in (out / "report.html").read_text(encoding="utf-8")


def test_a_number_of_clusters_is_not_for_hdbscan(run, capsys):
    run(12)
    assert cli.main(["cluster", "out", "--method", "hdbscan", "-k", "3"]) == 2
    assert "-k: hdbscan finds the number of clusters itself" in capsys.readouterr().err


def test_a_search_for_k_is_written_down_with_every_criterion(run):
    from course_utils.analysis.choice import Choice

    out = run(24)
    assert cli.main(["cluster", "out", "--method", "ward"]) == 0
    stored = json.loads((out / "clusters.json").read_text())
    choice = Choice.from_dict(stored["choice"])
    assert choice.k == stored["params"]["k"]
    assert [one.name for one in choice.criteria] == ["silhouette", "calinski_harabasz", "davies_bouldin"]
