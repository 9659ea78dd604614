"""The graph that automatic differentiation records: which parameters enter it where, and where it can be cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Call:
    """One call of a layer: its input, and where in the graph the gradient of its output arrives."""

    a: Tensor
    shape: torch.Size
    edge: Any


@dataclass
class Segment:
    """Layers whose gradients all pass through one edge of the graph, and do not pass through that of the next one."""

    start: Any
    layers: list[nn.Module] = field(default_factory=list)


def uses(scores: Tensor) -> Counter[int]:
    """Count how often each parameter enters the graph that leads to the scores."""
    counts: Counter[int] = Counter()
    seen: set[Any] = set()
    stack = [scores.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for following, _ in node.next_functions:
            variable = getattr(following, "variable", None)
            if variable is not None:
                counts[id(variable)] += 1
            else:
                stack.append(following)
    return counts


def segments(scores: Tensor, layers: Sequence[nn.Module], calls: dict[int, list[Call]]) -> list[Segment]:
    """Cut the graph, from the scores downwards, where a single tensor carries everything: after a block of a ResNet.

    The signals of one segment exist at a time. A segment ends as soon as it has a sixteenth of all signals.
    """
    if scores.grad_fn is None:
        return []
    owners: dict[Any, list[nn.Module]] = {}
    for layer in layers:
        for call in calls[id(layer)]:
            owners.setdefault(call.edge.node, []).append(layer)
    sizes = {id(layer): sum(call.shape.numel() for call in calls[id(layer)]) for layer in layers}
    limit = sum(sizes.values()) / 16
    found = [Segment(torch.autograd.graph.get_gradient_edge(scores))]
    # Edges from nodes that were visited to nodes that were not: if all are the same one, the graph can be cut there.
    waiting: dict[Any, set[int]] = {found[0].start.node: {found[0].start.output_nr}}
    for node in _downwards(scores.grad_fn):
        numbers = waiting.pop(node)
        found[-1].layers += owners.get(node, [])
        if not waiting and len(numbers) == 1 and sum(sizes[id(layer)] for layer in found[-1].layers) >= limit:
            found.append(Segment(torch.autograd.graph.GradientEdge(node, next(iter(numbers)))))
        for following, number in node.next_functions:
            if following is not None and not hasattr(following, "variable"):
                waiting.setdefault(following, set()).add(number)
    seen = [id(layer) for segment in found for layer in segment.layers]
    if len(set(seen)) < len(seen):
        # A layer that is called in several places needs all its signals at once.
        return [Segment(found[0].start, list(layers))]
    return [segment for segment in found if segment.layers]


def _downwards(root: Any) -> list[Any]:
    """Return the nodes of a graph so that each comes before those that its gradient flows to, parameters left out."""
    order: list[Any] = []
    seen = {root}
    stack = [(root, iter(root.next_functions))]
    while stack:
        node, rest = stack[-1]
        for following, _ in rest:
            if following is not None and following not in seen and not hasattr(following, "variable"):
                seen.add(following)
                stack.append((following, iter(following.next_functions)))
                break
        else:
            order.append(node)
            stack.pop()
    return order[::-1]
