"""Optimal brain surgeon (Hassibi, Stork, NIPS 1992), layer by layer (arXiv:1705.07565).

Removing weight q of a row w costs L = w_q^2 / (2 [H^-1]_qq) and moves the others by
-w_q / [H^-1]_qq * H^-1 e_q, where H is the Hessian: of half the squared change of a layer's accumulators it
is the second moment of its inputs, the same for all rows.
"""

import torch
from torch import Tensor


def damped_inverse(moment: Tensor, damping: float) -> Tensor:
    """Invert H (taps, taps), float64, after adding `damping` times its mean diagonal (1 where that is 0)."""
    mean = float(moment.diagonal().mean()) or 1.0
    inverse: Tensor = torch.linalg.inv(moment + damping * mean * torch.eye(len(moment), dtype=moment.dtype))
    return inverse


def removal(row: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """Remove a row's weights (taps,) one by one, always the cheapest: their order, and what each cost.

    Takes taps^3 steps.
    """
    w, inverse = row.clone(), inverse.clone()
    gone = torch.zeros(len(w), dtype=torch.bool)
    order, costs = torch.empty(len(w), dtype=torch.int64), torch.empty_like(w)
    for step in range(len(w)):
        diagonal = inverse.diagonal().clone()
        saliency = (w.square() / (2 * diagonal)).masked_fill(gone, torch.inf)
        q = int(saliency.argmin())
        order[step], costs[step] = q, saliency[q]
        column = inverse[:, q].clone()
        w -= w[q] / diagonal[q] * column
        inverse.addr_(column, column, alpha=-1 / float(diagonal[q]))
        gone[q] = True
    return order, costs


def without(rows: Tensor, keep: Tensor, inverse: Tensor) -> Tensor:
    """The best rows (rows, taps) that are zero outside of `keep`: as if removed one by one, in one step.

    With P the removed weights, w - H^-1[:, P] H^-1[P, P]^-1 w_P.
    """
    changed = rows.clone()
    for index, kept in enumerate(keep):
        gone = ~kept
        pull = torch.linalg.solve(inverse[gone][:, gone], rows[index, gone])
        changed[index] -= inverse[:, gone] @ pull
    return changed.masked_fill(~keep, 0.0)


def prune_layer(weight: Tensor, moments: Tensor, count: int, damping: float) -> tuple[Tensor, Tensor]:
    """Remove `count` weights of a layer, over all its rows, the cheapest first, and adjust the rest.

    Takes the weights as (groups, outputs, taps) and the input's moments (groups, taps, taps), float64. Gives
    the new weights and which were kept, as (groups, outputs, taps).
    """
    inverses = [damped_inverse(moment, damping) for moment in moments]
    groups, outputs, taps = weight.shape
    rows = [(group, output) for group in range(groups) for output in range(outputs)]
    found = [removal(weight[group, output], inverses[group]) for group, output in rows]
    orders = torch.stack([order for order, _ in found])
    # A row's later removals wait for its earlier ones: sorted by the greatest cost so far they do.
    costs = torch.stack([cost for _, cost in found]).cummax(dim=1).values
    chosen = torch.argsort(costs.flatten(), stable=True)[:count]
    keep = torch.ones(len(rows), taps, dtype=torch.bool)
    keep[chosen // taps, orders.flatten()[chosen]] = False
    keep = keep.reshape(groups, outputs, taps)
    changed = [without(weight[group], keep[group], inverses[group]) for group in range(groups)]
    return torch.stack(changed), keep


def group_costs(rows: Tensor, inverse: Tensor, members: Tensor) -> Tensor:
    """What it costs to remove each group of taps from all rows: (groups,).

    `members` (groups, size) are indices of taps; tr(W_P H^-1[P, P]^-1 W_P^T) / 2 for each group P.
    """
    costs = []
    for group in members:
        part = rows[:, group]
        costs.append((part.T * torch.linalg.solve(inverse[group][:, group], part.T)).sum() / 2)
    return torch.stack(costs)
