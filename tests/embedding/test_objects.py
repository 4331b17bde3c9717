"""An archive in an object store: what comes of it is what comes of a local copy, and trouble is a sentence.

The store is on this machine (see `buckets`), and denies what it is told to deny.
"""

import contextlib
import json
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from buckets import Server
from numpy.testing import assert_array_equal
from test_distributed import EXACT, LITE, PREPROCESSOR, InThisProcess, same_but_for_the_run

from course_utils import cli, objects
from course_utils.cli.inputs import find_files
from course_utils.embedding import EmbeddingError, EmbeddingExtractor, EmbeddingStore, Extraction, shards
from course_utils.embedding.distributed import Recipe, extract_in_shards
from course_utils.embedding.extractor import file_names
from course_utils.embedding.shards import ENDED_ITS_PROCESS, plan, run_shard
from course_utils.imaging.keys import key_of
from course_utils.objects import ObjectError, Place, UnreadableObject, at_hand, place, sent

SMALL = ["--backbone", "efficientnet_lite0", "--device", "cpu", "--size", "224", "--deterministic"]


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def bucket(server, monkeypatch):
    """Return an empty bucket."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.make_bucket()
    return place("s3://bucket")


def put(folder, paths, names):
    """Copy files into a bucket."""
    for path, name in zip(paths, names, strict=True):
        objects.write(folder / name, Path(path).read_bytes())


def copied(folder, to):
    """Copy a finished run out of a bucket, and read it."""
    with objects.folder_at_hand(folder) as here:
        shutil.copytree(here, to)
    return Extraction.read(to)


@pytest.fixture
def uploaded(bucket, archive):
    """Return the archive of ten files in a bucket, in the order in which they are listed."""
    paths, names = archive
    put(bucket / "in", paths, names)
    return bucket / "in"


# Addresses


def test_an_address_is_a_place_and_a_path_stays_a_path():
    assert place("s3://bucket/a b/ä?%41.dcm") == Place("s3", ("bucket", "a b", "ä?%41.dcm"))
    assert str(place("s3://bucket/in/")) == "s3://bucket/in"
    assert place("gs://bucket/in") / "a/b.dcm" == Place("gs", ("bucket", "in", "a", "b.dcm"))
    assert place("s3/bucket") == Path("s3/bucket")
    assert place(Path("x")) == Path("x")
    found = place("s3://bucket/in/x.DCM")
    assert (found.name, found.suffix, pickle.loads(pickle.dumps(found))) == ("x.DCM", ".DCM", found)


@pytest.mark.parametrize(
    "address", ["s3://", "s3:///in", "s3://AKID:SECRET@bucket/in", "s3://b?access_key=SECRET"]
)
def test_an_address_that_holds_more_than_a_bucket_is_refused_and_not_repeated(address, capsys):
    with pytest.raises(ObjectError, match="a bucket and what is below it") as caught:
        place(address)
    assert "SECRET" not in str(caught.value)
    with pytest.raises(SystemExit):
        cli.main(["embed", address, "-o", "out"])
    assert "SECRET" not in capsys.readouterr().err


def test_a_path_that_was_an_address_is_told_so():
    with pytest.raises(ObjectError, match="lost one of its slashes"):
        place(Path("s3://bucket/in"))


@pytest.mark.parametrize(
    "command",
    [
        ["cluster", "s3://bucket/out"],
        ["preprocess", "s3://bucket/in", "-o", "seen"],
        ["embed", "in", "-o", "out", "--cache", "s3://bucket/cache"],
    ],
    ids=lambda command: command[0] + ("" if "--cache" not in command else " --cache"),
)
def test_other_commands_and_options_say_that_they_take_no_address(command, capsys):
    with pytest.raises(SystemExit):
        cli.main(command)
    assert "only INPUT and -o of course embed may be" in capsys.readouterr().err


def test_objects_without_names_are_called_as_below_the_folder_that_they_share():
    addresses = ["s3://bucket/a/b/1.dcm", "s3://bucket/a/c/2.dcm"]
    assert file_names(addresses, None) == ["b/1.dcm", "c/2.dcm"]
    assert file_names(addresses[:1], None) == ["1.dcm"]
    with pytest.raises(EmbeddingError, match="need names"):
        file_names([*addresses, "here.dcm"], None)


# Listing and reading


def test_what_is_found_has_the_names_and_the_order_of_a_local_copy(bucket, samples, tmp_path, capsys):
    names = [
        "a/b.dcm",
        "a-b.dcm",
        "a/B.png",
        "no suffix",
        "notes.txt",
        ".hidden/x.dcm",
        "a/.x.dcm",
        "z/ä é+%2B.dcm",
    ]
    names += ["DICOMDIR", "out/thumb.png", "packed.dcm.gz", "a/text"]
    text = {"notes.txt", "a/text", "packed.dcm.gz"}
    for name in names:
        file = tmp_path / "in" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"words" if name in text else samples[0].read_bytes())
        objects.write(bucket / "in" / name, file.read_bytes())
    local = find_files([tmp_path / "in"], [tmp_path / "in" / "out"])
    said = capsys.readouterr().out
    found = find_files([bucket / "in"], [bucket / "in" / "out"])
    assert found[1] == local[1] == ["a/B.png", "a/b.dcm", "a-b.dcm", "no suffix", "z/ä é+%2B.dcm"]
    again = capsys.readouterr().out
    assert sorted(again.replace(",", "").split()) == sorted(said.replace(",", "").split())
    assert [str(file) for file in found[0]] == [f"s3://bucket/in/{name}" for name in local[1]]
    assert find_files([bucket / "in" / "a", bucket / "in" / "a-b.dcm"])[1] == [
        "a/B.png",
        "a/b.dcm",
        "a-b.dcm",
    ]


def test_an_object_is_at_hand_for_as_long_as_it_is_read(bucket, samples):
    put(bucket, samples[:1], ["Jane Doe.dcm"])
    with at_hand(bucket / "Jane Doe.dcm") as here:
        assert here.read_bytes() == samples[0].read_bytes()
        assert "Jane" not in str(here)
    assert not here.parent.exists()
    with pytest.raises(UnreadableObject, match="larger than 0 GB"), at_hand(bucket / "Jane Doe.dcm", most=10):
        pass


def test_a_process_deletes_the_copies_that_killed_ones_left(bucket, samples, tmp_path, monkeypatch):
    monkeypatch.setattr(objects.tempfile, "tempdir", str(tmp_path))
    old, new = tmp_path / "course-fetched-old", tmp_path / "course-fetched-new"
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (0, 0))
    put(bucket, samples[:1], ["a.dcm"])
    objects._sweep.cache_clear()
    with at_hand(bucket / "a.dcm"):
        pass
    assert list(tmp_path.iterdir()) == [new]


# Writing


def test_what_is_sent_ends_with_its_record_and_nothing_is_sent_of_what_breaks_off(bucket, server):
    out = bucket / "out"
    with sent(out, last="run.json") as here:
        for name in ("z.parquet", "run.json", "a.csv", ".hidden"):
            (here / name).write_text(name)
    assert server.names == ["out/a.csv", "out/run.json", "out/z.parquet"]
    order = [path for method, path in server.requests if method == "PUT" and path.startswith("/bucket/out/")]
    assert order == ["/bucket/out/a.csv", "/bucket/out/z.parquet", "/bucket/out/run.json"]
    with contextlib.suppress(InterruptedError), sent(out, last="run.json") as here:
        (here / "a.csv").write_text("other")
        raise InterruptedError
    assert (out / "a.csv").read_text() == "a.csv"
    assert not here.exists()


def test_a_sending_that_is_cut_off_leaves_nothing_that_looks_finished(bucket, server):
    out = bucket / "out"
    put(out, [__file__], ["run.json"])
    server.refuses = lambda method, path: path.endswith("z.parquet")
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(sent(out, last="run.json"))
        for name in ("a.csv", "run.json", "z.parquet"):
            (here / name).write_text(name)
        with pytest.raises(ObjectError, match="denied"):
            stack.close()
    assert server.names == ["out/a.csv"]


# Runs


def test_from_a_bucket_to_a_bucket_one_process_gives_what_it_gives_here(
    uploaded, alone, lite0, tmp_path, server
):
    files, names = find_files([uploaded])
    extractor = EmbeddingExtractor(lite0, device="cpu", deterministic=True)
    record = extractor.extract_to(
        f"{uploaded.bucket}/out", [*map(str, files)], PREPROCESSOR, names=names, workers=2
    )
    found = copied(place("s3://bucket/out"), tmp_path / "out")
    same_but_for_the_run(found, alone)
    assert record == found.record
    assert [name for name in server.names if name.startswith("out")] == [
        f"out/{name}" for name in sorted(file.name for file in (tmp_path / "out").iterdir())
    ]


def test_a_stores_key_finds_what_came_from_a_local_copy(uploaded, archive, lite0, tmp_path):
    paths, names = archive
    extractor = EmbeddingExtractor(lite0, device="cpu", deterministic=True)
    store = EmbeddingStore(tmp_path)
    extractor.extract(paths[:2], PREPROCESSOR, store=store)
    counts = extractor.extract(
        [uploaded / name for name in names[:2]], PREPROCESSOR, store=store
    ).record.counts
    assert (counts["from_store"], counts["computed"]) == (2, 0)


@pytest.mark.parametrize("refused", [False, True], ids=["vanished", "denied"])
def test_an_object_that_cannot_be_read_is_a_failure_and_the_rest_goes_on(uploaded, lite0, server, refused):
    files, names = find_files([uploaded])
    if refused:
        server.refuses = lambda method, path: path.endswith(names[1])
    else:
        files[1].unlink()
    extractor = EmbeddingExtractor(lite0, device="cpu")
    found = extractor.extract(files[:3], PREPROCESSOR, names=names[:3], progress=False)
    assert found.table["file"].tolist() == [names[0], names[2]]
    (failure,) = found.failures.to_dict("records")
    assert (failure["file"], failure["stage"]) == (names[1], "read")
    assert failure["reason"].startswith(
        "Access to s3://bucket is denied" if refused else "There is no such object"
    )


@pytest.mark.parametrize(
    ("answer", "said"),
    [  # what pyarrow 26 said to a port where nobody listens, and to credentials that are none
        (
            "AWS Error NETWORK_CONNECTION during HeadObject operation: curlCode: 7",
            "s3://bucket cannot be reached",
        ),
        (
            "AWS Error INVALID_ACCESS_KEY_ID during HeadObject: AKIDSECRET",
            "does not accept this machine's cred",
        ),
        ("AWS Error UNKNOWN (HTTP status 400) during HeadObject operation: SECRET", "s3://bucket failed"),
    ],
)
def test_a_store_that_fails_ends_the_run_with_a_sentence_and_no_file_is_blamed(
    lite0, monkeypatch, answer, said
):
    class Fails:
        def open_input_file(self, key):
            raise OSError(f"When reading information for key 'Jane.dcm' in bucket 'bucket': {answer}")

    monkeypatch.setattr(objects, "_system_of", lambda *_: Fails())
    extractor = EmbeddingExtractor(lite0, device="cpu")
    with pytest.raises(ObjectError, match=said) as caught:
        extractor.extract(["s3://bucket/Jane.dcm"], PREPROCESSOR, progress=False)
    assert not isinstance(caught.value, UnreadableObject)
    assert "SECRET" not in str(caught.value)
    assert "Jane" not in str(caught.value)


KEY = b"0123456789abcdefghijklmnopqrstuv"


def in_shards(output, files, names, backend, of=Recipe, **more):
    made = of(LITE, EXACT, PREPROCESSOR, **{"key": KEY} | more)
    return extract_in_shards(output, files, made, backend, names=names, shard_files=3)


def test_shards_in_a_bucket_give_what_one_process_gives_and_a_rerun_does_what_is_missing(
    uploaded, alone, server, tmp_path
):
    files, names = find_files([uploaded])
    out = place("s3://bucket/out")
    first, second = InThisProcess(most=2), InThisProcess()
    with pytest.raises(InterruptedError):
        in_shards(out, files, names, first)
    assert not (out / "run.json").exists()
    shards = [name for name in server.names if name.startswith("out/.shards-")]
    assert sum(name.endswith("/run.json") for name in shards) == 2
    record = next(place(f"s3://bucket/{name}") for name in shards if name.endswith("/run.json"))
    record.unlink()  # a sending that was cut off
    in_shards(out, files, names, second)
    assert record.parts[-2] in second.done
    assert len(second.done) == 3
    found = copied(out, tmp_path / "out")
    same_but_for_the_run(found, alone)
    assert not [name for name in server.names if "/.shards-" in name]
    assert not [name for name in server.names if name.startswith("out") and "key" in name]
    whole = b"".join(file.read_bytes() for file in (tmp_path / "out").iterdir())
    assert KEY not in whole
    assert KEY.hex().encode() not in whole


class Ended(BaseException):
    """Stands for the end of a process, which nothing catches."""


def test_attempts_are_counted_in_the_bucket_and_a_file_that_ends_two_processes_is_a_failure(
    uploaded, lite0, tmp_path, monkeypatch
):
    files, names = find_files([uploaded])
    out = place("s3://bucket/out")
    (shard,) = plan(files[:3], names[:3])
    prepare = shards.Pipeline._prepare

    def prepare_or_end(self, file):
        if file.name == files[1].name:
            raise Ended
        return prepare(self, file)

    monkeypatch.setattr(shards.Pipeline, "_prepare", prepare_or_end)
    extractor = EmbeddingExtractor(lite0, device="cpu", deterministic=True)
    begun = []
    for _ in range(3):  # in a group, then file by file, then once more
        with pytest.raises(Ended):
            run_shard(shard, out, extractor, PREPROCESSOR, store=None, key=KEY)
        begun.append((out / f"{shard.id}.begun").read_text().split())
    assert begun == [["begun"], ["begun", "begun", "1"], ["begun", "begun", "1", "begun", "1"]]
    run_shard(shard, out, extractor, PREPROCESSOR, store=None, key=KEY)
    assert not (out / f"{shard.id}.begun").exists()
    found = copied(out / shard.id, tmp_path / "out")
    assert found.table["file"].tolist() == [names[0], names[2]]
    assert found.failures.values.tolist() == [[names[1], "read", ENDED_ITS_PROCESS]]


def test_nodes_that_share_no_disk_share_the_runs_key(uploaded, tmp_path, monkeypatch):
    """The second node has a store of its own, empty at first: its women are those of the first node."""
    files, names = find_files([uploaded])
    out = place("s3://bucket/out")

    class TwoNodes(InThisProcess):
        def run(self, todo, folder, recipe):
            extractor = recipe.make()
            for shard in todo:
                there = tmp_path / f"node{len(self.done) % 2}"
                replace(recipe, store=there / "store").run(shard, folder, extractor)
                self.done.append(shard.id)
                yield shard

    made = Recipe(LITE, EXACT, PREPROCESSOR, store=tmp_path / "node0" / "store")
    record = extract_in_shards(out, files[:6], made, TwoNodes(), names=names[:6], shard_files=2)
    assert key_of(tmp_path / "node1" / "store") == key_of(tmp_path / "node0" / "store")
    found = copied(out, tmp_path / "out")
    women = {name.rpartition("/")[2][:3] for name in found.table["file"]}
    assert found.table["patient_key"].nunique() == len(women)
    assert record.counts["embedded"] == 5


def test_a_node_whose_store_has_another_key_ends_the_run_with_a_sentence(uploaded, tmp_path):
    files, names = find_files([uploaded])
    key_of(tmp_path)
    with pytest.raises(EmbeddingError, match="another key than the run"):
        in_shards("s3://bucket/out", files, names, InThisProcess(), store=tmp_path)


def test_shards_of_another_key_are_not_taken(archive, tmp_path):
    paths, names = archive
    for key in (KEY, b"another", KEY):
        with pytest.raises(InterruptedError):
            in_shards(tmp_path, paths, names, NobodyWorks(), key=key)
    assert len(list(tmp_path.glob(".shards-*"))) == 2
    assert not list(tmp_path.rglob("*.key"))


class NobodyWorks:
    """A backend that is interrupted before it has begun."""

    def run(self, todo, folder, recipe):
        raise InterruptedError


def test_without_a_key_and_a_store_a_bucket_is_refused(uploaded):
    files, names = find_files([uploaded])
    with pytest.raises(EmbeddingError, match="a key that is kept elsewhere"):
        in_shards("s3://bucket/out", files, names, NobodyWorks(), key=None)


# The command line


def test_the_command_line_goes_from_a_bucket_to_a_bucket_in_a_process(
    uploaded, alone, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    command = ["embed", "s3://bucket/in/", "-o", "s3://bucket/out", *SMALL]
    assert cli.main([*command, "--shards", "1", "--no-cache"]) == 0
    said = capsys.readouterr().out
    assert "10 files: 9 computed, 0 from the store, 1 failed" in said
    assert "9 embeddings of 1280 numbers in s3://bucket/out/embeddings.parquet" in said
    assert "Next: copy these results to a folder of this machine" in said
    found = copied(place("s3://bucket/out"), tmp_path / "out")
    same_but_for_the_run(found, alone)
    assert [file.name for file in tmp_path.rglob("*") if file.suffix == ".key"] == ["pseudonym.key"]
    assert "SECRET" not in json.dumps(found.record.to_dict())


def test_the_command_line_goes_from_a_bucket_to_here_and_from_here_to_a_bucket(
    bucket, samples, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    put(bucket / "in", samples[:2], ["1.dcm", "2.dcm"])
    assert cli.main(["embed", "s3://bucket/in", "-o", "here", *SMALL]) == 0
    Path("local").mkdir()
    for name, sample in zip(("1.dcm", "2.dcm"), samples, strict=False):
        shutil.copy(sample, Path("local") / name)
    assert cli.main(["embed", "local", "-o", "s3://bucket/out", *SMALL]) == 0
    assert "2 files: 0 computed, 2 from the store, 0 failed" in capsys.readouterr().out
    here, there = Extraction.read("here"), copied(bucket / "out", tmp_path / "there")
    pd.testing.assert_frame_equal(here.table, there.table)
    assert_array_equal(here.vectors, there.vectors)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["s3://missing/in", "-o", "out"], "there is no bucket s3://missing"),
        (["s3://denied/in", "-o", "out"], "Access to s3://denied is denied"),
        (["s3://bucket/nothing", "-o", "out"], "there is no file or folder s3://bucket/nothing"),
        (["s3://bucket/in", "-o", "s3://missing/out"], "-o: there is no bucket s3://missing"),
        (["s3://bucket/in", "-o", "s3://denied/out"], "-o: Access to s3://denied is denied"),
    ],
)
def test_what_a_bucket_refuses_is_one_sentence_beforehand_without_keys(
    uploaded, given, said, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["embed", *given, *SMALL]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "SECRET" not in err
    assert len(err.splitlines()) == 1
