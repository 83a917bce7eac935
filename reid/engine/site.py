"""The images of a site: what a model is adapted to, and where there are labels evaluated on."""

import copy
from dataclasses import dataclass, replace
from typing import Any

from reid.engine.adapt import SiteImages
from reid.engine.adaptation import Adaptation
from reid.engine.evaluate import Evaluator
from reid.evaluation import (
    FIGURES,
    EvaluationResult,
    Interval,
    bootstrap_difference,
    figure_cells,
    format_table,
)
from reid.models import Header, ReIDModel
from reid.models.training import Training

BEFORE, AFTER, UNTOLD = "before", "adapted", "adapted, cameras not told"
UNCHANGED = "unchanged"


@dataclass(frozen=True, eq=False)
class BeforeAfter:
    """A model before and after, on the same test images.

    Args:
        results: By row: before, adapted, or unchanged where nothing helped, and where cameras have means
            adapted without being told them.
        gains: Each row's mAP less that of before, with its interval; none for before.
        protocols: Of each row.
    """

    results: dict[str, EvaluationResult]
    gains: dict[str, Interval]
    protocols: dict[str, str]

    def as_text(self) -> str:
        """The table for reading, then what it must be read with."""
        rows = [
            [name, *figure_cells(result), self.gains[name].in_points() if name in self.gains else ""]
            for name, result in self.results.items()
        ]
        table = format_table(["model", *FIGURES, f"mAP less {BEFORE}"], rows)
        after = self._after
        return "\n".join([table, self.gains[after].describe(), f"protocol: {self.protocols[after]}"])

    def as_dict(self) -> dict[str, Any]:
        """The same for machines: metrics as fractions."""
        models = {
            name: result.as_dict() | {"protocol": self.protocols[name]}
            for name, result in self.results.items()
        }
        differences = {name: gain._asdict() for name, gain in self.gains.items()}
        return {"models": models, "mAP_difference": differences[self._after], "mAP_differences": differences}

    @property
    def _after(self) -> str:
        return AFTER if AFTER in self.results else UNCHANGED


@dataclass(frozen=True, eq=False)
class Site:
    """Everything about a site's images.

    Args:
        images: What a model is adapted to.
        evaluator: Of its labelled query and gallery images; None where there are none.
        header: Of the model's checkpoint.
    """

    images: SiteImages
    evaluator: Evaluator | None
    header: Header

    def compare(self, before: ReIDModel, adaptation: Adaptation) -> BeforeAfter:
        """Evaluate a model and what came of it.

        Raises:
            ValueError: If there is nothing to evaluate on.
        """
        if self.evaluator is None:
            raise ValueError("the site has no query and gallery images")
        evaluator, after = self.evaluator, adaptation.model
        models = {BEFORE: before, AFTER if adaptation.is_changed else UNCHANGED: after}
        if after.spec.site is not None:
            models[UNTOLD] = _without_cameras(after)
        results = {name: evaluator.evaluate(evaluator.extract(model)) for name, model in models.items()}
        words = evaluator.protocol(before).describe()
        labels = "tracklets as the only labels" if adaptation.pairs == "tracklets" else "no labels"
        adapted = f"{words}, adapted to {self.images.title} train ({adaptation.num_images} images, {labels})"
        gains = {
            name: bootstrap_difference(results[BEFORE], result)
            for name, result in results.items()
            if name != BEFORE
        }
        protocols = {name: words if name in (BEFORE, UNCHANGED) else adapted for name in results}
        return BeforeAfter(results, gains, protocols)

    def header_of(self, adaptation: Adaptation) -> Header:
        """The header of the adapted model's checkpoint."""
        if not adaptation.is_changed:
            return self.header
        training = Training(
            dataset=self.images.title,
            train_rule="train",
            num_images=adaptation.num_images,
            num_ids=0,
            num_cameras=adaptation.num_cameras,
            stage="adaptation",
            epochs=0,
            before=self.header.training,
        )
        return replace(self.header, model=adaptation.model.spec, training=training)


def _without_cameras(model: ReIDModel) -> ReIDModel:
    """The same weights, which are told no camera of the site."""
    untold = copy.copy(model)
    untold.spec = replace(model.spec, site=None)
    return untold
