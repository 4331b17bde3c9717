"""The compressed transfer syntaxes that these tests go through."""

import pytest
from needs import needs_pyjpegls
from pydicom.uid import (
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

JPEG_LS = pytest.param(JPEGLSLossless, marks=needs_pyjpegls)  # in tests that encode it
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
