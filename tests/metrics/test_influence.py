"""Influence functions against retraining, on a real network."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from lebench import metrics, registry
from lebench.data.base import Variant
from lebench.models.spec import build_model

torch = pytest.importorskip("torch")

RIDGE = 0.01
MODEL = f"mlp[width=6,depth=1,epochs=600,min_steps=0,batch_size=128,lr=0.2,schedule=cosine,weight_decay={RIDGE}]"


@pytest.mark.slow
def test_influence_functions_order_the_changes_of_a_network_as_retraining_does():
    """All parameters of a network of two layers at an optimum of the regularized loss, threes against eights."""
    base, model = registry.datasets.get("digits").split(0), build_model(MODEL).model
    variant = Variant("pair", n_train=80, groups=((3,), (8,)))
    split = variant.apply(base, 0)
    removed = list(range(12))

    def fit(i):
        part = split if i is None else Variant("", n_train=80, groups=((3,), (8,)), leave_out=i).apply(base, 0)
        return model.fit(part, 0).predict(split.x_test)

    trained = metrics.leave_one_out_retraining(fit, removed)
    np.testing.assert_array_equal(trained.again, trained.full)
    losses = [metrics.clipped_cross_entropy(scores, split.y_test) for scores in (trained.full, *trained.without)]
    actual = metrics.loss_changes(losses[0], np.stack(losses[1:]))

    module = model.fit(split, 0).function.module
    names, shapes = zip(*[(name, p.shape) for name, p in module.named_parameters()], strict=True)
    flat = torch.cat([p.detach().flatten() for p in module.parameters()])

    def loss(parameters, x, y):
        parts = torch.split(parameters, [shape.numel() for shape in shapes])
        values = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        return torch.nn.functional.cross_entropy(torch.func.functional_call(module, values, (x,)), y)

    def tensors(x, y):
        return torch.from_numpy(x).permute(0, 3, 1, 2), torch.from_numpy(y)

    x, y = tensors(split.x_train, split.y_train)
    z, t = tensors(split.x_test, split.y_test)
    single = torch.func.vmap(torch.func.grad(lambda p, a, b: loss(p, a[None], b[None])), (None, 0, 0))
    hessian = torch.func.jacrev(torch.func.grad(lambda p: loss(p, x, y) + RIDGE / 2 * p.square().sum()))(flat)
    # A gradient step of the removed point's regularized share: (1/n) H^-1 grad, the ridge belongs to nobody.
    estimated = metrics.influence_changes(single(flat, x, y), single(flat, z, t), hessian, damping=RIDGE)
    order = spearmanr(estimated[removed].ravel(), actual.ravel()).statistic
    assert order > 0.5, order
