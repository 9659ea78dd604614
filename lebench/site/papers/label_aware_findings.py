"""What our records say to the claims of Chen, He & Su 2020; the claims are in the module of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lebench.board import Position, entry_name
from lebench.board.between import position
from lebench.pictures import Picture
from lebench.pictures.base import number
from lebench.site.papers.base import Contrast, Evidence, NotMeasured, told
from lebench.site.papers.figures import along, by_model

#: What stands for the two-layer networks of papers.
THREE_LAYERS = "ReLU network, of three layers where the paper has two"
#: The optimizer of the paper. By their published rates of SGD the networks diverge on photographs.
DENSE, CONVOLUTIONAL = "mlp[lr=0.0003,optimizer=adam]", "cnn[lr=0.0003,optimizer=adam]"
PERMUTED = {"lantk-hr-mlp": "lantk-hr-mlp[permuted=true]", "lantk-hr-cnn": "lantk-hr-cnn[permuted=true]"}
_SMALL = "lantk/digits-pairs"
PAIRS = ("lantk/cifar-pairs", "lantk/mnist-pairs", _SMALL)
MANY = "lantk/cifar-multiclass"
CURVES = {"lantk/digits-curve": (50, 100, 200, 400), "lantk/cifar-curve": (100, 200, 400, 800)}
SYSTEMS = "kernel/label-systems"
_ACCURACY, _RATIO, _DIFFERENCE = "accuracy@mean", "elasticity_ratio@mean", "elasticity_difference@mean"


@dataclass(frozen=True)
class Case:
    """A label-aware kernel on a task, beside its kernel and its network: labels of models."""

    task: str
    model: str
    kernel: str
    network: str

    @property
    def name(self) -> str:
        """What it is called in sentences and figures."""
        return f"{self.task.partition('/')[2]}, {self.model}"


def _case(task: str, model: str) -> Case:
    small = task.startswith("lantk/digits")
    if model == "lantk-hr-mlp":
        return Case(task, model, "ntk-mlp", "mlp" if small else DENSE)
    return Case(task, model, "ntk-cnn", "cnn" if small else CONVOLUTIONAL)


_DENSE = [_case(task, "lantk-hr-mlp") for task in PAIRS]
_ALL = [_case(task, model) for task in (*PAIRS, MANY) for model in PERMUTED]
_CURVES = [_case(task, "lantk-hr-mlp") for task in CURVES] + [_case("lantk/digits-curve", "lantk-hr-cnn")]
_CONTROLLED = [_case(task, "lantk-hr-mlp") for task in (*PAIRS, MANY)] + [_case("lantk/cifar-pairs", "lantk-hr-cnn")]


def _key(model: str, task: str, value: str) -> tuple[str, str, str]:
    return entry_name(model), task, value


def _gain(evidence: Evidence, case: Case, value: str) -> Contrast:
    """Return the value of the label-aware kernel minus that of its kernel, paired."""
    return evidence.contrast(_key(case.model, case.task, value), _key(case.kernel, case.task, value))


def gains(evidence: Evidence) -> Mapping[str, Contrast]:
    """Compare the accuracies of the label-aware kernel and its kernel."""
    return {case.name: _gain(evidence, case, _ACCURACY) for case in _ALL}


def gains_note(evidence: Evidence) -> str:
    """Say how large the label-aware part is, and what decides on it."""
    first = {"lantk/cifar-pairs": "deer-dog", "lantk/mnist-pairs": "4-9", _SMALL: "3-8", MANY: "n=500"}
    ratios = [evidence.mean(*_key(c.model, c.task, f"label_ratio@{first[c.task]}")).mean for c in _ALL]
    return (
        f"The size of the label-aware part that leave-one-out chooses is between {number(min(ratios))} and "
        f"{number(max(ratios))} of the kernel (first pair or size, mean over seeds)."
    )


def gains_pictures(evidence: Evidence) -> Sequence[Picture]:
    """Draw accuracies on pairs and classes."""
    panels = {task.partition("/")[2]: (task, _ACCURACY) for task in (*PAIRS, MANY)}
    return [by_model(evidence, "What the labels gain", panels, _entries(False), reference=0.5)]


def _between(evidence: Evidence, value: str) -> Mapping[str, Contrast]:
    """Return, for each case, what says that the model lies above its kernel and below its network."""
    found = {}
    for case in _DENSE:
        found[f"{case.name}, above its kernel"] = _gain(evidence, case, value)
        found[f"{case.name}, below its network"] = evidence.contrast(
            _key(case.network, case.task, value), _key(case.model, case.task, value)
        )
    return found


def _shares(evidence: Evidence, value: str) -> str:
    said = []
    for case in _DENSE:
        share = _placed(evidence, case, value).closed
        if share is not None:
            said.append(f"{case.name} {number(share.value)} [{number(share.lower)}, {number(share.upper)}]")
    return f"Share of the gap that is closed, where there is one: {'; '.join(said)}." if said else ""


def _placed(evidence: Evidence, case: Case, value: str) -> Position:
    values = (evidence.by_seed(*_key(label, case.task, value)) for label in (case.model, case.kernel, case.network))
    found = position(*values, level=evidence.board.level)
    if found is None:
        raise NotMeasured(f"{case.model}, {case.kernel} and {case.network} have no seed of {case.task} in common")
    return found


def _between_pictures(evidence: Evidence, value: str, title: str) -> Sequence[Picture]:
    drawn = []
    for name, small in ((f"{title}, on images", False), (f"{title}, on small digits", True)):
        tasks = dict.fromkeys(case.task for case in _DENSE if (case.task == _SMALL) == small)
        if tasks:
            panels = {task.partition("/")[2]: (task, value) for task in tasks}
            drawn.append(by_model(evidence, name, panels, _entries(small), reference=0.5))
    return drawn


def _entries(small: bool) -> list[str]:
    """Return the entries that figures show: on images without the networks that diverge there."""
    networks = ("mlp", "cnn") if small else (DENSE, CONVOLUTIONAL)
    labels = ("ntk-mlp", "lantk-hr-mlp", networks[0], "ntk-cnn", "lantk-hr-cnn", networks[1], "rbf")
    return [entry_name(label) for label in labels]


def accuracy_between(evidence: Evidence) -> Mapping[str, Contrast]:
    """Place the accuracy of the label-aware kernel between those of kernel and network."""
    return _between(evidence, _ACCURACY)


def accuracy_shares(evidence: Evidence) -> str:
    """Say which share of the gap in accuracy is closed."""
    return _shares(evidence, _ACCURACY)


def accuracy_pictures(evidence: Evidence) -> Sequence[Picture]:
    """Draw the three accuracies."""
    return _between_pictures(evidence, _ACCURACY, "Accuracy: kernel, label-aware kernel, network")


def elasticity_between(evidence: Evidence) -> Mapping[str, Contrast]:
    """Place the elasticity ratio of the label-aware kernel between those of kernel and network."""
    return _between(evidence, _RATIO)


def elasticity_shares(evidence: Evidence) -> str:
    """Say which share of the gap in elasticity is closed."""
    return _shares(evidence, _RATIO)


def elasticity_pictures(evidence: Evidence) -> Sequence[Picture]:
    """Draw the three elasticity ratios."""
    return _between_pictures(evidence, _RATIO, "Elasticity ratio: kernel, label-aware kernel, network")


def _gains_by_seed(evidence: Evidence, case: Case) -> dict[int, float]:
    own, kernel = (evidence.by_seed(*_key(model, case.task, _ACCURACY)) for model in (case.model, case.kernel))
    return {seed: own[seed] - kernel[seed] for seed in own.keys() & kernel.keys()}


def classes(evidence: Evidence) -> Mapping[str, Contrast]:
    """Compare what the label-aware kernel gains with ten classes and with pairs."""
    found = {}
    for model in PERMUTED:
        many, pairs = (_gains_by_seed(evidence, _case(task, model)) for task in (MANY, "lantk/cifar-pairs"))
        found[model] = Contrast(tuple(many[seed] - pairs[seed] for seed in sorted(many.keys() & pairs.keys())))
    return found


def curves(evidence: Evidence) -> Mapping[str, Contrast]:
    """Compare the label-aware kernel and its kernel at every number of training points."""
    return {
        f"{case.name}, {n}": _gain(evidence, case, f"accuracy@n={n}") for case in _CURVES for n in CURVES[case.task]
    }


def curves_pictures(evidence: Evidence) -> Sequence[Picture]:
    """Draw accuracy and elasticity along the number of training points."""
    panels: dict[str, tuple[str, dict[float, str]]] = {}
    for task, sizes in CURVES.items():
        for measure, words in (("accuracy", "accuracy"), ("elasticity_ratio", "elasticity ratio")):
            values = {float(n): f"{measure}@n={n}" for n in sizes}
            panels[f"{task.partition('/')[2]}, {words}"] = (task, values)
    models = list(dict.fromkeys([*_entries(True), *_entries(False)]))
    return [along(evidence, "Learning curves", "training points", panels, models, log_x=True)]


_OVER_TRAINING = "digits/over-training", "elasticity_growth@ratio"
#: The paper's networks, a perceptron and a convolutional one.
TRAINED = {"mlp": THREE_LAYERS, "cnn": "convolutional network"}


def training(evidence: Evidence) -> Mapping[str, Contrast]:
    """Return how much the elasticity of networks grows in training."""
    return {model: evidence.contrast((model, *_OVER_TRAINING)) for model in TRAINED}


def training_note(evidence: Evidence) -> str:
    """Say how much it grows on permuted labels."""
    return f"On permuted labels it grows by {told(evidence.mean('permuted-labels', *_OVER_TRAINING))}."


def training_pictures(evidence: Evidence) -> Sequence[Picture]:
    """Draw the growth."""
    models = ("mlp", "cnn", "resnet-nf", "resnet", "vgg", "permuted-labels")
    return [by_model(evidence, "Growth of the ratio in training", {"ratio": _OVER_TRAINING}, models)]


def systems(evidence: Evidence) -> Mapping[str, Contrast]:
    """Return how much kernels and a network follow the labelling that they were fitted to."""
    value = "label_following@mean"
    return {
        "ntk-mlp, change of the kernel": evidence.contrast(
            ("ntk-mlp", SYSTEMS, "kernel_change@systems"), threshold=1e-12, under=True
        ),
        "lantk-hr-mlp, own minus other labels": evidence.contrast(("lantk-hr-mlp", SYSTEMS, value)),
        "mlp, own minus other labels": evidence.contrast(("mlp", SYSTEMS, value)),
    }


def systems_note(evidence: Evidence) -> str:
    """Say what the kernel of the hierarchy does."""
    value = told(evidence.mean("lantk-nth-mlp", SYSTEMS, "label_following@mean"))
    part = number(evidence.mean("lantk-nth-mlp", SYSTEMS, "label_ratio@first").mean)
    error = number(evidence.mean("lantk-nth-mlp", SYSTEMS, "kernel_standard_error@first").mean)
    return (
        f"The kernel of the hierarchy follows them by {value}: its label-aware part is {part} of the kernel, with a "
        f"Monte Carlo standard error of {error}."
    )


def systems_pictures(evidence: Evidence) -> Sequence[Picture]:
    """Draw who follows the labels."""
    labels = ("ntk-mlp", "rbf", "lantk-nth-mlp", "lantk-hr-mlp", PERMUTED["lantk-hr-mlp"], "mlp", "permuted-labels")
    panels = {"own minus other labels": (SYSTEMS, "label_following@mean")}
    models = [entry_name(label) for label in labels]
    return [by_model(evidence, "Following the labels", panels, models, reference=0.0)]


def controls(evidence: Evidence) -> Mapping[str, Contrast]:
    """Compare true labels with permuted ones inside the kernel, directly."""
    return {
        f"{case.name}, {words}": evidence.contrast(
            _key(case.model, case.task, value), _key(PERMUTED[case.model], case.task, value)
        )
        for case in _CONTROLLED
        for value, words in ((_ACCURACY, "accuracy"), (_DIFFERENCE, "elasticity difference"))
    }


def controls_note(evidence: Evidence) -> str:
    """Say on how many tasks the kernel that leaks labels is caught."""
    leaks = [
        set(evidence.by_seed("leak-kernel", task, _ACCURACY).values()) == {1.0}
        for task in PAIRS
        if "leak-kernel" in evidence.models(task, _ACCURACY)
    ]
    return (
        f"The kernel that leaks test labels is right on every point of {sum(leaks)} of {len(leaks)} tasks."
        if leaks
        else ""
    )
