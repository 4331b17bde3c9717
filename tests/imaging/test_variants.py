"""One phantom in every encoding, checked against DCMTK, second decoders and itself.

The last part sends all variants and all broken files through `course embed` at once. `tests/README.md` says
where DCMTK differs, and why.
"""

import json
import subprocess
import sys

import cv2
import imagecodecs
import numpy as np
import openjpeg
import pandas as pd
import pydicom
import pytest
from calibration import patience
from needs import needs, needs_pyjpegls
from numpy.testing import assert_allclose, assert_array_equal
from pydicom.encaps import generate_frames
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from course_utils.imaging import MammogramError, read_mammogram
from course_utils.imaging.datasets import broken_samples, real_mammograms, sample_variants

VARIANTS = sample_variants().set_index(sample_variants()["file"].str.removesuffix(".dcm"))
BROKEN = broken_samples().set_index("file")
PATH = VARIANTS["path"].to_dict()
SAME = list(VARIANTS.index[VARIANTS["same_as"] == "reference"])

DCMTK = {
    JPEGLossless: "dcmj2pnm",
    JPEGLosslessSV1: "dcmj2pnm",
    JPEGBaseline8Bit: "dcmj2pnm",
    JPEGExtended12Bit: "dcmj2pnm",
    JPEGLSLossless: "dcml2pnm",
    JPEGLSNearLossless: "dcml2pnm",
}
"""The program of DCMTK that decodes a transfer syntax, where it is not dcm2pnm."""


def charls(stream):
    """Decode JPEG-LS with pyjpegls, which has its own CharLS."""
    import jpeg_ls

    return jpeg_ls.decode(np.frombuffer(stream, np.uint8))


DECODERS = {
    JPEGLossless: imagecodecs.jpegsof3_decode,
    JPEGLosslessSV1: imagecodecs.jpegsof3_decode,
    JPEGLSLossless: charls,
    JPEGLSNearLossless: charls,
    JPEG2000Lossless: openjpeg.decode,
    JPEG2000: openjpeg.decode,
    HTJ2KLossless: imagecodecs.htj2k_decode,
    HTJ2KLosslessRPCL: imagecodecs.htj2k_decode,
    HTJ2K: imagecodecs.htj2k_decode,
}
"""A second decoder of each compressed stream: another library, or another build of CharLS and OpenJPEG."""


def decoded_twice(name, *values):
    """Return a case for a test that decodes `name` a second time; it is skipped without the decoder."""
    return pytest.param(
        name, *values, marks=needs_pyjpegls if DECODERS[syntax_of(PATH[name])] is charls else ()
    )


MEAN_OTHERWISE = {
    "padding": "it shows padding",
    "padding_range": "it shows padding",
    "padding_monochrome1": "it shows padding",
    "contradicting_shape": "it follows PresentationLUTShape",
    "linear_exact": "it takes LINEAR_EXACT for LINEAR",
    "for_processing": "it shows the raw signal as it is",
}
"""Variants that DCMTK shows differently, and why; each has its own test below."""


NOT_ASKED = {
    "more_bits_in_the_stream": "it clears the bits",
    "label_of_another_encoding": "it believes the label",
    "upside_down": "it turns nothing",
    "lying": "it turns nothing",
    "lower_case": "it takes small letters for colour",
    "short_lut": "it has no other table or window to go to",
    "voi_lut_claims_16_bits": "it believes the descriptor",
    "synthetic_2d": "it does not look into functional groups",
    "not_square": "it makes the pixels square",
}
"""Variants that break the standard or whose picture is turned, of which DCMTK is no judge, and why."""


def syntax_of(path):
    return pydicom.dcmread(path, stop_before_pixels=True, force=True).file_meta.TransferSyntaxUID


def decoded_elsewhere(path):
    """Return the stored values as a decoder other than the reader's sees them."""
    ds = pydicom.dcmread(path)
    stream = next(generate_frames(ds.PixelData, number_of_frames=1))
    return DECODERS[ds.file_meta.TransferSyntaxUID](stream)


