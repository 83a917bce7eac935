"""What denoising does to real images: OSNet x0.25, trained on people (Market-1501), on two-camera vehicles.

Three tables: denoised layers (the paper's setting by gradients and in closed form, its controls, stronger
settings); adaptation to the cameras without labels, with its controls; and adaptation on random halves of the
identities. Each row is evaluated on identities that nothing was fitted on, with its difference to the
untouched model and the 95 % interval of a paired bootstrap over queries.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from support import count, describe_device
from torch.nn import functional as F

from reid.adaptation import Noise, NoiseSettings, whiten
from reid.adaptation.scaling import normalise
from reid.data import Records, ReIDDataset, Trial, iterate, load_dataset
from reid.data.loaders import plain_loader, shuffled_loader
from reid.denoise import (
    collect_denoise_loss,
    denoiser_parameters,
    fuse_denoisers,
    randomize_denoisers,
    solve_denoisers,
    weight_change,
)
from reid.engine.adapt import AdaptSettings, SiteImages, adapt, with_denoiser
from reid.engine.closed_form import gather
from reid.engine.evaluate import Evaluator
from reid.evaluation import (
    FIGURES,
    EvaluationResult,
    FeatureSet,
    bootstrap_difference,
    extract_features,
    figure_cells,
    format_table,
)
from reid.models import DenoiseSpec, Header, ReIDModel, load_any
from reid.utils import setup_logging, write_json
from reid.utils.cli import add_json_option, run_tool, tool_parser

WEIGHTS, NAME = "weights/osnet_x0_25_market1501.pth", "vehicles2cam"
PAPER = DenoiseSpec(targets=("conv",))
STRONGER = {
    "betas to 2e-2 (DDPM's own)": replace(PAPER, beta_end=2e-2),
    "t spread over 1..1000": replace(PAPER, t_rule="spread"),
    "t spread, half of it": replace(PAPER, t_rule="spread", strength=0.5),
    "4 steps a layer": replace(PAPER, steps=4),
    "betas from 1e-2": replace(PAPER, beta_start=1e-2, beta_end=1e-2),
}
UNTOUCHED = "untouched"
WORKERS, BATCH = 2, 64
SEED = 1234  # that of tools/adapt.py, whose figures these are


@dataclass(frozen=True, eq=False)
class Bench:
    """A model, the images that it is fitted to and those that it is evaluated on."""

    model: ReIDModel
    header: Header
    dataset: ReIDDataset
    device: torch.device

    def site(self) -> SiteImages:
        """Prepare the images that are fitted to."""
        images, prepared = self.dataset.train, self.header.preprocessing
        ordered = plain_loader(images, prepared, BATCH, WORKERS)
        shuffled = shuffled_loader(images, prepared, BATCH, SEED, WORKERS)
        return SiteImages(self.dataset.name, self.dataset.title, images, ordered, shuffled)

    def evaluator(self) -> Evaluator:
        """Prepare the evaluation."""
        loader = plain_loader(self.dataset.test, self.header.preprocessing, BATCH, WORKERS)
        return Evaluator(self.dataset, loader, "cosine", self.device, "trained on Market-1501 (people)")


class Rows:
    """The rows of a table, each held against the first."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.first: tuple[FeatureSet, EvaluationResult] | None = None
        self.rows: list[list[str]] = []
        self.figures: dict[str, Any] = {}

    def add(self, name: str, model: ReIDModel, seconds: float, change: float | None = None) -> None:
        """Evaluate a model; ``seconds`` were spent to make it, and it moved fused weights by ``change``."""
        features = self.evaluator.extract(model)
        result = self.evaluator.evaluate(features)
        self.first = self.first or (features, result)
        gain = bootstrap_difference(self.first[1], result)
        is_first = not self.rows
        cosine = float(F.cosine_similarity(features.feats, self.first[0].feats).mean())
        self.rows.append(
            [
                name,
                *figure_cells(result),
                "" if is_first else gain.in_points(),
                "" if change is None else f"{change:.1e}",
                "" if is_first else f"{cosine:.4f}",
                "" if is_first else f"{seconds:.0f}",
            ]
        )
        self.figures[name] = result.as_dict() | {
            "mAP_gain": gain.difference,
            "mAP_gain_interval": [gain.low, gain.high],
            "weight_change": change,
            "cosine": cosine,
            "seconds": seconds,
        }

    def print(self, title: str) -> None:
        """Show the table under its title."""
        columns = [f"mAP less {UNTOUCHED}", "weight change", "cosine", "seconds"]
        print(f"\n{title}\n{format_table(['model', *FIGURES, *columns], self.rows)}")


