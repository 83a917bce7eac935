"""From a configuration to a training run and to an evaluator."""

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from yacs.config import CfgNode

from reid.config import get_default_config
from reid.data import (
    MotRules,
    ReIDDataset,
    load_dataset,
    merge_training,
    plain_loader,
    relabel,
    shuffled_loader,
    train_loader,
    train_transform,
)
from reid.engine.checks import check_batches, check_trials
from reid.engine.evaluate import Evaluator
from reid.engine.optimizer import OptimizerSpec
from reid.engine.phases import Stage, plan_stages
from reid.engine.run_folder import RunFolder
from reid.engine.site import Site
from reid.engine.steps import DenoiseWeight
from reid.engine.train import TrainingRun
from reid.engine.trainer import TrainerSpec
from reid.evaluation import ReRanking
from reid.losses.build import build_criterion
from reid.models import Header, Preprocessing, Training, describe_training
from reid.models.build import build_denoise_spec, build_model, build_preprocessing
from reid.models.checkpoint import read_header
from reid.models.header import package_versions
from reid.models.weights import count_classes, read_file, state_dict_in
from reid.utils import InputError, pick_device, seed_everything

logger = logging.getLogger(__name__)

MOST_WORKERS = 8


def build_run(cfg: CfgNode) -> TrainingRun:
    """Everything a training run needs; nothing is written yet.

    Raises:
        InputError: If data, weights or options cannot be used.
    """
    device = pick_device(cfg.MODEL.DEVICE)
    stages = plan_stages(cfg.SOLVER.MAX_EPOCHS, cfg.DENOISE.MODE, cfg.DENOISE.MAX_EPOCHS, cfg.DENOISE.PERIOD)
    labelled = any(phase.uses_labels for stage in stages for phase in stage.phases)
    datasets = build_datasets(cfg, train=True)
    dataset = merge_training(list(datasets.values()))
    if len(dataset.train) == 0:
        raise InputError(f"{dataset.title} has no training images; check its split")
    seed_everything(cfg.SOLVER.SEED)
    model = build_model(cfg, relabel(dataset.train.pids)[1] if labelled else _classes_of_weights(cfg))
    if any(stage.denoises for stage in stages):
        # Tried now, because it is needed only when the baseline has been trained.
        build_denoise_spec(cfg).attach(model)
    preprocessing = build_preprocessing(cfg)
    history = build_history(cfg, dataset, stages)
    return TrainingRun(
        model=model,
        header=Header(model.spec, preprocessing),
        history=history,
        stages=stages,
        denoise=build_denoise_spec(cfg),
        loader=build_train_loader(cfg, dataset, labelled),
        criterion=build_criterion(cfg),
        trainers=build_trainer_specs(cfg),
        evaluators=build_evaluators(cfg, datasets, preprocessing, device, history[-1]),
        folder=RunFolder(Path(cfg.OUTPUT_DIR)),
        device=device,
        eval_period=cfg.SOLVER.EVAL_PERIOD,
        checkpoint_period=cfg.SOLVER.CHECKPOINT_PERIOD,
        config=cfg.dump(),
        facts=_run_facts(cfg, dataset, datasets, device),
    )


def build_datasets(cfg: CfgNode, *, train: bool) -> dict[str, ReIDDataset]:
    """The data sets of ``cfg`` by name; training images are looked for only where they are wanted."""
    return {name: build_dataset(cfg, name, train=train) for name in cfg.DATASETS.NAMES}


def build_dataset(cfg: CfgNode, name: str, *, train: bool, test: bool = True) -> ReIDDataset:
    """The data set ``name``, in the version that ``cfg`` asks for; the rest is as in ``load_dataset``."""
    return load_dataset(
        name,
        Path(cfg.DATASETS.ROOT_DIR),
        train=train,
        test=test,
        msmt_use_val=cfg.DATASETS.MSMT_USE_VAL,
        msmt_version=cfg.DATASETS.MSMT_VERSION,
        market_distractors=cfg.DATASETS.MARKET_DISTRACTORS,
        cuhk03_boxes=cfg.DATASETS.CUHK03_BOXES,
        cuhk03_protocol=cfg.DATASETS.CUHK03_PROTOCOL,
        cuhk03_split=cfg.DATASETS.CUHK03_SPLIT,
        vehicleid_test_size=cfg.DATASETS.VEHICLEID_TEST_SIZE,
        folders_seed=cfg.DATASETS.FOLDERS_SEED,
        mot_rules=MotRules(
            cfg.DATASETS.MOT_GAP,
            cfg.DATASETS.MOT_MIN_VISIBILITY,
            cfg.DATASETS.MOT_MIN_HEIGHT,
            Path(cfg.DATASETS.MOT_CACHE_DIR) if cfg.DATASETS.MOT_CACHE_DIR else None,
        ),
    )


def build_evaluators(
    cfg: CfgNode,
    datasets: dict[str, ReIDDataset],
    preprocessing: Preprocessing,
    device: torch.device,
    training: Training | None,
) -> dict[str, Evaluator]:
    """An evaluation for each data set with query and gallery; the others are named in a warning.

    Raises:
        InputError: If in a set no query has a true match.
    """
    evaluators = {}
    for name, dataset in datasets.items():
        if dataset.trials:
            words = describe_training(training, dataset.title)
            evaluators[name] = build_evaluator(cfg, dataset, preprocessing, device, words)
        else:
            logger.warning("%s has no query and gallery images: it is not evaluated", dataset.title)
    return evaluators