def uncompressed(path, folder):
    """Return a copy of a file with native pixels, decoded by a decoder other than the reader's."""
    ds = pydicom.dcmread(path)
    ds.PixelData = decoded_elsewhere(path).astype("<u2").tobytes()
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OW", False
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(folder / "native.dcm")
    return folder / "native.dcm"


def by_dcmtk(path, folder, *how):
    """Return DCMTK's rendering, uint16 (H, W), without overlays."""
    syntax = syntax_of(path)
    if syntax in (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K):
        path = uncompressed(path, folder)  # DCMTK decodes neither
    out = folder / "dcmtk.pgm"
    command = [DCMTK.get(syntax, "dcm2pnm"), "-O", *how, "+opw", path, out]
    subprocess.run(command, check=True, capture_output=True)
    return cv2.imread(str(out), cv2.IMREAD_UNCHANGED)


def transforms():
    """Yield every transform of every variant: name, `voi`, DCMTK's options, and bits of the result."""
    for name, path in PATH.items():
        if name in NOT_ASKED:
            continue
        ds = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        bits = 16 if "ModalityLUTSequence" in ds else ds.BitsStored
        yield name, "none", ("-W",), bits
        if ds.get("VOILUTSequence"):
            yield name, "lut", ("+Wl", "1"), ds.VOILUTSequence[0].LUTDescriptor[2]
        if ds.get("WindowCenter") is not None:
            yield name, "window", ("+Wi", "1"), 16
            for number in range(1, ds["WindowCenter"].VM):
                yield name, number, ("+Wi", str(number + 1)), 16


CASES = [pytest.param(*case, id=f"{case[0]}-{case[1]}") for case in transforms()]
AGREEING = [case for case in CASES if case.values[0] not in MEAN_OTHERWISE and case.values[3] > 8]
LEVEL = 2.0**-12 + 1e-7  # what DCMTK's shift from 12 to 16 bits may cost
EIGHT_BITS = [case for case in CASES if case.values[3] == 8]


# --- gray values, against DCMTK ---


@pytest.mark.dcmtk
@needs("dcm2pnm", "dcmj2pnm", "dcml2pnm")
@pytest.mark.parametrize(("name", "voi", "how", "bits"), AGREEING)
def test_dcmtk_shows_the_same_gray_values(name, voi, how, bits, tmp_path):
    got = read_mammogram(PATH[name], voi=voi).pixels
    # DCMTK expands n bits to 16 by shifting: its brightest gray is up to 2**-n short of white.
    short = 2.0**-bits if bits < 16 else 2e-5
    one_level = (
        1 / 3599 if name in ("htj2k_lossy", "jpeg_extended") else 0
    )  # the two decoders round differently
    assert short + one_level < 1e-3
    assert_allclose(got, by_dcmtk(PATH[name], tmp_path, *how) / 65535, atol=short + one_level + 1e-7)


@pytest.mark.dcmtk
@needs("dcm2pnm", "dcmj2pnm")
@pytest.mark.parametrize(("name", "voi", "how", "bits"), EIGHT_BITS)
def test_dcmtk_shifts_eight_bits_to_sixteen_where_we_stretch_them(name, voi, how, bits, tmp_path):
    levels = read_mammogram(PATH[name], voi=voi).pixels * 255
    assert_allclose(levels, np.rint(levels), atol=1e-4)
    assert_array_equal(by_dcmtk(PATH[name], tmp_path, *how), np.rint(levels).astype(np.uint16) << 8)


