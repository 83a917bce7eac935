"""What a run needs of its data, tried before anything is written and before hours are spent."""

from reid.data import ReIDDataset
from reid.data.matches import count_matches
from reid.utils import InputError


def check_batches(num_ids: int, batch_size: int, num_instances: int, has_triplet: bool) -> None:
    """Refuse training with labels where a layer or a loss could learn nothing from a batch.

    Args:
        num_ids: Identities among the training images.
        batch_size: Images in a batch, a multiple of ``num_instances``.
        num_instances: K, images of each identity in a batch.
        has_triplet: Whether the triplet loss has a weight.

    Raises:
        InputError: If a batch has one image (BatchNorm has no variance of it), the training images show one
            identity, or the triplet loss finds no positive or no negative.
    """
    if batch_size < 2:
        raise InputError(
            f"BatchNorm needs 2 images or more in a batch, got SOLVER.IMS_PER_BATCH {batch_size}"
        )
    if num_ids < 2:
        raise InputError(
            f"training with labels needs 2 identities or more, the training images show {num_ids}"
        )
    ids_in_batch = batch_size // num_instances
    if has_triplet and min(ids_in_batch, num_instances) < 2:
        raise InputError(
            f"the triplet loss needs 2 identities with 2 images each in a batch, SOLVER.IMS_PER_BATCH"
            f" {batch_size} and DATALOADER.NUM_INSTANCE {num_instances} give {ids_in_batch} with"
            f" {num_instances}; change them, or set MODEL.TRIPLET_LOSS_WEIGHT 0"
        )


def check_trials(dataset: ReIDDataset) -> None:
    """Refuse test images of which no figure could be computed, by their labels alone.

    Raises:
        InputError: If in a trial no query has a true match in the gallery.
    """
    for trial in dataset.trials:
        if not count_matches(dataset.test, trial).any():
            raise InputError(
                f"no query of {dataset.title} has a gallery image of its identity from another camera"
                f" ({len(trial.query)} queries, {len(trial.gallery)} gallery images), so there is nothing to"
                " evaluate; check identities and cameras"
            )
