"""Several processes as one training: who is who, and what they tell each other.

``torchrun`` starts the processes and ends all of them where one dies; torch.distributed connects them.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd import Function

from reid.utils import InputError

T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)
logger = logging.getLogger(__name__)

# How long a process waits for the others before it gives up.
PATIENCE = timedelta(minutes=30)
# Where the first process that fails leaves its message for the others.
FAULT = "reid/fault"


@dataclass(frozen=True)
class World:
    """The processes of a training.

    Args:
        rank: This process, from 0.
        size: How many there are.
        local_rank: This process among those of its machine: the number of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks to people."""
        return self.rank == 0

    def device(self, device: torch.device) -> torch.device:
        """The device of this process: with several processes each takes the GPU of its number.

        Raises:
            InputError: If one GPU is named for all, or there are fewer GPUs than processes.
        """
        if self.size == 1 or device.type != "cuda":
            return device
        if device.index is not None:
            raise InputError(f"MODEL.DEVICE must be cuda or auto with {self.size} processes, got {device}")
        if self.local_rank >= torch.cuda.device_count():
            raise InputError(
                f"{torch.cuda.device_count()} GPUs cannot serve process {self.local_rank} of this machine;"
                " start as many processes as there are GPUs (torchrun --nproc-per-node)"
            )
        return torch.device("cuda", self.local_rank)

    def share(self, count: int) -> int:
        """This process's part of a batch of ``count`` images.

        Raises:
            InputError: If the processes cannot have equal parts.
        """
        if count % self.size:
            raise InputError(
                f"SOLVER.IMS_PER_BATCH must be a multiple of the {self.size} processes, got {count}"
            )
        return count // self.size

    def rows(self, count: int) -> NDArray[np.int64]:
        """The rows of a table of ``count`` that are this process's; each row is one process's."""
        return np.arange(self.rank, count, self.size)

    def gather(self, rows: Tensor) -> Tensor:
        """The rows (B, ...) of all processes, one process after the other, with their gradient.

        Every process must have as many rows. A gradient that every process has of the joined rows is summed
        over the processes; averaged over them, as DistributedDataParallel does with gradients of parameters,
        it is that of one process with the whole batch.
        """
        return rows if self.size == 1 else _Gather.apply(rows, self)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes, without a gradient."""
        if self.size == 1:
            return values
        values = values.detach().clone()
        dist.all_reduce(values)
        return values / self.size

    def gather_objects(self, value: T) -> list[T]:
        """What every process has, in the order of ranks."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def from_main(self, value: T | None) -> T:
        """What the main process has, on every process; the others' ``value`` is not read."""
        found = [value]
        if self.size > 1:
            dist.broadcast_object_list(found, src=0)
        return found[0]  # type: ignore[return-value]


ALONE = World()


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, world: World) -> Tensor:
        ctx.world, ctx.count = world, len(rows)
        parts = [torch.empty_like(rows) for _ in range(world.size)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        grad = grad.contiguous()
        dist.all_reduce(grad)
        first = ctx.world.rank * ctx.count
        return grad[first : first + ctx.count], None


def synchronise_batchnorm(model: M, world: World, device: torch.device) -> M:
    """Let the backbone's BatchNorms count the images of all processes; the keys stay.

    Raises:
        InputError: If the processes do not have GPUs, which torch's synchronised BatchNorm needs.
    """
    if world.size == 1:
        return model
    if device.type != "cuda":
        raise InputError(f"SOLVER.SYNC_BATCHNORM needs GPUs, got {device}; set it False")
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


def _first_fault(store: "dist.Store", own: str) -> str:
    """The message of the process that failed first, which may be this one's ``own``."""
    try:
        return str(store.compare_set(FAULT, "", own).decode())
    except RuntimeError:  # without torchrun the main process keeps the store
        return "the main process stopped; it says why"


@contextmanager
def join_world(device_type: str) -> Iterator[World]:
    """Join the processes that ``torchrun`` started; without it this process is alone.

    A process that fails takes the others along: they meet a broken connection, and raise the first one's
    message instead.

    Args:
        device_type: ``cuda`` talks by NCCL, ``cpu`` by gloo.

    Raises:
        InputError: If another process stopped, with its message.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    world = World(int(os.environ["RANK"]), size, int(os.environ["LOCAL_RANK"]))
    # Objects travel by gloo also where tensors travel by NCCL.
    backend = "cpu:gloo,cuda:nccl" if device_type == "cuda" else "gloo"
    if device_type == "cuda":
        torch.cuda.set_device(world.local_rank)
    store, _, _ = next(dist.rendezvous("env://", timeout=PATIENCE))
    dist.init_process_group(backend, store=store, rank=world.rank, world_size=size, timeout=PATIENCE)
    logger.info("process %d of %d", world.rank, world.size)
    try:
        yield world
    except (Exception, KeyboardInterrupt) as error:
        what = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
        own = f"process {world.rank} stopped: {what}"
        first = _first_fault(store, own)
        # Only a connection's end is another's doing; what is wrong with this process keeps its own message.
        if isinstance(error, RuntimeError) and first != own:
            raise InputError(first) from error
        raise
    # Not reached where this process fails: it must end at once, so that torchrun ends the others.
    dist.destroy_process_group()
