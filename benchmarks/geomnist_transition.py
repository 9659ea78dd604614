"""Where wrong labels bring a trained network to chance on true ones: GeoMNIST by the protocol of Zhang, Wang & Su 2021.

500 training and 500 validation pictures of each class, pixels from 0 to 1, the paper's LeNet with PyTorch's
initialization, 10,000 single-sample steps at the rate 0.005. Trials differ in wrong labels, initialization and order;
they are trained at once by :func:`lebench.backends.trials.train_trials`. Prints, per share of wrong labels and number
of steps, accuracy and loss on validation pictures as mean and 95 % interval over trials, how many networks still give
all pictures one class, and two estimates of the share at which accuracy is at chance: the crossing of the mean over
trials, with a bootstrap interval over them, and the mean of the trials' own first crossings. The options change one
thing of the protocol at a time.

    python benchmarks/geomnist_transition.py [--trials 16] [--steps 10000 40000] [--shares 0 0.4 0.5 0.6 0.65 0.7 0.8]
        [--data geomnist-confounded] [--standardized] [--lr 0.02]
"""

import argparse

# First: it sets one thread before numpy and torch are imported.
from geomnist_bench import LR, lenet

# isort: split
import numpy as np
import torch
from scipy.stats import t as student
from timing import at_least

from lebench import metrics, registry
from lebench.backends.trials import train_trials
from lebench.data.base import Split, Variant
from lebench.data.geomnist import CLASS_NAMES, draw, load
from lebench.dynamics import noise_transition, noisy_loss
from lebench.errors import DataError

SHARES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.65, 0.7, 0.8)
RESAMPLES = 2000


def interval(values):
    """Return the mean and half the width of Student's 95 % interval."""
    values = np.asarray(values)
    return values.mean(), student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))


def crossing(course, shares):
    """Return where an accuracy reaches chance, NaN if it does not."""
    try:
        return metrics.noise_crossing(course, shares, len(CLASS_NAMES))
    except DataError:
        return np.nan


def told(values, around):
    """Return an estimate with the 95 % interval of its resampled values, and in how many samples there is none."""
    found = values[~np.isnan(values)]
    if len(found) == 0 or np.isnan(around):
        return "none of these shares"
    low, high = np.quantile(found, [0.025, 0.975])
    without = f", none in {1 - len(found) / len(values):.1%} of the samples" if len(found) < len(values) else ""
    return f"{around:.3f} [{low:.3f}, {high:.3f}]{without}"


def first_crossings(values):
    """Return mean and 95 % interval of the trials' own crossings, and how many have none."""
    found = values[~np.isnan(values)]
    without = f", none in {len(values) - len(found)} trials" if len(found) < len(values) else ""
    if len(found) < 2:
        return f"in {len(found)} trials"
    centre, width = interval(found)
    return f"at {centre:.3f} +- {width:.3f}{without}"


def main():
    """Train the trials of one share after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=at_least(2), default=16, help="at least two, for an interval")
    parser.add_argument("--steps", type=at_least(1), nargs="+", default=[10_000], help="measure after each of these")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, choices=SHARES)
    parser.add_argument("--data", choices=("geomnist", "geomnist-confounded"), default="geomnist")
    parser.add_argument("--standardized", action="store_true", help="inputs of mean 0 and variance 1, as in the tasks")
    parser.add_argument("--lr", type=at_least(0, float), default=LR)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.standardized:
        split = registry.datasets.get(options.data).split(0)
    else:
        pool = load(options.data == "geomnist-confounded")
        split = Split(*draw(*pool, np.random.default_rng(0)), CLASS_NAMES)
    inputs = torch.from_numpy(np.moveaxis(split.x_test, -1, 1).copy()).float()
    steps, shares = sorted(set(options.steps)), np.array(sorted(set(options.shares)))
    accuracies = np.empty((len(steps), len(shares), options.trials))
    print("share   steps  accuracy          loss              of one class  -ln(1-p), at most ln 3")
    for row, share in enumerate(shares):
        torch.manual_seed(0)
        networks = [lenet() for _ in range(options.trials)]
        noisy = np.stack(
            [Variant("noise", label_noise=share).apply(split, seed).y_train for seed in range(options.trials)]
        )
        stream = np.random.default_rng(SHARES.index(share))
        points = stream.integers(0, len(split.x_train), (steps[-1], options.trials))
        for moment, (start, stop) in enumerate(zip([0, *steps], steps, strict=False)):
            train_trials(networks, split.x_train, noisy, points[start:stop], options.lr)
            losses, constant = [], 0
            with torch.no_grad():
                for trial, network in enumerate(networks):
                    scores = network(inputs).double()
                    accuracies[moment, row, trial] = metrics.accuracy(scores, split.y_test)
                    losses.append(metrics.log_loss(scores.softmax(1), split.y_test))
                    constant += int(len(scores.argmax(1).unique()) == 1)
            (accuracy, around), (loss, beside) = interval(accuracies[moment, row]), interval(losses)
            measured = f"{accuracy:.3f} +- {around:.3f}   {loss:.3f} +- {beside:.3f}   {constant:2d} of {len(networks)}"
            print(f"{share:5.2f}  {stop:6d}  {measured}      {noisy_loss(share, 3):.3f}", flush=True)
    rng = np.random.default_rng(0)
    resampled = rng.integers(0, options.trials, (RESAMPLES, options.trials))
    print(f"chance in theory at {noise_transition(3):.4f}; 95 % intervals over {options.trials} trials:")
    for moment, stop in enumerate(steps):
        course = accuracies[moment]
        of_mean = np.array([crossing(course[:, chosen].mean(axis=1), shares) for chosen in resampled])
        own = np.array([crossing(one, shares) for one in course.T])
        print(
            f"{stop:6d} steps: the mean crosses at {told(of_mean, crossing(course.mean(axis=1), shares))}; "
            f"trials first cross {first_crossings(own)}"
        )


if __name__ == "__main__":
    main()
