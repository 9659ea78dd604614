"""A checkpoint of a plain training loop, scored in one call: its values are those that its owner computes by hand."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import lebench
from lebench.data.base import balanced_subset
from lebench.seeds import generator

MNIST = Path(os.environ.get("LEBENCH_DATA", "")) / "mnist"


def made_up():
    rng = np.random.default_rng(0)
    y = np.arange(240) % 4
    x = rng.standard_normal((4, 1, 8, 8))[y] + 1.5 * rng.standard_normal((240, 1, 8, 8))
    return x[:160], y[:160], x[160:], y[160:]


def mnist():
    def read(name, header):
        return np.frombuffer(gzip.decompress((MNIST / name).read_bytes()), np.uint8, offset=header)

    found = []
    for part in ("train", "t10k"):
        images = read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
        labels = read(f"{part}-labels-idx1-ubyte.gz", 8).astype(int)
        found += [(images / 255 - 0.1307) / 0.3081, labels]
    return found


def make(input_shape, outputs):
    pixels = (input_shape[1] // 2) ** 2
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(8 * pixels, 32), nn.ReLU(), nn.Linear(32, outputs),
    )  # fmt: skip


def train(x, y, epochs):
    torch.manual_seed(0)
    module = make(x.shape[1:], int(y.max()) + 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x[batch]), y[batch]).backward()
            optimizer.step()
    return module


def by_hand(module, x, y, x_test, y_test):
    """Return the values of a trained module by torch and NumPy alone."""
    module, classes = module.double().eval(), int(y.max()) + 1
    body, head = module[:-1], module[-1]
    with torch.no_grad():
        features = {part: body(torch.tensor(a)).numpy() for part, a in (("train", x), ("test", x_test))}
        weights, bias = head.weight.numpy(), head.bias.numpy()
    scores = {part: h @ weights.T + bias for part, h in features.items()}
    p = np.exp(scores["test"] - scores["test"].max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    of_label, right = p[range(len(y_test)), y_test], p.argmax(1) == y_test
    bins = np.ceil(15 * p.max(1)).astype(int)
    found = {
        "accuracy": right.mean(),
        "error": 1 - right.mean(),
        "log_loss": -np.log(of_label).mean(),
        "brier": (np.square(p).sum(1) - 2 * of_label + 1).mean(),
        "expected_calibration_error": sum(abs((right - p.max(1))[bins == b].sum()) for b in range(16)) / len(p),
        "generalization_gap": (scores["train"].argmax(1) == y).mean() - right.mean(),
    }

    # He & Su 2020: what a step on x_i does to the scores at x_j, by a gradient of the loss and a derivative along it.
    each = balanced_subset(y_test, 10 * classes, classes, generator(0, "probe"))
    probes, labels = torch.tensor(x_test[each]), y_test[each]
    values = dict(module.named_parameters())
    moved = []
    for i, label in enumerate(labels):
        loss = nn.functional.cross_entropy(module(probes[i : i + 1]), torch.tensor([label]))
        slope = dict(zip(values, torch.autograd.grad(loss, values.values()), strict=True))
        along = torch.func.jvp(lambda w: torch.func.functional_call(module, w, (probes,)), (values,), (slope,))[1]
        moved.append(along.detach().numpy())
    moved = np.stack(moved)
    own = moved[range(len(labels)), range(len(labels))]
    norm = np.linalg.norm(own, axis=1)[:, None]
    for kind, similarity in (
        ("", np.linalg.norm(moved, axis=2) / norm),
        ("@signed", np.einsum("ijc,ic->ij", moved, own) / norm**2),
    ):
        same = labels[:, None] == labels
        within, between = similarity[same & ~np.eye(len(labels), dtype=bool)].mean(), similarity[~same].mean()
        found[f"elasticity_difference{kind}"] = within - between
        if not kind:
            found |= {"within_class_similarity": within, "between_class_similarity": between}
            found["elasticity_ratio"] = within / (within + between)

    # Papyan, Han & Donoho 2020.
    for part, labels in (("train", y), ("test", y_test)):
        h = features[part]
        means = np.stack([h[labels == c].mean(0) for c in range(classes)])
        centred, inner = means - means.mean(0), h - means[labels]
        between, within = centred.T @ centred / classes, inner.T @ inner / len(h)
        variances = np.array([np.square(inner[labels == c]).sum(1).mean() for c in range(classes)])
        a, b = np.triu_indices(classes, 1)
        nearest = np.square(h[:, None] - means).sum(2).argmin(1)
        values = {
            "nc1_pinv_over_C": np.trace(within @ np.linalg.pinv(between, rcond=1e-10)) / classes,
            "nc1_quotient": np.trace(within) / np.trace(between),
            "cdnv": ((variances[a] + variances[b]) / (2 * np.square(means[a] - means[b]).sum(1))).mean(),
            "ncc_accuracy": (nearest == labels).mean(),
            "nc4": (nearest != scores[part].argmax(1)).mean(),
            "nc3_selfduality": np.square(weights / np.linalg.norm(weights) - centred / np.linalg.norm(centred)).sum(),
        }
        for suffix, vectors in (("", centred), ("_weights", weights)):
            norms = np.linalg.norm(vectors, axis=1)
            cosines = (vectors @ vectors.T / np.outer(norms, norms))[a, b]
            values[f"nc2_equinorm{suffix}"] = norms.std(ddof=1) / norms.mean()
            values[f"nc2_equiangular{suffix}"] = np.abs(cosines + 1 / (classes - 1)).mean()
        found |= {f"{name}@{part}": value for name, value in values.items()}
    return found


@pytest.mark.parametrize(
    ("data", "epochs"),
    [
        (made_up, 5),
        pytest.param(
            mnist,
            1,
            marks=[pytest.mark.slow, pytest.mark.skipif(not MNIST.is_dir(), reason="LEBENCH_DATA has no mnist")],
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_a_checkpoint_of_a_plain_loop_has_the_values_by_hand(tmp_path, data, epochs):
    x, y, x_test, y_test = data()
    module = train(x, y, epochs)
    torch.save(module.state_dict(), tmp_path / "w.pt")
    frame = lebench.score(tmp_path / "w.pt", x, y, x_test, y_test, builder=make)
    assert not frame["reason"].any()
    expected = by_hand(module, x, y, x_test, y_test)
    found = dict(zip(frame["metric"], frame["value"], strict=True))
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value == pytest.approx(expected[name], rel=1e-8, abs=1e-10), name