def main(words: Sequence[str]) -> None:
    parser = tool_parser(
        __doc__, "python benchmarks/real_images.py --shared ../shared --json real_images.json"
    )
    parser.add_argument(
        "--shared", metavar="DIR", type=Path, default=Path("../shared"), help="holds data/ and weights/"
    )
    parser.add_argument("--epochs", type=count, default=4, metavar="N", help="of training by gradients")
    parser.add_argument("--splits", type=count, default=5, metavar="N", help="random halves")
    add_json_option(parser)
    args = parser.parse_args(words)
    setup_logging()
    model, header = load_any(args.shared / WEIGHTS)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bench = Bench(model.to(device), header, load_dataset(NAME, args.shared / "data"), device)
    print(f"{describe_device(device)}\n{bench.evaluator().protocol(model).describe()}")
    tables = {"layers": denoise_layers(bench, args.epochs), "cameras": denoise_cameras(bench)}
    halves = adapt_halves(bench, args.splits)
    if args.json:
        write_json(args.json, {name: rows.figures for name, rows in tables.items()} | {"halves": halves})


def denoise_layers(bench: Bench, epochs: int) -> Rows:
    """The paper's setting by gradients and solved, its control, and stronger settings."""
    rows, images = Rows(bench.evaluator()), bench.site().ordered
    rows.add(UNTOUCHED, bench.model, 0)
    start = time.perf_counter()
    statistics = gather(PAPER.attach(bench.model), images, bench.device)
    once = time.perf_counter() - start
    start = time.perf_counter()
    trained = train_denoisers(bench, PAPER, epochs)
    seconds = time.perf_counter() - start
    add_fused(rows, f"the paper's setting, by gradients ({epochs} epochs)", trained, seconds)
    solved = solve_denoisers(PAPER.attach(bench.model), statistics)
    add_fused(rows, "the paper's setting, closed form", solved, once)
    control = randomize_denoisers(PAPER.attach(bench.model), solved, 0)
    add_fused(rows, "control: random denoisers of the same norms", control, 0)
    for name, spec in STRONGER.items():
        start = time.perf_counter()
        solved = solve_denoisers(spec.attach(bench.model), statistics)
        add_fused(rows, f"closed form, {name}", solved, time.perf_counter() - start)
    rows.print("Denoised convolutions, fused; statistics of one pass over the training images")
    return rows


def add_fused(rows: Rows, name: str, model: ReIDModel, seconds: float) -> None:
    rows.add(name, fuse_denoisers(model), seconds, mean(weight_change(model).values()))


def train_denoisers(bench: Bench, spec: DenoiseSpec, epochs: int) -> ReIDModel:
    """By AdamW at the rate of the default configuration, without labels."""
    model, loader = spec.attach(bench.model).eval(), bench.site().shuffled
    optimizer = torch.optim.AdamW(denoiser_parameters(model), lr=4e-4, weight_decay=0)
    for _ in range(epochs):
        for batch in iterate(loader):
            with collect_denoise_loss(model, plain=True) as losses, torch.no_grad():
                model.embed(batch.images.to(bench.device))
            optimizer.zero_grad(set_to_none=True)
            losses.total.backward()
            optimizer.step()
    return model


