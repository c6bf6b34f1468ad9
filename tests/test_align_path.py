"""The search for the best path: the best of all where all can be tried, and as good as torchaudio's."""

from itertools import chain, pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchaudio.functional import forced_align

from phonestream.asr.align.anchors import Heard, find_cuts
from phonestream.asr.align.graph import PLAIN, Costs, Graph, build, emissions
from phonestream.asr.align.spikes import find_spikes
from phonestream.asr.align.viterbi import STRIDE, best_path

LABELS = 4  # the blank and three phones
NEVER = float("inf")
LENIENT = Costs(skip_word=0.0, skip_phone=5.0, filler=6.0, dwell=0.0)


def random_rows(rows: int, seed: int, labels: int = LABELS, sharpness: float = 2.0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, sharpness, (rows, labels))
    log_probs: np.ndarray = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
    return log_probs


def collapsed(labels: tuple[int, ...]) -> tuple[int, ...]:
    """Graves et al. 2006: equal neighbours are one, then blanks go."""
    runs = [label for index, label in enumerate(labels) if index == 0 or label != labels[index - 1]]
    return tuple(label for label in runs if label != 0)


def spoken(graph: Graph, path: np.ndarray) -> tuple[int, ...]:
    """The phones on a path of states."""
    runs = [state for index, state in enumerate(path) if index == 0 or state != path[index - 1]]
    return tuple(int(graph.label[state]) for state in runs if graph.phone[state] >= 0)


def emitted(graph: Graph, rows: np.ndarray, path: np.ndarray) -> float:
    return float(rows[np.arange(len(rows)), graph.label[path]].astype(np.float64).sum())


pronunciation = st.lists(st.integers(1, LABELS - 1), min_size=1, max_size=3)
word = st.lists(pronunciation, min_size=1, max_size=3)


@given(words=st.lists(word, min_size=1, max_size=3), count=st.integers(1, 6), seed=st.integers(0, 999))
@settings(deadline=None, max_examples=60)
def test_the_path_is_the_best_of_all_that_collapse_to_a_choice_of_pronunciations(
    words: list[list[list[int]]], count: int, seed: int
) -> None:
    rows = random_rows(count, seed)
    allowed = {tuple(chain.from_iterable(choice)) for choice in product(*words)}
    scores = [
        rows[np.arange(count), list(labels)].astype(np.float64).sum()
        for labels in product(range(LABELS), repeat=count)
        if collapsed(labels) in allowed
    ]
    graph = build(words, label_count=LABELS, costs=PLAIN)
    extended = emissions(rows, blank=0, costs=PLAIN)
    path, score = best_path(graph, extended)
    if not scores:  # fewer rows than any choice needs
        assert score == -NEVER
        return
    assert score == pytest.approx(max(scores), abs=1e-4)
    assert spoken(graph, path) in allowed
    assert emitted(graph, extended, path) == pytest.approx(score, abs=1e-4)


@given(
    phones=st.lists(st.integers(1, 39), min_size=1, max_size=30),
    spare=st.integers(0, 60),
    seed=st.integers(0, 999),
)
@settings(deadline=None, max_examples=40)
def test_one_pronunciation_scores_as_torchaudio_aligns_it(phones: list[int], spare: int, seed: int) -> None:
    equal = sum(one == two for one, two in pairwise(phones))
    rows = random_rows(len(phones) + equal + spare, seed, labels=40)
    labels, scores = forced_align(
        torch.from_numpy(rows)[None], torch.tensor([phones], dtype=torch.int32), blank=0
    )
    graph = build([[phones]], label_count=40, costs=PLAIN)
    extended = emissions(rows, blank=0, costs=PLAIN)
    path, score = best_path(graph, extended)
    assert score == pytest.approx(float(scores.double().sum()), abs=1e-3)
    ours = np.where(graph.label[path] >= 40, 0, graph.label[path])
    assert collapsed(tuple(ours)) == collapsed(tuple(labels[0].tolist())) == tuple(phones)


