"""`read_mammogram`: right pixels, right words about them, a sentence for each bad file, and nobody's name."""

import contextlib
import hashlib
import hmac
import io
import logging
import os
import subprocess
import sys
import time
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import cv2
import imagecodecs
import numpy as np
import pydicom
import pytest
from calibration import patience
from lookup_tables import lut_item
from needs import needs, needs_pyjpegls
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from course_utils.doctor import SYNTAXES, _decoders
from course_utils.imaging import MammogramError, codestream, dicom, read_mammogram
from course_utils.imaging.codestream import PLUGIN
from course_utils.imaging.phantoms.files import compress_rle

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import encoders

CURVE = np.rint(4095 * (np.arange(4096) / 4095) ** 0.6).astype(np.uint16)
RAW = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2.1", "PresentationIntentType": "FOR PROCESSING"}
FILM = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
    "PresentationIntentType": None,
    "PresentationLUTShape": None,
    "ViewPosition": None,
    "ImageLaterality": None,
    "ImagerPixelSpacing": None,
    "WindowCenter": None,
    "WindowWidth": None,
    "PatientID": "Mass-Test_P_00173_LEFT_MLO",
    "PatientOrientation": "MLO",
    "Laterality": "L",
}
JPEG_LS = pytest.param(JPEGLSLossless, marks=needs_pyjpegls)  # in tests that encode it


# --- pixels ---


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    "kind",
    [
        "window",
        "narrow",
        "sigmoid",
        "lut 8",
        "lut 12",
        "lut 16",
        "rescale",
        "signed",
        "modality lut",
    ],
)
@pytest.mark.dcmtk
@needs("dcm2pnm")
def test_display_values_are_those_of_dcmtk(write_mammogram, lut, breast, tmp_path, kind, photometric):
    elements = {
        "window": {},
        "narrow": {"WindowCenter": 1500, "WindowWidth": 700},
        "sigmoid": {"WindowCenter": 1500, "WindowWidth": 1200, "VOILUTFunction": "SIGMOID"},
        "lut 8": {"VOILUTSequence": lut(CURVE >> 4, bits=8)},
        "lut 12": {"VOILUTSequence": lut(CURVE, bits=12)},
        "lut 16": {"VOILUTSequence": lut(CURVE.astype(int) * 16, bits=16)},
        "rescale": {"RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": 3000, "WindowWidth": 5000},
        "signed": {"WindowCenter": -300, "WindowWidth": 2500},
        "modality lut": {"ModalityLUTSequence": lut(CURVE, bits=12)},
    }[kind]
    pixels = breast.astype(np.int16) - 2048 if kind == "signed" else breast
    path = write_mammogram(
        pixels, PhotometricInterpretation=photometric, PresentationLUTShape=None, **elements
    )
    how = ["+Wl", "1"] if kind.startswith("lut") else ["+Wi", "1"]
    subprocess.run(["dcm2pnm", *how, "+on2", path, tmp_path / "out.png"], check=True, capture_output=True)
    expected = cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_UNCHANGED).astype(np.float64) / 65535
    got = read_mammogram(path)
    assert got.pixels.dtype == np.float32
    assert got.voi.startswith(kind.split()[0] if kind.startswith("lut") else "window")
    # DCMTK brings a LUT of n bits to 16 by shifting: its brightest gray is up to 2**-n short of white.
    short = 2.0 ** -int(kind.split()[1]) if kind.startswith("lut") else 0
    assert_allclose(got.pixels, expected, atol=2e-5 + short)


def test_inverting_does_not_depend_on_the_brightest_pixel(write_mammogram, breast):
    brighter = breast.copy()
    brighter[150, 10] = 4095
    inverse = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
    plain = read_mammogram(write_mammogram(breast, name="a.dcm", **inverse)).pixels
    spiked = read_mammogram(write_mammogram(brighter, name="b.dcm", **inverse)).pixels
    assert_array_equal(np.delete(plain.ravel(), 150 * 240 + 10), np.delete(spiked.ravel(), 150 * 240 + 10))


@pytest.mark.parametrize(("photometric", "shape"), [("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")])
def test_photometric_interpretation_wins_over_a_contradicting_lut_shape(write_mammogram, photometric, shape):
    silent = write_mammogram(name="a.dcm", PhotometricInterpretation=photometric, PresentationLUTShape=None)
    contradicting = write_mammogram(
        name="b.dcm", PhotometricInterpretation=photometric, PresentationLUTShape=shape
    )
    got = read_mammogram(contradicting)
    assert_array_equal(got.pixels, read_mammogram(silent).pixels)
    assert any("contradicts" in sentence for sentence in got.warnings)


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        RLELossless,
        JPEG_LS,
        JPEG2000Lossless,
    ],
    ids=lambda uid: uid.name,
)
def test_every_lossless_transfer_syntax_gives_the_same_pixels(write_mammogram, breast, syntax):
    data = breast.astype(">u2") if syntax == ExplicitVRBigEndian else breast
    got = read_mammogram(write_mammogram(data, syntax=syntax))
    assert_allclose(got.pixels, breast / 4095, atol=1e-6)


def test_8_bit_pixels_are_read(write_mammogram, breast):
    small = (breast >> 4).astype(np.uint8)
    got = read_mammogram(write_mammogram(small, bits=8, WindowCenter=128, WindowWidth=256))
    assert_allclose(got.pixels, small / 255, atol=1e-6)


def test_a_voi_lut_goes_before_a_window(write_mammogram, lut, breast):
    path = write_mammogram(VOILUTSequence=lut(CURVE))
    assert read_mammogram(path).voi == "lut"
    assert_allclose(read_mammogram(path).pixels, CURVE[breast] / 4095, atol=1e-6)
    assert read_mammogram(path, voi="window").voi == "window:LINEAR"


