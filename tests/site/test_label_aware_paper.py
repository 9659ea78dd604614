"""The page of findings on label-aware kernels: planted records have planted verdicts, missing ones are said to be."""

import re

import numpy as np
import pytest

from lebench.board import Board, entry_name, mean_interval
from lebench.board.board import Score
from lebench.site import papers
from lebench.site.papers.base import Evidence
from lebench.site.papers.label_aware_findings import classes
from lebench.site.papers.label_aware_kernels import PAPER
from lebench.site.pictures import Gallery


def score(model, task, value, mean, seeds=5):
    by_seed = {seed: mean + 0.1 * seed + 0.001 * (seed % 2) * (len(model) % 3) for seed in range(seeds)}
    return scored(model, task, value, by_seed)


def scored(model, task, value, by_seed):
    estimate = mean_interval(by_seed.values())
    return Score(
        entry=entry_name(model),
        task=task,
        value=value,
        mean=estimate.mean,
        lower=estimate.lower,
        upper=estimate.upper,
        seeds=len(by_seed),
        by_seed=by_seed,
    )


def verdicts(scores):
    board = Board.model_construct(level=0.95, tasks=[], metrics=[], entries=[], scores=scores)
    text = papers.pages(papers.judge(board, Gallery(), [PAPER]))["label-aware-kernels.md"]
    return dict(zip([c.title for c in PAPER.claims], re.findall(r'data-verdict="([^"]+)"', text), strict=True)), text


TASKS = {"lantk/cifar-pairs": "deer-dog", "lantk/mnist-pairs": "4-9", "lantk/digits-pairs": "3-8"}


def pairs(kernel, aware, network, permuted=None, seeds=5):
    """Return the scores of dense and convolutional models on all pairs and on ten classes, the same on all."""
    made = []
    for task, first in (TASKS | {"lantk/cifar-multiclass": "n=500"}).items():
        small = task == "lantk/digits-pairs"
        for family in ("mlp", "cnn"):
            models = {f"ntk-{family}": kernel, f"lantk-hr-{family}": aware}
            models[family if small else f"{family}[lr=0.0003,optimizer=adam]"] = network
            if permuted is not None:
                models[f"lantk-hr-{family}[permuted=true]"] = permuted
            for model, mean in models.items():
                values = ("accuracy@mean", "elasticity_ratio@mean", "elasticity_difference@mean")
                made += [score(model, task, value, mean, seeds) for value in values]
            made.append(score(f"lantk-hr-{family}", task, f"label_ratio@{first}", 0.1, seeds))
    return made


def test_without_records_the_page_says_so_and_draws_nothing():
    found, text = verdicts([])
    assert set(found.values()) == {"not measured"}
    assert "le-picture" not in text


@pytest.mark.parametrize(
    ("means", "better", "between"),
    [
        ((0.5, 0.6, 0.9), "holds", "holds"),
        # Below its kernel, and below the network as claimed.
        ((0.5, 0.4, 0.9), "fails", "in part"),
        ((0.5, 0.5, 0.9), "underpowered", "underpowered"),
        ((0.9, 0.95, 0.5), "holds", "in part"),
        ((0.5, 0.95, 0.9), "holds", "in part"),
    ],
)
def test_verdicts_follow_the_records(means, better, between):
    found, text = verdicts(pairs(*means))
    assert found["Labels make the kernel better"] == better
    assert found["Between kernel and network, in accuracy"] == between
    assert found["Between kernel and network, in elasticity"] == between
    assert found["More on many classes"] == "fails"
    assert found["At every training size"] == "not measured"
    assert ("Share of the gap that is closed" in text) == (means[2] > means[0])


def test_one_seed_decides_nothing():
    found, _ = verdicts(pairs(0.5, 0.6, 0.9, permuted=0.5, seeds=1))
    assert {found[c.title] for c in PAPER.claims[:3]} == {"underpowered"}
    assert found["Only true labels help"] == "underpowered"


def test_a_control_that_gains_is_shown_to_fail():
    assert verdicts(pairs(0.5, 0.6, 0.9, permuted=0.5))[0]["Only true labels help"] == "holds"
    assert verdicts(pairs(0.5, 0.6, 0.9, permuted=0.7))[0]["Only true labels help"] == "fails"


def test_what_ten_classes_gain_is_compared_seed_by_seed():
    """Gains of 0.1 and 0.2 in turn on pairs and on ten classes are the same, although pairs have no first seed."""
    made = []
    for family in ("mlp", "cnn"):
        for task, seeds in (("lantk/cifar-pairs", range(1, 6)), ("lantk/cifar-multiclass", range(5))):
            gained = {seed: 0.6 + 0.1 * (seed % 2) for seed in seeds}
            made.append(scored(f"lantk-hr-{family}", task, "accuracy@mean", gained))
            made.append(scored(f"ntk-{family}", task, "accuracy@mean", dict.fromkeys(seeds, 0.5)))
    board = Board.model_construct(level=0.95, tasks=[], metrics=[], entries=[], scores=made)
    found = classes(Evidence(board, Gallery()))
    assert all(np.allclose(contrast.values, 0) and len(contrast.values) == 4 for contrast in found.values())


def test_commands_quote_models_with_parameters():
    assert "--model 'mlp[lr=0.0003,optimizer=adam]'" in verdicts([])[1]
