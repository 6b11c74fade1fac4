"""Compression of a trained student: weights set to zero, or channels left out, by one of three criteria."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.distill.schedules import brain_surgeon, saliency
from models.distill.schedules.base import Criterion
from models.distill.schedules.channels import Channels, Kept, taps_of
from models.students.masks import Masks, weights_of
from models.students.student import Student

State = dict[str, Tensor]


def prune_weights(
    student: Student, criterion: Criterion, sparsity: float, x: NDArray[np.uint8], damping: float
) -> tuple[State, Masks]:
    """Set the share `sparsity` of a student's weights to zero; those that are zero already come first.

    `magnitude` and `obd` compare all layers' weights; `obs` removes the same share of each layer, as its
    costs are in units of the layer's accumulators, and adjusts the weights that stay. Each layer keeps at
    least one weight. Gives the pruned student's state and its masks; `student` itself stays as it is.
    """
    weights = _double(student)
    if criterion == "obs":
        moments = saliency.input_moments(student, x)
        changed, keep = {}, {}
        for name, weight in weights.items():
            count = min(round(sparsity * weight.numel()), weight.numel() - 1)
            shaped = weight.reshape(len(moments[name]), -1, moments[name].shape[1])
            new, kept = brain_surgeon.prune_layer(shaped, moments[name], count, damping)
            changed[name], keep[name] = new.reshape(weight.shape), kept.reshape(weight.shape)
    else:
        found = saliency.magnitude(student) if criterion == "magnitude" else saliency.brain_damage(student, x)
        keep, changed = _most_salient(found, weights, sparsity), weights
    masks = Masks({name: each.numpy() for name, each in keep.items()})
    return _state(student, {name: w.masked_fill(~keep[name], 0.0) for name, w in changed.items()}), masks


def prune_channels(
    wide: Student, channels: Channels, criterion: Criterion, x: NDArray[np.uint8], damping: float
) -> State:
    """Leave as many channels of a wider student as the topology of `channels` has, those that count most.

    `magnitude` is the mean size of the filters that give a channel, over that of all filters of their layer
    (filter norms, arXiv:1608.08710); `obd` the sum of the saliencies of the weights that take it; `obs` what
    it costs the layers that take it once their other weights are adjusted, as they then are.
    """
    weights = _double(wide)
    inverses: State = {}
    costs: dict[int, Tensor]
    match criterion:
        case "magnitude":
            costs = {group: _filter_sizes(channels, group, weights) for group in channels.free}
        case "obd":
            found = saliency.brain_damage(wide, x)
            costs = _summed(
                channels, lambda name: found[name].flatten(1).sum(dim=0)[_wide_taps(wide, name)].sum(dim=1)
            )
        case "obs":
            moments = saliency.input_moments(wide, x)
            names = [step.name for group in channels.free for step in channels.consumers(group)]
            inverses = {name: brain_surgeon.damped_inverse(moments[name][0], damping) for name in names}
            costs = _summed(
                channels,
                lambda name: brain_surgeon.group_costs(
                    weights[name].flatten(1), inverses[name], _wide_taps(wide, name)
                ),
            )
    kept: Kept = {
        group: torch.argsort(cost, descending=True, stable=True)[: channels.free[group]].sort().values
        for group, cost in costs.items()
    }
    if inverses:
        wide = _adjusted(wide, channels, kept, weights, inverses)
    return channels.narrowed(wide, kept)


def _double(student: Student) -> State:
    return {name: weight.detach().double() for name, weight in weights_of(student).items()}


def _most_salient(found: Mapping[str, Tensor], weights: Mapping[str, Tensor], sparsity: float) -> State:
    """Which weights stay when the least salient of all layers go: booleans shaped like the weights."""
    ranked = {name: each.masked_fill(weights[name] == 0, -1.0).flatten() for name, each in found.items()}
    for each in ranked.values():
        each[each.argmax()] = torch.inf
    flat = torch.cat(list(ranked.values()))
    keep = torch.ones(len(flat), dtype=torch.bool)
    keep[torch.argsort(flat, stable=True)[: round(sparsity * len(flat))]] = False
    keep |= flat == torch.inf
    parts = torch.split(keep, [len(each) for each in ranked.values()])
    return {name: part.reshape(found[name].shape) for name, part in zip(ranked, parts, strict=True)}


def _state(student: Student, weights: Mapping[str, Tensor]) -> State:
    """The student's state with other weights."""
    other = Student(student.topology)
    other.load_state_dict(student.state_dict())
    with torch.no_grad():
        for name, weight in weights_of(other).items():
            weight.copy_(weights[name])
    return {name: value.clone() for name, value in other.state_dict().items()}


def _filter_sizes(channels: Channels, group: int, weights: Mapping[str, Tensor]) -> Tensor:
    found = [weights[step.name].abs().flatten(1).mean(dim=1) for step in channels.producers(group)]
    return torch.stack([size / size.mean() for size in found]).sum(dim=0)


def _summed(channels: Channels, cost: Callable[[str], Tensor]) -> dict[int, Tensor]:
    """Sum what each channel (of a group) costs the layers that take it, by their names."""
    return {
        group: torch.stack([cost(step.name) for step in channels.consumers(group)]).sum(dim=0)
        for group in channels.free
    }


def _adjusted(
    wide: Student,
    channels: Channels,
    kept: Kept,
    weights: Mapping[str, Tensor],
    inverses: Mapping[str, Tensor],
) -> Student:
    """The wider student with all that takes a channel that goes made up for by what takes the others."""
    changed = dict(weights)
    for group in channels.free:
        for step in channels.consumers(group):
            rows = weights[step.name].flatten(1)
            keep = torch.zeros(rows.shape[1], dtype=torch.bool)
            keep[_wide_taps(wide, step.name)[kept[group]].flatten()] = True
            rows = brain_surgeon.without(rows, keep.expand_as(rows), inverses[step.name])
            changed[step.name] = rows.reshape(weights[step.name].shape)
    other = Student(wide.topology)
    other.load_state_dict(_state(wide, changed))
    return other


def _wide_taps(wide: Student, name: str) -> Tensor:
    return taps_of(next(step for step in wide.topology.steps if step.name == name))
