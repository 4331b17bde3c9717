"""Lookup tables as DICOM stores them, for tests of modality and VOI transforms."""

import numpy as np
from pydicom.dataset import Dataset


def lut_item(values: np.ndarray, first: int, bits: int) -> Dataset:
    """Return an item of a LUT Sequence, its data as words (two entries each if ``bits`` is 8)."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values) % 65536, first, bits])
    data = values.astype("<u1" if bits == 8 else "<u2").tobytes()
    item.add_new("LUTData", "OW", data + b"\0" * (len(data) % 2))
    return item
