"""He & Su 2020: the local elasticity of neural networks."""

from __future__ import annotations

from lebench import pictures
from lebench.site.papers.base import Claim, Evidence, Finding, Paper, sign, together, told
from lebench.site.papers.figures import along, by_model

_NETWORKS = ("mlp", "lenet", "cnn", "resnet-nf", "resnet", "vgg")
_CURVES = {"torus": "manifold/torus", "double helix": "manifold/helix", "two cosines": "manifold/cosines"}
_RATES = (0.03, 0.1, 0.2, 0.5, 1.0, 3.0)


def _distance(evidence: Evidence) -> Finding:
    key = "manifold/torus", "distance_pearson"
    gap = evidence.difference(("deep-linear", *key), ("mlp", *key))
    pair = {model: evidence.arrays(model, key[0]) for model in ("mlp", "deep-linear")}
    signed = {m: evidence.mean(m, key[0], "distance_pearson@signed") for m in ("mlp", "deep-linear")}
    shown = [
        *pictures.comparisons(pair)[:1],
        by_model(
            evidence,
            "Correlation of similarity and geodesic distance",
            {
                f"{name}, {kind}": (task, f"distance_pearson{qualifier}")
                for name, task in _CURVES.items()
                for kind, qualifier in (("relative", ""), ("signed", "@signed"))
            },
            ("mlp", "deep-linear", "linear", "ntk-mlp", "rbf", "permuted-labels"),
            reference=0.0,
        ),
    ]
    return Finding(
        sign(gap),
        f"On the torus the correlation is {told(evidence.mean('mlp', *key))} for the network and "
        f"{told(evidence.mean('deep-linear', *key))} for its linear counterpart, a paired difference of {told(gap)}. "
        "The relative similarity is an absolute value: with its sign the correlations are "
        f"{told(signed['mlp'])} and {told(signed['deep-linear'])}.",
        shown,
    )


def _clusters(evidence: Evidence) -> Finding:
    task = "mnist/clustering-5v8"
    gain = evidence.difference(("mlp", task, "adjusted_rand_index@5v8"), ("mlp", task, "adjusted_rand_index@pixels"))
    linear = evidence.difference(
        ("mlp", task, "adjusted_rand_index@5v8"), ("deep-linear", task, "adjusted_rand_index@5v8")
    )
    panels = {
        "relative similarity": (task, "adjusted_rand_index@5v8"),
        "kernel similarity": (task, "adjusted_rand_index@kernel-5v8"),
        "pixels": (task, "adjusted_rand_index@pixels"),
        "autoencoder": (task, "adjusted_rand_index@autoencoder"),
    }
    models = (*_NETWORKS, "deep-linear", "ntk-mlp", "rbf", "permuted-labels")
    return Finding(
        together(sign(gain), sign(linear)),
        "The adjusted Rand index of the perceptron's relative similarity exceeds that of k-means on pixels by "
        f"{told(gain)} and that of the deep linear network's similarity by {told(linear)}.",
        [by_model(evidence, "The 5 and the 8 of MNIST, trained as one class", panels, models, reference=0.0)],
    )


def _rates(evidence: Evidence) -> Finding:
    task = "clustering/learning-rate"
    values = {rate: f"adjusted_rand_index@x{rate:g}" for rate in _RATES}
    kernel = {rate: f"adjusted_rand_index@kernel-x{rate:g}" for rate in _RATES}
    spread = evidence.mean("mlp", task, "spread@rates")
    return Finding(
        sign(spread),
        f"Between the best and the worst of six learning rates lie {told(spread)} of adjusted Rand index for the "
        f"perceptron and {told(evidence.mean('cnn', task, 'spread@rates'))} for the convolutional network.",
        [
            along(
                evidence,
                "Clustering along the learning rate",
                "learning rate, relative to the recipe",
                {"relative similarity": (task, values), "kernel similarity": (task, kernel)},
                ("mlp", "cnn", "resnet-nf", "deep-linear"),
                log_x=True,
            )
        ],
    )


