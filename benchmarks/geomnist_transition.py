"""Where wrong labels bring a trained network to chance on true ones: GeoMNIST by the protocol of Zhang, Wang & Su 2021.

500 training and 500 validation pictures of each class, pixels from 0 to 1, the paper's LeNet with PyTorch's
initialization, 10,000 single-sample steps at the rate 0.005. Trials differ in wrong labels, initialization and order;
they are trained at once by :func:`lebench.backends.trials.train_trials`. Prints, per share of wrong labels, accuracy
and loss on validation pictures as mean and 95 % interval over trials, and the share at which accuracy is at chance.

    python benchmarks/geomnist_transition.py [--trials 16] [--steps 10000]
"""

import argparse

# First: it sets one thread before numpy and torch are imported.
from geomnist_bench import LR, lenet

# isort: split
import numpy as np
import torch
from scipy.stats import t as student

from lebench import metrics
from lebench.backends.trials import train_trials
from lebench.data.base import Split, Variant
from lebench.data.geomnist import CLASS_NAMES, draw, load
from lebench.dynamics import noise_transition, noisy_loss

SHARES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.65, 0.7, 0.8)


def interval(values):
    """Return the mean and half the width of Student's 95 % interval."""
    values = np.asarray(values)
    return values.mean(), student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))


def main():
    """Train the trials of one share after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pool = load()
    x, y, x_test, y_test = draw(*pool, np.random.default_rng(0))
    split = Split(x, y, x_test, y_test, CLASS_NAMES)
    inputs = torch.from_numpy(np.moveaxis(x_test, -1, 1).copy()).float()
    accuracies = np.empty((len(SHARES), options.trials))
    print("share  accuracy          loss              -ln(1-p), at most ln 3")
    for row, share in enumerate(SHARES):
        torch.manual_seed(0)
        networks = [lenet() for _ in range(options.trials)]
        noisy = np.stack(
            [Variant("noise", label_noise=share).apply(split, seed).y_train for seed in range(options.trials)]
        )
        points = np.random.default_rng(row).integers(0, len(x), (options.steps, options.trials))
        train_trials(networks, x, noisy, points, LR)
        losses = []
        with torch.no_grad():
            for trial, network in enumerate(networks):
                scores = network(inputs).double()
                accuracies[row, trial] = metrics.accuracy(scores, y_test)
                losses.append(metrics.log_loss(scores.softmax(1), y_test))
        (accuracy, around), (loss, beside) = interval(accuracies[row]), interval(losses)
        measured = f"{accuracy:.3f} +- {around:.3f}   {loss:.3f} +- {beside:.3f}"
        print(f"{share:5.2f}  {measured}   {noisy_loss(share, 3):.3f}", flush=True)
    crossings = [metrics.noise_crossing(course, np.array(SHARES), 3) for course in accuracies.T]
    centre, width = interval(crossings)
    theory = noise_transition(3)
    inside = "inside" if abs(centre - theory) <= width else "outside"
    print(f"chance at {centre:.3f} +- {width:.3f} (95 %, {options.trials} trials); theory, {theory:.4f}, is {inside}")


if __name__ == "__main__":
    main()
