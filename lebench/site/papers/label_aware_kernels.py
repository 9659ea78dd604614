"""Chen, He & Su 2020: kernels that know the training labels, between the kernel of a network and the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lebench.board import Estimate, Position, entry_name, mean_interval
from lebench.board.between import position
from lebench.pictures.base import Picture, listed, make, number, rounded
from lebench.site.papers.base import Claim, Evidence, Finding, NotMeasured, Paper, Verdict, across, sign, together, told
from lebench.site.papers.figures import along, by_model, dots, interval

#: The optimizer of the paper. By their published rates of SGD the networks diverge on photographs.
_DENSE, _CONVOLUTIONAL = "mlp[lr=0.0003,optimizer=adam]", "cnn[lr=0.0003,optimizer=adam]"
_PERMUTED = {"lantk-hr-mlp": "lantk-hr-mlp[permuted=true]", "lantk-hr-cnn": "lantk-hr-cnn[permuted=true]"}
_SMALL = "lantk/digits-pairs"
_PAIRS = ("lantk/cifar-pairs", "lantk/mnist-pairs", _SMALL)
_MANY = "lantk/cifar-multiclass"
_CURVES = {"lantk/digits-curve": (50, 100, 200, 400), "lantk/cifar-curve": (100, 200, 400, 800)}
_SYSTEMS = "kernel/label-systems"
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


def _cases(tasks: Iterable[str]) -> list[Case]:
    cases = []
    for task in tasks:
        small = task.startswith("lantk/digits")
        cases += [
            Case(task, "lantk-hr-mlp", "ntk-mlp", "mlp" if small else _DENSE),
            Case(task, "lantk-hr-cnn", "ntk-cnn", "cnn" if small else _CONVOLUTIONAL),
        ]
    return cases


def _gain(evidence: Evidence, case: Case, value: str, model: str | None = None) -> Estimate:
    """Return the value of the label-aware kernel minus that of its kernel, paired."""
    label = entry_name(model or case.model)
    return evidence.difference((label, case.task, value), (entry_name(case.kernel), case.task, value))


def _measured(evidence: Evidence, cases: Iterable[Case], value: str, *, network: bool) -> Iterator[Case]:
    """Yield the cases of which the board has all models; raise if it has none of any."""
    found = 0
    for case in cases:
        models = evidence.models(case.task, value)
        needed = (case.model, case.kernel, *([case.network] if network else []))
        if all(entry_name(label) in models for label in needed):
            found += 1
            yield case
    if not found:
        raise NotMeasured(f"the board has no {value} of a label-aware kernel beside what it is compared with yet")


def _placed(evidence: Evidence, case: Case, value: str) -> Position:
    values = (
        evidence.by_seed(entry_name(label), case.task, value) for label in (case.model, case.kernel, case.network)
    )
    found = position(*values, level=evidence.board.level)
    if found is None:
        raise NotMeasured(f"{case.model}, {case.kernel} and {case.network} have no seed of {case.task} in common")
    return found


def _gains(evidence: Evidence) -> Finding:
    cases = list(_measured(evidence, _cases((*_PAIRS, _MANY)), _ACCURACY, network=False))
    gains = [_gain(evidence, case, _ACCURACY) for case in cases]
    said = "; ".join(f"{case.name}: {told(gain)}" for case, gain in zip(cases, gains, strict=True))
    ratios = [evidence.mean(entry_name(c.model), c.task, _label_ratio(c.task)) for c in cases]
    return Finding(
        across(*map(sign, gains)),
        f"Accuracy of the label-aware kernel minus that of its kernel: {said}. The size of the label-aware part that "
        f"leave-one-out chooses is between {number(min(r.mean for r in ratios))} and "
        f"{number(max(r.mean for r in ratios))} of the kernel (first pair or size, mean over seeds).",
        [
            _differences(
                "What the labels gain",
                {
                    "accuracy, label-aware minus kernel": list(zip(cases, gains, strict=True)),
                    "elasticity ratio, label-aware minus kernel": [(c, _gain(evidence, c, _RATIO)) for c in cases],
                },
            )
        ],
    )


def _label_ratio(task: str) -> str:
    first = {"lantk/cifar-pairs": "deer-dog", "lantk/mnist-pairs": "4-9", "lantk/digits-pairs": "3-8", _MANY: "n=500"}
    return f"label_ratio@{first[task]}"


def _between(evidence: Evidence, value: str, title: str) -> Finding:
    cases = list(_measured(evidence, _cases(_PAIRS), value, network=True))
    placed = [(case, _placed(evidence, case, value)) for case in cases]
    said = []
    for case, at in placed:
        share = at.closed
        closed = (
            "" if share is None else f", {number(share.value)} [{number(share.lower)}, {number(share.upper)}] of it"
        )
        said.append(f"{case.name}: {at.verdict} (gap {told(at.gap)}, gain {told(at.gain)}{closed})")
    drawn = []
    for name, small in ((f"{title}, on images", False), (f"{title}, on small digits", True)):
        tasks = dict.fromkeys(case.task for case in cases if (case.task == _SMALL) == small)
        if tasks:
            panels = {task.partition("/")[2]: (task, value) for task in tasks}
            drawn.append(by_model(evidence, name, panels, _entries(small), reference=0.5))
    return Finding(
        across(*(_verdict(at) for _, at in placed)),
        f"The gap is network minus kernel, the gain label-aware kernel minus kernel. {'; '.join(said)}.",
        drawn,
    )


def _entries(small: bool) -> list[str]:
    """Return the entries that figures show: on images without the networks that diverge there."""
    networks = ("mlp", "cnn") if small else (_DENSE, _CONVOLUTIONAL)
    labels = ("ntk-mlp", "lantk-hr-mlp", networks[0], "ntk-cnn", "lantk-hr-cnn", networks[1], "rbf")
    return [entry_name(label) for label in labels]


def _verdict(at: Position) -> Verdict:
    """Return what a position says of the claim to lie between."""
    if at.gap.lower is None:
        return "open"
    if not at.gap.excludes_zero:
        return "open"
    if at.gap.mean < 0:
        return "fails"
    if at.verdict == "between":
        return "holds"
    return "open" if not at.gain.excludes_zero else "fails" if at.gain.mean < 0 else "in part"


def _accuracy_between(evidence: Evidence) -> Finding:
    return _between(evidence, _ACCURACY, "Accuracy: kernel, label-aware kernel, network")


def _elasticity_between(evidence: Evidence) -> Finding:
    return _between(evidence, _RATIO, "Elasticity ratio: kernel, label-aware kernel, network")


def _classes(evidence: Evidence) -> Finding:
    said, verdicts = [], []
    many = {case.model: case for case in _measured(evidence, _cases([_MANY]), _ACCURACY, network=False)}
    pairs = {c.model: c for c in _measured(evidence, _cases(["lantk/cifar-pairs"]), _ACCURACY, network=False)}
    for model in many.keys() & pairs.keys():
        gains = [
            {
                seed: value - evidence.by_seed(case.kernel, case.task, _ACCURACY)[seed]
                for seed, value in evidence.by_seed(model, case.task, _ACCURACY).items()
            }
            for case in (many[model], pairs[model])
        ]
        more = mean_interval([gains[0][s] - gains[1][s] for s in gains[0].keys() & gains[1].keys()])
        verdicts.append(sign(more))
        told_gains = " and ".join(told(_gain(evidence, case, _ACCURACY)) for case in (many[model], pairs[model]))
        said.append(f"{model} gains {told_gains}, a difference of {told(more)}")
    if not said:
        raise NotMeasured("the board does not have ten classes and pairs of the same model yet")
    return Finding(across(*verdicts), f"On ten classes and on pairs: {'; '.join(sorted(said))}.")


def _curves(evidence: Evidence) -> Finding:
    said: list[str] = []
    verdicts: list[Verdict] = []
    panels: dict[str, tuple[str, dict[float, str]]] = {}
    for task, sizes in _CURVES.items():
        name = task.partition("/")[2]
        for case in _cases([task]):
            have = evidence.models(task, _ACCURACY)
            if entry_name(case.model) not in have or case.kernel not in have:
                continue
            gains = [_gain(evidence, case, f"accuracy@n={n}") for n in sizes]
            verdicts += map(sign, gains)
            at = listed([f"{told(gain)} at {n}" for n, gain in zip(sizes, gains, strict=True)])
            said.append(f"{name}, {case.model}: {at}")
            for measure, words in (("accuracy", "accuracy"), ("elasticity_ratio", "elasticity ratio")):
                panels[f"{name}, {words}"] = (task, {float(n): f"{measure}@n={n}" for n in sizes})
    if not said:
        raise NotMeasured("the board has no learning curve of a label-aware kernel yet")
    models = list(dict.fromkeys([*_entries(True), *_entries(False)]))
    return Finding(
        across(*verdicts),
        f"Accuracy of the label-aware kernel minus that of its kernel: {'; '.join(said)}.",
        [along(evidence, "Learning curves", "training points", panels, models, log_x=True)],
    )


def _training(evidence: Evidence) -> Finding:
    task, value = "elasticity/over-training", "elasticity_growth@ratio"
    networks = ("mlp", "cnn", "resnet-nf", "resnet", "vgg")
    growth = {model: evidence.mean(model, task, value) for model in networks}
    permuted = evidence.mean("permuted-labels", task, value)
    said = listed([f"{told(estimate)} ({model})" for model, estimate in growth.items()])
    return Finding(
        across(*map(sign, growth.values())),
        f"From before training to after it, the ratio grows by {said}, and by {told(permuted)} on permuted labels.",
        [
            by_model(
                evidence, "Growth of the ratio in training", {"ratio": (task, value)}, (*networks, "permuted-labels")
            )
        ],
    )


def _systems(evidence: Evidence) -> Finding:
    value = "label_following@mean"
    plain, aware, network = (evidence.mean(m, _SYSTEMS, value) for m in ("ntk-mlp", "lantk-hr-mlp", "mlp"))
    change = evidence.mean("ntk-mlp", _SYSTEMS, "kernel_change@systems")
    hierarchy = evidence.mean("lantk-nth-mlp", _SYSTEMS, value)
    part = evidence.mean("lantk-nth-mlp", _SYSTEMS, "label_ratio@first")
    error = evidence.mean("lantk-nth-mlp", _SYSTEMS, "kernel_standard_error@first")
    silent: Verdict = "holds" if change.mean == 0 and plain.mean == 0 else "fails"
    models = [
        entry_name(m)
        for m in (
            "ntk-mlp",
            "rbf",
            "lantk-nth-mlp",
            "lantk-hr-mlp",
            _PERMUTED["lantk-hr-mlp"],
            "mlp",
            "permuted-labels",
        )
    ]
    return Finding(
        together(silent, sign(aware), sign(network)),
        f"Between the two labellings the tangent kernel changes by {number(change.mean)} and follows its own labels by "
        f"{number(plain.mean)}{', bitwise the same' if silent == 'holds' else ''}. The label-aware kernel follows its "
        f"own "
        f"by {told(aware)}, that of the trained network by {told(network)}. The kernel of the hierarchy follows them "
        f"by "
        f"{told(hierarchy)}: its label-aware part is {number(part.mean)} of the kernel, with a Monte Carlo standard "
        f"error "
        f"of {number(error.mean)}.",
        [
            by_model(
                evidence, "Following the labels", {"own minus other labels": (_SYSTEMS, value)}, models, reference=0.0
            )
        ],
    )


def _controls(evidence: Evidence) -> Finding:
    gains, quiet, leaks = [], [], []
    for case in _cases((*_PAIRS, _MANY)):
        control = _PERMUTED[case.model]
        for value, words in ((_ACCURACY, "accuracy"), (_DIFFERENCE, "elasticity difference")):
            if entry_name(control) in evidence.models(case.task, value):
                gain = _gain(evidence, case, value, control)
                if gain.lower is not None:
                    quiet.append(not gain.excludes_zero)
                gains.append((Case(f"{case.task}: {words}", control, case.kernel, case.network), gain))
    if not gains:
        raise NotMeasured("the board has no label-aware kernel with permuted labels yet")
    for task in _PAIRS:
        if "leak-kernel" in evidence.models(task, _ACCURACY):
            leaks.append(set(evidence.by_seed("leak-kernel", task, _ACCURACY).values()) == {1.0})
    caught = (
        f" The kernel that leaks test labels has accuracy 1 on {sum(leaks)} of {len(leaks)} tasks." if leaks else ""
    )
    verdict: Verdict = "open" if not quiet else "in part" if any(quiet) else "fails"
    if quiet and all(quiet) and all(leaks):
        verdict = "holds"
    return Finding(
        verdict,
        f"With permuted labels inside the label-aware kernel, the interval of the gain over the kernel contains 0 in "
        f"{sum(quiet)} of {len(quiet)} comparisons, of which one in twenty is expected not to.{caught}",
        [_differences("The control: labels permuted inside the kernel", {"gain over the kernel": gains})],
    )


def _differences(title: str, panels: dict[str, Sequence[tuple[Case, Estimate]]]) -> Picture:
    """Return a picture of differences with their intervals, a row for each case."""
    drawn, said = [], []
    for name, rows in panels.items():
        points = [{"model": case.name, **interval(estimate)} for case, estimate in rows]
        drawn.append(dots(name, name, [], points, [case.name for case, _ in rows], 0.0))
        said.append(f"{name}: " + listed([f"{number(rounded(e.mean))} ({case.name})" for case, e in rows]))
    return make("differences", title, f"{'. '.join(said)}.", drawn)


_TWO = ("ntk-mlp", "lantk-hr-mlp", "ntk-cnn", "lantk-hr-cnn")
_SETTING = (
    "Two pairs of CIFAR-10 (deer-dog, cat-frog) with 200 training photographs each, two of MNIST with 100, four of the "
    "small digits with 20; test points are the first of each class of the official test part, 1,000 in all, where the "
    "paper has 10,000 and 2,000. The ridge is chosen by leave-one-out over one grid for all kernels, and so is the "
    "weight "
    "of the labels. Mean over pairs; intervals over seeds."
)

PAPER = Paper(
    name="label-aware-kernels",
    short="Label-aware kernels",
    title="Label-Aware Neural Tangent Kernel: Toward Better Generalization and Local Elasticity",
    authors="S. Chen, H. He, W. J. Su",
    venue="NeurIPS 2020",
    link="https://arxiv.org/abs/2010.11775",
    question="Does a kernel that knows the training labels close the gap between tangent kernel and network?",
    claims=(
        Claim(
            "Labels make the kernel better",
            "Regression with the label-aware kernel (LANTK-HR) generalizes better than with the tangent kernel.",
            "experiments on pairs and on ten classes of CIFAR-10",
            _SETTING,
            (*_PAIRS, _MANY),
            _TWO,
            _gains,
        ),
        Claim(
            "Between kernel and network, in accuracy",
            "The label-aware kernel lies between the tangent kernel and the network in test accuracy.",
            "introduction and experiments",
            "As above; the networks with the optimizer of the paper, on the digits by the recipe of the registry. The "
            "share of the gap is the ratio of the mean gain to the mean gap, with Fieller's interval.",
            _PAIRS,
            (*_TWO, _DENSE, _CONVOLUTIONAL, "mlp", "cnn"),
            _accuracy_between,
        ),
        Claim(
            "Between kernel and network, in elasticity",
            "It lies between them in local elasticity, too: the ratio of mean normalized kernel values within classes "
            "to "
            "the sum of those within and between.",
            "experiments, local elasticity ratio",
            "On held-out points, normalized by the square roots of the same kernel's diagonal on both sides, the "
            "diagonal "
            "left out; for a network the empirical tangent kernel after training.",
            _PAIRS,
            (*_TWO, _DENSE, _CONVOLUTIONAL, "mlp", "cnn"),
            _elasticity_between,
        ),
        Claim(
            "More on many classes",
            "The improvement is larger on ten classes than on pairs.",
            "experiments, multi-class table",
            "500 photographs of ten classes where the paper has 2,000 to 20,000; the difference of the two gains, "
            "paired "
            "by seed.",
            ("lantk/cifar-pairs", _MANY),
            _TWO,
            _classes,
        ),
        Claim(
            "At every training size",
            "The improvement is there at each of the training sizes.",
            "experiments, multi-class table over 2,000 to 20,000",
            "50 to 400 small digits of ten classes, 100 to 800 photographs of deer and dogs.",
            tuple(_CURVES),
            ("ntk-mlp", "lantk-hr-mlp", _DENSE, "mlp"),
            _curves,
        ),
        Claim(
            "Networks become more elastic in training",
            "The elasticity ratio of a network grows as it is trained.",
            "motivation, label systems",
            "Digits of scikit-learn; the ratio of the relative similarity, before and after training, beside a "
            "network on "
            "permuted labels.",
            ("elasticity/over-training",),
            ("mlp", "cnn", "resnet-nf", "resnet", "vgg", "permuted-labels"),
            _training,
        ),
        Claim(
            "Two labellings, one kernel",
            "Of the same points under two labellings a kernel without labels is the same, while trained networks and "
            "label-aware kernels follow the labels.",
            "motivation, label systems",
            "Planted points with two exchangeable factors instead of photographs of cats and dogs with chairs and "
            "benches.",
            (_SYSTEMS,),
            ("ntk-mlp", "lantk-hr-mlp", _PERMUTED["lantk-hr-mlp"], "lantk-nth-mlp", "rbf", "mlp", "permuted-labels"),
            _systems,
        ),
        Claim(
            "Only true labels help",
            "The paper has no control; that permuted labels inside the kernel gain nothing is our claim.",
            "ours",
            "The labels are permuted where label agreement is estimated, not in the regression itself.",
            (*_PAIRS, _MANY),
            (*_TWO, *_PERMUTED.values(), "leak-kernel"),
            _controls,
        ),
    ),
    released=(
        "It needs libraries of 2020 and a function that Python no longer has; it does not run on a current machine.",
        "In two of its kernels the training points get their true label agreement and the test points a prediction, so "
        "that the two kernels do not match. Here one cross-fitted estimator serves both.",
        "The sampler of the fourth-order kernel has wrong entries in its factor: the covariance is off by more than "
        "1, and all published values of the hierarchy are affected. Here it is a Cholesky factor. The hierarchy "
        "itself is "
        "the almost-everywhere derivative, as published, which leaves out units that switch.",
        "There are two kernels called V2, of which one is no average. Here they are kr-v2-cntk and kr-v2-two-layer.",
        "The pair features are compressed by a Johnson-Lindenstrauss transform, scaled wrongly for anything but plain "
        "least "
        "squares. Here the normal equations are summed exactly.",
        "The elasticity ratio includes the diagonal on training points, and on test points it is normalized by the "
        "diagonal "
        "of the kernel without labels. Here the diagonal is left out and each kernel is normalized by its own.",
        "Label-aware kernels can be indefinite, which is not checked. Here only ridges are admitted that make the "
        "regression "
        "one with a definite kernel, and the smallest eigenvalue is recorded.",
        "The weight of the labels is a constant of each script (0.1, 0.0005 or from the command line). Here it is "
        "chosen by "
        "leave-one-out on the training points.",
        "One seed (66 or 666), no intervals.",
    ),
)