@pytest.mark.dcmtk
@needs("dcm2pnm")
@pytest.mark.parametrize("voi", ["window", "none"])
@pytest.mark.parametrize("name", ["padding", "padding_range", "padding_monochrome1"])
def test_dcmtk_shows_padding_like_any_other_value_and_we_leave_it_dark(name, voi, tmp_path):
    got = read_mammogram(PATH[name], voi=voi).pixels
    theirs = by_dcmtk(PATH[name], tmp_path, *(("+Wi", "1") if voi == "window" else ("-W",))) / 65535
    bare = tmp_path / "bare.dcm"  # the same file, were its padding not declared
    ds = pydicom.dcmread(PATH[name])
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        ds.pop(keyword, None)
    ds.save_as(bare)
    assert_allclose(theirs, read_mammogram(bare, voi=voi).pixels, atol=LEVEL)
    padding = np.zeros(got.shape, bool)
    padding[:, -24:] = True
    assert theirs[padding].min() > 0.97
    assert not got[padding].any()
    assert_allclose(got[~padding], theirs[~padding], atol=LEVEL)


@pytest.mark.dcmtk
@needs("dcm2pnm")
@pytest.mark.parametrize(("voi", "how"), [("window", ("+Wi", "1")), ("none", ("-W",))])
def test_dcmtk_follows_the_presentation_lut_shape_where_we_follow_the_photometric_interpretation(
    voi, how, tmp_path
):
    path = PATH["contradicting_shape"]
    got = read_mammogram(path, voi=voi).pixels
    assert_allclose(by_dcmtk(path, tmp_path, *how) / 65535, 1 - got, atol=LEVEL)
    assert_allclose(by_dcmtk(path, tmp_path, *how, "+Pid") / 65535, got, atol=LEVEL)


@pytest.mark.dcmtk
@needs("dcm2pnm")
def test_dcmtk_takes_linear_exact_for_linear(tmp_path):
    path = PATH["linear_exact"]
    ds = pydicom.dcmread(path)
    x, center, width = ds.pixel_array.astype(float), ds.WindowCenter, ds.WindowWidth
    linear = np.clip((x - (center - 0.5)) / (width - 1) + 0.5, 0, 1)  # PS3.3 C.11.2.1.2.1
    exact = np.clip((x - center) / width + 0.5, 0, 1)  # PS3.3 C.11.2.1.3.2
    assert_allclose(by_dcmtk(path, tmp_path, "+Wi", "1") / 65535, linear, atol=2e-5)
    assert_allclose(read_mammogram(path).pixels, exact, atol=1e-6)
    assert 1e-4 < np.abs(linear - exact).max() < 1e-3


@pytest.mark.dcmtk
@needs("dcm2pnm")
def test_dcmtk_shows_the_raw_signal_of_which_we_show_minus_the_logarithm(tmp_path):
    signal = by_dcmtk(PATH["for_processing"], tmp_path, "-W") / 2**2  # 14 bits
    assert_array_equal(signal, pydicom.dcmread(PATH["for_processing"]).pixel_array)
    got = read_mammogram(PATH["for_processing"], voi="none").pixels
    assert_allclose(got, 1 - np.log(signal) / np.log(2**14 - 1), atol=1e-6)


@pytest.mark.dcmtk
@needs("dcm2pnm")
@pytest.mark.parametrize(
    "row", list(real_mammograms().itertuples()), ids=lambda row: f"{row.case}-{row.Index}"
)
def test_dcmtk_shows_the_real_mammograms_the_same(row, tmp_path):
    got = read_mammogram(row.path, voi="none").pixels
    assert_allclose(got, by_dcmtk(row.path, tmp_path, "-W") / 65535, atol=1e-6)
    with pytest.raises(MammogramError, match="no usable window"):  # so that there is no more to compare
        read_mammogram(row.path, voi="window")


# --- stored values, against second decoders ---


@pytest.mark.parametrize("name", [decoded_twice(n) for n in SAME if syntax_of(PATH[n]) in DECODERS])
def test_no_lossless_encoding_changes_a_stored_value(name):
    reference = pydicom.dcmread(PATH["reference"]).pixel_array
    by_our_reader = read_mammogram(PATH[name], voi="none").pixels * 4095
    assert_array_equal(np.rint(by_our_reader), reference)
    assert_array_equal(decoded_elsewhere(PATH[name]), reference)


