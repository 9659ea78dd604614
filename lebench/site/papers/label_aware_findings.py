"""What our records say to the claims of Chen, He & Su 2020; the claims are in the module of the paper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lebench.board import Estimate, Position, entry_name, mean_interval
from lebench.board.between import position
from lebench.pictures.base import Picture, listed, make, number, rounded
from lebench.site.papers.base import Evidence, Finding, NotMeasured, Verdict, across, sign, together, told
from lebench.site.papers.figures import along, by_model, dots, interval

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


def _cases(tasks: Iterable[str]) -> list[Case]:
    cases = []
    for task in tasks:
        small = task.startswith("lantk/digits")
        cases += [
            Case(task, "lantk-hr-mlp", "ntk-mlp", "mlp" if small else DENSE),
            Case(task, "lantk-hr-cnn", "ntk-cnn", "cnn" if small else CONVOLUTIONAL),
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


def gains(evidence: Evidence) -> Finding:
    """Compare the accuracies of the label-aware kernel and its kernel."""
    cases = list(_measured(evidence, _cases((*PAIRS, MANY)), _ACCURACY, network=False))
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
    first = {"lantk/cifar-pairs": "deer-dog", "lantk/mnist-pairs": "4-9", "lantk/digits-pairs": "3-8", MANY: "n=500"}
    return f"label_ratio@{first[task]}"


def _between(evidence: Evidence, value: str, title: str) -> Finding:
    cases = list(_measured(evidence, _cases(PAIRS), value, network=True))
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
    networks = ("mlp", "cnn") if small else (DENSE, CONVOLUTIONAL)
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


def accuracy_between(evidence: Evidence) -> Finding:
    """Place the accuracy of the label-aware kernel between those of kernel and network."""
    return _between(evidence, _ACCURACY, "Accuracy: kernel, label-aware kernel, network")


def elasticity_between(evidence: Evidence) -> Finding:
    """Place the elasticity ratio of the label-aware kernel between those of kernel and network."""
    return _between(evidence, _RATIO, "Elasticity ratio: kernel, label-aware kernel, network")


def classes(evidence: Evidence) -> Finding:
    """Compare what the label-aware kernel gains with ten classes and with pairs."""
    said, verdicts = [], []
    many = {case.model: case for case in _measured(evidence, _cases([MANY]), _ACCURACY, network=False)}
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


def curves(evidence: Evidence) -> Finding:
    """Compare the label-aware kernel and its kernel at every number of training points."""
    said: list[str] = []
    verdicts: list[Verdict] = []
    panels: dict[str, tuple[str, dict[float, str]]] = {}
    for task, sizes in CURVES.items():
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


def training(evidence: Evidence) -> Finding:
    """Say how much the elasticity of networks grows in training."""
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


def systems(evidence: Evidence) -> Finding:
    """Say how much kernels and a network follow the labelling that they were fitted to."""
    value = "label_following@mean"
    plain, aware, network = (evidence.mean(m, SYSTEMS, value) for m in ("ntk-mlp", "lantk-hr-mlp", "mlp"))
    change = evidence.mean("ntk-mlp", SYSTEMS, "kernel_change@systems")
    hierarchy = evidence.mean("lantk-nth-mlp", SYSTEMS, value)
    part = evidence.mean("lantk-nth-mlp", SYSTEMS, "label_ratio@first")
    error = evidence.mean("lantk-nth-mlp", SYSTEMS, "kernel_standard_error@first")
    silent: Verdict = "holds" if change.mean == 0 and plain.mean == 0 else "fails"
    models = [
        entry_name(m)
        for m in (
            "ntk-mlp",
            "rbf",
            "lantk-nth-mlp",
            "lantk-hr-mlp",
            PERMUTED["lantk-hr-mlp"],
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
                evidence, "Following the labels", {"own minus other labels": (SYSTEMS, value)}, models, reference=0.0
            )
        ],
    )


def controls(evidence: Evidence) -> Finding:
    """Hold what the labels gain against permuted labels and a kernel that leaks them."""
    gains, quiet, leaks = [], [], []
    for case in _cases((*PAIRS, MANY)):
        control = PERMUTED[case.model]
        for value, words in ((_ACCURACY, "accuracy"), (_DIFFERENCE, "elasticity difference")):
            if entry_name(control) in evidence.models(case.task, value):
                gain = _gain(evidence, case, value, control)
                if gain.lower is not None:
                    quiet.append(not gain.excludes_zero)
                gains.append((Case(f"{case.task}: {words}", control, case.kernel, case.network), gain))
    if not gains:
        raise NotMeasured("the board has no label-aware kernel with permuted labels yet")
    for task in PAIRS:
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
