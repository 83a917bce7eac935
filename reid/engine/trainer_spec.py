"""What a trainer needs beside model, data and losses."""

from dataclasses import dataclass, field

from reid.engine.lr_schedule import Schedule
from reid.engine.optimizer import OptimizerSpec
from reid.engine.steps import DenoiseWeight


@dataclass(frozen=True)
class TrainerSpec:
    """What a trainer needs beside model, data and criterion.

    Args:
        seed: Of everything random; an epoch draws from (seed, epoch) alone.
        backbone: How the network without denoisers is stepped.
        denoisers: How denoisers are stepped.
        schedule: The rates of both in each epoch of a stage.
        denoise: How the denoising loss enters the sum.
        amp: Whether a GPU computes in float16 with loss scaling.
        clip_norm: Largest gradient norm; 0 does not clip.
        accumulate: Batches whose gradients are added up for a step.
        grad_checkpointing: Whether blocks of the backbone are computed again in the backward pass.
    """

    seed: int
    backbone: OptimizerSpec
    denoisers: OptimizerSpec
    schedule: Schedule
    denoise: DenoiseWeight = field(default_factory=DenoiseWeight)
    amp: bool = False
    clip_norm: float = 0.0
    accumulate: int = 1
    grad_checkpointing: bool = False
