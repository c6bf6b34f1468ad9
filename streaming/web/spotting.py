"""What the static page needs to spot keywords: the constants of the search and of the score, and the dictionary."""

import zlib
from functools import lru_cache

from ...asr.lexicon import dictionary
from ..spotting import calibration, context, keywords, search, spotter


def parameters() -> dict[str, object]:
    """What `Spotter` and `KeywordSearch` of the page have in common with those here, by its names."""
    return {
        "window_seconds": search.WINDOW_SECONDS,
        "lowest": search.LOWEST,
        "dwell": search.DWELL,
        "units": search.UNITS,
        "steepest": search.STEEPEST,
        "sure": search.SURE,
        "context": {
            "before_seconds": context.BEFORE_SECONDS,
            "after_seconds": context.AFTER_SECONDS,
            "size": context.SIZE,
            "beam": context.BEAM,
            "cut": context.CUT,
            "bonus": context.BONUS,
            "sure": context.SURE,
        },
        "kept_seconds": spotter.KEPT_SECONDS,
        "likely": spotter.LIKELY,
        "unlikely": calibration.UNLIKELY,
        "levels": calibration.LEVELS,
        "in_context": {"weights": calibration.WITH_CONTEXT, "alarms": calibration.ALARMS_WITH_CONTEXT},
        "without": {"weights": calibration.WITHOUT, "alarms": calibration.ALARMS_WITHOUT},
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