def test_the_asked_for_window_is_taken(write_mammogram, breast):
    path = write_mammogram(WindowCenter=[2048, 1000], WindowWidth=[4096, 501])
    assert_allclose(read_mammogram(path, voi=1).pixels, np.clip((breast - 749.5) / 500, 0, 1), atol=1e-5)
    assert_array_equal(read_mammogram(path, voi=0).pixels, read_mammogram(path).pixels)
    with pytest.raises(MammogramError, match="no usable window number 2"):
        read_mammogram(path, voi=2)


def test_an_unusable_first_window_gives_way_to_the_second(write_mammogram, breast):
    got = read_mammogram(write_mammogram(WindowCenter=[0, 1000], WindowWidth=[0, 501]))
    assert_allclose(got.pixels, np.clip((breast - 749.5) / 500, 0, 1), atol=1e-5)
    assert "A window without a usable centre and width was skipped." in got.warnings


@pytest.mark.parametrize("voi", ["lut", "window"])
def test_an_asked_for_transform_that_is_not_there_is_an_error(write_mammogram, voi):
    path = write_mammogram(WindowCenter=None, WindowWidth=None)
    with pytest.raises(MammogramError, match="try voi='auto'"):
        read_mammogram(path, voi=voi)


def test_voi_none_stretches_all_stored_values(write_mammogram, breast):
    path = write_mammogram(
        breast, RescaleSlope=-1, RescaleIntercept=10, PhotometricInterpretation="MONOCHROME1"
    )
    got = read_mammogram(path, voi="none")
    assert got.voi == "none"
    assert_allclose(got.pixels, breast / 4095, atol=1e-6)


def test_an_unknown_voi_is_a_value_error(write_mammogram):
    with pytest.raises(ValueError, match="voi must be"):
        read_mammogram(write_mammogram(), voi="best")


def test_without_window_the_gray_range_is_that_of_the_breast(write_mammogram, breast):
    labelled = breast.copy()
    labelled[10:40, 180:230] = 4095  # a label, brighter than any tissue
    got = read_mammogram(write_mammogram(labelled, WindowCenter=None, WindowWidth=None))
    assert got.voi == "percentile"
    low, high = np.percentile(breast[breast > 0], [0.5, 99.5])
    inside = breast > 0
    expected = np.clip((breast[inside] - low) / (high - low), 0, 1)
    assert np.abs(got.pixels[inside] - expected).mean() < 0.04
    bare = read_mammogram(write_mammogram(breast, WindowCenter=None, WindowWidth=None))
    assert_allclose(got.pixels[inside], bare.pixels[inside], atol=1e-3)
    assert any("range is that of the breast" in sentence for sentence in got.warnings)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_ends_as_ground_and_moves_no_statistic(write_mammogram, breast, photometric):
    pixels = breast if photometric == "MONOCHROME2" else 4095 - breast
    bare = {"WindowCenter": None, "WindowWidth": None, "PresentationLUTShape": None}
    plain = read_mammogram(
        write_mammogram(pixels, name="a.dcm", PhotometricInterpretation=photometric, **bare)
    )
    padded = pixels.copy()
    padded[:, -40:] = np.arange(60000, 60040)
    got = read_mammogram(
        write_mammogram(
            padded,
            name="b.dcm",
            bits=16,
            PhotometricInterpretation=photometric,
            PixelPaddingValue=60000,
            PixelPaddingRangeLimit=60039,
            **bare,
        )
    )
    assert not got.pixels[:, -40:].any()
    assert_allclose(got.pixels[:, :-40], plain.pixels[:, :-40], atol=1e-6)


def test_padding_written_unsigned_is_understood_in_signed_pixels(write_mammogram, breast):
    pixels = breast.astype(np.int16)
    pixels[:, -20:] = -2000
    path = write_mammogram(pixels, bits=16, WindowCenter=0, WindowWidth=8192)
    ds = pydicom.dcmread(path)
    ds.add_new("PixelPaddingValue", "US", 65536 - 2000)
    ds.save_as(path)
    assert not read_mammogram(path).pixels[:, -20:].any()


def test_bits_above_bits_stored_are_cleared_with_a_warning(write_mammogram, breast):
    overlaid = breast | np.uint16(0x8000)
    got = read_mammogram(write_mammogram(overlaid))
    assert_allclose(got.pixels, breast / 4095, atol=1e-6)
    assert any("overlay" in sentence for sentence in got.warnings)


def test_a_raw_linear_signal_is_shown_as_minus_its_logarithm(write_mammogram, breast):
    thickness = breast.astype(float) / 4095 * 3
    signal = np.rint(16000 * np.exp(-thickness)).astype(np.uint16)
    got = read_mammogram(write_mammogram(signal, bits=14, PixelIntensityRelationship="LIN", **RAW))
    assert got.voi == "percentile"
    assert any("minus its logarithm" in sentence for sentence in got.warnings)
    inside = (breast > 0) & (got.pixels > 0) & (got.pixels < 1)
    assert np.corrcoef(got.pixels[inside], thickness[inside])[0, 1] > 0.9999
    assert not got.pixels[breast == 0].any()


@pytest.mark.parametrize(
    "elements", [{"PixelIntensityRelationshipSign": -1}, {"PixelIntensityRelationship": "OTHER"}], ids=str
)
def test_a_raw_signal_that_is_not_linear_is_refused(write_mammogram, elements):
    with pytest.raises(MammogramError, match="FOR PROCESSING"):
        read_mammogram(write_mammogram(**RAW, **elements))


# --- what the file says ---


def test_what_the_header_says_comes_through(write_mammogram):
    got = read_mammogram(write_mammogram(ImagerPixelSpacing=[0.07, 0.08], PixelSpacing=[1, 1]))
    assert (got.view, got.laterality, got.spacing_mm, got.warnings) == ("CC", "L", (0.07, 0.08), ())


def test_what_the_header_does_not_say_is_none(write_mammogram):
    got = read_mammogram(
        write_mammogram(ViewPosition=None, ImageLaterality=None, ImagerPixelSpacing=None, PatientID=None)
    )
    assert (got.view, got.laterality, got.spacing_mm, got.patient_key) == (None, None, None, None)


