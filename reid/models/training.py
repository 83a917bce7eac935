"""What a model was trained on: the chain of trainings behind its weights, and its words in a protocol."""

from dataclasses import dataclass

WORDS = {
    "baseline": "trained on",
    "label_free": "denoised on",
    "alternating": "trained and denoised on",
    "joint": "trained and denoised on",
    "adaptation": "adapted to",
}

WITHOUT_BACKBONE = ("label_free", "adaptation")


@dataclass(frozen=True)
class Training:
    """One stage of training, and the one that it started from.

    Args:
        dataset: Title of the data set with its version.
        train_rule: What of it was used, e.g. ``train`` or ``train+val``.
        num_images: Training images.
        num_ids: Training identities; 0 where there are no labels.
        num_cameras: Cameras, unknown ones not counted.
        stage: ``baseline``, ``label_free``, ``alternating``, ``joint``, ``adaptation``, or of a control of
            denoising ``no_denoisers`` or ``random_denoisers``.
        epochs: Of this stage.
        before: The training that the weights at its start came from; None where that is unknown, or there was
            none but an ImageNet or another pre-training.
    """

    dataset: str
    train_rule: str
    num_images: int
    num_ids: int
    num_cameras: int
    stage: str
    epochs: int
    before: "Training | None" = None

    @property
    def data(self) -> tuple[str, str, int]:
        """What two trainings on the same images share."""
        return self.dataset, self.train_rule, self.num_images


def describe_training(training: Training | None, title: str) -> str:
    """The chain in the words of a protocol, the first training first.

    A further stage of training on the same images is not named again.

    Args:
        training: The last one; None where nothing is known.
        title: The data set that the protocol names already.

    Example:
        >>> first = Training("Market-1501", "train", 12936, 751, 6, "baseline", 120)
        >>> describe_training(first, "Market-1501")
        'trained on its train split (12936 images)'
        >>> last = Training("mine", "train", 100, 0, 0, "label_free", 5, before=first)
        >>> describe_training(last, "Market-1501")
        'trained on its train split (12936 images), denoised on mine train (100 images)'
    """
    chain: list[Training] = []
    while training is not None:
        chain.insert(0, training)
        training = training.before
    # Without labels only denoisers are trained, so the backbone is of an earlier training.
    parts = [] if chain and chain[0].stage not in WITHOUT_BACKBONE else ["trained on unknown data"]
    for before, step in zip([None, *chain], chain, strict=False):
        if before is None or before.data != step.data or step.stage == "adaptation":
            data = (
                f"its {step.train_rule} split"
                if step.dataset == title
                else f"{step.dataset} {step.train_rule}"
            )
            parts.append(f"{WORDS.get(step.stage, 'trained on')} {data} ({step.num_images} images)")
    return ", ".join(parts)
