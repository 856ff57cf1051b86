import dataclasses
import re

import pytest

from ssps_book import paper
from ssps_lib import encoders, frameworks


def relation(text):
    (found,) = [r for r in paper.relations() if text in r.claim]
    return found


def test_every_row_of_every_table_is_there():
    counts = {name: len(table) for name, table in paper.TABLES.items()}
    assert counts == {"I": 11, "II": 31, "III": 17 * 3, "IV": 21, "V": 4}
    for name, table in paper.TABLES.items():
        assert len(set(table)) == len(table)
        assert {row.source for row in table} == {f"Table {name}"}
    assert {r.benchmark for r in paper.TABLE_3} == set(paper.BENCHMARKS)
    others = [row for name, table in paper.TABLES.items() if name != "III" for row in table]
    assert {row.benchmark for row in others} == {"VoxCeleb1-O"}


def test_sums_guard_against_a_mistyped_digit():
    """Column sums, added up from the printed tables apart from the rows."""
    eer = {name: round(sum(r.eer for r in table), 2) for name, table in paper.TABLES.items()}
    dcf = {n: round(sum(r.min_dcf or 0 for r in table), 4) for n, table in paper.TABLES.items()}
    assert eer == {"I": 47.31, "II": 230.15, "III": 321.96, "IV": 106.34, "V": 26.64}
    assert dcf == {"I": 4.5388, "II": 18.0066, "III": 26.1909, "IV": 4.1005, "V": 1.8734}


def test_values_are_rates_with_the_precision_of_print():
    for table in paper.TABLES.values():
        for row in table:
            assert 1 < row.eer < 20 and row.eer == round(row.eer, 2)
            if row.min_dcf is not None:
                assert 0.1 < row.min_dcf < 1 and row.min_dcf == round(row.min_dcf, 4)
            with pytest.raises(dataclasses.FrozenInstanceError):
                row.eer = 0.0


def test_rows_are_named_like_the_library():
    for name in ("I", "II", "III", "V"):
        for row in paper.TABLES[name]:
            assert row.framework in frameworks.FRAMEWORKS and row.framework in paper.FRAMEWORKS
            assert row.encoder in encoders.ENCODERS
            assert row.positives in paper.POSITIVES or row.framework == "supervised"
            assert (row.k is not None) == str(row.positives).startswith("ssps-clustering")
            assert (row.m is not None) == str(row.positives).startswith("ssps")


def test_grid_of_table_ii():
    grid = {(r.k, r.m) for r in paper.TABLE_2 if r.positives == "ssps-clustering"}
    large = {(k, m) for k in (25_000, 50_000, 100_000, 150_000) for m in (0, 1, 2, 3, 5)}
    assert grid == large | {(6_000, 0), (10_000, 0)}
    assert [r.m for r in paper.TABLE_2 if r.positives == "ssps-nn"] == [1, 10, 25, 50, 100]


def test_state_of_the_art_is_sorted_and_cited():
    names = ("contrastive", "self-distillation")
    groups = {g: [r for r in paper.TABLE_4 if r.group == g] for g in names}
    assert [len(rows) for rows in groups.values()] == [9, 12]
    for rows in groups.values():
        assert [r.eer for r in rows] == sorted((r.eer for r in rows), reverse=True)
    assert all(re.fullmatch(r"[a-z]+\d{4}\w+", r.citation) for r in paper.TABLE_4)
    assert len({r.citation for r in paper.TABLE_4}) == 19  # C3-* and *-SSPS share theirs


def test_find_wants_exactly_one_row():
    assert paper.find(paper.TABLE_2, k=25_000, m=2).eer == 5.73
    with pytest.raises(KeyError, match="0 rows"):
        paper.find(paper.TABLE_2, k=7)
    with pytest.raises(KeyError, match="3 rows"):
        paper.find(paper.TABLE_3, framework="dino", positives="ssl")


def test_readings():
    assert len({r.name for r in paper.READINGS}) == len(paper.READINGS)
    assert paper.reading("training utterances") == 1_092_009
    assert paper.reading("training speakers") == 5_994
    assert paper.reading("training recordings") == 145_569
    assert paper.reading("NMI ratio after SSPS") == 1.09
    assert all(re.match(r"(Abstract|Section [IV]+-[A-F])", r.source) for r in paper.READINGS)