@pytest.mark.parametrize(
    ("code", "view"), [("399162004", "CC"), ("R-10226", "MLO"), ("399192008", "XCCL"), ("12345", None)]
)
def test_the_view_is_read_from_its_code(write_mammogram, code, view):
    item = Dataset()
    item.CodeValue = code
    path = write_mammogram(ViewPosition=None, ViewCodeSequence=[item])
    assert read_mammogram(path).view == view


@pytest.mark.parametrize("orientation", [["A", "R"], ["P", "FL"]])
def test_the_orientation_of_a_digital_image_says_neither_view_nor_side(write_mammogram, orientation):
    got = read_mammogram(
        write_mammogram(ViewPosition=None, ImageLaterality=None, PatientOrientation=orientation)
    )
    assert (got.view, got.laterality) == (None, None)


def test_digitised_film_says_view_and_side_in_its_own_way(write_mammogram):
    got = read_mammogram(write_mammogram(**FILM))
    assert (got.view, got.laterality, got.spacing_mm, got.voi) == ("MLO", "L", None, "percentile")
    assert any("secondary capture" in sentence for sentence in got.warnings)


def test_film_with_the_side_before_the_view_is_understood(write_mammogram):
    got = read_mammogram(
        write_mammogram(**FILM | {"PatientOrientation": "RCC", "Laterality": None, "PatientID": "X"})
    )
    assert (got.view, got.laterality) == ("CC", "R")


def test_the_images_of_a_woman_in_cbis_ddsm_share_their_patient_key(write_mammogram):
    ids = ["Mass-Test_P_00173_LEFT_MLO", "Calc-Training_P_00173_RIGHT_CC", "Mass-Test_P_00173_LEFT_CC_2"]
    keys = {
        read_mammogram(write_mammogram(name=f"{n}.dcm", **FILM | {"PatientID": patient})).patient_key
        for n, patient in enumerate(ids)
    }
    other = read_mammogram(write_mammogram(**FILM | {"PatientID": "Mass-Test_P_00174_LEFT_MLO"})).patient_key
    assert len(keys) == 1
    assert other not in keys


def test_a_patient_id_that_only_resembles_cbis_ddsm_is_left_alone(write_mammogram):
    keys = {
        read_mammogram(write_mammogram(name=f"{n}.dcm", PatientID=patient)).patient_key
        for n, patient in enumerate(["P_00173_LEFT_CC", "P_00173_LEFT_MLO"])
    }
    assert len(keys) == 2


def test_cbis_ddsm_without_any_other_word_still_says_view_and_side(write_mammogram):
    got = read_mammogram(write_mammogram(**FILM | {"PatientOrientation": None, "Laterality": None}))
    assert (got.view, got.laterality) == ("MLO", "L")


# --- pseudonyms and privacy ---


def test_pseudonyms_are_the_hmac_of_the_identifiers(write_mammogram, personal):
    path = write_mammogram()
    got = read_mammogram(path, key=b"secret")
    uid = pydicom.dcmread(path).SOPInstanceUID
    assert got.image_id == "img-" + hmac.new(b"secret", uid.encode(), hashlib.sha256).hexdigest()[:12]
    patient = personal["PatientID"].encode()
    assert got.patient_key == "pat-" + hmac.new(b"secret", patient, hashlib.sha256).hexdigest()[:12]


def test_another_key_gives_other_pseudonyms_and_no_key_holds_for_the_process(write_mammogram):
    path = write_mammogram()
    a, b = read_mammogram(path, key=b"a"), read_mammogram(path, key=b"b")
    assert (a.image_id, a.patient_key) != (b.image_id, b.patient_key)
    assert read_mammogram(path).image_id == read_mammogram(path).image_id not in (a.image_id, b.image_id)


def test_an_image_without_uid_is_named_after_its_pixels(write_mammogram, breast):
    path = write_mammogram(SOPInstanceUID=None)
    ds = pydicom.dcmread(path)
    del ds.file_meta.MediaStorageSOPInstanceUID
    ds.save_as(path)
    assert read_mammogram(path, key=b"k").image_id == read_mammogram(path, key=b"k").image_id


def test_nothing_personal_is_in_what_comes_back(write_mammogram, tmp_path, personal):
    text = repr(read_mammogram(write_mammogram()))
    for value in [*personal.values(), "Prudence", str(tmp_path)]:
        assert value not in text


# --- bad files ---


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
        "no mammogram",
    ),
    "MR as a secondary capture": (lambda w, t: w(**FILM | {"Modality": "MR"}), "no mammogram"),
    "nameless CT": (lambda w, t: w(SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality=None), "no mammogram"),
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
    "more than 32 bits": (lambda w, t: w(np.arange(5600, dtype=np.uint64).reshape(80, 70)), "bits a pixel"),
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
    assert message.endswith(".")
    assert message[0].isupper()
    for value in [*personal.values(), "Prudence", str(tmp_path), path.name]:
        assert value not in message
    # No exception with a path or a value in it hangs on behind, for whatever collects errors to keep.
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None


def test_a_size_is_refused_before_anything_is_decoded(write_mammogram, monkeypatch):
    monkeypatch.setattr("course_utils.imaging.dicom.get_decoder", lambda *a, **k: pytest.fail("decoded"))
    with pytest.raises(MammogramError, match="too large"):
        read_mammogram(write_mammogram(Rows=20000, Columns=20000))


def test_what_is_deflated_is_refused_before_it_is_inflated(write_mammogram, monkeypatch):
    path = write_mammogram(syntax=DeflatedExplicitVRLittleEndian)
    monkeypatch.setattr("zlib.decompress", lambda *a, **k: pytest.fail("inflated"))
    with pytest.raises(MammogramError, match="deflated"):
        read_mammogram(path)


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

    monkeypatch.setattr("course_utils.imaging.dicom._identity", fail)
    with pytest.raises(MammogramError, match="damaged or breaks the DICOM standard") as refusal:
        read_mammogram(write_mammogram())
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None