def clear_rows(*labels: int) -> np.ndarray:
    """Rows that leave no doubt, a blank behind each."""
    spaced = [emitted for label in labels for emitted in (label, 0)]
    probabilities = np.full((len(spaced), 40), 1e-5)
    probabilities[np.arange(len(spaced)), spaced] = 1 - 39e-5
    return np.log(probabilities).astype(np.float32)


def words_on(graph: Graph, path: np.ndarray) -> list[int]:
    return sorted(set(graph.word[path].tolist()) - {-1})


def test_a_word_that_was_not_said_is_skipped_and_what_was_said_besides_is_passed_over() -> None:
    words = [[[1, 2, 3]], [[4, 5, 6]], [[7, 8, 9]]]
    graph = build(words, label_count=40, costs=LENIENT)

    def on(rows: np.ndarray) -> list[int]:
        return words_on(graph, best_path(graph, emissions(rows, blank=0, costs=LENIENT))[0])

    assert on(clear_rows(1, 2, 3, 4, 5, 6, 7, 8, 9)) == [0, 1, 2]
    assert on(clear_rows(1, 2, 3, 7, 8, 9)) == [0, 2]
    assert on(clear_rows(4, 5, 6)) == [1]
    assert on(clear_rows(1, 2, 3, 20, 21, 22, 23, 4, 5, 6, 7, 8, 9)) == [0, 1, 2]


def test_a_word_is_not_drawn_out_over_a_pause() -> None:
    """A last phone that is hardly heard where it belongs stays there, though it is clear a long pause later."""
    rows = np.concatenate([clear_rows(1, 2), np.repeat(clear_rows(0), 50, axis=0), clear_rows(3)])
    rows[4, 3] = -3.0
    for dwell, row in ((0.0, len(rows) - 2), (0.1, 4)):
        costs = LENIENT._replace(dwell=dwell)
        graph = build([[[1, 2, 3]]], label_count=40, costs=costs)
        path, _ = best_path(graph, emissions(rows, blank=0, costs=costs))
        assert np.flatnonzero(graph.phone[path] == 2).tolist() == [row]


def test_the_pronunciation_that_was_said_is_chosen() -> None:
    graph = build([[[1, 2]], [[3, 4], [5, 6, 7], [3]], [[8]]], label_count=40, costs=LENIENT)
    for variant, phones in enumerate([(3, 4), (5, 6, 7), (3,)]):
        rows = emissions(clear_rows(1, 2, *phones, 8), blank=0, costs=LENIENT)
        path, _ = best_path(graph, rows)
        assert set(graph.variant[path][graph.word[path] == 1]) == {variant}


@pytest.mark.parametrize("block_bytes", [1, 40 * STRIDE * 7, 1 << 20])
@pytest.mark.parametrize("window", [400, 1 << 20])
def test_neither_blocks_nor_a_window_change_a_path_that_stays_inside(window: int, block_bytes: int) -> None:
    random = np.random.default_rng(0)
    words = [[random.integers(1, 40, 4).tolist()] for _ in range(150)]
    rows = clear_rows(*(phone for word in words for phone in word[0]))
    noisy = rows + random.normal(0, 0.5, rows.shape).astype(np.float32)
    graph = build(words, label_count=40, costs=LENIENT)
    extended = emissions(noisy, blank=0, costs=LENIENT)
    expected, score = best_path(graph, extended)
    assert words_on(graph, expected) == list(range(150))
    path, again = best_path(graph, extended, window=window, block_bytes=block_bytes)
    assert again == pytest.approx(score)
    assert (path == expected).all()


def test_what_lies_beyond_the_window_is_given_up_and_said() -> None:
    """A window too narrow for the words that are missing: the path ends, its score tells, and no word is made up."""
    words = [[[index % 39 + 1, (7 * index) % 39 + 1, (11 * index) % 39 + 1]] for index in range(200)]
    rows = clear_rows(*(phone for word in words[:20] + words[190:] for phone in word[0]))
    graph = build(words, label_count=40, costs=LENIENT)
    path, score = best_path(graph, emissions(rows, blank=0, costs=LENIENT), window=60)
    assert score == -NEVER
    assert set(range(10)) <= set(words_on(graph, path))