def _trained(evidence: Evidence) -> Finding:
    task, value = "digits/elasticity", "elasticity_difference"
    more = evidence.difference(("mlp", task, value), ("deep-linear", task, value))
    labels = evidence.difference(("mlp", task, value), ("permuted-labels", task, value))
    ratio = evidence.difference(("mlp", task, "elasticity_ratio"), ("permuted-labels", task, "elasticity_ratio"))
    models = (*_NETWORKS, "deep-linear", "linear", "ntk-mlp", "rbf", "permuted-labels", "random-features")
    return Finding(
        together(sign(more), sign(labels)),
        "Mean similarity within classes minus that between them is larger for the perceptron than for its linear "
        f"counterpart by {told(more)}, and than for the same network on permuted labels by {told(labels)}. In the "
        f"ratio of the two means, true labels are ahead of permuted ones by {told(ratio)}.",
        [
            by_model(
                evidence,
                "Local elasticity on digits",
                {"difference of means": (task, value), "ratio": (task, "elasticity_ratio")},
                models,
            )
        ],
    )


PAPER = Paper(
    name="local-elasticity",
    short="Local elasticity",
    title="The Local Elasticity of Neural Networks",
    authors="H. He, W. J. Su",
    venue="ICLR 2020",
    link="https://arxiv.org/abs/1910.06943",
    question="Does a gradient step on one point move the predictions of similar points more than of others?",
    claims=(
        Claim(
            "Similarity falls with distance",
            "On a manifold, the relative similarity of a ReLU network falls with geodesic distance; that of a linear "
            "network does not.",
            "section 2 and its synthetic examples",
            "100 points, Pearson correlation over ordered pairs of one class without the diagonal; similarity as the "
            "exact first-order limit where the released code takes adaptive steps in single precision. Networks of our "
            "registry instead of 40,960 hidden units.",
            ("manifold/*",),
            ("mlp", "deep-linear", "linear", "ntk-mlp", "rbf", "permuted-labels"),
            _distance,
        ),
        Claim(
            "Similarity finds classes inside a class",
            "Two digits that were trained as one class are told apart by clustering similarities, better than by "
            "clustering pixels or the similarities of a linear network.",
            "section 3, tables of clustering accuracies",
            "MNIST, 5 and 8 against 9 and 3; 320 training images instead of 2,000 and 50 + 50 points clustered instead "
            "of 500 + 500. Scored by the adjusted Rand index, because the better of two assignments has an accuracy "
            "above one half by chance.",
            ("mnist/clustering-5v8",),
            (*_NETWORKS, "deep-linear", "ntk-mlp", "rbf", "permuted-labels"),
            _clusters,
        ),
        Claim(
            "What it finds depends on the learning rate",
            "The paper fixes one learning rate in each experiment; that another would differ is our claim.",
            "section 3, experimental settings",
            "Digits of scikit-learn, six learning rates relative to each recipe, mse, plain SGD, batches of 50.",
            ("clustering/learning-rate",),
            ("mlp", "cnn", "resnet-nf", "deep-linear"),
            _rates,
        ),
        Claim(
            "Classes, not only distances",
            "Networks are more elastic than linear models because they learn: similarity is higher within classes.",
            "sections 1 and 2",
            "Digits: the mean similarity within and between classes, as a difference and as the ratio of later papers, "
            "beside a network that was trained on permuted labels.",
            ("digits/elasticity",),
            (*_NETWORKS, "deep-linear", "linear", "ntk-mlp", "rbf", "permuted-labels", "random-features"),
            _trained,
        ),
    ),
    released=(
        "The step begins at 1e-6 in single precision and grows threefold until the prediction moves at all, so each "
        "point is measured with its own step at the rounding floor; lebench takes the exact limit, or a real step in "
        "double precision.",
        "Similarities are divided by twice the step for both losses: right for squared error, a spurious factor 2 for "
        "cross-entropy. Metrics of lebench divide by the loss gradient.",
        "The correlation includes the diagonal, where similarity is largest and distance zero.",
        "Kernel k-means starts once and stops at an empty cluster; lebench starts several times and says so.",
    ),
)