@pytest.mark.parametrize("name", ["missing", "loop", "n" * 300, "nul\0"])
def test_a_name_that_cannot_be_opened_is_refused_without_its_folder(tmp_path, name):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(MammogramError, match=r"cannot be opened|no such file") as refusal:
        read_mammogram(tmp_path / name)
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None


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


# --- warnings and threads ---


def test_what_pydicom_warns_of_is_neither_printed_nor_quoted(write_mammogram, capfd):
    path = write_mammogram(SOPInstanceUID="1.2.3.4711")
    path.write_bytes(path.read_bytes().replace(b"1.2.3.4711", b"1.2.3.0815"))  # no part may begin with a zero
    with pytest.warns(UserWarning, match="0815"):
        pydicom.dcmread(path).SOPInstanceUID
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        got = read_mammogram(path)
    assert seen == []
    assert capfd.readouterr() == ("", "")
    assert got.warnings == ("The file departs from the DICOM standard in ways that do not hinder reading.",)


def broken_jpeg_2000(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\x52", data.index(b"\xff\x4f\xff\x51"))
    data[at + 5] = 0xFF  # the order of its packets, of which there are five
    path.write_bytes(data)
    return path


def test_what_the_libraries_log_while_reading_goes_nowhere_and_outside_it_still_does(
    write_mammogram, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(pydicom.config, "debugging", True)
    caplog.set_level(logging.DEBUG)
    for name in ("pydicom", "pydicom.pixels.decoders.base", "pydicom.pixels.utils"):
        caplog.set_level(logging.DEBUG, logger=name)
    named = write_mammogram(name="named.dcm", PatientID="DOE^JANE 1947-07-13 ")
    named.write_bytes(named.read_bytes().replace(b"\x10\x00\x20\x00LO", b"\x10\x00\x20\x00UI"))
    broken = broken_jpeg_2000(write_mammogram(name="broken.dcm", syntax=JPEG2000Lossless))
    caplog.clear()

    def read_both(_: int) -> None:
        assert read_mammogram(named).patient_key
        with pytest.raises(MammogramError, match="cannot be decoded"):
            read_mammogram(broken)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read_both, range(8)))
    mine = ("course_utils.imaging.dicom", logging.DEBUG)
    assert {(name, level) for name, level, _ in caplog.record_tuples} == {mine}
    assert not any(record.exc_info for record in caplog.records)
    for value in ("DOE", "1947", str(tmp_path), "site-packages", "Traceback"):
        assert value not in caplog.text

    with pytest.raises(RuntimeError):
        pydicom.pixels.pixel_array(broken)
    pydicom.dcmread(named)
    assert "1947" in caplog.text
    assert "Traceback" in caplog.text


def test_many_threads_read_the_same_pixels_and_leave_the_warning_filters_alone(write_mammogram):
    paths = [write_mammogram(name=f"{n}.dcm") for n in range(8)] * 4
    before = list(warnings.filters), warnings.showwarning
    alone = read_mammogram(paths[0]).pixels
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(read_mammogram, paths):
            assert_array_equal(got.pixels, alone)
    assert (list(warnings.filters), warnings.showwarning) == before


def test_imaging_never_imports_torch():
    code = "import sys, course_utils.imaging, course_utils.imaging.datasets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the same image, stored either way round ---

TOTAL = {"u": 4095, "i": -1}  # of the least and the greatest value that 12 bits hold


def stored_inversely(pixels, **elements):
    """Return the pixels and the elements of the same image with low values bright, worked out by hand."""
    total = TOTAL[pixels.dtype.kind]
    inverse = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
    slope, intercept = elements.get("RescaleSlope", 1), elements.get("RescaleIntercept", 0)
    if "ModalityLUTSequence" in elements:
        item = elements["ModalityLUTSequence"][0]
        entries = 4095 - np.frombuffer(item.LUTData, "<u2")[::-1]
        inverse["ModalityLUTSequence"] = [lut_item(entries, 0, 12)]
        middle = 4095 / 2  # of what the table gives, for windows go by that
    else:
        middle = (slope * total + 2 * intercept) / 2
    if elements.get("WindowCenter") is not None:
        one = elements.get("VOILUTFunction", "LINEAR") == "LINEAR"
        inverse["WindowCenter"] = round(2 * middle - elements["WindowCenter"] + one, 3)
    if "VOILUTSequence" in elements:
        item = elements["VOILUTSequence"][0]
        bits = item.LUTDescriptor[2]
        entries = np.frombuffer(item.LUTData, "<u1" if bits == 8 else "<u2")
        last = item.LUTDescriptor[1] + len(entries) - 1
        turned = (2**bits - 1 - entries.astype(int))[::-1]
        inverse["VOILUTSequence"] = [lut_item(turned, total - last, bits)]
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        if keyword in elements:
            inverse[keyword] = total - elements[keyword]
    return (total - pixels).astype(pixels.dtype), elements | inverse


