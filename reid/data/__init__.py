"""Data sets as columns of paths, identities and cameras; parsers, transforms, samplers and loaders."""

from reid.data.csv_list import load_csv
from reid.data.cuhk03 import load_cuhk03
from reid.data.dukemtmc import load_dukemtmc, load_occ_duke
from reid.data.identity_folders import load_identity_folders
from reid.data.image_dataset import Batch, ImageDataset, Transform
from reid.data.labels import relabel
from reid.data.loaders import iterate, paths_of, plain_loader, set_epoch, shuffled_loader, train_loader
from reid.data.market1501 import load_market1501
from reid.data.merged import merge_training
from reid.data.mot import MotRules, load_mot
from reid.data.msmt17 import load_msmt17
from reid.data.read_image import ImageError, read_image, to_rgb
from reid.data.records import UNKNOWN, Records, ReIDDataset, Trial
from reid.data.registry import LOADERS, load_dataset
from reid.data.samplers import PKSampler, ShuffledSampler
from reid.data.synthetic_layouts import LAYOUTS, write_synthetic
from reid.data.synthetic_market import write_synthetic_market
from reid.data.synthetic_msmt import write_synthetic_msmt
from reid.data.transforms import test_transform, train_transform
from reid.data.vehicleid import load_vehicleid
from reid.data.vehicles2cam import load_vehicles2cam
from reid.data.veri import load_veri

__all__ = [
    "LAYOUTS",
    "LOADERS",
    "UNKNOWN",
    "Batch",
    "ImageDataset",
    "ImageError",
    "MotRules",
    "PKSampler",
    "ReIDDataset",
    "Records",
    "ShuffledSampler",
    "Transform",
    "Trial",
    "iterate",
    "load_csv",
    "load_cuhk03",
    "load_dataset",
    "load_dukemtmc",
    "load_identity_folders",
    "load_market1501",
    "load_mot",
    "load_msmt17",
    "load_occ_duke",
    "load_vehicleid",
    "load_vehicles2cam",
    "load_veri",
    "merge_training",
    "paths_of",
    "plain_loader",
    "read_image",
    "relabel",
    "set_epoch",
    "shuffled_loader",
    "test_transform",
    "to_rgb",
    "train_loader",
    "train_transform",
    "write_synthetic",
    "write_synthetic_market",
    "write_synthetic_msmt",
]
