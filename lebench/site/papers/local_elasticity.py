"""He & Su 2020: the local elasticity of neural networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lebench import pictures
from lebench.pictures import Picture
from lebench.site.papers.base import Claim, Contrast, Evidence, Paper, told
from lebench.site.papers.figures import along, by_model

_NETWORKS = ("mlp", "lenet", "cnn", "resnet-nf", "resnet", "vgg")
_LINEAR = {"deep-linear": "linear network", "linear": "linear classifier"}
_CURVES = {"torus": "manifold/torus", "double helix": "manifold/helix", "two cosines": "manifold/cosines"}
_RATES = (0.03, 0.1, 0.2, 0.5, 1.0, 3.0)
_TORUS = "manifold/torus"
#: A correlation nearer to zero than this is none: a tenth of the variance.
_NONE = 0.316


def _distance(evidence: Evidence) -> Mapping[str, Contrast]:
    kinds = {"relative": "distance_pearson", "signed": "distance_pearson@signed"}
    network = {
        f"mlp, {kind}": evidence.contrast(("mlp", _TORUS, value), threshold=-_NONE, under=True)
        for kind, value in kinds.items()
    }
    linear = {
        f"{model}, {kind}": evidence.contrast((model, _TORUS, value), threshold=-_NONE)
        for model in _LINEAR
        for kind, value in kinds.items()
    }
    return network | linear


def _distance_pictures(evidence: Evidence) -> Sequence[Picture]:
    pair = {model: evidence.arrays(model, _TORUS) for model in ("mlp", "deep-linear")}
    return [
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


def _accuracy(evidence: Evidence) -> str:
    accuracy = told(evidence.mean("mlp", _TORUS, "accuracy"))
    return f"The accuracy of the network is {accuracy}; the longer fit of the paper is not tested."


_DIGITS = "mnist/clustering-5v8"


def _clusters(evidence: Evidence) -> Mapping[str, Contrast]:
    own, pixels = "adjusted_rand_index@5v8", "adjusted_rand_index@pixels"
    return {
        "than k-means on pixels": evidence.contrast(("mlp", _DIGITS, own), ("mlp", _DIGITS, pixels)),
        "than a linear network": evidence.contrast(("mlp", _DIGITS, own), ("deep-linear", _DIGITS, own)),
    }


def _clusters_pictures(evidence: Evidence) -> Sequence[Picture]:
    panels = {
        "relative similarity": (_DIGITS, "adjusted_rand_index@5v8"),
        "kernel similarity": (_DIGITS, "adjusted_rand_index@kernel-5v8"),
        "pixels": (_DIGITS, "adjusted_rand_index@pixels"),
        "autoencoder": (_DIGITS, "adjusted_rand_index@autoencoder"),
    }
    models = (*_NETWORKS, "deep-linear", "ntk-mlp", "rbf", "permuted-labels")
    return [by_model(evidence, "The 5 and the 8 of MNIST, trained as one class", panels, models, reference=0.0)]


_RATE_TASK = "digits/learning-rate"


def _rates(evidence: Evidence) -> Mapping[str, Contrast]:
    return {m: evidence.contrast((m, _RATE_TASK, "spread@rates"), threshold=0.1) for m in ("mlp", "cnn")}


def _rates_pictures(evidence: Evidence) -> Sequence[Picture]:
    values = {rate: f"adjusted_rand_index@x{rate:g}" for rate in _RATES}
    kernel = {rate: f"adjusted_rand_index@kernel-x{rate:g}" for rate in _RATES}
    return [
        along(
            evidence,
            "Clustering along the learning rate",
            "learning rate, relative to the recipe",
            {"relative similarity": (_RATE_TASK, values), "kernel similarity": (_RATE_TASK, kernel)},
            ("mlp", "cnn", "resnet-nf", "deep-linear"),
            log_x=True,
        )
    ]


_ELASTICITY = "digits/elasticity"


def _trained(evidence: Evidence) -> Mapping[str, Contrast]:
    value = "elasticity_difference"
    others = {**_LINEAR, "permuted-labels": "the same network on permuted labels"}
    return {
        f"than {model}": evidence.contrast(("mlp", _ELASTICITY, value), (model, _ELASTICITY, value)) for model in others
    }


def _trained_pictures(evidence: Evidence) -> Sequence[Picture]:
    models = (*_NETWORKS, "deep-linear", "linear", "ntk-mlp", "rbf", "permuted-labels", "random-features")
    panels = {
        "difference of means": (_ELASTICITY, "elasticity_difference"),
        "ratio": (_ELASTICITY, "elasticity_ratio"),
    }
    return [by_model(evidence, "Local elasticity on digits", panels, models)]


_MLP = {"mlp": "ReLU network, of three layers where the paper has two"}

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
            "“This phenomenon is shown to persist for neural networks with nonlinear activation functions through "
            "extensive simulations on real-life and synthetic datasets, whereas this is not observed in linear "
            "classifiers.”",
            "abstract; section 2, torus",
            "100 points, similarity as the exact first-order limit where the released code takes adaptive steps in "
            "single precision. Networks of our registry instead of 40,960 hidden units, at a lower accuracy.",
            ("manifold/*",),
            _MLP,
            _LINEAR,
            "Pearson correlation of similarity and geodesic distance on the torus, over ordered pairs of one class "
            f"without the diagonal; below -{_NONE:g} for the network and above it for linear ones",
            _distance,
            _distance_pictures,
            _accuracy,
        ),
        Claim(
            "Similarity finds classes inside a class",
            "“Building on top of local elasticity, we obtain pairwise similarity measures between feature vectors, "
            "which can be used for clustering in conjunction with K-means.”",
            "abstract; section 3, tables of clustering accuracies",
            "MNIST, 5 and 8 against 9 and 3; 320 training images instead of 2,000 and 50 + 50 points clustered instead "
            "of 500 + 500. Trained by cross-entropy with momentum, where the paper has squared error and plain SGD at "
            "a large rate.",
            (_DIGITS,),
            _MLP,
            {"deep-linear": "linear network"},
            "adjusted Rand index of the network's relative similarity minus that of what it is compared with",
            _clusters,
            _clusters_pictures,
        ),
        Claim(
            "What it finds depends on the learning rate",
            "The paper fixes one learning rate in each experiment; that another would differ is our claim.",
            "ours; section 3 has the settings",
            "Digits of scikit-learn, six learning rates relative to each recipe, mse, plain SGD, batches of 50.",
            (_RATE_TASK,),
            {**_MLP, "cnn": "convolutional network"},
            {},
            "adjusted Rand index at the best minus at the worst of six learning rates, above 0.1",
            _rates,
            _rates_pictures,
        ),
        Claim(
            "Classes, not only distances",
            "“A classifier is said to be locally elastic if its prediction at a feature vector x' is not significantly "
            "perturbed, after the classifier is updated via stochastic gradient descent at a (labeled) feature vector "
            "x that is dissimilar to x' in a certain sense.” Networks do that more than linear models, by classes.",
            "abstract; sections 1 and 2",
            "Digits of scikit-learn, where the paper has MNIST and CIFAR-10.",
            (_ELASTICITY,),
            _MLP,
            {**_LINEAR, "permuted-labels": "ours: the same network on permuted labels"},
            "mean similarity within classes minus between them, of the network minus of what it is compared with",
            _trained,
            _trained_pictures,
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
