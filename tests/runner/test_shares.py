"""Seeds and shards: lists that are read as they are meant, and a partition that is the same everywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lebench.errors import LebenchError
from lebench.runner.shares import Shard, parse_seeds

GROUPS = st.sets(
    st.tuples(st.text("ab", max_size=3), st.just("torch"), st.sampled_from(["d", "e"]), st.integers(0, 99)), max_size=40
)


@pytest.mark.parametrize(
    ("asked", "seeds"),
    [
        (3, [0, 1, 2]),
        ("3", [0, 1, 2]),
        ("12,", [12]),
        ("0-9,12", [*range(10), 12]),
        ("3-5", [3, 4, 5]),
        ("5,3,3-4", [3, 4, 5]),
        (" 7 , 9 ", [7, 9]),
        ("4-4", [4]),
        ([5, 2, 2], [2, 5]),
        (range(2), [0, 1]),
    ],
)
def test_seeds_are_a_number_or_a_list(asked, seeds):
    assert parse_seeds(asked) == seeds


@pytest.mark.parametrize(
    "asked",
    ["", ",", "0", 0, -1, "-1", "a", "1-", "5-3", "1.5", "0x2", "1_0", "0-9999999", "٣", [], [-1], "1;2", "1-2-3"],
)
def test_seeds_that_are_no_list_are_named(asked):
    with pytest.raises(LebenchError, match="seed"):
        parse_seeds(asked)


@pytest.mark.parametrize("text", ["0/8", "9/8", "1", "1/0", "a/b", "-1/8", "1/8/2", "1.0/2", "", "1/"])
def test_shard_out_of_range_is_named(text):
    with pytest.raises(LebenchError, match="from 1/8 to 8/8"):
        Shard.parse(text)


@given(GROUPS, st.integers(1, 9))
def test_shards_are_a_partition_in_equal_parts_whatever_the_order(groups, count):
    shares = [Shard(number, count).of(groups) for number in range(1, count + 1)]
    assert set().union(*shares) == groups
    assert sum(map(len, shares)) == len(groups)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    backwards = Shard(count, count).of(sorted(groups, reverse=True))
    assert backwards == shares[-1]


def test_shard_is_the_same_on_every_machine_and_version():
    groups = [("mlp", "torch", "digits", seed) for seed in range(8)]
    assert sorted(seed for *_, seed in Shard.parse("2/3").of(groups)) == [2, 6, 7]
