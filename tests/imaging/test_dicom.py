"""`read_mammogram`: a sentence for each bad file, and nobody's name in it."""

import errno
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from calibration import patience
from elements import FILM
from pydicom.uid import (
    RLELossless,
)

from course_utils.imaging import MammogramError, dicom, read_mammogram
from course_utils.imaging.dicom import open_file


def truncated(path: Path, keep: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def without_pixels(path: Path) -> Path:
    ds = pydicom.dcmread(path)
    del ds.PixelData
    ds.save_as(path)
    return path


def text_file(path: Path) -> Path:
    path.write_text("Quisling^Prudence is not a mammogram\n" * 100)
    return path


def empty_file(path: Path) -> Path:
    path.write_bytes(b"")
    return path


BAD = {
    "text": (lambda w, t: text_file(t / "text.dcm"), "not a DICOM file"),
    "empty": (lambda w, t: empty_file(t / "empty.dcm"), "is empty"),
    "folder": (lambda w, t: t, "not a regular file"),
    "missing": (lambda w, t: t / "nowhere.dcm", "no such file"),
    "truncated": (lambda w, t: truncated(w(), 0.7), "truncated"),
    "truncated RLE": (lambda w, t: truncated(w(syntax=RLELossless), 0.7), "it ends before its pixels"),
    "cut off in the header": (lambda w, t: truncated(w(), 0.003), "DICOM"),
    "no pixels": (lambda w, t: without_pixels(w()), "holds no pixels"),
    "CT": (
        lambda w, t: w(SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality="CT", PresentationIntentType=None),
        "Not a mammogram: Modality is CT",
    ),
    "a modality that nobody knows": (
        lambda w, t: w(Modality="PRUDENCE"),
        "not one used for mammography",
    ),
    "MR as a secondary capture": (lambda w, t: w(**FILM | {"Modality": "MR"}), "Modality is MR"),
    "nameless CT": (
        lambda w, t: w(SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality=None),
        "another kind of DICOM",
    ),
    "chest": (
        lambda w, t: w(SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1", Modality="DX", BodyPartExamined="CHEST"),
        "another part of the body",
    ),
    "tomosynthesis": (lambda w, t: w(SOPClassUID="1.2.840.10008.5.1.4.1.1.13.1.3"), "tomosynthesis"),
    "multi-frame": (lambda w, t: w(NumberOfFrames=2, Rows=150), "several frames"),
    "RGB": (
        lambda w, t: w(
            np.zeros((80, 70, 3), np.uint8) + np.arange(3, dtype=np.uint8),
            bits=8,
            SamplesPerPixel=3,
            PlanarConfiguration=0,
            PhotometricInterpretation="RGB",
        ),
        "colour",
    ),
    "palette": (lambda w, t: w(PhotometricInterpretation="PALETTE COLOR"), "colour"),
    "constant": (lambda w, t: w(np.full((80, 70), 700, np.uint16)), "same value"),
    "nothing but padding": (
        lambda w, t: w(np.pad(np.full((80, 70), 700, np.uint16), ((0, 50), (0, 0))), PixelPaddingValue=0),
        "same value",
    ),
    "black under its window": (lambda w, t: w(WindowCenter=60000, WindowWidth=2), "ends up the same"),
    "too large": (lambda w, t: w(Rows=20000, Columns=20000), "too large"),
    "a few pixels high": (lambda w, t: w(np.arange(63 * 900, dtype=np.uint16).reshape(63, 900)), "too small"),
    "a strip": (
        lambda w, t: w(np.arange(64 * 6000).reshape(64, 6000).astype(np.uint16), WindowCenter=None),
        "too small",
    ),
    "more than 32 bits": (lambda w, t: w(np.arange(5600, dtype=np.uint64).reshape(80, 70)), "bits per pixel"),
    "lying about its size": (lambda w, t: w(Rows=5000), "truncated"),
    "photometric interpretation missing": (
        lambda w, t: w(PhotometricInterpretation=None),
        "PhotometricInterpretation",
    ),
    "slope of zero": (lambda w, t: w(RescaleSlope=0), "slope"),
    "bits that make no sense": (lambda w, t: w(BitsAllocated=7), "damaged"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_with_its_own_sentence_and_no_name(write_mammogram, tmp_path, kind, personal):
    make, words = BAD[kind]
    path = make(write_mammogram, tmp_path)
    with pytest.raises(MammogramError, match=words) as refusal:
        read_mammogram(path)
    message = str(refusal.value)
    assert "PRUDENCE" not in message
    assert message.endswith(".")
    assert message[0].isupper()
    for value in [*personal.values(), "Prudence", str(tmp_path), path.name]:
        assert value not in message
    # No exception with a path or a value in it is chained to it, for whatever collects errors to keep.
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None


def test_a_size_is_refused_before_anything_is_decoded(write_mammogram, monkeypatch):
    monkeypatch.setattr(
        "pydicom.pixels.decoders.base.Decoder.as_array", lambda *a, **k: pytest.fail("decoded")
    )
    with pytest.raises(MammogramError, match="too large"):
        read_mammogram(write_mammogram(Rows=20000, Columns=20000))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.dcm").symlink_to(tmp_path / "pipe")
    code = "import sys; from course_utils.imaging import read_mammogram as r; r(sys.argv[1])"
    ran = subprocess.run(  # in another process: a read that hangs could not be stopped here
        [sys.executable, "-c", code, tmp_path / "link.dcm"], capture_output=True, timeout=patience(10)
    )
    assert b"MammogramError: This is not a regular file." in ran.stderr


def test_damage_anywhere_ends_in_a_mammogram_or_a_mammogram_error(write_mammogram):
    path = write_mammogram(syntax=RLELossless)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(good)
        for at in rng.integers(132, min(1400, len(good)), rng.integers(1, 6)):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            got = read_mammogram(path)
        except MammogramError:
            continue
        assert np.isfinite(got.pixels).all()


def test_garbage_behind_the_dicom_prefix_is_a_mammogram_error(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "garbage.dcm"
    for size in (0, 1, 7, 100, 5000):
        path.write_bytes(b"\0" * 128 + b"DICM" + rng.bytes(size))
        with pytest.raises(MammogramError) as refusal:
            read_mammogram(path)
        assert refusal.value.__cause__ is None


def test_what_nobody_foresaw_ends_in_a_sentence_that_quotes_nothing(write_mammogram, monkeypatch, personal):
    def fail(*args):
        raise RuntimeError(personal["PatientName"])

    monkeypatch.setattr("course_utils.imaging.dicom.identify", fail)
    with pytest.raises(MammogramError, match="damaged or breaks the DICOM standard") as refusal:
        read_mammogram(write_mammogram())
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing", "There is no such file."),
        ("file/inside", "There is no such file."),
        ("loop", "This is a symbolic link that leads back to itself."),
        ("n" * 300, "The name of this file is longer than this system allows."),
        ("nul\0", "No file can have a name like this one's."),
        ("half a pair \ud800", "No file can have a name like this one's."),
    ],
    ids=["missing", "inside a file", "loop", "long", "NUL", "surrogate"],
)
@pytest.mark.skipif(os.name == "nt", reason="other names are wrong on Windows")
def test_a_name_that_cannot_be_opened_is_refused_without_its_folder(tmp_path, name, sentence):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("no folder")
    assert refusal_of(tmp_path / name) == sentence


def refusal_of(path: Path) -> str:
    """Return why a file is refused; no error that may name its folder is chained to the refusal."""
    for read in (read_mammogram, open_file):
        with pytest.raises(MammogramError) as refusal:
            read(path)
        assert refusal.value.__cause__ is None
        assert refusal.value.__context__ is None
    return str(refusal.value)


@pytest.fixture
def nobody():
    """Take root's rights away for a while, if there are any: root may read everything."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    yield
    if is_root:
        os.seteuid(0)


@pytest.fixture
def closed():
    """Return a file in a folder that may be listed but not entered, and a file and a folder that are shut."""
    with tempfile.TemporaryDirectory() as name:
        outer = Path(name)
        outer.chmod(0o711)
        folder, secret = outer / "folder", outer / "secret.dcm"
        folder.mkdir()
        for path in (folder / "inside.dcm", secret):
            path.write_text("not for everybody")
        secret.chmod(0)
        folder.chmod(0o444)
        shut = outer / "shut"
        shut.mkdir(0)
        yield folder / "inside.dcm", secret, shut
        for each in (folder, shut):
            each.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="permissions are other things on Windows")
def test_what_one_is_not_allowed_to_read_is_refused_as_such(closed, nobody):
    for path in closed:
        assert refusal_of(path).startswith("You are not allowed to read this file, or to enter a folder")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_without_a_file_descriptor_left_the_refusal_says_so_and_not_that_the_file_is_damaged(write_mammogram):
    code = """if True:
    import os, resource, sys
    from course_utils.imaging import read_mammogram
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    try:
        while True:
            os.dup(0)
    except OSError:
        read_mammogram(sys.argv[1])
    """
    ran = subprocess.run([sys.executable, "-c", code, write_mammogram()], capture_output=True, check=False)
    assert b"MammogramError: Too many files are open in this process: use fewer workers" in ran.stderr


@pytest.mark.parametrize("step", ["stat", "open"])
def test_an_error_of_the_system_that_nobody_foresaw_is_not_quoted(write_mammogram, monkeypatch, step):
    def fail(path, *args, **kwargs):
        raise OSError(errno.ESTALE, "Stale file handle", str(path))

    path = write_mammogram()
    monkeypatch.setattr(Path, step, fail)
    assert refusal_of(path) == "The system cannot open this file, so try again."


@pytest.mark.parametrize("at", [0, 300, 60_000], ids=["at once", "in the header", "in the pixels"])
def test_a_disk_that_fails_while_a_file_is_read_is_not_taken_for_a_damaged_file(
    write_mammogram, monkeypatch, at
):
    path = write_mammogram()

    class Failing(io.BufferedReader):
        def _check(self, size):
            if self.tell() + size > at:
                raise OSError(errno.EIO, "Input/output error", str(path))

        def read(self, size=-1):
            self._check(size)
            return super().read(size)

        def readinto(self, buffer):
            self._check(len(buffer))
            return super().readinto(buffer)

    monkeypatch.setattr(dicom, "open_file", lambda path: Failing(io.FileIO(path)))
    with pytest.raises(MammogramError, match="the disk or the network failed") as refusal:
        read_mammogram(path)
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None


def test_a_name_that_is_not_utf_8_is_read_like_any_other(write_mammogram, tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.dcm"))
    try:
        path.write_bytes(write_mammogram().read_bytes())
    except OSError:
        pytest.skip("this file system has names of UTF-8 only")
    assert read_mammogram(path).view == "CC"


def test_a_file_that_is_far_too_long_is_refused_unread(write_mammogram, monkeypatch):
    path = write_mammogram()
    monkeypatch.setattr("course_utils.imaging.dicom.MAX_BYTES", path.stat().st_size)
    assert read_mammogram(path).view == "CC"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(MammogramError, match="larger than 2 GB"):
        read_mammogram(path)


@pytest.mark.parametrize("key", ["a text", b"", 7])
def test_a_key_that_is_no_secret_bytes_is_refused_and_not_blamed_on_the_file(write_mammogram, key):
    with pytest.raises(ValueError, match="key"):
        read_mammogram(write_mammogram(), key=key)


@pytest.mark.parametrize("path", [None, 3, b"x.dcm"])
def test_what_is_no_path_is_a_type_error_and_not_blamed_on_a_file(path):
    with pytest.raises(TypeError):
        read_mammogram(path)


def test_imaging_never_imports_torch():
    code = "import sys, course_utils.imaging, course_utils.imaging.datasets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
