"""From a configuration to data: data sets, their batches and their evaluation."""

import logging
import os
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader
from yacs.config import CfgNode

from reid.adaptation import NoiseSettings
from reid.config import with_values
from reid.data import (
    MotRules,
    Records,
    ReIDDataset,
    load_dataset,
    plain_loader,
    shuffled_loader,
    train_loader,
    train_transform,
)
from reid.data.records import UNKNOWN
from reid.engine.adapt import AdaptSettings, SiteImages
from reid.engine.checks import check_batches, check_trials
from reid.engine.distributed import ALONE, World
from reid.engine.evaluate import Evaluator
from reid.engine.site import Site
from reid.evaluation import ReRanking
from reid.models import Header, Preprocessing, SideSpec, Training, describe_training
from reid.utils import InputError

logger = logging.getLogger(__name__)

MOST_WORKERS = 8
MOST_EMBEDDED = 10**4
BATCHNORM_BATCH = 64


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
    world: World = ALONE,
) -> dict[str, Evaluator]:
    """An evaluation for each data set with query and gallery; the others are named in a warning.

    Raises:
        InputError: If in a set no query has a true match.
    """
    evaluators = {}
    for name, dataset in datasets.items():
        if dataset.trials:
            words = describe_training(training, dataset.title)
            evaluators[name] = build_evaluator(cfg, dataset, preprocessing, device, words, world)
        else:
            logger.warning("%s has no query and gallery images: it is not evaluated", dataset.title)
    return evaluators


def build_evaluator(
    cfg: CfgNode,
    dataset: ReIDDataset,
    preprocessing: Preprocessing,
    device: torch.device,
    training: str,
    world: World = ALONE,
) -> Evaluator:
    """The evaluation of ``cfg`` on the test images of ``dataset``, prepared as the model wants them.

    Raises:
        InputError: If there is no query and gallery, or no query has a true match.
    """
    if not dataset.trials:
        raise InputError(f"{dataset.title} has no query and gallery images; there is nothing to evaluate")
    check_trials(dataset)
    loader = build_plain_loader(cfg, dataset.test, preprocessing, world)
    return Evaluator(
        dataset,
        loader,
        cfg.TEST.METRIC,
        device,
        training,
        build_reranking(cfg),
        world,
        flip=cfg.TEST.FLIP,
        backend=cfg.TEST.BACKEND,
    )


def build_plain_loader(
    cfg: CfgNode, images: Records, preprocessing: Preprocessing, world: World = ALONE
) -> DataLoader:
    """Images as a test sees them, each once and in order; with several processes those of this one."""
    own = images if world.size == 1 else images.select(world.rows(len(images)))
    return plain_loader(own, preprocessing, cfg.TEST.IMS_PER_BATCH, num_workers(cfg), cfg.DATALOADER.DECODER)


def build_reranking(cfg: CfgNode) -> ReRanking | None:
    """How rankings are re-ranked; None where they are not.

    Raises:
        InputError: If the backend of the evaluation does not re-rank.
    """
    if not cfg.TEST.RE_RANKING:
        return None
    if cfg.TEST.BACKEND != "torch":
        raise InputError(
            f"only TEST.BACKEND torch re-ranks, got {cfg.TEST.BACKEND}; set it, or TEST.RE_RANKING False"
        )
    return ReRanking(cfg.TEST.RERANK_K1, cfg.TEST.RERANK_K2, cfg.TEST.RERANK_LAMBDA)


def build_site(cfg: CfgNode, name: str, root: Path, header: Header, device: torch.device) -> Site:
    """The images of a site, prepared as the checkpoint's header says.

    Args:
        cfg: How images are read and evaluated.
        name: A CSV list or a data set; its training images are adapted to, without their identities.
        root: What ``name`` is relative to.
        header: Of the model that is adapted.
        device: Where features are computed.

    Raises:
        InputError: If there are no training images, or the data set is refused.
    """
    cfg = with_values(cfg, {"DATASETS.ROOT_DIR": str(root)})
    dataset = build_dataset(cfg, name, train=True)
    if len(dataset.train) == 0:
        raise InputError(
            f"{dataset.title} must have training images to adapt to, it has none; check its split"
        )
    evaluator = None
    if dataset.trials:
        words = describe_training(header.training, dataset.title)
        evaluator = build_evaluator(cfg, dataset, header.preprocessing, device, words)
    images, workers, decoder = dataset.train, num_workers(cfg), cfg.DATALOADER.DECODER
    ordered = plain_loader(images, header.preprocessing, cfg.TEST.IMS_PER_BATCH, workers, decoder)
    # Of 64 each: a small site should give several batches.
    batch = min(cfg.TEST.IMS_PER_BATCH, BATCHNORM_BATCH)
    shuffled = shuffled_loader(images, header.preprocessing, batch, cfg.SOLVER.SEED, workers, decoder=decoder)
    site = SiteImages(dataset.name, dataset.title, images, ordered, shuffled)
    return Site(site, evaluator, header)


