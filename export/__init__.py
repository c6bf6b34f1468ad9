"""Checkpoint to ONNX: conversion, metadata, int8 weights, verification; and the weights back, for a warm start.

A model file is traced from the encoder's own forward pass (`graph`), filled with float32 or int8 weights (`weights`,
`quantise`), described by its metadata, and compared with torch (`verify`) before it is written (`exporter`).
"""

from .exporter import Description, Summary, export, export_again, export_encoder
from .quantise import rounded
from .weights import read_encoder, read_weights

__all__ = [
    "Description",
    "Summary",
    "export",
    "export_again",
    "export_encoder",
    "read_encoder",
    "read_weights",
    "rounded",
]
