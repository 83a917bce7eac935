"""Stages of a run and the phases their epochs are in: what is trained, and from which loss."""

from dataclasses import dataclass

from torch import nn

from reid.denoise import denoiser_parameters


@dataclass(frozen=True)
class Phase:
    """One way to spend an epoch.

    Args:
        name: As logged.
        trains_backbone: Whether the network without its denoisers is trained; frozen otherwise, to the bit:
            no gradient, no weight decay, no momentum, no BatchNorm statistics.
        trains_denoisers: Likewise for the denoisers.
        uses_labels: Whether the identity and triplet losses are in the sum.
    """

    name: str
    trains_backbone: bool
    trains_denoisers: bool
    uses_labels: bool


BASELINE = Phase("baseline", trains_backbone=True, trains_denoisers=False, uses_labels=True)
LABEL_FREE = Phase("label_free", trains_backbone=False, trains_denoisers=True, uses_labels=False)
CLOSED_FORM = Phase("closed_form", trains_backbone=False, trains_denoisers=True, uses_labels=False)
DENOISERS = Phase("denoisers", trains_backbone=False, trains_denoisers=True, uses_labels=True)
BACKBONE = Phase("backbone", trains_backbone=True, trains_denoisers=False, uses_labels=True)
JOINT = Phase("joint", trains_backbone=True, trains_denoisers=True, uses_labels=True)
IDLE = Phase("idle", trains_backbone=False, trains_denoisers=False, uses_labels=False)

# What is left of a phase where denoisers are not trained; of L_label the backbone keeps its share.
WITHOUT_DENOISERS = {LABEL_FREE: IDLE, CLOSED_FORM: IDLE, DENOISERS: IDLE, JOINT: BACKBONE}


@dataclass(frozen=True)
class Stage:
    """Consecutive epochs with one schedule of the learning rate.

    Args:
        name: ``baseline``, ``label_free``, ``alternating`` or ``joint``.
        phases: The phase of each epoch; one that trains nothing is passed over.
        denoises: Whether the model has denoisers in this stage.
    """

    name: str
    phases: tuple[Phase, ...]
    denoises: bool = False

    def without_training_denoisers(self, *, denoises: bool) -> "Stage":
        """The same epochs at the same rates, but no denoiser is trained: a control of this stage.

        Args:
            denoises: Whether there are any.
        """
        return Stage(self.name, tuple(WITHOUT_DENOISERS.get(p, p) for p in self.phases), denoises)


def plan_stages(
    baseline_epochs: int,
    mode: str,
    denoise_epochs: int,
    period: int,
    first: str = "denoisers",
    *,
    closed_form: bool = False,
) -> list[Stage]:
    """The stages of a run: baseline training, then denoising.

    ``label_free`` trains the denoisers alone; in closed form it solves them in one epoch, a pass over the
    images.
    ``alternating`` spends ``period`` epochs on the denoisers with the backbone frozen, the next ``period``
    on the backbone with the denoisers frozen, and so on (Appendix A of the DenoiseRep paper). ``joint``
    trains both from both losses in every epoch (Eq. 12 as it is written).

    Args:
        baseline_epochs: 0 leaves the baseline out.
        mode: ``none``, ``label_free``, ``alternating`` or ``joint``.
        denoise_epochs: Epochs of the second stage.
        period: Epochs of each phase in turn.
        first: Which of the two begins, ``denoisers`` or ``backbone``.
        closed_form: Whether ``label_free`` solves the denoisers; the other modes do not read it.

    Raises:
        ValueError: If the mode is unknown.
    """
    stages = [Stage("baseline", (BASELINE,) * baseline_epochs)] if baseline_epochs else []
    if mode == "label_free":
        phases = (CLOSED_FORM,) if closed_form else (LABEL_FREE,) * denoise_epochs
        stages.append(Stage(mode, phases, denoises=True))
    elif mode == "alternating":
        order = (DENOISERS, BACKBONE) if first == "denoisers" else (BACKBONE, DENOISERS)
        turns = [order[epoch // period % 2] for epoch in range(denoise_epochs)]
        stages.append(Stage(mode, tuple(turns), denoises=True))
    elif mode == "joint":
        stages.append(Stage(mode, (JOINT,) * denoise_epochs, denoises=True))
    elif mode != "none":
        raise ValueError(f"the mode must be none, label_free, alternating or joint, got '{mode}'")
    return stages


class Freezer:
    """Switches a model between phases, and knows which parameters were frozen from the start.

    Args:
        model: With or without denoisers. A parameter that does not require a gradient now never will.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        own = {id(p) for p in denoiser_parameters(model)}
        trainable = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.denoisers = [(name, p) for name, p in trainable if id(p) in own]
        self.backbone = [(name, p) for name, p in trainable if id(p) not in own]

    def enter(self, phase: Phase) -> None:
        """Make exactly the parameters of ``phase`` trainable and set the mode.

        A frozen backbone is in eval mode: no dropout, no stochastic depth, no update of BatchNorm.
        """
        for _, parameter in self.backbone:
            parameter.requires_grad_(phase.trains_backbone)
        for _, parameter in self.denoisers:
            parameter.requires_grad_(phase.trains_denoisers)
        self.model.train(phase.trains_backbone)
