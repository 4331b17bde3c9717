"""One phantom in every encoding, and one file for each thing that goes wrong: what `tools/samples.py` writes.

`VARIANTS` and `BROKEN` are the whole list. A variant starts as a copy of the reference, is changed by one
function, and is stored as RLE unless its recipe names another transfer syntax. The sentences of `BROKEN` are
typed here, not taken from the reader, so that a test can hold the reader to them.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
from encoders import LOSSY, compress
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    BreastTomosynthesisImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalMammographyXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from course_utils.phantoms import Phantom

PHANTOM = Phantom(density="c", view="MLO", laterality="L", rows=320, seed=7, nuisance_seed=7, woman="V01")
"""The woman of all variants: 320 × 256 pixels, 12 bits, black ground, no label."""

CENTER, WIDTH = 2000.0, 3600.0
"""The reference's window. It cuts at both ends and is not in the middle, so that mistakes show."""

MARGIN = 24
"""Columns at the right that are dark ground; those variants that have padding have it there."""

PLANTED = {
    "PatientName": "Invented^Ida",
    "PatientID": "INVENTED-0815",
    "PatientBirthDate": "19000101",
    "AccessionNumber": "INVENTED-4711",
    "InstitutionName": "Invented Hospital",
    "ReferringPhysicianName": "Invented^Doctor",
}
"""Made-up identity in the broken files: nothing that is made from them may carry any of it."""


@dataclass(frozen=True)
class Source:
    """The phantom that a recipe starts from: its header, its pixels and its raw signal."""

    header: Dataset
    pixels: np.ndarray  # uint16 (320, 256), 0 to 4095, breast bright
    signal: np.ndarray  # uint16 (320, 256), 14 bits, linear in exposure, air bright
    film: np.ndarray  # uint16 (320, 256), 0 to 4095, with label and white edges


@dataclass(frozen=True)
class Variant:
    """A recipe. ``voi`` is what `Mammogram.voi` says; ``same``: it looks like the reference, pixel by pixel;
    ``conformant``: the standard's IOD allows it. ``packed`` changes the data set once its pixels are packed,
    and ``written`` the bytes of the file.
    """

    name: str
    what: str
    change: Callable[[Dataset, Source], None]
    syntax: UID = RLELossless
    voi: str = "window:LINEAR"
    same: bool = True
    conformant: bool = True
    fragments: int = 1
    packed: Callable[[Dataset], None] | None = None
    written: Callable[[bytes], bytes] | None = None


@dataclass(frozen=True)
class Broken:
    """A recipe for a file that cannot be read; ``reason`` is the sentence that `read_mammogram` gives."""

    name: str
    what: str
    make: Callable[[Path, Source], None]
    reason: str


# --- Steps that recipes share -------------------------------------------------------------------------------


def source(scratch: Path) -> Source:
    """Draw the phantom and give it the reference's window; ``scratch`` is a folder for one file."""
    truth = PHANTOM.write(scratch / "phantom.dcm", compress=False)
    if truth.tissue[:, -MARGIN:].any():
        raise ValueError("The breast reaches into the columns that should be padding.")
    read = pydicom.dcmread(scratch / "phantom.dcm")
    header = Dataset({element.tag: element for element in read})  # tied to no byte order, as `read` is
    header.file_meta = read.file_meta
    del header.WindowCenterWidthExplanation
    header.WindowCenter, header.WindowWidth = CENTER, WIDTH
    signal = np.clip(np.rint(truth.raw * (12000 / truth.air)), 1, 2**14 - 1).astype(np.uint16)
    film = replace(PHANTOM, label=True, film_edge=True).render()
    return Source(header, truth.pixels, signal, film.pixels)


