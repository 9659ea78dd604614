"""Standings from planted results: known ranks, ties, missing cells, and what must not matter."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lebench.board import Standings, make_board, make_resolution, make_standings
from lebench.board.places import MINIMUM_SHARE

MODELS = ("a", "b", "c", "d", "e")


def planted(gap=1.0, tasks=12, noise=0.1, models=MODELS, seeds=5, seed=0):
    """Scores in which each model is `gap` better than the next on every task."""
    rng = np.random.default_rng(seed)
    return {
        f"task {t}": {
            model: dict(enumerate(rng.normal(t - gap * i, noise, seeds).tolist())) for i, model in enumerate(models)
        }
        for t in range(tasks)
    }


def ranked(values, models=MODELS, sign=1, tracks=None, draws=400, scope="planted"):
    tracks = tracks or dict.fromkeys(values, "one")
    return make_standings(scope, values, dict.fromkeys(values, sign), tracks, models, draws=draws)


def places(standings):
    return {place.entry: place for place in standings.places}


def test_a_planted_order_is_found_with_certainty():
    made = ranked(planted())
    assert [place.entry for place in made.places] == list(MODELS)
    for number, place in enumerate(made.places, start=1):
        assert (place.rank, place.lower, place.upper, place.group) == (number,) * 4
        assert (place.seed_lower, place.seed_upper, place.seed_group) == (number,) * 3
        assert place.points == pytest.approx((5 - number) / 4)
        assert place.mean_rank == pytest.approx(number)
        assert place.win_rate == pytest.approx((5 - number) / 4)
        assert place.tasks == 12
    strengths = [place.strength for place in made.places]
    assert strengths == sorted(strengths, reverse=True)
    assert made.disagreements == []
    assert np.triu(made.win_probability, 1)[np.triu_indices(5, 1)].min() == 1
    assert made.critical_difference.p == pytest.approx(
        math.exp(-24) * (1 + 24), rel=1e-4
    )  # chi2 = n (k - 1) = 48, 4 df


def test_less_is_better_where_the_sign_says_so():
    assert [place.entry for place in ranked(planted(), sign=-1).places] == list(reversed(MODELS))


def test_identical_models_tie():
    values = planted(models=("a", "b", "c"))
    for of_models in values.values():
        of_models["twin"] = dict(of_models["b"])
    made = ranked(values, ("a", "b", "c", "twin"))
    b, twin = places(made)["b"], places(made)["twin"]
    assert b.model_copy(update={"entry": "twin"}) == twin
    assert (b.rank, b.lower, b.upper) == (2, 2, 3)
    at = [place.entry for place in made.places].index("b")
    assert made.win_probability[at][at + 1] == 0.5


def test_models_of_equal_quality_are_not_told_apart():
    rng = np.random.default_rng(1)
    values = {f"task {t}": {m: dict(enumerate(rng.normal(size=5).tolist())) for m in MODELS} for t in range(12)}
    made = ranked(values)
    assert {place.group for place in made.places} == {1}
    assert all((place.lower, place.upper) == (1, 5) for place in made.places)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3])
def test_with_few_seeds_models_of_equal_quality_are_not_told_apart(seeds):
    """Any two of six, on exactly these tasks: what the page on ranks says of three seeds."""
    models, told, boards = [f"m{number}" for number in range(6)], 0, 60
    for board in range(boards):
        made = ranked(planted(gap=1e-6, noise=0.5, models=models, seeds=seeds, seed=board), models)
        told += any(place.seed_lower > 1 or place.seed_upper < 6 for place in made.places)
    assert told < boards / 20 + 2 * math.sqrt(boards * 0.05 * 0.95)


def test_a_difference_within_the_scatter_of_seeds_counts_half():
    """Ranks are of runs: better by a hair on 28 of 40 tasks, far worse on 12, and the scatter decides the 28."""
    rng = np.random.default_rng(0)

    def board(noise):
        return {
            f"task {t}": {
                model: dict(enumerate(rng.normal(mean, noise, 3).tolist()))
                for model, mean in {"hair": 0.0, "far": 2.0 if t < 12 else -1e-3, "low": -9.0}.items()
            }
            for t in range(40)
        }

    exact, seen = (places(ranked(board(noise), ("hair", "far", "low"))) for noise in (1e-9, 0.3))
    assert exact["hair"].points > exact["far"].points
    assert seen["far"].points > seen["hair"].points
    # On the 28 tasks each of them has about one half, on the 12 the other one has all.
    assert seen["far"].points == pytest.approx((28 * 0.75 + 12) / 40, abs=0.05)
    assert (seen["far"].seed_upper, seen["hair"].seed_lower) == (1, 2)


def test_few_tasks_say_nothing_of_others_but_seeds_do_of_these():
    made = ranked(planted(tasks=3, noise=0.01))
    assert all((place.lower, place.upper) == (1, 5) for place in made.places)
    assert [place.seed_lower for place in made.places] == [place.seed_upper for place in made.places] == [1, 2, 3, 4, 5]
    assert "3 tasks cannot say" in made.notes[0]


def test_what_is_missing_is_no_zero():
    """The best model lacks half of the tasks, the hard ones or the easy ones: it stays the best."""
    for gone in (range(6), range(6, 12)):
        values = planted()
        for t in gone:
            del values[f"task {t}"]["a"]
        made = ranked(values)
        assert (made.places[0].entry, made.places[0].rank, made.places[0].tasks) == ("a", 1, 6)
        assert [place.entry for place in made.places] == list(MODELS)


def test_tasks_with_a_weak_field_are_no_advantage():
    """On the tasks that b has, the strong models a and c are missing, and it wins them all; it is still third."""
    values = planted(models=("a", "c", "b", "d", "e"))
    for t in range(4):
        del values[f"task {t}"]["a"], values[f"task {t}"]["c"]
    for t in range(4, 8):
        del values[f"task {t}"]["b"]
    made = ranked(values)
    assert [place.entry for place in made.places] == ["a", "c", "b", "d", "e"]
    # The mean rank falls for it: (4 x 1st of 3 and 4 x 3rd of 5) against (4 x 2nd of 4 and 4 x 2nd of 5).
    mean_ranks = {name: place.mean_rank for name, place in places(made).items()}
    assert (mean_ranks["b"], mean_ranks["c"]) == pytest.approx((2.0, 13 / 6))
    by_entry = {one.entry: one for one in made.disagreements}
    assert (by_entry["b"].points, by_entry["b"].mean_rank, by_entry["c"].mean_rank) == (3, 2, 3)
    # Four common tasks cannot tell b from c, so that its interval allows for either.
    assert by_entry["b"].within
    said = " ".join(made.notes)
    assert "2 of 5 models have another rank by another rule, all of them inside of their interval." in said
    assert "ranks of c: 2 by points, 3 by mean rank, 2 by win rate, 2 by Bradley-Terry; it lacks 4 of the 12" in said


def test_a_note_says_who_is_first_by_which_rule():
    """On half of the tasks b has no strong rivals and wins; where it meets a and c, on one task, it is third."""
    values = planted(models=("a", "c", "b", "d", "e"))
    for t in range(6):
        del values[f"task {t}"]["a"], values[f"task {t}"]["c"]
    for t in range(6, 11):
        del values[f"task {t}"]["b"]
    for t in (6, 7):
        of = values[f"task {t}"]
        of["a"], of["c"] = of["c"], of["a"]
    made = ranked(values)
    assert made.places[0].entry == "a"
    assert min(made.places, key=lambda place: place.mean_rank).entry == "b"
    assert made.notes[0] == "The rules do not agree on who is first: by points it is a, by mean rank it is b."
    assert any("the mean rank with whoever has a task" in note for note in made.notes)


def test_too_few_tasks_are_no_rank():
    values = planted()
    kept = math.ceil(MINIMUM_SHARE * 12) - 1
    for t in range(kept, 12):
        del values[f"task {t}"]["a"]
    for t in range(12):
        values[f"task {t}"]["b"] = {0: 1.0}  # one seed
    made = ranked(values)
    assert [place.entry for place in made.places] == ["c", "d", "e"]
    assert [(one.entry, one.tasks, one.reason) for one in made.unranked] == [
        ("a", 5, "it has 5 of 12 common tasks of one, a rank needs 6"),
        ("b", 0, "it has 0 of 12 common tasks of one, a rank needs 6"),
    ]


def test_who_is_not_asked_for_changes_nothing():
    values = planted()
    with_control = {t: of | {"control": dict(enumerate([99.0, 98.0]))} for t, of in values.items()}
    assert ranked(with_control) == ranked(values)


def test_nobody_to_compare_with():
    made = ranked(planted(models=("a",)), ("a",))
    assert made.places == []
    assert made.unranked[0].reason == "there is no other model to compare it with"
    assert ranked({}, ()).places == []


def test_all_tracks_weigh_the_same():
    """Eight tasks of a track that a loses do not outvote two of a track that it wins."""
    rng = np.random.default_rng(2)
    values, tracks = {}, {}
    for t in range(10):
        track, better = ("small", "a") if t < 2 else ("large", "b")
        tracks[f"task {t}"] = track
        values[f"task {t}"] = {m: dict(enumerate(rng.normal(m == better, 0.01, 3).tolist())) for m in ("a", "b")}
    made = ranked(values, ("a", "b"), tracks=tracks)
    assert [(place.rank, place.points) for place in made.places] == [(1, 0.5), (1, 0.5)]


def test_the_same_whatever_the_order():
    values = planted(gap=0.1)
    del values["task 3"]["b"]
    turned = {t: dict(reversed(of.items())) for t, of in reversed(values.items())}
    assert ranked(turned, tuple(reversed(MODELS))).model_dump_json() == ranked(values).model_dump_json()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 3.0), st.floats(0.0, 0.4))
def test_being_better_never_worsens_a_rank(seed, gain, gone):
    rng = np.random.default_rng(seed)
    values = planted(gap=0.2, tasks=6, noise=0.5, seed=seed)
    for of_models in values.values():
        for model in MODELS[1:]:
            if rng.random() < gone and len(of_models) > 2:
                del of_models[model]
    better = {t: dict(of) for t, of in values.items()}
    chosen = rng.choice([t for t in values if "c" in values[t]] or ["task 0"])
    if "c" not in values[chosen]:
        return
    better[chosen]["c"] = {s: v + gain for s, v in values[chosen]["c"].items()}
    before, after = (places(ranked(v, draws=2)) for v in (values, better))
    if "c" in before:
        assert after["c"].rank <= before["c"].rank
        assert after["c"].points >= before["c"].points - 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_without_missing_cells_all_rules_agree(seed):
    """In a balanced design the order by Bradley-Terry is that by wins, and mean ranks are wins."""
    made = ranked(planted(gap=0.05, noise=0.5, tasks=7, seed=seed))
    assert made.disagreements == []
    assert "give the same ranks" in made.notes[-1]
    by_wins = sorted(made.places, key=lambda place: -place.win_rate)
    assert [place.entry for place in by_wins] == [place.entry for place in made.places]


def test_the_resolution_is_that_of_the_paired_differences():
    rng = np.random.default_rng(3)
    hard = rng.normal(0, 10, 5)
    values = {m: dict(enumerate((hard + rng.normal(0, 0.5, 5)).tolist())) for m in MODELS}
    made = make_resolution("toy", "accuracy", values)
    deviations = [
        np.std([values[x][s] - values[y][s] for s in range(5)], ddof=1)
        for i, x in enumerate(MODELS)
        for y in MODELS[:i]
    ]
    assert made.deviation == pytest.approx(np.median(deviations), rel=1e-9)
    assert made.difference == pytest.approx(1.681997 * made.deviation, rel=1e-6)
    assert (made.seeds, made.pairs) == (5, 10)
    assert make_resolution("toy", "accuracy", {"a": {0: 1.0}, "b": {1: 1.0}}) is None
    assert make_resolution("toy", "accuracy", {"a": {0: 1.0, 1: 2.0}}) is None


def test_the_document_comes_back(tmp_path):
    made = ranked(planted())
    assert Standings.model_validate_json(made.model_dump_json()) == made
    assert make_board([]).standings == []


def test_a_task_of_few_models_ranks_nobody_and_costs_nobody_a_rank():
    common = {f"toy/{t}": {m: {s: rank + 0.01 * s for s in range(5)} for rank, m in enumerate("abcdefg")} for t in "xy"}
    rare = {f"toy/rare-{k}": {m: {s: float(s) for s in range(5)} for m in "ab"} for k in range(9)}
    values = common | rare
    made = make_standings("one", values, dict.fromkeys(values, 1), dict.fromkeys(values, "one"), list("abcdefg"))
    assert made.tasks == sorted(common)
    assert [place.entry for place in made.places] == list("gfedcba")
