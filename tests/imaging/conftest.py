"""A mammogram in any compressed transfer syntax, for the tests of streams and of decoding."""

import sys
from pathlib import Path

import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import encoders


@pytest.fixture
def compressed(write_mammogram):
    """Write a mammogram in any syntax, its stream changed by a function: `compressed(syntax, change)`."""

    def write(syntax, change=bytes, *, name="compressed.dcm", fragments=1, has_bot=True, **elements):
        ds = pydicom.dcmread(write_mammogram(name=name, **elements))
        encoders.compress(ds, syntax)
        frame = next(generate_frames(ds.PixelData, number_of_frames=1))
        ds.PixelData = encapsulate([change(frame)], fragments_per_frame=fragments, has_bot=has_bot)
        path = Path(ds.filename)
        ds.save_as(path)
        return path

    return write