@pytest.mark.parametrize("ground", [0, 300], ids=["ground at the end", "ground off the end"])
@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"WindowCenter": 1500.3, "WindowWidth": 701.7},
        {"WindowCenter": 1500.3, "WindowWidth": 701.7, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 1200.1, "WindowWidth": 333.3, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": 1500, "WindowWidth": 1},
        {"RescaleSlope": 0.7, "RescaleIntercept": -13.9, "WindowCenter": 1111.1, "WindowWidth": 1234.5},
        {"RescaleSlope": -1.5, "RescaleIntercept": 6000, "WindowCenter": 3000, "WindowWidth": 4000},
        {"WindowCenter": None, "WindowWidth": None},
        {"lut": 8},
        {"lut": 12},
        {"lut": 16},
        {"modality lut": 12, "WindowCenter": 2000, "WindowWidth": 3000},
        {"PixelPaddingValue": 4000, "WindowCenter": None, "WindowWidth": None},
        {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 310},
        {"PixelPaddingValue": 310, "PixelPaddingRangeLimit": 0, "WindowCenter": None, "WindowWidth": None},
        {"signed": True, "WindowCenter": -300, "WindowWidth": 2500},
        {"signed": True, "PixelPaddingValue": -2048, "WindowCenter": None, "WindowWidth": None},
        {"PresentationIntentType": "FOR PROCESSING", "PixelIntensityRelationship": "LOG"},
    ],
    ids=str,
)
def test_monochrome1_and_monochrome2_give_the_same_pixels_to_the_bit(write_mammogram, breast, kind, ground):
    kind = dict(kind)
    pixels = np.maximum(breast, ground)
    pixels[:, -30:] = 4000  # as wide as a label, and padding in one of them
    if kind.pop("signed", False):
        pixels = pixels.astype(np.int16) - 2048
    curve = CURVE.astype(int)
    for name, keyword in (("lut", "VOILUTSequence"), ("modality lut", "ModalityLUTSequence")):
        if bits := kind.pop(name, None):
            entries = curve >> 4 if bits == 8 else curve << (bits - 12)
            kind[keyword] = [lut_item(entries, 0, bits)]
    two = write_mammogram(pixels, name="2.dcm", **kind)
    turned, elements = stored_inversely(pixels, **({"WindowCenter": 2048, "WindowWidth": 4096} | kind))
    one = write_mammogram(turned, name="1.dcm", **elements)
    raw = "PresentationIntentType" in kind
    for voi in ("auto", "percentile", "none") if raw else ("auto", "window", "lut", "percentile", "none", 0):
        asked = {"window": "WindowCenter", 0: "WindowCenter", "lut": "VOILUTSequence"}.get(voi)
        if asked and kind.get(asked, asked == "WindowCenter") in (None, False):
            continue
        got, expected = read_mammogram(one, voi=voi), read_mammogram(two, voi=voi)
        assert_array_equal(got.pixels, expected.pixels)
        assert (got.voi, got.warnings) == (expected.voi, expected.warnings)
        assert len(np.unique(got.pixels)) > 1


# --- compressed pixels ---

COMPRESSED = [
    RLELossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEG_LS,
    JPEG2000Lossless,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
]
WITH_HEADER = [syntax for syntax in COMPRESSED if syntax != RLELossless]


@pytest.fixture
def compressed(write_mammogram):
    """Write a mammogram in any syntax, its stream changed by a function: ``compressed(syntax, change)``."""

    def write(syntax, change=bytes, *, name="compressed.dcm", fragments=1, has_bot=True, **elements):
        ds = pydicom.dcmread(write_mammogram(name=name, **elements))
        encoders.compress(ds, syntax)
        frame = next(generate_frames(ds.PixelData, number_of_frames=1))
        ds.PixelData = encapsulate([change(frame)], fragments_per_frame=fragments, has_bot=has_bot)
        path = Path(ds.filename)
        ds.save_as(path)
        return path

    return write


def header_at(stream):
    """Return where the height stands in a JPEG, JPEG-LS or JPEG 2000 stream, and in how many bytes."""
    if stream[:4] == b"\xff\x4f\xff\x51":
        return 12, 4
    at = next(at for mark in (b"\xc0", b"\xc1", b"\xc3", b"\xf7") if (at := stream.find(b"\xff" + mark)) > 0)
    return at + 5, 2


def with_rows(stream, rows):
    at, width = header_at(stream)
    return stream[:at] + rows.to_bytes(width, "big") + stream[at + width :]


def with_components(stream, count):
    at = 41 if header_at(stream)[1] == 4 else header_at(stream)[0] + 4
    return stream[:at] + bytes([count]) + stream[at + 1 :]


def with_precision(stream, bits):
    at, value = (42, bits - 1) if header_at(stream)[1] == 4 else (header_at(stream)[0] - 1, bits)
    return stream[:at] + bytes([value]) + stream[at + 1 :]


def wrapped_in_jp2(stream):
    def box(kind, content):
        return (len(content) + 8).to_bytes(4, "big") + kind + content

    size = (300).to_bytes(4, "big") + (240).to_bytes(4, "big") + b"\0\1\x0b\7\0\0"
    header = box(b"jp2h", box(b"ihdr", size) + box(b"colr", b"\1\0\0\0\0\0\x11"))
    start = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return start + header + box(b"jp2c", stream)


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda uid: uid.keyword)
def test_fragments_and_offset_tables_change_nothing(compressed, breast, syntax):
    for fragments, has_bot in ((1, True), (1, False), (3, True), (4, False)):
        got = read_mammogram(compressed(syntax, fragments=fragments, has_bot=has_bot))
        assert_allclose(got.pixels, breast / 4095, atol=1e-7)
        assert got.warnings == ()


@pytest.mark.parametrize("syntax", [RLELossless, JPEG_LS, JPEG2000Lossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_values_of_any_width_come_back_signed_or_not(write_mammogram, breast, syntax, bits, signed):
    pixels = (breast << 4) >> (16 - bits)
    if signed:
        pixels = pixels.astype(int) - 2 ** (bits - 1)
    stored = pixels.astype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    got = read_mammogram(write_mammogram(stored, bits=bits, syntax=syntax), voi="none").pixels
    assert_array_equal(np.rint(got * (2**bits - 1)), pixels - pixels.min())


@pytest.mark.parametrize("options", [{}, {"tile": (64, 100)}, {"tile": (64, 100), "tilepart": 1}], ids=str)
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_htj2k_in_tiles_and_tile_parts_comes_back_signed_or_not(compressed, breast, options, signed):
    stored = breast.astype(np.int16) - 2048 if signed else breast
    path = compressed(
        HTJ2KLossless,
        lambda _: bytes(imagecodecs.htj2k_encode(stored, reversible=True, **options)),
        PixelRepresentation=int(signed),
    )
    assert_array_equal(np.rint(read_mammogram(path, voi="none").pixels * 4095), breast)


@pytest.mark.parametrize("order", ["LRCP", "RLCP", "RPCL", "PCRL", "CPRL"])
@pytest.mark.parametrize("tile", [None, (64, 100)], ids=str)
def test_tiles_and_the_order_of_packets_change_nothing_in_jpeg_2000(compressed, breast, tile, order):
    narrow = (breast >> 4).astype(np.uint8)
    encoded = io.BytesIO()
    options = {"tile_size": tile, "progression": order, "num_resolutions": 3, "no_jp2": True}
    Image.fromarray(narrow).save(
        encoded, "JPEG2000", quality_layers=[8, 2, 0], quality_mode="rates", **options
    )
    path = compressed(JPEG2000Lossless, lambda _: encoded.getvalue(), bits=8)
    assert_array_equal(np.rint(read_mammogram(path, voi="none").pixels * 255), narrow)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, HTJ2KLossless], ids=lambda uid: uid.keyword)
