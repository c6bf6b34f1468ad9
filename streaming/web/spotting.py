"""What the static page needs to spot keywords: the constants of the search and of the score, and the dictionary."""

import zlib
from functools import lru_cache

from ...asr.lexicon import dictionary
from ..spotting import boundary, calibration, keywords, search, spotter


def parameters() -> dict[str, object]:
    """What `Spotter` and `KeywordSearch` of the page have in common with those here, by its names."""
    return {
        "window_seconds": search.WINDOW_SECONDS,
        "lowest": search.LOWEST,
        "dwell": search.DWELL,
        "units": search.UNITS,
        "steepest": search.STEEPEST,
        "sure": search.SURE,
        "left": boundary.LEFT,
        "right": boundary.RIGHT,
        "pause_seconds": boundary.PAUSE_SECONDS,
        "contexts": boundary.KEPT_CONTEXTS,
        "likely": spotter.LIKELY,
        "kept_phones": spotter.KEPT_PHONES,
        "longest": calibration.LONGEST,
        "weights": calibration.WITH_BOUNDARIES,
        "levels": calibration.LEVELS,
        "alarms": calibration.ALARMS_WITH_BOUNDARIES,
        "threshold": keywords.THRESHOLD,
        "min_phones": keywords.MIN_PHONES,
        "max_phones": keywords.MAX_PHONES,
        "max_variants": keywords.MAX_VARIANTS,
    }


@lru_cache(maxsize=1)
def packed_dictionary() -> bytes:
    """The bundled dictionary, compressed with zlib: lines of a word and its pronunciations without stress, by tabs."""
    lines = []
    for word, said in dictionary.bundled().items():
        ways = dict.fromkeys(map(dictionary.phones, [said] if isinstance(said, str) else said))
        lines.append("\t".join([word, *map(" ".join, ways)]))
    return zlib.compress("\n".join(lines).encode())
