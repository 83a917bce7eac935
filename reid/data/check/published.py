"""What the data sets' authors, or the loaders of the field, say that each split holds."""

from typing import NamedTuple

from reid.data.folders import STAMP
from reid.data.records import ReIDDataset


class Count(NamedTuple):
    """Images and identities of one split."""

    images: int
    identities: int


class Published(NamedTuple):
    """One version of a data set.

    Args:
        dataset: The registry's name.
        version: Words that the set's title or its training rule contains; empty where there is one version.
        source: Who published the set; the counts are those that the loaders of TransReID, fast-reid and
            torchreid state, and of Occluded-Duke and CUHK03's new protocol those of the authors' tables.
        cameras: Over all splits; 0 where the set does not tell.
        splits: By name: train, and query and gallery, or test where these are drawn.
    """

    dataset: str
    version: str
    source: str
    cameras: int
    splits: dict[str, Count]


MARKET = "Zheng et al., ICCV 2015"
DUKE = "Ristani et al., ECCV 2016 workshops, and Zheng et al., ICCV 2017"
OCCLUDED = "Miao et al., ICCV 2019"
MSMT = "Wei et al., CVPR 2018"
CUHK03 = "Li et al., CVPR 2014, and Zhong et al., CVPR 2017"
VERI = "Liu et al., ECCV 2016"
VEHICLEID = "Liu et al., CVPR 2016"

# The 751st identity of Market-1501's gallery is 0, the distractors.
MARKET_TEST = {"query": Count(3_368, 750), "gallery": Count(15_913, 751)}
DUKE_GALLERY = Count(17_661, 1_110)
DUKE_TEST = {"query": Count(2_228, 702), "gallery": DUKE_GALLERY}
OCCLUDED_TEST = {"query": Count(2_210, 519), "gallery": DUKE_GALLERY}
MSMT_TEST = {"query": Count(11_659, 3_060), "gallery": Count(82_161, 3_060)}
LABELED_TEST = {"query": Count(1_400, 700), "gallery": Count(5_328, 700)}
DETECTED_TEST = {"query": Count(1_400, 700), "gallery": Count(5_332, 700)}
VERI_TEST = {"query": Count(1_678, 200), "gallery": Count(11_579, 200)}
VEHICLEID_TRAIN = Count(113_346, 13_164)

PUBLISHED = (
    Published("market1501", "", MARKET, 6, {"train": Count(12_936, 751), **MARKET_TEST}),
    Published("dukemtmc", "", DUKE, 8, {"train": Count(16_522, 702), **DUKE_TEST}),
    Published("occ_duke", "", OCCLUDED, 8, {"train": Count(15_618, 702), **OCCLUDED_TEST}),
    Published("msmt17", "train+val", MSMT, 15, {"train": Count(32_621, 1_041), **MSMT_TEST}),
    Published("msmt17", "train", MSMT, 15, {"train": Count(30_248, 1_041), **MSMT_TEST}),
    Published("cuhk03", "labeled, new", CUHK03, 2, {"train": Count(7_368, 767), **LABELED_TEST}),
    Published("cuhk03", "detected, new", CUHK03, 2, {"train": Count(7_365, 767), **DETECTED_TEST}),
    Published("veri", "", VERI, 20, {"train": Count(37_778, 576), **VERI_TEST}),
    *(
        Published(
            "vehicleid",
            f"test list {size},",
            VEHICLEID,
            0,
            {"train": VEHICLEID_TRAIN, "test": Count(images, size)},
        )
        for size, images in ((800, 6_493), (1600, 13_377), (2400, 19_777))
    ),
)


def published_counts(dataset: ReIDDataset) -> Published | None:
    """The published counts of the version that ``dataset`` is; None where there are none or it is drawn."""
    if (dataset.train.root / STAMP).is_file():
        return None
    known = (published for published in PUBLISHED if published.dataset == dataset.name)
    words = f"{dataset.title} {dataset.train_rule}"
    return next((published for published in known if published.version in words), None)
