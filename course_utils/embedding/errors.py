"""The errors of this package: each message says what is wrong and what to do."""


class EmbeddingError(Exception):
    """Something about a backbone, a device or a batch of pictures makes an embedding impossible."""


class WeightsUnavailable(EmbeddingError):
    """Weights that were asked for by name can neither be found on disk nor fetched."""


class DeviceUnavailable(EmbeddingError):
    """A device that was asked for by name is not there; the CPU is never taken in its place unasked."""
