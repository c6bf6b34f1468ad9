"""MIDI sample dumps (SDS), checked before libsndfile opens one: it prints on standard output what is wrong in them."""

from typing import BinaryIO

from ....errors import AudioError

HEADER, PACKET = 21, 127  # bytes
FIRST = 0xF0  # of a packet


def packets_of(header: bytes) -> int | None:
    """Packets of a dump, of which each has 120 bytes of samples, 7 bits in each; None where it does not say."""
    width = (header[6] + 6) // 7  # bytes of a sample
    count = header[10] | header[11] << 7 | header[12] << 14
    return -(-count // (120 // width)) if 2 <= width <= 4 else None


def check_packets(file: BinaryIO) -> None:
    """Refuse a dump of which a packet does not begin as one; a file of another kind is left alone.

    Args:
        file: open for reading; its position is moved.

    Raises:
        AudioError: the dump is damaged; the message does not name it.
    """
    file.seek(0)
    header = file.read(HEADER)
    if len(header) < HEADER or header[:2] != b"\xf0\x7e" or header[2] > 127 or header[3] != 1:
        return
    packets = packets_of(header) or 0
    for number in range(1, packets + 1):
        packet = file.read(PACKET)
        if not packet:  # it breaks off, which is found later
            return
        if packet[0] != FIRST:
            raise AudioError(
                f"is damaged in packet {number} of {packets} of its samples; copy or download it again"
            )