def test_a_stream_in_the_wrapping_of_a_jp2_file_is_read(compressed, breast, syntax):
    assert_allclose(read_mammogram(compressed(syntax, wrapped_in_jp2)).pixels, breast / 4095, atol=1e-7)


@pytest.mark.parametrize("syntax", WITH_HEADER, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda stream: with_rows(stream, 12000), "another size than Rows and Columns"),
        (lambda stream: with_rows(stream, 299), "another size than Rows and Columns"),
        (lambda stream: with_rows(stream, 0), "another size than Rows and Columns"),
        (lambda stream: with_components(stream, 3), "colour image"),
        (lambda stream: with_precision(stream, 24), "more bits a pixel than BitsAllocated"),
        (lambda stream: b"\xff" + stream, "do not begin as"),
        (lambda stream: b"\0\0", "do not begin as"),
        (lambda stream: stream[:10], "do not begin as"),
        (lambda stream: bytes(5000), "do not begin as"),
    ],
    ids=["larger", "smaller", "open", "colour", "precision", "shifted", "empty", "short", "zeros"],
)
def test_a_stream_that_contradicts_the_header_is_refused_undecoded(
    compressed, monkeypatch, syntax, change, words
):
    path = compressed(syntax, change)
    monkeypatch.setattr("course_utils.imaging.dicom.get_decoder", lambda *a, **k: pytest.fail("decoded"))
    with pytest.raises(MammogramError, match=words):
        read_mammogram(path)


@pytest.mark.parametrize("claimed", WITH_HEADER, ids=lambda uid: uid.keyword)
def test_a_stream_of_another_kind_than_its_syntax_says_is_refused(compressed, claimed):
    other = JPEG2000Lossless if claimed in (JPEGLossless, JPEGLosslessSV1, JPEGLSLossless) else JPEGLossless
    path = compressed(other)
    ds = pydicom.dcmread(path)
    ds.file_meta.TransferSyntaxUID = claimed
    ds.save_as(path)
    with pytest.raises(MammogramError, match="do not begin as"):
        read_mammogram(path)


@pytest.mark.parametrize("change", [b"\3", b"\0", b"\xff"], ids=str)
def test_an_rle_frame_with_the_wrong_number_of_segments_is_refused(compressed, change):
    with pytest.raises(MammogramError, match=r"RLE|more bits|cannot be decoded"):
        read_mammogram(compressed(RLELossless, lambda frame: change + frame[1:]))