# Transcripts that are longer than the search's window


@pytest.fixture(scope="module")
def hour() -> tuple[list[list[list[int]]], np.ndarray, list[Heard]]:
    """Words, rows in which each phone is heard for a row and one in eight is heard as another, and what is heard."""
    random = np.random.default_rng(0)
    words = [[random.integers(1, 40, random.integers(2, 7)).tolist()] for _ in range(300)]
    phones = [phone for (word,) in words for phone in word]
    rows = clear_rows(*phones) + random.normal(0, 0.5, (2 * len(phones), 40)).astype(np.float32)
    for place in np.flatnonzero(random.random(len(phones)) < 1 / 8):
        wrong = random.integers(1, 40)
        rows[2 * place, [wrong, phones[place]]] = rows[2 * place, [phones[place], wrong]]
    heard = [
        Heard(int(row[1:].argmax()) + 1, 2 * place, 2 * place + 1) for place, row in enumerate(rows[::2])
    ]
    return words, rows, heard


def test_a_long_transcript_is_aligned_in_parts_as_in_one(
    hour: tuple[list[list[list[int]]], np.ndarray, list[Heard]],
) -> None:
    words, rows, heard = hour
    cuts = find_cuts(words, heard)
    assert len(cuts) > 3
    firsts = np.cumsum([0, *(len(word) for (word,) in words)])
    assert [cut.row for cut in cuts] == [2 * firsts[cut.word] - 1 for cut in cuts]
    found = find_spikes(rows, words, heard, blank=0, costs=LENIENT, window=500)
    graph = build(words, label_count=40, costs=LENIENT)
    path, _ = best_path(graph, emissions(rows, blank=0, costs=LENIENT), window=graph.states)
    begins = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist()]
    spikes = [begin for begin in begins if graph.phone[path[begin]] >= 0]
    assert [begin for begin, _ in found.runs] == spikes
    assert found.words.tolist() == graph.word[path[spikes]].tolist()


def test_what_is_missing_or_not_said_costs_the_rest_nothing(
    hour: tuple[list[list[list[int]]], np.ndarray, list[Heard]],
) -> None:
    """A passage left out, one put in that is longer than the window, and another in the place of one."""
    words, rows, heard = hour
    options = {"blank": 0, "costs": LENIENT, "window": 500}
    whole = find_spikes(rows, words, heard, **options)
    random = np.random.default_rng(1)
    foreign = [[random.integers(1, 40, 4).tolist()] for _ in range(150)]
    changed = [*words[:70], *words[100:180], *foreign[:120], *words[180:240], *foreign[120:], *words[260:]]
    said_not = [-1] * 30
    kept = [*range(70), *range(100, 180), *said_not * 4, *range(180, 240), *said_not, *range(260, 300)]
    found = find_spikes(rows, changed, heard, **options)
    wanted = set(kept) - {-1}
    expected = [
        (word, run) for word, run in zip(whole.words.tolist(), whole.runs, strict=True) if word in wanted
    ]
    own = [
        (kept[word], run)
        for word, run in zip(found.words.tolist(), found.runs, strict=True)
        if kept[word] >= 0
    ]
    assert len(set(own) & set(expected)) > 0.99 * len(expected)
    assert len(own) == pytest.approx(len(expected), rel=0.01)


def test_what_is_often_said_or_not_at_all_is_no_reason_to_cut() -> None:
    refrain = [[[1, 2, 3]], [[4, 5, 6]]] * 300
    heard = [Heard(phone, 2 * place, 2 * place + 1) for place, phone in enumerate([1, 2, 3, 4, 5, 6] * 300)]
    assert find_cuts(refrain, heard) == []
    assert find_cuts([[[phone]] for phone in range(7, 40)] * 30, heard) == []
    assert find_cuts(refrain, []) == []
