"""Generalization, collapse and local elasticity of a plain torch module."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from lebench import metrics
from lebench.backends.torch_tangents import tangent_products

images, digits = load_digits(return_X_y=True)
parts = train_test_split(images / 16, digits, random_state=0)
x, x_test, y, y_test = map(torch.from_numpy, parts)

torch.manual_seed(0)
features = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
head = nn.Linear(64, 10)
# float64: of the small numbers that are left after training, float32 keeps few digits.
network = nn.Sequential(features, head).double()


@torch.no_grad()
def measure():
    network.eval()
    collapse = metrics.collapse(features(x), y, head.weight, head.bias)
    probabilities = network(x_test).softmax(dim=1)

    # How far a step of gradient descent on point i moves the scores of point j, to first order.
    some, labels = x_test[:100], y_test[:100]
    gradients = probabilities[:100] - one_hot(labels, 10)  # of the loss in the scores
    with torch.enable_grad():
        change = tangent_products(network, some, gradients, some).norm(dim=2)
    similarity = change / change.diagonal()[:, None]
    return {
        "nc1": collapse["nc1_pinv_over_C"],
        "nc3": collapse["nc3_selfduality"],
        "accuracy": metrics.accuracy(probabilities, y_test),
        "calibration error": metrics.expected_calibration_error(probabilities, y_test),
        "elasticity ratio": metrics.elasticity_ratio(similarity, labels),
    }


before = measure()
network.train()
optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
for _ in range(20):
    for batch in torch.randperm(len(x)).split(64):
        optimizer.zero_grad()
        cross_entropy(network(x[batch]), y[batch]).backward()
        optimizer.step()
after = measure()

for name in before:
    print(f"{name:17s}  {before[name]:6.3f} untrained  {after[name]:6.3f} trained")
