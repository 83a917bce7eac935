"""From a configuration to a training run and to an evaluator."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from yacs.config import CfgNode

from reid.config import with_values
from reid.data import (
    ReIDDataset,
    merge_training,
    relabel,
)
from reid.engine.build_data import (
    build_datasets,
    build_evaluators,
    build_plain_loader,
    build_side_spec,
    build_train_loader,
)
from reid.engine.distributed import ALONE, World, synchronise_batchnorm
from reid.engine.lr_schedule import Cosine, MultiStep, Schedule
from reid.engine.optimizer import OptimizerSpec
from reid.engine.phases import CLOSED_FORM, Stage, plan_stages
from reid.engine.run_folder import RunFolder
from reid.engine.steps import DenoiseWeight, LabelLoss, TextTarget
from reid.engine.train import TrainingRun
from reid.engine.trainer_spec import TrainerSpec
from reid.losses.build import build_criterion
from reid.models import Header, ReIDModel, Training
from reid.models.backbones import PROJECTED
from reid.models.build import build_denoise_spec, build_model, build_model_spec, build_preprocessing
from reid.models.checkpoint import read_header
from reid.models.header import package_versions
from reid.models.read import count_classes, read_file, state_dict_in
from reid.models.spec import ModelSpec
from reid.models.text_features import load_text_features
from reid.models.words import config_words
from reid.utils import InputError, digest, pick_device, seed_everything

logger = logging.getLogger(__name__)


def build_run(cfg: CfgNode, world: World = ALONE) -> TrainingRun:
    """Everything a training run needs; nothing is written yet.

    Args:
        cfg: The configuration.
        world: The processes that train together.

    Raises:
        InputError: If data, weights or options cannot be used.
    """
    device = world.device(pick_device(cfg.MODEL.DEVICE))
    stages = plan_stages(
        *(cfg.SOLVER.MAX_EPOCHS, cfg.DENOISE.MODE, cfg.DENOISE.MAX_EPOCHS, cfg.DENOISE.PERIOD),
        first=cfg.DENOISE.FIRST,
        closed_form=cfg.DENOISE.CLOSED_FORM,
    )
    solves = any(CLOSED_FORM in stage.phases for stage in stages)
    labelled = any(phase.uses_labels for stage in stages for phase in stage.phases)
    datasets = build_datasets(cfg, train=True)
    dataset = merge_training(list(datasets.values()))
    if len(dataset.train) == 0:
        raise InputError(f"{dataset.title} has no training images; check its split")
    trains_backbone = any(phase.trains_backbone for stage in stages for phase in stage.phases)
    start = read_header(Path(cfg.MODEL.PRETRAIN_PATH)) if cfg.MODEL.PRETRAIN_PATH else None
    side = build_side_spec(cfg, dataset) if trains_backbone or start is None else start.model.side
    seed_everything(cfg.SOLVER.SEED)
    num_classes = relabel(dataset.train.pids)[1] if labelled else _classes_of_weights(cfg)
    if start is not None and not trains_backbone:
        _check_same_network(build_model_spec(cfg, num_classes, side), start.model, cfg.MODEL.PRETRAIN_PATH)
    model = build_model(cfg, num_classes, side)
    if cfg.SOLVER.SYNC_BATCHNORM:
        model = synchronise_batchnorm(model, world, device)
    denoise = build_denoise_spec(cfg)
    if any(stage.denoises for stage in stages):
        # Tried now, because it is needed only when the baseline has been trained.
        denoise.attach(model)
    preprocessing = build_preprocessing(cfg)
    if (
        start is not None
        and not trains_backbone
        and (changed := preprocessing.instead_of(start.preprocessing))
    ):
        logger.warning(
            "images are prepared otherwise than %s were trained with (%s): set INPUT as they say, or features"
            " suffer",
            *(cfg.MODEL.PRETRAIN_PATH, changed),
        )
    history = build_history(cfg, dataset, stages, start)
    facts = _run_facts(cfg, dataset, datasets, device) | {"processes": world.size}
    facts["digests"] = {"weights": digest(model.state_dict().values()), "images": _digest_of_data(datasets)}
    return TrainingRun(
        model=model,
        header=Header(model.spec, preprocessing),
        history=history,
        stages=stages,
        denoise=denoise,
        attach=denoise.attach,
        loader=build_train_loader(cfg, dataset, labelled, world),
        label_loss=build_label_loss(cfg, model),
        dataset=dataset.name,
        trainers=build_trainer_specs(cfg),
        evaluators=build_evaluators(cfg, datasets, preprocessing, device, history[-1], world),
        folder=RunFolder(Path(cfg.OUTPUT_DIR)),
        device=device,
        eval_period=cfg.SOLVER.EVAL_PERIOD,
        checkpoint_period=cfg.SOLVER.CHECKPOINT_PERIOD,
        config=cfg.dump(),
        facts=facts,
        tensorboard=cfg.SOLVER.TENSORBOARD,
        world=world,
        images=build_plain_loader(cfg, dataset.train, preprocessing, world) if solves else None,
    )


def build_seeds(
    cfg: CfgNode, count: int, world: World = ALONE, *, resume: bool = False
) -> Iterator[TrainingRun]:
    """Runs of ``cfg`` that differ in their seed, in ``seed_N`` below its ``OUTPUT_DIR``, built one by one.

    Args:
        cfg: The configuration; its seed is the first, the others follow it.
        count: How many.
        world: The processes that train together.
        resume: Whether the folders may hold runs already.

    Raises:
        InputError: If one of the folders holds a run and may not, or as :func:`build_run`.
    """
    folders = {s: Path(cfg.OUTPUT_DIR, f"seed_{s}") for s in range(cfg.SOLVER.SEED, cfg.SOLVER.SEED + count)}
    for folder in folders.values() if not resume else ():
        RunFolder(folder).check_new()
    for seed, folder in folders.items():
        yield build_run(with_values(cfg, {"SOLVER.SEED": seed, "OUTPUT_DIR": str(folder)}), world)


def build_label_loss(cfg: CfgNode, model: ReIDModel) -> LabelLoss:
    """What ``cfg`` learns from identities.

    Raises:
        InputError: If text features are named and cannot be used.
    """
    criterion = build_criterion(cfg)
    if not cfg.MODEL.TEXT_FEATURES:
        return LabelLoss(criterion)
    if not model.spec.name.startswith("clip_"):
        raise InputError(
            f"MODEL.TEXT_FEATURES needs a CLIP backbone, MODEL.NAME is {model.spec.name}; leave it empty"
        )
    dim = model.branches[PROJECTED].dim
    texts = load_text_features(Path(cfg.MODEL.TEXT_FEATURES), model.spec.num_classes, dim)
    return LabelLoss(criterion, TextTarget(texts, cfg.MODEL.I2T_LOSS_WEIGHT))


def build_trainer_specs(cfg: CfgNode) -> dict[str, TrainerSpec]:
    """How ``cfg`` steps parameters in each kind of stage: ``baseline`` and ``denoise``."""
    backbone = OptimizerSpec(
        cfg.SOLVER.OPTIMIZER_NAME,
        cfg.SOLVER.BASE_LR,
        cfg.SOLVER.WEIGHT_DECAY,
        cfg.SOLVER.BIAS_LR_FACTOR,
        cfg.SOLVER.WEIGHT_DECAY_BIAS,
        cfg.SOLVER.MOMENTUM,
        cfg.SOLVER.LARGE_FC_LR,
    )
    baseline = TrainerSpec(
        seed=cfg.SOLVER.SEED,
        backbone=backbone,
        denoisers=OptimizerSpec(
            cfg.DENOISE.OPTIMIZER_NAME, cfg.DENOISE.BASE_LR, momentum=cfg.SOLVER.MOMENTUM
        ),
        schedule=build_schedule(cfg, cfg.SOLVER.BASE_LR, cfg.SOLVER.WARMUP_EPOCHS),
        denoise=DenoiseWeight(cfg.DENOISE.LOSS, cfg.DENOISE.LAMBDA, cfg.DENOISE.TOKEN_SHARE),
        amp=cfg.SOLVER.AMP,
        clip_norm=cfg.SOLVER.CLIP_NORM,
        accumulate=cfg.SOLVER.ACCUMULATE,
        grad_checkpointing=cfg.SOLVER.GRAD_CHECKPOINTING,
    )
    # The second stage starts from a trained model: no warm-up, and a rate of its own for the backbone, which
    # is the base of the denoisers' rate too where both are trained.
    base_lr = cfg.DENOISE.BACKBONE_LR if cfg.DENOISE.MODE in ("alternating", "joint") else cfg.DENOISE.BASE_LR
    denoise = replace(
        baseline,
        schedule=build_schedule(cfg, base_lr, warmup=0),
        backbone=replace(backbone, peak_lr=cfg.DENOISE.BACKBONE_LR),
    )
    return {"baseline": baseline, "denoise": denoise}


def build_schedule(cfg: CfgNode, base_lr: float, warmup: int) -> Schedule:
    """The shape of the learning rate over a stage with ``base_lr`` and ``warmup`` epochs of warm-up."""
    stepped_at_end = cfg.SOLVER.STEP_AT == "epoch_end"
    if cfg.SOLVER.SCHEDULE == "multistep":
        steps, factor = tuple(cfg.SOLVER.STEPS), cfg.SOLVER.WARMUP_FACTOR
        return MultiStep(steps, cfg.SOLVER.GAMMA, warmup, factor, stepped_at_end)
    return Cosine(base_lr, warmup, stepped_at_end)


def build_history(
    cfg: CfgNode, dataset: ReIDDataset, stages: list[Stage], start: Header | None
) -> list[Training | None]:
    """What the weights come from after each stage: its data, and all trainings before it.

    Args:
        cfg: The configuration.
        dataset: What is trained on.
        stages: Of the run.
        start: The header of the weights to start from; None where they have none.

    Raises:
        InputError: If the weights to start from were adapted to a site.
    """
    if start and start.model.adapted:
        raise InputError(
            f"training needs weights from before the adaptation to a site, {cfg.MODEL.PRETRAIN_PATH} were"
            " adapted; start from the checkpoint that they came from"
        )
    last = start.training if start else None
    history: list[Training | None] = []
    for stage in stages:
        facts = _training_facts(dataset)
        last = Training(**facts, stage=stage.name, epochs=len(stage.phases), before=last)
        history.append(last)
    return history


def _check_same_network(asked: ModelSpec, own: ModelSpec, path: str) -> None:
    """A network that is not trained must be the one of its weights, down to what leaves no key.

    Raises:
        InputError: Naming what differs, and the words that build the network.
    """
    names = ("name", "last_stride", "patch_stride", "conv_stem", "gem", "feat_dim", "jigsaw")
    differing = [name for name in names if getattr(asked, name) != getattr(own, name)]
    if differing:
        raise InputError(
            f"{path} is denoised as it is, so the network must be its own, but {', '.join(differing)} differ;"
            f" set {config_words(own)}"
        )


def _classes_of_weights(cfg: CfgNode) -> int:
    """Without labels the classifier is the one that the weights bring."""
    path = Path(cfg.MODEL.PRETRAIN_PATH)
    return count_classes(state_dict_in(read_file(path), path))


def _training_facts(dataset: ReIDDataset) -> dict[str, Any]:
    return {
        "dataset": dataset.title,
        "train_rule": dataset.train_rule,
        "num_images": len(dataset.train),
        "num_ids": dataset.train.num_pids,
        "num_cameras": dataset.train.num_camids,
    }


def _digest_of_data(datasets: dict[str, ReIDDataset]) -> str:
    """Of the file names, identities and cameras of the training images, in their order."""
    columns = []
    for dataset in datasets.values():
        names = "\n".join(dataset.train.path(row).name for row in range(len(dataset.train)))
        numbers = (torch.from_numpy(column) for column in (dataset.train.pids, dataset.train.camids))
        columns += [torch.frombuffer(bytearray(names.encode()), dtype=torch.uint8), *numbers] if names else []
    return digest(columns)


def _run_facts(
    cfg: CfgNode, dataset: ReIDDataset, datasets: dict[str, ReIDDataset], device: torch.device
) -> dict[str, Any]:
    trials = {
        name: [{"num_query": len(trial.query), "num_gallery": len(trial.gallery)} for trial in tested.trials]
        for name, tested in datasets.items()
    }
    return {
        "seed": cfg.SOLVER.SEED,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "versions": package_versions(),
        "train": _training_facts(dataset),
        "trials": trials,
    }
