"""DenoiseRep: every embedding layer is one step of a denoiser that folds into the layer's own weights.

    model = attach_denoisers(plain, targets="mlp")                        # a copy with a denoiser a layer
    with collect_denoise_loss(model) as losses: model(images)             # train: losses.total.backward()
    model = solve_denoisers(model, images)                                # or the optimum in closed form
    fused = fuse_denoisers(model)                                         # plain layers, plain keys, a copy

For any network of ``nn.Linear`` and ``nn.Conv2d``; nothing here knows of re-identification.
"""

from reid.denoise.attach import attach_denoisers, denoiser_parameters, detach_denoisers
from reid.denoise.change import weight_change
from reid.denoise.collect import DenoiseLosses, collect_denoise_loss
from reid.denoise.denoiser import Denoiser, denoisers_by_layer
from reid.denoise.feature import DenoisedFeature
from reid.denoise.fuse import fuse_denoisers
from reid.denoise.layers import DenoisedConv2d, DenoisedLinear, denoised_layers
from reid.denoise.moments import Moments, merge_statistics
from reid.denoise.random import randomize_denoisers
from reid.denoise.schedule import NoiseSchedule
from reid.denoise.solve import loss_floor, solve_denoisers
from reid.denoise.statistics import gather_statistics
from reid.denoise.statistics_file import load_statistics, save_statistics

__all__ = [
    "DenoiseLosses",
    "DenoisedConv2d",
    "DenoisedFeature",
    "DenoisedLinear",
    "Denoiser",
    "Moments",
    "NoiseSchedule",
    "attach_denoisers",
    "collect_denoise_loss",
    "denoised_layers",
    "denoiser_parameters",
    "denoisers_by_layer",
    "detach_denoisers",
    "fuse_denoisers",
    "gather_statistics",
    "load_statistics",
    "loss_floor",
    "merge_statistics",
    "randomize_denoisers",
    "save_statistics",
    "solve_denoisers",
    "weight_change",
]