def store(ds: Dataset, pixels: np.ndarray, bits: int = 12) -> None:
    """Make ``pixels`` the native pixels of ``ds``."""
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8 * pixels.itemsize, bits, bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    ds["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"


def window(ds: Dataset, center: float, width: float, function: str | None = "LINEAR") -> None:
    """Give ``ds`` this window and no other; ``function=None`` leaves VOILUTFunction out."""
    ds.WindowCenter, ds.WindowWidth = center, width
    ds.VOILUTFunction = function
    if function is None:
        del ds.VOILUTFunction


def no_window(ds: Dataset) -> None:
    """Remove the window."""
    for keyword in ("WindowCenter", "WindowWidth", "VOILUTFunction"):
        del ds[keyword]


def film_like(ds: Dataset, pixels: np.ndarray) -> None:
    """Store low values as bright: 4095 minus ``pixels``, and a window at the mirrored place."""
    ds.PhotometricInterpretation, ds.PresentationLUTShape = "MONOCHROME1", "INVERSE"
    ds.PixelIntensityRelationshipSign = 1
    store(ds, np.uint16(4095) - pixels)
    window(ds, 4096 - CENTER, WIDTH)


def curve(bits: int) -> np.ndarray:
    """Return 4096 entries of a VOI LUT: a gentle power law up to 2**bits - 1."""
    return np.rint((2**bits - 1) * (np.arange(4096) / 4095) ** 0.8).astype(np.uint16)


def table(ds: Dataset, keyword: str, values: np.ndarray, first: int = 0, bits: int = 12) -> None:
    """Add a LUT sequence of one item to ``ds``; its data are words, two entries in each where bits are 8."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(values), first, bits])
    if keyword == "ModalityLUTSequence":
        item.ModalityLUTType = "US"
    item.add_new("LUTData", "OW", values.astype("<u1" if bits == 8 else "<u2").tobytes())
    setattr(ds, keyword, Sequence([item]))


def padded(ds: Dataset, pixels: np.ndarray, first: int, last: int | None = None) -> np.ndarray:
    """Declare padding values and return ``pixels`` with them in the columns at the right."""
    pixels = pixels.copy()
    ds.add_new("PixelPaddingValue", "US", first)
    pixels[:, -MARGIN:] = first
    if last is not None:
        ds.add_new("PixelPaddingRangeLimit", "US", last)
        pixels[:, -MARGIN:] = first + np.arange(MARGIN) * (last - first) // (MARGIN - 1)
    return pixels


def _pack(ds: Dataset, syntax: UID, fragments: int = 1) -> None:
    """Bring the native pixels of ``ds`` into a transfer syntax."""
    if syntax.is_encapsulated:
        compress(ds, syntax, fragments=fragments)
    elif not syntax.is_little_endian:
        ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    ds.file_meta.TransferSyntaxUID = syntax


def _save(ds: Dataset, path: Path) -> None:
    """Name the instance after the file and write it."""
    ds.SOPInstanceUID = generate_uid(entropy_srcs=["mammogram course", path.stem])
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    syntax = ds.file_meta.TransferSyntaxUID
    ds.save_as(
        path,
        enforce_file_format=True,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
    )


# --- Variants -----------------------------------------------------------------------------------------------


def _reference(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels)


def _monochrome1(ds: Dataset, src: Source) -> None:
    film_like(ds, src.pixels)


def _eight_bits(ds: Dataset, src: Source) -> None:
    store(ds, (src.pixels >> 4).astype(np.uint8), 8)
    window(ds, CENTER / 16, WIDTH / 16)


def _sixteen_bits(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels << 4, 16)
    window(ds, 16 * CENTER - 7.5, 16 * WIDTH - 15)


def _signed(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels.astype(np.int16) - np.int16(2048))
    window(ds, CENTER - 2048, WIDTH)


def _overlay_bits(ds: Dataset, src: Source) -> None:
    box = np.zeros_like(src.pixels)
    box[40:80, 180:220] = 1 << 12
    store(ds, src.pixels | box)
    overlay = [
        (0x0010, "US", ds.Rows),
        (0x0011, "US", ds.Columns),
        (0x0040, "CS", "G"),
        (0x0050, "SS", [1, 1]),
        (0x0100, "US", 16),  # bits allocated
        (0x0102, "US", 12),  # the bit that holds the overlay
    ]
    for element, vr, value in overlay:
        ds.add_new((0x6000, element), vr, value)


def _rescaled(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels)
    ds.RescaleSlope, ds.RescaleIntercept = 2, -100
    window(ds, 2 * CENTER - 100.5, 2 * WIDTH - 1)


def _modality_lut(ds: Dataset, src: Source) -> None:
    store(ds, np.uint16(4095) - src.pixels)
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
        del ds[keyword]
    table(ds, "ModalityLUTSequence", np.arange(4095, -1, -1).astype(np.uint16), bits=16)


def _voi_lut(ds: Dataset, src: Source, bits: int) -> None:
    store(ds, src.pixels)
    no_window(ds)
    table(ds, "VOILUTSequence", curve(bits), bits=bits)


def _voi_lut_signed_first(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels.astype(np.int16) - np.int16(2048))
    no_window(ds)
    table(ds, "VOILUTSequence", curve(12), first=-2048)


def _voi_lut_first(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels)
    no_window(ds)
    table(ds, "VOILUTSequence", curve(12)[::2][:2000], first=1400)


def _voi_lut_and_window(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels)
    table(ds, "VOILUTSequence", curve(12))


def _several_windows(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels)
    ds.WindowCenter, ds.WindowWidth = [CENTER, 2600, 1400], [WIDTH, 1800, 3000]
    ds.WindowCenterWidthExplanation = ["NORMAL", "HARDER", "SOFTER"]


def _empty_window(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels)
    ds.WindowCenter = ds.WindowWidth = None


def _no_voi(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels)
    no_window(ds)


def _window(ds: Dataset, src: Source, center: float, width: float, function: str | None) -> None:
    store(ds, src.pixels)
    window(ds, center, width, function)


def _padding(ds: Dataset, src: Source, first: int, last: int | None) -> None:
    store(ds, padded(ds, src.pixels, first, last))


def _padding_monochrome1(ds: Dataset, src: Source) -> None:
    film_like(ds, padded(ds, src.pixels, 4095))
    ds.PixelPaddingValue = 0


def _contradicting_shape(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels)
    ds.PresentationLUTShape = "INVERSE"


def _for_processing(ds: Dataset, src: Source) -> None:
    store(ds, src.signal, 14)
    no_window(ds)
    ds.SOPClassUID = DigitalMammographyXRayImageStorageForProcessing
    ds.PresentationIntentType = "FOR PROCESSING"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LIN", 1


def _for_processing_log(ds: Dataset, src: Source) -> None:
    _for_processing(ds, src)
    ds.PixelIntensityRelationship = "LOG"
    store(ds, np.rint(np.log(src.signal) * (4095 / np.log(2**14))).astype(np.uint16))
    ds.PhotometricInterpretation, ds.PresentationLUTShape = "MONOCHROME1", "INVERSE"


def _digitised_film(ds: Dataset, src: Source) -> None:
    for element in list(ds):
        if element.keyword not in FILM_KEEPS:
            del ds[element.tag]
    store(ds, src.film << 4, 16)
    ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.ConversionType = "DF"
    ds.Laterality = PHANTOM.laterality
    ds.PatientOrientation = PHANTOM.view


# What writers make of the standard.


def _fewer_bits_stored(ds: Dataset) -> None:
    ds.BitsStored, ds.HighBit = 10, 9


def _zeros_behind(ds: Dataset) -> None:
    frame = next(generate_frames(ds.PixelData, number_of_frames=1))
    ds.PixelData = encapsulate([frame + bytes(64)])


def _labelled_implicit(data: bytes) -> bytes:
    """Let the label of an explicit file say implicit; both its own length and that of the UID change."""
    ours, theirs = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0"
    at = data.index(ours)
    length = int.from_bytes(data[140:144], "little") + len(theirs) - len(ours)
    label = data[:140] + length.to_bytes(4, "little") + data[144 : at - 2]
    return label + len(theirs).to_bytes(2, "little") + theirs + data[at + len(ours) :]


def _without_preamble(data: bytes) -> bytes:
    return data[132:]


def _lower_case(ds: Dataset) -> None:
    ds.PhotometricInterpretation = "monochrome2"
    ds.SamplesPerPixel = None


def _upside_down(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels[::-1].copy())
    ds.PatientOrientation = ["A", "HL"]


def _lying(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels.T.copy())
    ds.PatientOrientation = ["FR", "A"]


def _not_square(ds: Dataset, src: Source) -> None:
    store(ds, np.repeat(src.pixels, 2, axis=1))
    row, column = ds.ImagerPixelSpacing
    ds.ImagerPixelSpacing = [row, column / 2]


def _claims_sixteen_bits(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels)
    no_window(ds)
    table(ds, "VOILUTSequence", curve(12), bits=16)


def _short_lut(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels)
    table(ds, "VOILUTSequence", curve(12)[:1000])
    ds.VOILUTSequence[0].LUTDescriptor = [4096, 0, 12]


def _synthetic_2d(ds: Dataset, src: Source) -> None:
    """Make a tomosynthesis object of one frame, which holds side and window in its functional groups."""
    store(ds, src.pixels)
    ds.SOPClassUID, ds.NumberOfFrames = BreastTomosynthesisImageStorage, 1
    ds.ImageType = ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"]
    anatomy, shown, group = Dataset(), Dataset(), Dataset()
    anatomy.FrameLaterality = ds.ImageLaterality
    shown.WindowCenter, shown.WindowWidth = ds.WindowCenter, ds.WindowWidth
    for keyword in ("ImageLaterality", "WindowCenter", "WindowWidth"):
        del ds[keyword]
    group.FrameAnatomySequence, group.FrameVOILUTSequence = Sequence([anatomy]), Sequence([shown])
    ds.SharedFunctionalGroupsSequence = Sequence([group])


def _magnified(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels)
    items = []
    for value, meaning in (("399163009", "Magnification"), ("399055006", "Spot Compression")):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
        items.append(item)
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence(items)


def _other_issuer(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels)
    ds.IssuerOfPatientID = "Another hospital"


def _other_view(ds: Dataset, src: Source) -> None:
    store(ds, src.pixels)
    ds.ViewPosition = "CC"


def _inverted_data(ds: Dataset, src: Source) -> None:
    store(ds, np.uint16(4095) - src.pixels)


FILM_KEEPS = (
    "SpecificCharacterSet ImageType SOPInstanceUID StudyDate StudyTime AccessionNumber Modality Manufacturer "
    "ReferringPhysicianName PatientName PatientID PatientBirthDate PatientSex PatientIdentityRemoved "
    "DeidentificationMethod PatientComments BodyPartExamined StudyInstanceUID SeriesInstanceUID StudyID "
    "SeriesNumber InstanceNumber SamplesPerPixel PhotometricInterpretation"
)

VARIANTS = (
    Variant(
        "reference",
        "MONOCHROME2, 12 bits in 16, one LINEAR window, uncompressed: the others are held against this one.",
        _reference,
        ExplicitVRLittleEndian,
    ),
    Variant("monochrome1", "Low values are bright; the same picture.", _monochrome1),
    # How the bytes are packed.
    Variant("implicit_vr", "A header without types.", _reference, ImplicitVRLittleEndian),
    Variant(
        "big_endian", "The high byte first, as in old archives; retired.", _reference, ExplicitVRBigEndian
    ),
    Variant("rle", "Runs of equal bytes are packed.", _reference),
    Variant(
        "jpeg_lossless",
        "JPEG lossless that predicts each pixel from three neighbours (selection value 6).",
        _reference,
        JPEGLossless,
    ),
    Variant(
        "jpeg_lossless_sv1",
        "JPEG lossless that predicts each pixel from its left neighbour (selection value 1), the usual one.",
        _reference,
        JPEGLosslessSV1,
    ),
    Variant(
        "several_fragments",
        "JPEG lossless cut into four fragments, with an empty offset table.",
        _reference,
        JPEGLosslessSV1,
        fragments=4,
    ),
    Variant("jpeg_ls_lossless", "JPEG-LS without loss.", _reference, JPEGLSLossless),
    Variant(
        "jpeg_ls_near_lossless",
        "JPEG-LS in which no stored value is off by more than 2.",
        _reference,
        JPEGLSNearLossless,
        same=False,
    ),
    Variant("jpeg_2000_lossless", "JPEG 2000 without loss.", _reference, JPEG2000Lossless),
    Variant(
        "jpeg_2000_lossy", "JPEG 2000 with loss, a twelfth of the size.", _reference, JPEG2000, same=False
    ),
    Variant("htj2k_lossless", "High-throughput JPEG 2000 without loss.", _reference, HTJ2KLossless),
    Variant(
        "htj2k_lossless_rpcl",
        "High-throughput JPEG 2000 without loss, its packets in order of resolution.",
        _reference,
        HTJ2KLosslessRPCL,
    ),
    Variant("htj2k_lossy", "High-throughput JPEG 2000 with loss.", _reference, HTJ2K, same=False),
    Variant(
        "jpeg_baseline",
        "Eight bits in JPEG baseline with loss, as in teaching files.",
        _eight_bits,
        JPEGBaseline8Bit,
        same=False,
    ),
    Variant(
        "jpeg_extended",
        "JPEG extended: 12 bits, with loss.",
        _reference,
        JPEGExtended12Bit,
        same=False,
    ),
    # How gray values are stored.
    Variant("eight_bits", "The upper 8 of the 12 bits.", _eight_bits, same=False),
    Variant("sixteen_bits", "16 bits, sixteen times the values.", _sixteen_bits),
    Variant("signed", "Signed values, 2048 less.", _signed, conformant=False),
    Variant(
        "overlay_bits", "An old overlay in bit 12, above the pixel's bits.", _overlay_bits, conformant=False
    ),
    Variant("rescaled", "RescaleSlope 2 and RescaleIntercept -100.", _rescaled, conformant=False),
    Variant(
        "modality_lut",
        "Values stored upside down and a Modality LUT that puts them right.",
        _modality_lut,
        conformant=False,
    ),
    # How they are to be shown.
    Variant(
        "voi_lut_8",
        "A VOI LUT of 8 bits, two entries in a word.",
        partial(_voi_lut, bits=8),
        voi="lut",
        same=False,
        conformant=False,
    ),
    Variant("voi_lut_10", "A VOI LUT of 10 bits.", partial(_voi_lut, bits=10), voi="lut", same=False),
    Variant("voi_lut_12", "A VOI LUT of 12 bits.", partial(_voi_lut, bits=12), voi="lut", same=False),
    Variant("voi_lut_16", "A VOI LUT of 16 bits.", partial(_voi_lut, bits=16), voi="lut", same=False),
    Variant(
        "voi_lut_first",
        "A VOI LUT for the values 1400 to 3399 only; below and above, its ends hold.",
        _voi_lut_first,
        voi="lut",
        same=False,
    ),
    Variant(
        "voi_lut_signed_first",
        "Signed values and a VOI LUT whose first value is -2048.",
        _voi_lut_signed_first,
        voi="lut",
        same=False,
        conformant=False,
    ),
    Variant(
        "voi_lut_and_window",
        "A VOI LUT and a window: the LUT goes first.",
        _voi_lut_and_window,
        voi="lut",
        same=False,
    ),
    Variant("several_windows", "Three windows; the first is the reference's.", _several_windows),
    Variant(
        "empty_window",
        "A window without numbers: the gray range is that of the breast.",
        _empty_window,
        voi="percentile",
        same=False,
        conformant=False,
    ),
    Variant(
        "empty_function",
        "An empty VOILUTFunction, which means LINEAR.",
        partial(_window, center=CENTER, width=WIDTH, function=""),
    ),
    Variant(
        "no_function",
        "No VOILUTFunction, which means LINEAR.",
        partial(_window, center=CENTER, width=WIDTH, function=None),
    ),
    Variant(
        "linear_exact",
        "A LINEAR_EXACT window that shows what the reference's LINEAR one shows.",
        partial(_window, center=CENTER - 0.5, width=WIDTH - 1, function="LINEAR_EXACT"),
        voi="window:LINEAR_EXACT",
    ),
    Variant(
        "sigmoid",
        "A SIGMOID window.",
        partial(_window, center=CENTER, width=2400, function="SIGMOID"),
        voi="window:SIGMOID",
        same=False,
    ),
    Variant(
        "no_voi",
        "Neither window nor LUT: the gray range is that of the breast.",
        _no_voi,
        voi="percentile",
        same=False,
        conformant=False,
    ),
    Variant(
        "padding",
        "Padding of 4095, brighter than all tissue, at the right.",
        partial(_padding, first=4095, last=None),
    ),
    Variant(
        "padding_range",
        "Padding of 4000 to 4095 at the right.",
        partial(_padding, first=4000, last=4095),
    ),
    Variant(
        "padding_monochrome1",
        "MONOCHROME1 with padding of 0, which would be white.",
        _padding_monochrome1,
    ),
    Variant(
        "contradicting_shape",
        "MONOCHROME2 with PresentationLUTShape INVERSE: the former holds.",
        _contradicting_shape,
        conformant=False,
    ),
    # Other objects.
    Variant(
        "for_processing",
        "FOR PROCESSING: the detector's signal, linear, air bright; shown as minus its logarithm.",
        _for_processing,
        voi="percentile",
        same=False,
    ),
    Variant(
        "for_processing_log",
        "FOR PROCESSING: the logarithm of the detector's signal, low values bright.",
        _for_processing_log,
        voi="percentile",
        same=False,
    ),
    Variant(
        "digitised_film",
        "Secondary Capture of a film, as in CBIS-DDSM: no window, view in PatientOrientation, white edges.",
        _digitised_film,
        voi="percentile",
        same=False,
        conformant=False,
    ),
    # What writers make of the standard.
    Variant(
        "more_bits_in_the_stream",
        "JPEG lossless of 12 bits, and a BitsStored of 10: the stream is right.",
        _reference,
        JPEGLosslessSV1,
        conformant=False,
        packed=_fewer_bits_stored,
    ),
    Variant(
        "zeros_behind_the_end",
        "JPEG-LS with 64 zero bytes behind its end mark.",
        _reference,
        JPEGLSLossless,
        packed=_zeros_behind,
    ),
    Variant(
        "label_of_another_encoding",
        "A label that says implicit, and a header with types.",
        _reference,
        ExplicitVRLittleEndian,
        conformant=False,
        written=_labelled_implicit,
    ),
    Variant(
        "no_preamble",
        "The 132 bytes before the label are missing.",
        _reference,
        conformant=False,
        written=_without_preamble,
    ),
    Variant(
        "lower_case",
        "The photometric interpretation in small letters, and an empty SamplesPerPixel.",
        _reference,
        conformant=False,
        packed=_lower_case,
    ),
    Variant(
        "short_lut",
        "A VOI LUT of 1000 entries that claims 4096, and a sound window.",
        _short_lut,
        conformant=False,
    ),
    Variant(
        "voi_lut_claims_16_bits",
        "A VOI LUT that claims 16 bits and holds 12.",
        _claims_sixteen_bits,
        voi="lut",
        same=False,
        conformant=False,
    ),
    Variant("upside_down", "It stands on its head, and PatientOrientation says so.", _upside_down),
    Variant("lying", "Rows run to the feet, as PatientOrientation says.", _lying),
    Variant("not_square", "Pixels half as wide as high (ImagerPixelSpacing).", _not_square, same=False),
    Variant(
        "synthetic_2d",
        "A 2D mammogram computed from tomosynthesis, stored as a tomosynthesis object of one frame.",
        _synthetic_2d,
        conformant=False,
    ),
    Variant("magnified", "A magnified spot compression, by its view modifiers.", _magnified),
    Variant("other_issuer", "The same PatientID from another hospital (IssuerOfPatientID).", _other_issuer),
    Variant(
        "contradicting_view",
        "ViewPosition says CC and ViewCodeSequence MLO: the latter holds.",
        _other_view,
    ),
    Variant(
        "inverted_data",
        "MONOCHROME2 whose low values are bright: shown as the header says, with a warning.",
        _inverted_data,
        same=False,
    ),
)


# --- Broken files -------------------------------------------------------------------------------------------


def _planted(src: Source, pixels: np.ndarray | None = None, bits: int = 12) -> Dataset:
    """Return a copy of the reference with a made-up identity, and other pixels if wanted."""
    ds = deepcopy(src.header)
    store(ds, src.pixels if pixels is None else pixels, bits)
    for keyword, value in PLANTED.items():
        setattr(ds, keyword, value)
    return ds


def _with(
    path: Path,
    src: Source,
    pixels: Callable[[np.ndarray], np.ndarray] | None = None,
    bits: int = 12,
    syntax: UID = RLELossless,
    **elements: object,
) -> None:
    """Write the reference with its pixels put through a function and elements changed, or removed if None."""
    ds = _planted(src, pixels and pixels(src.pixels), bits)
    _pack(ds, syntax)
    for keyword, value in elements.items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    _save(ds, path)


def _cut(path: Path, src: Source, syntax: UID, keep: float) -> None:
    """Write the reference and keep this share of its bytes."""
    _with(path, src, syntax=syntax)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def _empty(path: Path, src: Source) -> None:
    path.write_bytes(b"")


def _not_dicom(path: Path, src: Source) -> None:
    path.write_bytes(f"A letter about {PLANTED['PatientName']}, called .dcm by mistake.\n".encode() * 20)


def _constant(pixels: np.ndarray) -> np.ndarray:
    return np.full((80, 64), 700, np.uint16)


def _constant_beside_padding(pixels: np.ndarray) -> np.ndarray:
    return np.where(np.arange(64) < 40, np.uint16(700), np.uint16(0)) + np.zeros((80, 1), np.uint16)


def _two_frames(pixels: np.ndarray) -> np.ndarray:
    return np.vstack([pixels[::4, ::4], pixels[::4, ::4]])


def _colour(path: Path, src: Source) -> None:
    gray = (src.pixels[::4, ::4] >> 4).astype(np.uint8)
    ds = _planted(src, gray, 8)
    ds.SamplesPerPixel, ds.PlanarConfiguration, ds.PhotometricInterpretation = 3, 0, "RGB"
    ds.PixelData = np.stack([gray, gray, gray], axis=-1).tobytes()
    _save(ds, path)


def _bomb(path: Path, src: Source) -> None:
    """Write a JPEG 2000 stream whose own header asks for 40 000 × 40 000 pixels."""
    ds = _planted(src)
    _pack(ds, JPEG2000Lossless)
    stream = bytearray(ds.PixelData)
    siz = stream.index(b"\xff\x4f\xff\x51")
    huge = (40000).to_bytes(4, "big")
    stream[siz + 8 : siz + 16] = huge + huge  # Xsiz and Ysiz (ITU-T T.800 A.5.1)
    stream[siz + 24 : siz + 32] = huge + huge  # XTsiz and YTsiz: all of it is one tile
    ds["PixelData"].value = bytes(stream)
    _save(ds, path)


def _unknown_syntax(path: Path, src: Source) -> None:
    _with(path, src, syntax=JPEGLSLossless)
    known, unknown = b"1.2.840.10008.1.2.4.80", b"1.2.826.0.1.3680043.99"
    path.write_bytes(path.read_bytes().replace(known, unknown, 1))


def _gzipped(path: Path, src: Source) -> None:
    _with(path, src)
    path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))


def _overwritten(path: Path, src: Source, syntax: UID, start: float, length: int) -> None:
    """Write the reference with some bytes of its stream overwritten, from ``start``, a share of it."""
    ds = _planted(src)
    _pack(ds, syntax)
    value = bytearray(ds.PixelData)
    first = 20 + round(start * len(value))  # behind the offset table and the fragment's item header
    value[first : first + length] = b"\x55" * length
    ds["PixelData"].value = bytes(value)
    _save(ds, path)


def _other_stream(path: Path, src: Source) -> None:
    ds = _planted(src)
    _pack(ds, JPEGLSLossless)
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    _save(ds, path)


def _signal_not_linear(path: Path, src: Source) -> None:
    ds = _planted(src)
    _for_processing(ds, src)
    ds.PixelIntensityRelationship = "OTHER"
    _pack(ds, RLELossless)
    _save(ds, path)


TRUNCATED = "This file is truncated: it ends before its pixels do."
CT, DX = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.1.1"
DBT = "1.2.840.10008.5.1.4.1.1.13.1.3"
BROKEN = (
    Broken("empty.dcm", "No bytes at all, as after a full disk.", _empty, "This file is empty."),
    Broken("not_dicom.dcm", "A text with a wrong name.", _not_dicom, "This is not a DICOM file."),
    Broken(
        "cut_header.dcm",
        "It ends in the middle of its header.",
        partial(_cut, syntax=RLELossless, keep=0.02),
        "This DICOM file holds no pixels.",
    ),
    Broken(
        "truncated.dcm",
        "The last third of the pixels is missing, as after a broken transfer.",
        partial(_cut, syntax=ExplicitVRLittleEndian, keep=0.66),
        TRUNCATED,
    ),
    Broken(
        "truncated_stream.dcm",
        "The last third of a compressed stream is missing.",
        partial(_cut, syntax=JPEGLSLossless, keep=0.66),
        TRUNCATED,
    ),
    Broken(
        "damaged_stream.dcm",
        "4000 bytes in the middle of a JPEG-LS stream were overwritten.",
        partial(_overwritten, syntax=JPEGLSLossless, start=0.5, length=4000),
        "The pixels of this file cannot be decoded: it is damaged or truncated.",
    ),
    Broken(
        "damaged_start.dcm",
        "The start of an RLE stream was overwritten.",
        partial(_overwritten, syntax=RLELossless, start=0.0, length=80),
        "The pixels of this file cannot be decoded: they do not begin as RLE Lossless does.",
    ),
    Broken(
        "other_stream.dcm",
        "A JPEG-LS stream that the header calls JPEG 2000.",
        _other_stream,
        "The pixels of this file cannot be decoded: "
        "they do not begin as JPEG 2000 Image Compression (Lossless Only) does.",
    ),
    Broken(
        "bomb.dcm",
        "A JPEG 2000 stream of 40 000 × 40 000 pixels behind a header of 320 × 256.",
        _bomb,
        "The compressed picture has another size than Rows and Columns say.",
    ),
    Broken(
        "unknown_syntax.dcm",
        "A transfer syntax that nobody knows.",
        _unknown_syntax,
        "The transfer syntax of this file is private or unknown; convert it first.",
    ),
    Broken(
        "deflated.dcm",
        "The whole file is deflated.",
        partial(_with, syntax=DeflatedExplicitVRLittleEndian),
        "This file is deflated as a whole; convert it first, for example with DCMTK's dcmconv.",
    ),
    Broken(
        "no_pixels.dcm",
        "A header only.",
        partial(_with, syntax=ExplicitVRLittleEndian, PixelData=None),
        "This DICOM file holds no pixels.",
    ),
    Broken(
        "multi_frame.dcm",
        "Two frames.",
        partial(_with, pixels=_two_frames, syntax=ExplicitVRLittleEndian, Rows=80, NumberOfFrames=2),
        "This file has several frames; only single mammograms can be read.",
    ),
    Broken(
        "tomosynthesis.dcm",
        "Breast tomosynthesis.",
        partial(
            _with,
            pixels=_two_frames,
            syntax=ExplicitVRLittleEndian,
            Rows=80,
            SOPClassUID=DBT,
            NumberOfFrames=2,
        ),
        "This is breast tomosynthesis, a stack of slices; only single mammograms can be read.",
    ),
    Broken(
        "colour.dcm", "RGB, such as a screenshot.", _colour, "This is a colour image; mammograms are gray."
    ),
    Broken(
        "no_photometric.dcm",
        "No PhotometricInterpretation.",
        partial(_with, PhotometricInterpretation=None),
        "The header does not say whether low values are bright (PhotometricInterpretation).",
    ),
    Broken(
        "constant.dcm",
        "The same value everywhere.",
        partial(_with, pixels=_constant),
        "Every pixel of this image has the same value.",
    ),
    Broken(
        "only_padding.dcm",
        "The same value everywhere but in the padding.",
        partial(_with, pixels=_constant_beside_padding, PixelPaddingValue=0),
        "Every pixel of this image has the same value.",
    ),
    Broken(
        "window_out_of_reach.dcm",
        "A window above all values of the image.",
        partial(_with, WindowCenter=60000, WindowWidth=2),
        "Every pixel ends up the same under this VOI transform; try voi='percentile'.",
    ),
    Broken(
        "zero_slope.dcm",
        "RescaleSlope 0.",
        partial(_with, RescaleSlope=0),
        "The rescale slope or intercept of this file makes no sense.",
    ),
    Broken(
        "packed.dcm",
        "A whole file, packed by gzip.",
        _gzipped,
        "This file is packed (gzip); unpack it first, for example with gunzip.",
    ),
    Broken(
        "empty_pixels.dcm",
        "Pixels of no length.",
        partial(_with, syntax=ExplicitVRLittleEndian, PixelData=b""),
        "This DICOM file holds no pixels.",
    ),
    Broken(
        "tomosynthesis_slice.dcm",
        "A slice of a tomosynthesis, stored as a mammogram.",
        partial(_with, ImageType=["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "NONE"]),
        "This is one slice or projection of breast tomosynthesis; only single mammograms can be read.",
    ),
    Broken(
        "contrast_subtraction.dcm",
        "What a contrast agent adds: the difference of two exposures.",
        partial(_with, ImageType=["DERIVED", "PRIMARY", "POST_CONTRAST", "SUBTRACTION"]),
        "This is a contrast subtraction of two exposures; only single mammograms can be read.",
    ),
    Broken(
        "quality_control.dcm",
        "An image of a test object.",
        partial(_with, QualityControlImage="YES"),
        "This is an image for quality control, such as of a test object.",
    ),
    Broken(
        "roi_mask.dcm",
        "The mask of a lesion, named as those of CBIS-DDSM are.",
        partial(_with, PatientID="Mass-Training_P_00001_LEFT_MLO_1", SeriesDescription="ROI mask images"),
        "This is CBIS-DDSM's mask of a lesion, not a whole mammogram.",
    ),
    Broken(
        "too_large.dcm",
        "Claims 20 000 × 20 000 pixels.",
        partial(_with, Rows=20000, Columns=20000),
        "This image is too large: more than 60 million pixels (Rows × Columns).",
    ),
    Broken(
        "too_small.dcm",
        "A thumbnail of 32 × 40 pixels.",
        partial(_with, pixels=lambda pixels: pixels[::10, ::8]),
        "This image is too small to be a mammogram.",
    ),
    Broken(
        "too_many_bits.dcm",
        "64 bits per pixel.",
        partial(
            _with,
            pixels=lambda pixels: pixels[::4, ::4].astype(np.uint64),
            bits=64,
            syntax=ExplicitVRLittleEndian,
        ),
        "This image has more than 32 bits per pixel; mammograms have 8 or 16.",
    ),
    Broken(
        "other_modality.dcm",
        "A CT slice.",
        partial(_with, SOPClassUID=CT, Modality="CT"),
        "Not a mammogram: Modality is CT.",
    ),
    Broken(
        "other_body_part.dcm",
        "A digital X-ray of a chest.",
        partial(_with, SOPClassUID=DX, Modality="DX", BodyPartExamined="CHEST"),
        "Not a mammogram: the header says that it shows another part of the body.",
    ),
    Broken(
        "signal_not_linear.dcm",
        "FOR PROCESSING with a signal of unknown meaning.",
        _signal_not_linear,
        "This image is FOR PROCESSING and its signal is not linear in exposure, so it cannot be shown.",
    ),
)


# --- Folders and manifests ----------------------------------------------------------------------------------


def write_variants(folder: Path, src: Source) -> None:
    """Write all `VARIANTS` and their ``manifest.csv``."""
    rows = []
    for recipe in VARIANTS:
        path = folder / f"{recipe.name}.dcm"
        ds = deepcopy(src.header)
        recipe.change(ds, src)
        _pack(ds, recipe.syntax, recipe.fragments)
        if recipe.packed is not None:
            recipe.packed(ds)
        _save(ds, path)
        if recipe.written is not None:
            path.write_bytes(recipe.written(path.read_bytes()))
        rows.append(
            {
                "file": path.name,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "what": recipe.what,
                "transfer_syntax": recipe.syntax.name,
                "photometric": ds.PhotometricInterpretation,
                "voi": recipe.voi,
                "lossless": recipe.syntax not in LOSSY,
                "same_as": "reference" if recipe.same else "",
                "conformant": recipe.conformant,
            }
        )
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False, lineterminator="\n")


def write_broken(folder: Path, src: Source) -> None:
    """Write all `BROKEN` files and their ``manifest.csv``."""
    rows = []
    for recipe in BROKEN:
        path = folder / recipe.name
        recipe.make(path, src)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append({"file": path.name, "sha256": sha256, "what": recipe.what, "reason": recipe.reason})
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False, lineterminator="\n")
