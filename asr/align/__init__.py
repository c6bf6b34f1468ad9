"""Forced alignment of a transcript with a recording, without torch."""