def build_adapt_settings(cfg: CfgNode) -> AdaptSettings:
    """What ``cfg`` adapts, and how.

    Raises:
        InputError: If its words do not go together.
    """
    noise = NoiseSettings(
        noise=cfg.ADAPT.NOISE,
        pairs=cfg.ADAPT.PAIRS,
        k=cfg.ADAPT.K or None,
        shrinkage=cfg.ADAPT.SHRINKAGE or None,
        means=cfg.ADAPT.MEANS,
    )
    return AdaptSettings(noise, cfg.ADAPT.BATCHNORM, cfg.ADAPT.FOLD)


def build_file_settings(cfg: CfgNode) -> NoiseSettings:
    """The same for features in files.

    Raises:
        InputError: If its words do not go together, or ask for what only a model has.
    """
    settings = build_adapt_settings(cfg)
    if settings.batchnorm == "on":
        raise InputError("ADAPT.BATCHNORM on needs a model, features have no statistics; set it off or auto")
    return settings.noise


def build_side_spec(cfg: CfgNode, dataset: ReIDDataset) -> SideSpec | None:
    """The cameras and views that ``cfg`` embeds, those of the training images; None where it embeds none.

    Raises:
        InputError: If cameras or views are to be told apart and the images have fewer than two, or if the
            images are of several sets: their numbers are not those of each set's own test images.
    """
    records, found = dataset.train, {}
    for key, is_wanted, name, column in (
        ("MODEL.SIE_CAMERA", cfg.MODEL.SIE_CAMERA, "cameras", records.camids),
        ("MODEL.SIE_VIEW", cfg.MODEL.SIE_VIEW, "views", records.viewids),
    ):
        numbers = np.unique(column[column != UNKNOWN]) if is_wanted else np.empty(0, np.int64)
        if is_wanted and dataset.train_rule == "merged":
            raise InputError(f"{key} needs a single training set, got {dataset.title}; set {key} False")
        if is_wanted and not 2 <= len(numbers) <= MOST_EMBEDDED:
            raise InputError(
                f"{key} needs training images of 2 to {MOST_EMBEDDED} {name}, {dataset.title} has"
                f" {len(numbers)}; set {key} False"
            )
        found[name] = tuple(numbers.tolist())
    if not found["cameras"] and not found["views"]:
        return None
    return SideSpec(found["cameras"], found["views"], cfg.MODEL.SIE_COE, dataset.name)


def build_train_loader(
    cfg: CfgNode, dataset: ReIDDataset, labelled: bool, world: World = ALONE
) -> DataLoader:
    """P x K batches where a phase needs labels, shuffled ones where none does; of each its process's share.

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
    world.share(batch)
    seed, part = cfg.SOLVER.SEED, (world.rank, world.size)
    options = (num_workers(cfg), cfg.DATALOADER.CACHE_MB, cfg.DATALOADER.DECODER, part)
    if labelled:
        check_batches(dataset.train.num_pids, batch, instances, cfg.MODEL.TRIPLET_LOSS_WEIGHT > 0)
        return train_loader(dataset.train, transform, batch // instances, instances, seed, *options)
    return shuffled_loader(dataset.train, transform, batch, seed, *options)


def num_workers(cfg: CfgNode) -> int:
    """Worker processes for reading images."""
    if cfg.DATALOADER.NUM_WORKERS >= 0:
        return int(cfg.DATALOADER.NUM_WORKERS)
    return min(os.cpu_count() or 1, MOST_WORKERS)
