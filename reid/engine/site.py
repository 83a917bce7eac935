"""The images of a site: what a model is adapted to, and where there are labels evaluated on."""

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

BEFORE, AFTER = "before", "adapted"


@dataclass(frozen=True, eq=False)
class BeforeAfter:
    """A model before and after, on the same test images.

    Args:
        before: Its figures as it came.
        after: Its figures adapted.
        interval: Of the difference in mAP.
        protocols: Of the two.
    """

    before: EvaluationResult
    after: EvaluationResult
    interval: Interval
    protocols: tuple[str, str]

    def as_text(self) -> str:
        """The table for reading, then what it must be read with."""
        rows = [[BEFORE, *figure_cells(self.before)], [AFTER, *figure_cells(self.after)]]
        table = format_table(["model", *FIGURES], rows)
        return "\n".join([table, self.interval.describe(), f"protocol: {self.protocols[1]}"])

    def as_dict(self) -> dict[str, Any]:
        """The same for machines: metrics as fractions."""
        rows = zip((BEFORE, AFTER), (self.before, self.after), self.protocols, strict=True)
        models = {name: result.as_dict() | {"protocol": protocol} for name, result, protocol in rows}
        return {"models": models, "mAP_difference": self.interval._asdict()}


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
        models = (before, adaptation.model)
        results = [self.evaluator.evaluate(self.evaluator.extract(model)) for model in models]
        words = self.evaluator.protocol(before).describe()
        labels = "tracklets as the only labels" if adaptation.pairs == "tracklets" else "no labels"
        adapted = f"{words}, adapted to {self.images.title} train ({adaptation.num_images} images, {labels})"
        interval = bootstrap_difference(results[0], results[1])
        return BeforeAfter(results[0], results[1], interval, (words, adapted))

    def header_of(self, adaptation: Adaptation) -> Header:
        """The header of the adapted model's checkpoint."""
        if adaptation.choice.denoiser is None and not adaptation.batchnorm:
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
