"""Training batches for a rehearsal, and how long each of them was waited for."""

from collections.abc import Callable, Iterator
from itertools import count
from statistics import median

from torch.utils.data import DataLoader

from reid.data import Batch, iterate, set_epoch
from reid.utils import InputError

Clock = Callable[[], float]


class TrainingReader:
    """Training batches, epoch after epoch, and how long each was waited for.

    Args:
        loader: Of the run; or a plain one, whose passes are all alike.
        clock: Tells the time in seconds.
    """

    def __init__(self, loader: DataLoader, clock: Clock) -> None:
        self.loader, self.clock = loader, clock
        self.waits: list[float] = []
        self._batches = _epochs(loader)

    def take(self, number: int) -> Iterator[Batch]:
        """The next batches.

        Raises:
            InputError: If an image cannot be read, or there is no batch.
        """
        for _ in range(number):
            start = self.clock()
            batch = next(self._batches)
            self.waits.append(self.clock() - start)
            yield batch

    @property
    def read(self) -> float:
        """Seconds to read a batch in one process.

        Workers are seen at it only once, when the first batch is waited for; the others are ready by then.
        """
        return self.waits[0] if self.loader.num_workers else median(self.waits[1:])


# Not a method: a generator that holds the reader which holds it would be collected late, and the loader's
# workers with it, each of which is then waited for.
def _epochs(loader: DataLoader) -> Iterator[Batch]:
    for epoch in count(1):
        if hasattr(loader.batch_sampler, "set_epoch"):
            set_epoch(loader, epoch)
        batch = None
        for batch in iterate(loader):
            yield batch
        if batch is None:
            raise InputError("each process needs a training image, there are too few; start fewer processes")