@pytest.mark.dcmtk
@needs("dcm2pnm")
def test_run_lengths_are_unpacked_as_dcmtk_unpacks_them(tmp_path):
    reference = pydicom.dcmread(PATH["reference"]).pixel_array
    assert syntax_of(PATH["rle"]) == RLELossless
    assert_array_equal(by_dcmtk(PATH["rle"], tmp_path, "-W") >> 4, reference)
    assert_array_equal(np.rint(read_mammogram(PATH["rle"], voi="none").pixels * 4095), reference)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        decoded_twice("jpeg_ls_near_lossless", 2),
        decoded_twice("jpeg_2000_lossy", 400),
        decoded_twice("htj2k_lossy", 12),
    ],
)
def test_lossy_encodings_lose_little_and_two_decoders_agree_on_what_is_left(name, most):
    reference = pydicom.dcmread(PATH["reference"]).pixel_array.astype(int)
    got = np.rint(read_mammogram(PATH[name], voi="none").pixels * 4095).astype(int)
    assert 0 < np.abs(got - reference).max() <= most
    assert np.abs(got - decoded_elsewhere(PATH[name])).max() <= 1
    ds = pydicom.dcmread(PATH[name], stop_before_pixels=True)
    assert ds.LossyImageCompression == "01"
    assert ds.LossyImageCompressionMethod.startswith("ISO_")


@pytest.mark.parametrize("name", [n for n in PATH if syntax_of(PATH[n]).is_encapsulated])
def test_encapsulated_pixels_are_whole_items_of_even_length(name):
    data = pydicom.dcmread(PATH[name], force=True).PixelData
    items, at = [], 0
    while at < len(data):
        assert data[at : at + 4] == b"\xfe\xff\x00\xe0"
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        assert length % 2 == 0
        items.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    table, fragments = items[0], items[1:]
    assert len(fragments) == (4 if name == "several_fragments" else 1)
    assert table == (b"" if name == "several_fragments" else bytes(4))


def test_htj2k_with_rpcl_options_has_rpcl_order_and_a_tlm_marker():
    data = pydicom.dcmread(PATH["htj2k_lossless_rpcl"]).PixelData
    assert data[data.index(b"\xff\x52") + 5] == 2  # SGcod of COD: resolution, position, component, layer
    assert b"\xff\x55" in data[: data.index(b"\xff\x93")]


# --- the variants against each other ---


@pytest.mark.parametrize("name", SAME)
def test_the_same_picture_comes_out_of_every_encoding_of_it(name):
    reference = read_mammogram(PATH["reference"]).pixels
    assert reference.std() > 0.1
    assert_allclose(read_mammogram(PATH[name]).pixels, reference, atol=1e-6)


@pytest.mark.parametrize("name", ["monochrome1", "padding_monochrome1"])
@pytest.mark.parametrize("voi", ["window", "none", "percentile"])
def test_monochrome1_gives_the_pixels_of_monochrome2_to_the_bit(name, voi):
    other = "reference" if name == "monochrome1" else "padding"
    assert_array_equal(
        read_mammogram(PATH[name], voi=voi).pixels, read_mammogram(PATH[other], voi=voi).pixels
    )


@pytest.mark.parametrize("name", ["voi_lut_signed_first", "voi_lut_and_window"])
def test_neither_signed_values_nor_a_window_change_what_a_voi_lut_shows(name):
    assert_array_equal(read_mammogram(PATH[name]).pixels, read_mammogram(PATH["voi_lut_12"]).pixels)


@pytest.mark.parametrize("name", PATH)
def test_the_manifest_says_what_the_file_is_and_how_it_is_shown(name):
    row = VARIANTS.loc[name]
    ds = pydicom.dcmread(row["path"], stop_before_pixels=True, force=True)
    if name != "label_of_another_encoding":
        assert row["transfer_syntax"] == ds.file_meta.TransferSyntaxUID.name
    assert row["photometric"] == ds.PhotometricInterpretation
    assert row["lossless"] == (ds.get("LossyImageCompression", "00") == "00")
    got = read_mammogram(row["path"])
    assert (got.voi, got.view, got.laterality) == (row["voi"], "MLO", "L")