def build_evaluator(
    cfg: CfgNode,
    dataset: ReIDDataset,
    preprocessing: Preprocessing,
    device: torch.device,
    training: str,
) -> Evaluator:
    """The evaluation of ``cfg`` on the test images of ``dataset``, prepared as the model wants them.

    Raises:
        InputError: If there is no query and gallery, or no query has a true match.
    """
    if not dataset.trials:
        raise InputError(f"{dataset.title} has no query and gallery images; there is nothing to evaluate")
    check_trials(dataset)
    loader = plain_loader(dataset.test, preprocessing, cfg.TEST.IMS_PER_BATCH, num_workers(cfg))
    reranking = ReRanking() if cfg.TEST.RE_RANKING else None
    return Evaluator(dataset, loader, cfg.TEST.METRIC, device, training, reranking)


def build_site(name: str, root: Path, header: Header, device: torch.device, batch_size: int) -> Site:
    """The images of a site, prepared as the checkpoint's header says.

    Args:
        name: A CSV list or a data set; its training images are adapted to, without their identities.
        root: What ``name`` is relative to.
        header: Of the model that is adapted.
        device: Where features are computed.
        batch_size: Images a batch.

    Raises:
        InputError: If there are no training images, or the data set is refused.
    """
    cfg = get_default_config()
    cfg.DATASETS.ROOT_DIR, cfg.TEST.IMS_PER_BATCH = str(root), batch_size
    dataset = build_dataset(cfg, name, train=True)
    if len(dataset.train) == 0:
        raise InputError(
            f"{dataset.title} must have training images to adapt to, it has none; check its split"
        )
    words = describe_training(header.training, dataset.title)
    evaluator = None
    if dataset.trials:
        evaluator = build_evaluator(cfg, dataset, header.preprocessing, device, words)
    workers = num_workers(cfg)
    return Site(
        title=dataset.title,
        records=dataset.train,
        images=plain_loader(dataset.train, header.preprocessing, batch_size, workers),
        shuffled=shuffled_loader(dataset.train, header.preprocessing, batch_size, 0, workers),
        evaluator=evaluator,
        header=header,
    )


def build_train_loader(cfg: CfgNode, dataset: ReIDDataset, labelled: bool) -> DataLoader:
    """P x K batches where a phase needs labels, shuffled ones where none does.

    Raises:
        InputError: If batches of this size could not be learned from.
    """
    transform = train_transform(
        tuple(cfg.INPUT.SIZE_TRAIN),
        cfg.INPUT.PIXEL_MEAN,
        cfg.INPUT.PIXEL_STD,
        flip_prob=cfg.INPUT.PROB,
        padding=cfg.INPUT.PADDING,
        erase_prob=cfg.INPUT.RE_PROB,
        color_jitter=cfg.INPUT.COLOR_JITTER,
        hue_jitter=cfg.INPUT.HUE_JITTER,
        grayscale_prob=cfg.INPUT.GRAYSCALE_PROB,
        affine_degrees=cfg.INPUT.AFFINE_DEGREES,
        affine_scale=cfg.INPUT.AFFINE_SCALE,
    )
    batch, instances = cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE
    workers, seed, cache_mb = num_workers(cfg), cfg.SOLVER.SEED, cfg.DATALOADER.CACHE_MB
    if labelled:
        check_batches(dataset.train.num_pids, batch, instances, cfg.MODEL.TRIPLET_LOSS_WEIGHT > 0)
        return train_loader(dataset.train, transform, batch // instances, instances, seed, workers, cache_mb)
    return shuffled_loader(dataset.train, transform, batch, seed, workers, cache_mb)


def build_trainer_specs(cfg: CfgNode) -> dict[str, TrainerSpec]:
    """How ``cfg`` steps parameters in each kind of stage: ``baseline`` and ``denoise``."""
    backbone = OptimizerSpec(
        cfg.SOLVER.OPTIMIZER_NAME,
        cfg.SOLVER.BASE_LR,
        cfg.SOLVER.WEIGHT_DECAY,
        cfg.SOLVER.BIAS_LR_FACTOR,
        cfg.SOLVER.WEIGHT_DECAY_BIAS,
        cfg.SOLVER.MOMENTUM,
    )
    baseline = TrainerSpec(
        seed=cfg.SOLVER.SEED,
        backbone=backbone,
        denoisers=OptimizerSpec(
            cfg.DENOISE.OPTIMIZER_NAME, cfg.DENOISE.BASE_LR, momentum=cfg.SOLVER.MOMENTUM
        ),
        denoise=DenoiseWeight(cfg.DENOISE.LOSS, cfg.DENOISE.LAMBDA),
        warmup=cfg.SOLVER.WARMUP_EPOCHS,
        amp=cfg.SOLVER.AMP,
        clip_norm=cfg.SOLVER.CLIP_NORM,
    )
    # The second stage starts from a trained model: no warm-up, and a rate of its own for the backbone.
    denoise = replace(baseline, warmup=0, backbone=replace(backbone, peak_lr=cfg.DENOISE.BACKBONE_LR))
    return {"baseline": baseline, "denoise": denoise}


def build_history(cfg: CfgNode, dataset: ReIDDataset, stages: list[Stage]) -> list[Training]:
    """What the weights come from after each stage: its data, and all trainings before it.

    Raises:
        InputError: If the weights to start from cannot be read.
    """
    start = read_header(Path(cfg.MODEL.PRETRAIN_PATH)) if cfg.MODEL.PRETRAIN_PATH else None
    last = start.training if start else None
    history = []
    for stage in stages:
        facts = _training_facts(dataset)
        last = Training(**facts, stage=stage.name, epochs=len(stage.phases), before=last)
        history.append(last)
    return history


def num_workers(cfg: CfgNode) -> int:
    """Worker processes for reading images."""
    if cfg.DATALOADER.NUM_WORKERS >= 0:
        return int(cfg.DATALOADER.NUM_WORKERS)
    return min(os.cpu_count() or 1, MOST_WORKERS)


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