def test_rle_is_unpacked_no_further_than_its_pixels(compressed, breast):
    runs = b"\x81\x07" * (breast.size // 2)  # of 128 bytes each: 64 times as much as there are pixels

    def bomb(frame):
        header = np.array([2, 64, 64 + len(runs), *[0] * 13], "<u4")
        return header.tobytes() + runs + runs

    path = compressed(RLELossless, bomb)
    tracemalloc.start()
    with pytest.raises(MammogramError, match="cannot be decoded"):
        read_mammogram(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20 * breast.size  # and not 64


def with_coding(stream, *, blocks=None, precincts=None):
    """Return a JPEG 2000 stream that claims another size of its code blocks or precincts."""
    at = stream.index(b"\xff\x52")
    cod = bytearray(stream[at : at + 14])
    end = at + 2 + int.from_bytes(cod[2:4], "big")
    if blocks is not None:
        cod[10:12] = bytes([blocks - 2, blocks - 2])
    if precincts is not None:
        cod[4] |= 1
        sizes = bytes([precincts * 17] * (cod[9] + 1))
        cod[2:4] = (12 + len(sizes)).to_bytes(2, "big")
        cod += sizes
    return stream[:at] + bytes(cod) + stream[end:]


@pytest.mark.parametrize("change", [{"blocks": 2}, {"precincts": 0}], ids=str)
def test_jpeg_2000_in_blocks_that_take_gigabytes_is_refused_undecoded(compressed, monkeypatch, change):
    path = compressed(JPEG2000Lossless, lambda stream: with_coding(with_rows(stream, 5000), **change))
    ds = pydicom.dcmread(path)
    ds.Rows = 5000
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    ds.save_as(path)
    monkeypatch.setattr("course_utils.imaging.codestream.MAX_BLOCKS", 50_000)
    monkeypatch.setattr("course_utils.imaging.dicom.get_decoder", lambda *a, **k: pytest.fail("decoded"))
    with pytest.raises(MammogramError, match="do not begin as"):
        read_mammogram(path)


@pytest.mark.parametrize("syntax", WITH_HEADER, ids=lambda uid: uid.keyword)
def test_a_stream_without_its_end_is_read_with_a_warning_or_refused(compressed, syntax):
    path = compressed(syntax, lambda stream: stream[: len(stream) * 3 // 4])
    start = time.perf_counter()
    with contextlib.suppress(MammogramError):
        assert "no end mark" in read_mammogram(path).warnings[0]
    assert time.perf_counter() - start < patience(1)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.98])
@pytest.mark.parametrize("syntax", [JPEG_LS, JPEG2000Lossless, HTJ2KLossless], ids=lambda uid: uid.keyword)
def test_a_stream_that_lacks_its_middle_but_has_its_end_is_refused(compressed, syntax, keep):
    path = compressed(syntax, lambda stream: stream[: int(len(stream) * keep)] + b"\xff\xd9")
    with pytest.raises(MammogramError, match="cannot be decoded"):
        read_mammogram(path)


@pytest.mark.parametrize("syntax", [*COMPRESSED, JPEG2000, JPEGLSNearLossless], ids=lambda uid: uid.keyword)
def test_without_its_decoder_a_file_is_refused_by_the_name_of_syntax_and_package(
    write_mammogram, monkeypatch, syntax
):
    path = write_mammogram()
    ds = pydicom.dcmread(path)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate([b"\0\0"])
    ds.save_as(path)
    monkeypatch.delitem(get_decoder(syntax)._available, PLUGIN)
    with pytest.raises(MammogramError) as refusal:
        read_mammogram(path)
    assert syntax.name in str(refusal.value)
    assert str(refusal.value).endswith("pip install imagecodecs")
    doctor = [check.sentence for check in _decoders() if check.state == "problem"]
    assert len(doctor) == (syntax in SYNTAXES)
    assert all(sentence.endswith("pip install imagecodecs") for sentence in doctor)


@pytest.mark.parametrize(
    ("syntax", "words"),
    [
        ("1.2.840.10008.1.2.4.102", "stored as MPEG-4 AVC/H.264 High Profile / Level 4.1"),
        ("1.2.840.10008.1.2.4.65", "stored as JPEG"),
        ("1.2.840.10008.1.2.1.98", "stored as Encapsulated Uncompressed"),
        ("1.2.826.0.1.3680043.4711", "private or unknown"),
        ("Quisling", "private or unknown"),
    ],
)
def test_a_transfer_syntax_that_is_none_for_mammograms_is_refused(write_mammogram, syntax, words, personal):
    path = write_mammogram()
    path.write_bytes(relabelled(path.read_bytes(), syntax.encode()))
    with pytest.raises(MammogramError, match=words) as refusal:
        read_mammogram(path)
    assert "4711" not in str(refusal.value)
    assert "Quisling" not in str(refusal.value)


def relabelled(data: bytes, syntax: bytes) -> bytes:
    """Return a file with another transfer syntax in its meta information."""
    syntax += b"\0" * (len(syntax) % 2)
    at = data.index(b"\x02\x00\x10\x00UI")
    end = at + 8 + int.from_bytes(data[at + 6 : at + 8], "little")
    length = int.from_bytes(data[140:144], "little") + len(syntax) - (end - at - 8)
    meta = data[:140] + length.to_bytes(4, "little") + data[144 : at + 6]
    return meta + len(syntax).to_bytes(2, "little") + syntax + data[end:]


def test_pixels_whose_compression_is_denied_are_refused(compressed):
    path = compressed(JPEG2000Lossless)
    path.write_bytes(relabelled(path.read_bytes(), b"1.2.840.10008.1.2.1"))
    with pytest.raises(MammogramError, match="compressed, but its transfer syntax denies it"):
        read_mammogram(path)


def test_pixels_that_are_not_compressed_although_the_syntax_says_so_are_refused(write_mammogram):
    path = write_mammogram()
    path.write_bytes(relabelled(path.read_bytes(), b"1.2.840.10008.1.2.4.90"))
    with pytest.raises(MammogramError, match=r"truncated|do not begin"):
        read_mammogram(path)


def test_a_file_that_does_not_say_its_transfer_syntax_is_refused(write_mammogram):
    path = write_mammogram()
    path.write_bytes(relabelled(path.read_bytes(), b""))
    with pytest.raises(MammogramError, match="TransferSyntaxUID"):
        read_mammogram(path)


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda uid: uid.keyword)
def test_pydicom_itself_decodes_by_our_plugin(compressed, breast, syntax):
    ds = pydicom.dcmread(compressed(syntax))
    got, _ = get_decoder(syntax).as_array(ds, decoding_plugin=PLUGIN)
    assert_array_equal(got, breast)


def test_the_plugin_decodes_what_no_other_is_installed_for():
    code = """if True:
    import sys
    sys.modules.update(dict.fromkeys(["jpeg_ls", "openjpeg", "pylibjpeg", "gdcm", "_CharLS", "_openjpeg"]))
    import pydicom
    from course_utils.imaging.datasets import sample_variants
    for path in sample_variants()["path"]:
        pydicom.dcmread(path).pixel_array
    """
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("function", "encode"),
    [
        ("decode_rle", lambda pixels: rle(pixels)),
        ("decode_jpeg", lambda pixels: imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=12)),
        ("decode_jpeg_ls", imagecodecs.jpegls_encode),
        ("decode_jpeg_2000", lambda pixels: imagecodecs.jpeg2k_encode(pixels, codecformat="J2K")),
        ("decode_jpeg_2000", lambda pixels: imagecodecs.htj2k_encode(pixels, reversible=True)),
    ],
    ids=["RLE", "JPEG", "JPEG-LS", "JPEG 2000", "HTJ2K"],
)
def test_other_threads_run_while_a_picture_is_decoded(function, encode):
    noise = np.random.default_rng(1).normal(2000, 20, (1500, 1500))
    frame = bytes(encode(np.clip(noise, 0, 4095).astype(np.uint16)))
    runner = SimpleNamespace(rows=1500, columns=1500, set_option=lambda *_: None)
    assert any(longest_pause(getattr(codestream, function), frame, runner) < 0.5 for _ in range(10))


def longest_pause(function, *arguments):
    """Return for how long this thread stood still while another ran a function, as a part of that time."""
    span, ticks = [], []

    def work():
        span.append(time.perf_counter())
        function(*arguments)
        span.append(time.perf_counter())

    thread = Thread(target=work)
    thread.start()
    while thread.is_alive():
        ticks.append(time.perf_counter())
    begin, end = span
    return np.diff(np.clip([begin, *ticks, end], begin, end)).max() / (end - begin)


def rle(pixels):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.Rows, ds.Columns = pixels.shape
    ds.PixelData = pixels.tobytes()
    compress_rle(ds)
    return next(generate_frames(ds.PixelData, number_of_frames=1))


# --- bits, padding, tables ---


