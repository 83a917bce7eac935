"""DenoiseRep-: a model whose final feature is denoised, and nothing else."""

from torch import nn

from reid.denoise import DenoisedFeature, NoiseSchedule
from reid.denoise.attach import copy_model
from reid.models.reid_model import ReIDModel

# The target, in place of layers.
FEATURE = "feature"


def denoise_feature(
    model: ReIDModel, schedule: NoiseSchedule, steps: int, t_rule: str | int = "depth", strength: float = 1.0
) -> ReIDModel:
    """Return a copy that denoises what enters its necks, by default with t = steps, .., 1.

    A backbone with several branches has a final feature, and so a denoiser, in each. There is no layer to
    fold into: it costs time in every inference (Xu et al., NeurIPS 2024, Table 4).

    Raises:
        ValueError: As :class:`DenoisedFeature`, or if the model cannot be copied.
    """
    model = copy_model(model)
    options = (steps, schedule, t_rule, strength)
    denoised = [DenoisedFeature(nn.Identity(), branch.dim, *options) for branch in model.branches]
    model.feature_denoisers = nn.ModuleList(denoised).to(next(model.parameters()))
    return model