def denoise_cameras(bench: Bench) -> Rows:
    """Adaptation without labels, by parts and with its default choices, and controls."""
    rows = Rows(bench.evaluator())
    rows.add(UNTOUCHED, bench.model, 0)
    usual = {"noise": "on", "k": 2, "shrinkage": 3.0}
    kinds: dict[str, AdaptSettings] = {
        "BatchNorm statistics alone": AdaptSettings(NoiseSettings(noise="off"), "on"),
        "camera noise, one mean (k = 2, r = 3)": AdaptSettings(NoiseSettings(**usual, means="one"), "off"),
        "camera noise, a mean per camera": AdaptSettings(NoiseSettings(**usual, means="camera"), "off"),
        "the same without camera numbers": AdaptSettings(NoiseSettings(pairs="neighbours"), "off"),
        "default: all chosen without labels": AdaptSettings(),
    }
    for name, settings in kinds.items():
        start = time.perf_counter()
        found = adapt(bench.model, bench.header, bench.site(), bench.device, settings)
        rows.add(name, found.model, time.perf_counter() - start)
        if not found.choice.candidates:
            continue
        print(f"\n{name}\n{found.as_text()}")
    start = time.perf_counter()
    rows.add("control: all variance whitened, no pairs", whiten_all(bench), time.perf_counter() - start)
    start = time.perf_counter()
    statistics = gather(PAPER.attach(bench.model), bench.site().ordered, bench.device)
    fused = fuse_denoisers(solve_denoisers(PAPER.attach(bench.model), statistics))
    found = adapt(fused, bench.header, bench.site(), bench.device, AdaptSettings())
    name = "the paper's setting in closed form, then default"
    rows.add(name, found.model, time.perf_counter() - start)
    rows.print("Adapted to the cameras of the training images, without labels")
    return rows


def whiten_all(bench: Bench) -> ReIDModel:
    """The noise's place taken by all variance: what whitening gains without knowing what noise is."""
    images = bench.site().ordered
    found = extract_features(bench.model, iterate(images), bench.device, total=len(images))
    unit = normalise(found.feats.numpy())
    covariance = np.cov(unit.astype(np.float64), rowvar=False, bias=True)
    noise = Noise(covariance, unit.mean(0, dtype=np.float64), {}, len(unit))
    return with_denoiser(bench.model, whiten(noise))


def adapt_halves(bench: Bench, number: int) -> list[dict[str, Any]]:
    """Default adaptation, fitted on a random half of the identities and evaluated on the other."""
    cells, found = [], []
    for seed, half in enumerate(halve(bench.dataset, number)):
        own = replace(bench, dataset=half)
        adaptation = adapt(own.model, own.header, own.site(), own.device, AdaptSettings())
        evaluator = own.evaluator()
        before, after = (
            evaluator.evaluate(evaluator.extract(model)) for model in (own.model, adaptation.model)
        )
        gain = bootstrap_difference(before, after)
        both = zip(figure_cells(before), figure_cells(after), strict=True)
        figures = [f"{old} -> {new}" for old, new in both]
        cells.append([str(seed), *figures, gain.in_points(), f"{adaptation.seconds:.1f}"])
        found.append(
            {
                "seed": seed,
                "before": before.as_dict(),
                "after": after.as_dict(),
                "mAP_gain": gain.difference,
                "mAP_gain_interval": [gain.low, gain.high],
                "seconds_after_features": adaptation.seconds,
            }
        )
    header = ["seed", *FIGURES, "difference in mAP", "seconds after the features"]
    print(f"\nDefault adaptation on random halves of the identities\n{format_table(header, cells)}")
    gains = [100 * one["mAP_gain"] for one in found]
    spread = f" ± {stdev(gains):.1f} (sample standard deviation)" if len(gains) > 1 else ""
    print(f"mean gain {mean(gains):+.1f}{spread} mAP over {len(gains)} splits")
    return found


def halve(dataset: ReIDDataset, number: int) -> Iterator[ReIDDataset]:
    """Half of all identities to fit on, the others' images of each camera querying those of the other."""
    every: Records = dataset.train.append(dataset.test)
    for seed in range(number):
        pids = np.random.default_rng(seed).permutation(np.unique(every.pids))
        is_fitted = np.isin(every.pids, pids[: len(pids) // 2])
        test = every.select(np.flatnonzero(~is_fitted))
        first, second = (np.flatnonzero(test.camids == camera) for camera in (0, 1))
        trials = (Trial(first, second), Trial(second, first))
        yield replace(dataset, train=every.select(np.flatnonzero(is_fitted)), test=test, trials=trials)


if __name__ == "__main__":
    sys.exit(run_tool(main))
