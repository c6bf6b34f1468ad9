"""Scoring: the distance is Levenshtein's, the alignment is the documented one, and counts add up."""

import math
import random

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonestream.asr.evaluation.score import (
    Confusion,
    Edit,
    PhoneErrors,
    align,
    confusion_table,
    count_errors,
    phone_errors,
    top_confusions,
)
from phonestream.asr.lexicon.phones import PHONES
from phonestream.errors import DataError

RANK = {"equal": 0, "substitute": 0, "delete": 1, "insert": 2}
few = st.lists(st.sampled_from("ABC"), max_size=5)
phones = st.lists(st.sampled_from(PHONES), max_size=30)


def all_alignments(reference: list[str], hypothesis: list[str]) -> list[list[Edit]]:
    """Every way to write one sequence below the other."""
    if not reference and not hypothesis:
        return [[]]
    found = []
    if reference and hypothesis:
        operation = "equal" if reference[-1] == hypothesis[-1] else "substitute"
        last = Edit(operation, reference[-1], hypothesis[-1])
        found += [[*rest, last] for rest in all_alignments(reference[:-1], hypothesis[:-1])]
    if reference:
        last = Edit("delete", reference[-1], None)
        found += [[*rest, last] for rest in all_alignments(reference[:-1], hypothesis)]
    if hypothesis:
        last = Edit("insert", None, hypothesis[-1])
        found += [[*rest, last] for rest in all_alignments(reference, hypothesis[:-1])]
    return found


def documented_order(alignment: list[Edit]) -> tuple[int, int, list[int]]:
    """Fewest edits, then fewest substitutions, then by operation from the end."""
    errors = count_errors(alignment)
    return errors.total, errors.substitutions, [RANK[edit.operation] for edit in reversed(alignment)]


@settings(deadline=None)
@given(few, few)
def test_the_alignment_is_the_documented_one_of_all_there_are(reference: list[str], hypothesis: list[str]):
    assert align(reference, hypothesis) == min(all_alignments(reference, hypothesis), key=documented_order)


@settings(deadline=None)
@given(phones.filter(bool), phones)
def test_the_distance_is_jiwers(reference: list[str], hypothesis: list[str]):
    theirs = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    ours = phone_errors(reference, hypothesis)
    assert ours.total == theirs.substitutions + theirs.deletions + theirs.insertions
    assert ours.per == pytest.approx(theirs.wer)


def test_the_distance_is_jiwers_on_a_long_recording():
    draw = random.Random(7)
    reference = draw.choices(PHONES, k=900)
    hypothesis = [
        phone if draw.random() < 0.8 else draw.choice(PHONES) for phone in reference for _ in range(1)
    ]
    for place in draw.sample(range(800), 100):
        del hypothesis[place]
    theirs = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    assert phone_errors(reference, hypothesis).per == pytest.approx(theirs.wer)


@settings(deadline=None)
@given(phones, phones)
def test_an_alignment_reads_back_as_both_sequences(reference: list[str], hypothesis: list[str]):
    alignment = align(reference, hypothesis)
    assert [edit.reference for edit in alignment if edit.reference] == reference
    assert [edit.hypothesis for edit in alignment if edit.hypothesis] == hypothesis
    for operation, left, right in alignment:
        assert operation == (
            "insert" if not left else "delete" if not right else "equal" if left == right else "substitute"
        )


@settings(deadline=None)
@given(phones, phones)
def test_exchanging_the_sides_exchanges_insertions_and_deletions(reference: list[str], hypothesis: list[str]):
    there, back = phone_errors(reference, hypothesis), phone_errors(hypothesis, reference)
    assert (there.substitutions, there.insertions, there.deletions) == (
        back.substitutions,
        back.deletions,
        back.insertions,
    )


def test_an_equal_phone_is_kept_where_two_substitutions_would_cost_the_same():
    assert align(["A", "B"], ["B", "C"]) == [
        Edit("delete", "A", None),
        Edit("equal", "B", "B"),
        Edit("insert", None, "C"),
    ]


def test_of_equal_alignments_the_one_that_pairs_the_last_phones_is_taken():
    assert align(["T", "T"], ["T"]) == [Edit("delete", "T", None), Edit("equal", "T", "T")]


@settings(deadline=None)
@given(st.lists(st.tuples(phones, phones), max_size=6))
def test_errors_of_a_split_are_those_of_its_recordings_added_up(pairs: list[tuple[list[str], list[str]]]):
    each = [phone_errors(reference, hypothesis) for reference, hypothesis in pairs]
    whole = sum(each, PhoneErrors())
    assert whole.total == sum(errors.total for errors in each)
    assert whole.reference_length == sum(len(reference) for reference, _ in pairs)
    if whole.reference_length:
        assert whole.per == whole.total / whole.reference_length


def test_the_rate_of_an_empty_reference():
    assert phone_errors([], []).per == 0.0
    assert phone_errors([], ["T"]).per == math.inf


@settings(deadline=None)
@given(st.lists(st.tuples(phones, phones), max_size=4))
def test_the_confusion_table_holds_every_phone_of_both_sides(pairs: list[tuple[list[str], list[str]]]):
    alignments = [align(reference, hypothesis) for reference, hypothesis in pairs]
    table = confusion_table(alignments)
    references = [phone for reference, _ in pairs for phone in reference]
    hypotheses = [phone for _, hypothesis in pairs for phone in hypothesis]
    assert table.shape == (40, 40)
    assert table[:-1].sum(axis=1).tolist() == [references.count(phone) for phone in PHONES]
    assert table[:, :-1].sum(axis=0).tolist() == [hypotheses.count(phone) for phone in PHONES]
    errors = sum((count_errors(alignment) for alignment in alignments), PhoneErrors())
    assert table[-1].sum() == errors.insertions
    assert table[:, -1].sum() == errors.deletions
    assert table.sum() - np.trace(table) == errors.total
    assert sum(confusion.times for confusion in top_confusions(table, table.size)) == errors.total


def test_confusions_come_by_count_and_then_in_the_order_of_the_phones():
    alignments = [
        align(["T", "AH"], ["D", "IH"]),
        align(["T", "AH"], ["D", "AH"]),
        align(["S"], []),
        align([], ["ZH"]),
    ]
    assert top_confusions(confusion_table(alignments), 20) == [
        Confusion("T", "D", 2),
        Confusion("AH", "IH", 1),
        Confusion("S", None, 1),
        Confusion(None, "ZH", 1),
    ]
    assert top_confusions(confusion_table(alignments), 1) == [Confusion("T", "D", 2)]


def test_a_symbol_that_is_no_phone_is_refused():
    with pytest.raises(DataError, match="unknown phone 'QQ'"):
        confusion_table([align(["QQ"], ["T"])])