def test_parameter_counts_are_those_of_our_encoders():
    pairs = [(encoders.FastResNet34, "Fast ResNet-34"), (encoders.ECAPATDNN, "ECAPA-TDNN")]
    for encoder, name in pairs:
        count = sum(p.numel() for p in encoder().parameters())
        assert round(count, -5) == paper.reading(f"{name} parameters")


def test_relations_that_do_not_hold():
    assert relation("EER of SimCLR by 72.62").recomputed == "72.70 %"
    headline = relation("by 58 %")
    assert (headline.recomputed, headline.holds, headline.rounding) == ("59.2 %", False, False)
    assert relation("Fast ResNet-34 has").recomputed == "9.41 %"
    assert relation("down to a rate of").recomputed.startswith("a rate 20,000 times")
    assert relation("best downstream").recomputed.startswith("K = 25,000, M = 2")
    assert relation("best self-supervised").note == "VoxCeleb1-E min_dcf: SimCLR 0.3125, DINO 0.315"
    failing = [r for r in paper.relations() if not r.holds and not r.rounding]
    assert len(failing) == 15
    explained = [r.printed for r in paper.relations() if not r.holds and r.rounding]
    assert explained == ["72.62 %", "45.06 %", "23.14 %"]


def test_relations_that_hold():
    holding = [r.claim for r in paper.relations() if r.holds]
    for text in (
        "improves EER and minDCF", "K = 25,000, M = 1 outperforms",
        "supervised positives bound", "SSPS-NN is best with M = 50",
        "best configuration for the minDCF", "neighbouring clusters beat", "rises by about 8 %",
        "positives SimCLR outperforms",
    ):  # fmt: skip
        assert any(text in claim for claim in holding), text


def test_reduction_of_rounded_values():
    low, high = paper.reduction_range(6.30, 1.72)
    values = [paper.reduction(b, a) for b in (6.295, 6.305) for a in (1.715, 1.725)]
    assert low == pytest.approx(min(values)) and high == pytest.approx(max(values))
    assert low < 72.62 < high


RUN = {
    "framework": "simclr",
    "positives": "ssps-clustering",
    "augmentation": "reverb+noise",
    "clusters": 896,
    "window": 1,
    "corpus_options": {"speakers": 256, "recordings": 12},
    "start_from": {"positives": "ssl"},
}


def beside(**changes):
    """The rows of all tables that a run with changes stands beside."""
    table = [row for name in ("I", "II", "III", "V") for row in paper.TABLES[name]]
    return [row for row in table if paper.counterpart(row, RUN | changes)]


def test_a_run_stands_beside_rows_with_its_choices():
    rows = beside()
    assert {(r.k, r.m, r.benchmark, r.augmentation) for r in rows} == {
        (25_000, 1, "VoxCeleb1-O", True)
    }
    assert [r.source for r in rows] == ["Table II", "Table III", "Table V"]
    assert [r.source for r in beside(augmentation="none")] == ["Table V"]
    assert {r.framework for r in beside(framework="dino")} == {"dino"}
    assert [r.k for r in beside(clusters=256, window=0)] == [6_000, 6_000]
    assert [r.k for r in beside(clusters=3_072, window=3)] == [150_000]  # one for each recording
    assert beside(clusters=25 * 256, window=3) == []  # beyond the recordings


@pytest.mark.parametrize(
    "change",
    [
        {"clusters": 500},  # between 10,000 and 25,000
        {"window": 4},
        {"framework": "moco"},  # has no row with SSPS
        {"corpus_options": {}},  # of how many speakers?
    ],
)
def test_other_choices_stand_beside_no_row(change):
    assert beside(**change) == []


def test_ssl_rows_are_those_that_were_trained_on():
    continued = {"positives": "ssl", "clusters": None, "window": None}
    assert [r.eer for r in beside(**continued)] == [6.30, 9.41, 6.30, 6.30]
    assert beside(**continued, start_from=None) == []


def test_nearest_neighbours_stand_beside_the_default_window():
    (row,) = beside(positives="ssps-nn", clusters=None, window=5)
    assert (row.m, row.eer) == (50, 8.15)


def test_labels_as_classes_have_no_positives():
    rows = beside(framework="supervised", positives="ssl", start_from=None)
    assert [r.eer for r in rows] == [1.34, 1.34]
