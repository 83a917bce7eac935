"""CLIP-ReID's first stage: learn a prompt for each training identity, and write the texts' features.

The text encoder is that of --weights: a CLIP-ReID checkpoint, a CLIP state dict, or OpenAI's archive. The
image encoder is MODEL.NAME with the weights of MODEL.PRETRAIN_PATH, or of the same file where that is empty.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from reid.config import load_config
from reid.data import iterate, merge_training, plain_loader, relabel
from reid.engine.build_data import build_dataset, num_workers
from reid.engine.prompts import ProjectedFeature, PromptSettings, encode_contexts, learn_prompts, noun_of
from reid.evaluation import extract_features
from reid.models.build import build_model, build_preprocessing
from reid.models.clip_text import PROMPT, TextEncoder, learned_context
from reid.models.formats import read_weights, start_from
from reid.models.text_features import save_text_features
from reid.utils import check_output, pick_device, setup_logging
from reid.utils.cli import config_parser, run_tool

UNSAFE = "also read a TorchScript archive, such as OpenAI's; this may run code that the file contains"
LEARNED = "learn nothing: take the prompts that a CLIP-ReID checkpoint has, row by row"


def main(words: Sequence[str]) -> None:
    example = "python tools/learn_prompts.py --config clip_vit_market.yml --weights ViT-B-16.pt --out t.pth"
    parser = config_parser(__doc__, example)
    parser.add_argument("--weights", metavar="FILE", type=Path, required=True, help="holds the text encoder")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="the text features to write")
    parser.add_argument("--noun", help="what images show; default: person, or vehicle by DATASETS.NAMES")
    parser.add_argument("--epochs", metavar="N", type=int, default=PromptSettings.epochs, help="default 120")
    parser.add_argument("--from-checkpoint-prompts", action="store_true", help=LEARNED)
    parser.add_argument("--allow-unsafe", action="store_true", help=UNSAFE)
    args = parser.parse_intermixed_args(words)
    cfg = load_config(args.config, args.overrides)
    check_output(args.out, args.weights, Path(cfg.MODEL.PRETRAIN_PATH) if cfg.MODEL.PRETRAIN_PATH else None)
    settings = PromptSettings(args.epochs, seed=cfg.SOLVER.SEED)
    setup_logging()
    device = pick_device(cfg.MODEL.DEVICE)
    tensors = read_weights(args.weights, args.allow_unsafe)
    noun = args.noun or noun_of(cfg.DATASETS.NAMES)
    encoder = TextEncoder.from_tensors(tensors, args.weights, noun).to(device)
    if args.from_checkpoint_prompts:
        context = learned_context(tensors, encoder, args.weights)
        features = encode_contexts(encoder, context)
    else:
        sets = [build_dataset(cfg, name, train=True, test=False) for name in cfg.DATASETS.NAMES]
        records = merge_training(sets).train
        labels, num_classes = relabel(records.pids)
        model = build_model(cfg, num_classes).to(device)
        if not cfg.MODEL.PRETRAIN_PATH:
            start_from(model, tensors, args.weights, cfg.MODEL.PRETRAIN_HW_RATIO)
        reading = (cfg.TEST.IMS_PER_BATCH, num_workers(cfg), cfg.DATALOADER.DECODER)
        loader = plain_loader(records, build_preprocessing(cfg), *reading)
        images = extract_features(ProjectedFeature(model), iterate(loader), device, total=len(loader))
        context, features, losses = learn_prompts(images.feats, torch.from_numpy(labels), encoder, settings)
        print(f"{len(records)} images; loss {losses[0]:.3f} in the first epoch, {losses[-1]:.3f} in the last")
    save_text_features(args.out, features, context, PROMPT.format(noun))
    print(f"wrote {args.out}: text features of {len(features)} identities, {features.shape[1]} wide")


if __name__ == "__main__":
    sys.exit(run_tool(main))
