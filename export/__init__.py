"""Checkpoint to ONNX: conversion, metadata, int8 weights, verification; and the weights back, for a warm start.

A model file is traced from the encoder's own forward pass (`graph`), filled with float32 or int8 weights (`weights`,
`quantise`), described by its metadata, and compared with torch (`verify`) before it is written (`exporter`).
"""

from .exporter import Description as Description
from .exporter import Summary as Summary
from .exporter import export as export
from .exporter import export_again as export_again
from .exporter import export_encoder as export_encoder
from .quantise import rounded as rounded
from .weights import read_encoder as read_encoder
from .weights import read_weights as read_weights
