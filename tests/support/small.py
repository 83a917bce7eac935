"""A drawn data set and a small configuration that trains in seconds."""

from reid.config import load_config
from reid.data import write_synthetic_market

SIZE = ["INPUT.SIZE_TRAIN", "[32, 32]", "INPUT.SIZE_TEST", "[32, 32]", "INPUT.PADDING", "2"]


def draw_people(root, **options):
    write_synthetic_market(
        root,
        **{
            "num_train_ids": 8,
            "num_test_ids": 4,
            "num_cameras": 2,
            "images_per_camera": 2,
            "image_size": (64, 32),
            "num_distractors": 2,
            "num_junk": 2,
        }
        | options,
    )
    return root


def small_words(root, output, *overrides):
    """KEY VALUE words for a run of two baseline and two denoising epochs, which are steps."""
    return [
        *("MODEL.NAME", "vit_micro", *SIZE, "DATASETS.ROOT_DIR", str(root), "OUTPUT_DIR", str(output)),
        *("SOLVER.IMS_PER_BATCH", "16", "SOLVER.MAX_EPOCHS", "2", "SOLVER.WARMUP_EPOCHS", "0"),
        *("SOLVER.OPTIMIZER_NAME", "AdamW", "SOLVER.BASE_LR", "1e-3", "MODEL.DEVICE", "cpu"),
        *("DENOISE.MODE", "label_free", "DENOISE.MAX_EPOCHS", "2", "DENOISE.BASE_LR", "1e-2"),
        *("DENOISE.CLOSED_FORM", "False"),
        *("DATALOADER.NUM_WORKERS", "0", *overrides),
    ]


def small_config(root, output, *overrides):
    return load_config(None, small_words(root, output, *overrides))
