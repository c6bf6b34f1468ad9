"""What the static page needs for keywords and commands: constants of searches and scores, and the dictionary."""

import zlib
from dataclasses import asdict
from functools import lru_cache

from ...asr.lexicon import dictionary
from ..endpoint import EndpointConfig
from ..spotting import (
    calibration,
    command_level,
    command_state,
    commands,
    context,
    grammar,
    jsgf,
    keywords,
    phone_tree,
    search,
    spotter,
)


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
            "behind": context.BEHIND,
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
        "commands": command_parameters(),
        "endpoint_rules": [asdict(rule) for rule in EndpointConfig().rules],
    }


def command_parameters() -> dict[str, object]:
    """What `CommandRecognizer` of the page has in common with that here, and the common words' pronunciations."""
    return {
        "steepest": phone_tree.STEEPEST,
        "bonus": phone_tree.BONUS,
        "level": {
            "one_phone": command_level.ONE_PHONE,
            "wrong": command_level.WRONG,
            "temperature": command_level.TEMPERATURE,
            "fit_weight": command_level.FIT_WEIGHT,
            "level_at_half": command_level.LEVEL_AT_HALF,
        },
        "threshold": commands.THRESHOLD,
        "lead_seconds": command_state.LEAD_SECONDS,
        "max_seconds": command_state.MAX_SECONDS,
        "max_nodes": commands.MAX_NODES,
        "max_sentences": grammar.MAX_SENTENCES,
        "max_words": grammar.MAX_WORDS,
        "max_depth": jsgf.MAX_DEPTH,
        "common_words": [" ".join(phones) for phones in commands.common_words()],
    }


@lru_cache(maxsize=1)
def packed_dictionary() -> bytes:
    """The bundled dictionary, compressed with zlib: lines of a word and its pronunciations without stress, by tabs."""
    lines = []
    for word, said in dictionary.bundled().items():
        ways = dict.fromkeys(map(dictionary.phones, [said] if isinstance(said, str) else said))
        lines.append("\t".join([word, *map(" ".join, ways)]))
    return zlib.compress("\n".join(lines).encode())
