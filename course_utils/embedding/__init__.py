"""A picture becomes a vector: device, backbone, extraction, store (lessons 03 to 06)."""

from course_utils.embedding.backbones import Backbone, Weights, load_backbone
from course_utils.embedding.device import pick_device
from course_utils.embedding.errors import DeviceUnavailable, EmbeddingError, WeightsUnavailable
from course_utils.embedding.extractor import EmbeddingExtractor
from course_utils.embedding.store import EmbeddingStore
from course_utils.runs import Extraction

__all__ = [
    "Backbone",
    "DeviceUnavailable",
    "EmbeddingError",
    "EmbeddingExtractor",
    "EmbeddingStore",
    "Extraction",
    "Weights",
    "WeightsUnavailable",
    "load_backbone",
    "pick_device",
]