# --- broken files, and all files at once ---


@pytest.mark.parametrize("name", BROKEN.index)
def test_a_broken_file_is_refused_with_the_reason_in_its_manifest(name):
    with pytest.raises(MammogramError) as refusal:
        read_mammogram(BROKEN.loc[name, "path"])
    assert str(refusal.value) == BROKEN.loc[name, "reason"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Embed all variants and all broken files from one folder; return the results' folder and the output."""
    folder = tmp_path_factory.mktemp("run")
    for kind, table in (("variants", VARIANTS), ("broken", BROKEN)):
        (folder / "archive" / kind).mkdir(parents=True)
        for path in table["path"]:
            (folder / "archive" / kind / path.name).write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "course_utils.cli", "embed", "archive", "-o", "out", "--size", "224"]
    options = ["--no-cache", "--backbone", "efficientnet_lite0", "--device", "cpu"]
    done = subprocess.run(
        [*command, *options], cwd=folder, capture_output=True, text=True, timeout=patience(60), check=False
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout + done.stderr


def test_a_run_embeds_every_variant_sets_aside_every_broken_file_and_loses_none(run):
    folder, _ = run
    embedded = pd.read_parquet(folder / "out" / "embeddings.parquet")
    assert sorted(embedded["file"]) == sorted(f"variants/{name}.dcm" for name in PATH)
    assert np.isfinite(np.stack(embedded["embedding"])).all()
    failures = pd.read_csv(folder / "out" / "failures.csv").set_index("file")
    assert sorted(failures.index) == sorted(f"broken/{name}" for name in BROKEN.index)
    assert set(failures["stage"]) == {"read"}
    for name, row in BROKEN.iterrows():
        assert failures.loc[f"broken/{name}", "reason"] == row["reason"]


def test_a_run_tells_nothing_of_the_identities_in_the_broken_files(run):
    folder, printed = run
    out = folder / "out"
    planted = pydicom.dcmread(BROKEN.loc["constant.dcm", "path"])
    assert "Invented" in str(planted.PatientName)
    everything = printed + "".join(
        path.read_bytes().decode("utf-8", "replace") for path in sorted(out.rglob("*")) if path.is_file()
    )
    everything += pd.read_parquet(out / "embeddings.parquet").drop(columns="embedding").to_csv()
    assert json.loads((out / "run.json").read_text(encoding="utf-8"))
    for secret in ("invented", "19000101", "-4711", "-0815", str(folder)):
        assert secret.lower() not in everything.lower(), secret


def distance(embeddings, name):
    """Return the cosine distance between the embeddings of a variant and of the reference."""
    a, b = embeddings[f"variants/{name}.dcm"], embeddings["variants/reference.dcm"]
    return 1 - float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.fixture(scope="module")
def embeddings(run):
    table = pd.read_parquet(run[0] / "out" / "embeddings.parquet")
    return {file: np.asarray(v, float) for file, v in zip(table["file"], table["embedding"], strict=True)}


@pytest.mark.parametrize("name", SAME)
def test_all_encodings_of_the_same_picture_have_the_same_embedding(name, embeddings):
    assert distance(embeddings, name) < 1e-6


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("htj2k_lossy", 1e-4),  # of two phantoms, 1.1e-5 was the most that was measured
        ("jpeg_ls_near_lossless", 1e-4),  # 2.3e-5
        ("jpeg_extended", 2e-4),  # 3.9e-5
        ("jpeg_baseline", 0.03),  # 0.0055
        ("jpeg_2000_lossy", 0.05),  # 0.012; other women are 0.10 to 0.40 away
    ],
)
def test_loss_moves_an_embedding_by_no_more_than_this(name, most, embeddings):
    assert 0 < distance(embeddings, name) < most
