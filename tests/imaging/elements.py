"""Header elements and a curve that several of these tests share."""

import numpy as np

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
