"""Data sets as columns of paths, identities and cameras; parsers, transforms, samplers and loaders."""

from reid.data.csv_list import load_csv
from reid.data.image_dataset import Batch, ImageDataset, Transform
from reid.data.labels import relabel
from reid.data.loaders import iterate, plain_loader, set_epoch, shuffled_loader, train_loader
from reid.data.market1501 import load_market1501
from reid.data.msmt17 import load_msmt17
from reid.data.read_image import ImageError, read_image
from reid.data.records import UNKNOWN, Records, ReIDDataset, Trial
from reid.data.registry import LOADERS, load_dataset
from reid.data.samplers import PKSampler, ShuffledSampler
from reid.data.synthetic import write_synthetic_market, write_synthetic_msmt
from reid.data.transforms import test_transform, train_transform
from reid.data.vehicles2cam import load_vehicles2cam

__all__ = [
    "LOADERS",
    "UNKNOWN",
    "Batch",
    "ImageDataset",
    "ImageError",
    "PKSampler",
    "ReIDDataset",
    "Records",
    "ShuffledSampler",
    "Transform",
    "Trial",
    "iterate",
    "load_csv",
    "load_dataset",
    "load_market1501",
    "load_msmt17",
    "load_vehicles2cam",
    "plain_loader",
    "read_image",
    "relabel",
    "set_epoch",
    "shuffled_loader",
    "test_transform",
    "train_loader",
    "train_transform",
    "write_synthetic_market",
    "write_synthetic_msmt",
]