def test_negative_values_of_12_bits_without_the_bits_above_their_sign_are_understood(write_mammogram, breast):
    signed = breast.astype(np.int16) - 2048
    whole = read_mammogram(write_mammogram(signed, name="a.dcm", WindowCenter=0))
    cut = read_mammogram(write_mammogram(signed & 0x0FFF, name="b.dcm", WindowCenter=0))
    assert_array_equal(cut.pixels, whole.pixels)
    assert cut.warnings == ()


def test_a_high_bit_that_contradicts_bits_stored_is_refused_where_it_matters(write_mammogram, breast):
    assert read_mammogram(write_mammogram(HighBit=15)).warnings == ()
    with pytest.raises(MammogramError, match="HighBit"):
        read_mammogram(write_mammogram(breast << 4, HighBit=15))


@pytest.mark.parametrize("limits", [(60000, 60039), (60039, 60000), (60039, None)], ids=str)
def test_padding_outside_of_bits_stored_is_padding_all_the_same(write_mammogram, breast, limits):
    padded = breast.copy()
    padded[:, -40:] = 60039 if limits[1] is None else np.arange(60000, 60040)
    path = write_mammogram(padded, PixelPaddingValue=limits[0], PixelPaddingRangeLimit=limits[1])
    for voi in ("auto", "none", "percentile"):
        got = read_mammogram(path, voi=voi)
        assert not got.pixels[:, -40:].any()
        assert got.warnings == ()
    assert_allclose(read_mammogram(path).pixels[:, :-40], breast[:, :-40] / 4095, atol=1e-6)


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda uid: uid.keyword)
def test_padding_in_compressed_pixels_is_background(compressed, breast, syntax):
    padded = breast.copy()
    padded[:, -40:] = 4000
    path = compressed(syntax, pixels=padded, PixelPaddingValue=4000)
    assert not read_mammogram(path).pixels[:, -40:].any()


def test_nothing_but_padding_is_refused(write_mammogram):
    with pytest.raises(MammogramError, match="marked as padding"):
        read_mammogram(write_mammogram(PixelPaddingValue=0, PixelPaddingRangeLimit=4095))


@pytest.mark.parametrize("vr", ["US", "SS"])
@pytest.mark.parametrize(
    ("elements", "signed"),
    [
        ({"pixels": "signed"}, True),
        ({"RescaleSlope": 1, "RescaleIntercept": -2048}, True),
        ({"RescaleSlope": -1, "RescaleIntercept": 2047}, True),
        ({}, False),
    ],
    ids=str,
)
def test_the_first_value_of_a_table_is_signed_where_values_may_be_negative(
    write_mammogram, breast, vr, elements, signed
):
    first = -2048 if signed else 40000
    bits = 12 if signed else 16
    pixels = breast.astype(np.int16) - 2048 if elements.get("pixels") else breast
    pixels = pixels if signed else (breast.astype(int) + 40000).astype(np.uint16)
    item = lut_item(CURVE, 0, 12)
    item.add_new(
        "LUTDescriptor", vr, [4096, first % 65536 if vr == "US" else (first + 32768) % 65536 - 32768, 12]
    )
    elements = {key: value for key, value in elements.items() if key != "pixels"}
    got = read_mammogram(write_mammogram(pixels, bits=bits, VOILUTSequence=[item], **elements))
    index = 4095 - breast.astype(int) if elements.get("RescaleSlope") == -1 else breast
    assert_allclose(got.pixels, CURVE[index] / 4095, atol=1e-6)
    assert got.voi == "lut"


@pytest.mark.parametrize("entries", [2, 200, 65536])
def test_a_table_that_does_not_reach_as_far_as_the_values_ends_in_its_last_entry(
    write_mammogram, breast, entries
):
    values = np.minimum(np.arange(entries), 4095)
    path = write_mammogram(VOILUTSequence=[lut_item(values, 500, 12)])
    expected = values[np.clip(breast.astype(int) - 500, 0, entries - 1)] / 4095
    assert_allclose(read_mammogram(path).pixels, expected, atol=1e-6)


# --- headers ---


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"])
def test_a_list_in_place_of_a_number_is_refused_before_it_is_multiplied(write_mammogram, keyword):
    path = write_mammogram()
    ds = pydicom.dcmread(path)
    ds.add_new(keyword, "US", [16] * 300)
    ds.save_as(path)
    with pytest.raises(MammogramError, match=f"{keyword} is missing or is no whole number"):
        read_mammogram(path)


def test_an_absurdly_long_value_is_refused_unparsed(write_mammogram):
    path = write_mammogram(syntax=ImplicitVRLittleEndian)
    data = path.read_bytes()
    at = data.index(b"\x28\x00\x50\x10")
    value = b"1\\" * 100_000
    end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
    path.write_bytes(data[:at] + data[at : at + 4] + len(value).to_bytes(4, "little") + value + data[end:])
    with pytest.raises(MammogramError, match="absurdly long"):
        read_mammogram(path)


@pytest.mark.parametrize("tag", [b"\x28\x00\x10\x30", b"\x28\x00\x45\x91"], ids=["read", "skipped"])
def test_a_header_without_end_is_refused_soon(write_mammogram, tag):
    path = write_mammogram(syntax=ImplicitVRLittleEndian)
    data = path.read_bytes()
    at = data.index(b"\xe0\x7f\x10\x00")
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 1_000_000 + b"\xfe\xff\xdd\xe0\0\0\0\0"
    path.write_bytes(data[:at] + tag + b"\xff" * 4 + items + data[at:])
    start = time.perf_counter()
    with pytest.raises(MammogramError, match="damaged"):
        read_mammogram(path)
    assert time.perf_counter() - start < patience(3)  # it takes 1 s; 30 s and 800 MB, if all of it is read


def test_what_is_not_needed_of_a_header_is_not_read(write_mammogram):
    path = write_mammogram()
    with path.open("rb") as file:
        header = dicom._read_header(file)
    assert "PatientID" in header
    assert not {"PatientName", "PatientBirthDate", "AccessionNumber"} & set(header.dir())
