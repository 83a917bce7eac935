"""Which settings of the denoising a sweep measures, and which layers they denoise."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from reid.denoise import denoised_layers
from reid.denoise.targets import NAMED_SETS
from reid.models import DenoiseSpec, ReIDModel
from reid.models.feature import FEATURE
from reid.utils import InputError

# What varies where no list is given, by the fields of a setting; beside the named sets of layers.
USUAL: dict[str, Sequence[Any]] = {
    "t_rule": ("depth", "spread", "10", "100", "500"),
    "steps": (1, 2, 4),
    "beta_end": (2e-3, 5e-3, 2e-2),
    "strength": (0.25, 0.5, 1.0),
}


def plan_points(
    own: DenoiseSpec, lists: Mapping[str, Sequence[Any]], *, combine: bool = False
) -> list[DenoiseSpec]:
    """The settings to measure, each once, in the order of the lists.

    A list of one value holds for every setting. The others vary one at a time around ``own``, which comes
    first; or, combined, every value of each with every value of the others.

    Args:
        own: The setting in the middle.
        lists: Values by the field of a setting; none is empty.
        combine: Whether the lists are combined.

    Raises:
        InputError: If a value is outside its range.

    Example:
        >>> [spec.steps for spec in plan_points(DenoiseSpec(steps=2), {"steps": [1, 2, 4]})]
        [2, 1, 4]
    """
    own = replace(own, **{name: values[0] for name, values in lists.items() if len(values) == 1})
    varied = {name: values for name, values in lists.items() if len(values) > 1}
    if combine:
        rows = product(*varied.values())
        specs = [replace(own, **dict(zip(varied, row, strict=True))) for row in rows]
    else:
        others = (replace(own, **{name: value}) for name, values in varied.items() for value in values)
        specs = [own, *others]
    return list(dict.fromkeys(specs))


def plan_sweep(
    model: ReIDModel,
    own: DenoiseSpec,
    lists: Mapping[str, Sequence[Any]],
    *,
    combine: bool = False,
    known: Container[str] | None = None,
) -> tuple[list[DenoiseSpec], list[str]]:
    """The settings to measure and all layers that they denoise.

    Where no list is given, the usual ones are: every named set of layers that ``model`` has, and ``USUAL``.
    Where ``model`` lacks the layers of ``own``, the first listed targets that it has take their place.

    Args:
        model: Without denoisers.
        own: The setting in the middle.
        lists: As for :func:`plan_points`.
        combine: Likewise.
        known: Layers that usual sets must be of; None allows all.

    Raises:
        InputError: If no layer could be denoised, the final feature is one of the targets, or as
            :func:`plan_points`.
    """
    if not lists:
        sets = named_sets(model)
        usual = [
            targets for targets, layers in sets.items() if known is None or all(n in known for n in layers)
        ]
        lists = {"targets": usual or [own.targets], **USUAL}
    own = with_layers(own, model, lists.get("targets", ()))
    specs = plan_points(own, lists, combine=combine)
    layers: list[str] = []
    faults = []
    for targets in dict.fromkeys(spec.targets for spec in specs):
        try:
            layers += layers_of(model, targets)
        except InputError as error:  # their rows say so, beside those of others
            if FEATURE in targets:
                raise
            faults.append(error)
    if not layers:
        raise faults[0]
    return specs, list(dict.fromkeys(layers))


def layers_of(model: ReIDModel, targets: tuple[str, ...]) -> tuple[str, ...]:
    """The layers that are denoised, whatever the rest of the setting.

    Raises:
        InputError: If there are none, one of them cannot be denoised, or the final feature is meant: it has
            no layer that its denoiser folds into.
    """
    spec = DenoiseSpec(targets, t_rule="1")  # which any number of layers can have
    if not spec.is_fusable:
        raise InputError(
            f"the targets must be layers, which their denoisers fold into, got {' '.join(targets)}: the"
            " denoiser of the final feature is never fused; name mlp, attn, conv, all or a regular expression"
        )
    return tuple(denoised_layers(spec.attach(model)))


def named_sets(model: ReIDModel) -> dict[tuple[str, ...], tuple[str, ...]]:
    """The layers of the named sets that ``model`` has, by their targets; of two equal ones the first."""
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for name in NAMED_SETS:
        try:
            layers = layers_of(model, (name,))
        except InputError:  # none of them is there
            continue
        if layers not in found.values():
            found[(name,)] = layers
    return found


def with_layers(own: DenoiseSpec, model: ReIDModel, others: Iterable[tuple[str, ...]]) -> DenoiseSpec:
    """``own``, or where ``model`` has none of its layers, with the first of other targets that it has.

    Raises:
        InputError: If it has none of any; what is wrong with the first.
    """
    faults = []
    for targets in (own.targets, *others):
        try:
            layers_of(model, targets)
        except InputError as error:
            faults.append(error)
            continue
        return replace(own, targets=targets)
    raise faults[0]
