"""What a checker says of a file that is not at fault."""

from ....errors import AudioError


class UnsupportedError(AudioError):
    """Audio that libsndfile does not read, or does not read whole; another library may."""


class JitterError(UnsupportedError):
    """Audio that libsndfile may or may not read to its end, which only reading it tells."""
