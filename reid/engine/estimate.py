"""What a run will take, from the time of a few batches: time, memory, disk; as a table and as JSON."""

from dataclasses import dataclass
from typing import Any

from reid.evaluation import format_table
from reid.utils.units import size_in_words, time_in_words


@dataclass(frozen=True)
class BatchTime:
    """How long batches take.

        without workers:   seconds = batches (read + work)
        W workers:         seconds = batches max(work, read / W) + passes read

    Workers read while others work, each a batch of its own, so the slower of the two sets the pace; only the
    first batch of each pass over the data is waited for.

    Args:
        read: Seconds to read a batch, in one process.
        work: Seconds of everything else.
        workers: How many processes read; 0 reads in the one that works.
    """

    read: float
    work: float
    workers: int = 0

    @property
    def pace(self) -> float:
        """Seconds from batch to batch."""
        return max(self.work, self.read / self.workers) if self.workers else self.read + self.work

    def seconds(self, batches: int, passes: int) -> float:
        """The time of ``batches`` in all, over ``passes``."""
        return batches * self.pace + (passes * self.read if self.workers else 0.0)


@dataclass(frozen=True)
class Cost:
    """One kind of phase of a stage, or the evaluations of a data set in it.

    Args:
        stage: The name of the stage.
        name: Of the phase, or of the data set.
        passes: The number of batches of each of its epochs or evaluations.
        time: Of a batch.
    """

    stage: str
    name: str
    passes: tuple[int, ...]
    time: BatchTime

    @property
    def seconds(self) -> float:
        """The estimate."""
        return self.time.seconds(sum(self.passes), len(self.passes))

    def row(self) -> list[str]:
        """The cells of a table."""
        low, high = min(self.passes), max(self.passes)
        batches = str(low) if low == high else f"{low} to {high}"
        times = [f"{self.time.read:.3f}", f"{self.time.work:.3f}", f"{self.time.pace:.3f}"]
        return [self.stage, self.name, str(len(self.passes)), batches, *times, time_in_words(self.seconds)]

    def as_dict(self, kind: str, pass_kind: str) -> dict[str, Any]:
        """The same for machines; ``kind`` is what ``name`` names and ``pass_kind`` what is counted."""
        return {
            "stage": self.stage,
            kind: self.name,
            pass_kind: len(self.passes),
            "batches": sum(self.passes),
            "seconds_to_read_a_batch": self.time.read,
            "seconds_to_work_on_a_batch": self.time.work,
            "seconds_a_batch": self.time.pace,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Disk:
    """The checkpoints of a run, and the statistics of the closed form, in bytes.

    Args:
        kept: Of those that stay.
        most: Of those that are there at once at most, with the states to go on from.
        free: What is free where they go.
    """

    kept: int
    most: int
    free: int

    @property
    def fits(self) -> bool:
        """Whether there is room."""
        return self.most <= self.free

    def as_text(self, folder: str) -> str:
        """One line."""
        kept, most, free = map(size_in_words, (self.kept, self.most, self.free))
        return f"disk: checkpoints of {kept} stay, {most} at most while it runs; {free} are free for {folder}"


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Args:
        phases: The kinds of phase, in the order of the run.
        evaluations: By stage, then data set; empty where there are no test images.
        timed: How many steps of each phase were timed.
        processes: That train together.
        device: The kind of device that ``memory`` is of, ``cuda`` or ``cpu``.
        memory: The peak of the process that took most, in bytes.
        disk: The checkpoints.
        fused_difference: Largest |fused - unfused| over largest |unfused| of a batch's features; None where
            the run has no denoisers.
        folder: Where the run would write.
    """

    phases: list[Cost]
    evaluations: list[Cost]
    timed: int
    processes: int
    device: str
    memory: int
    disk: Disk
    fused_difference: float | None
    folder: str

    @property
    def seconds(self) -> float:
        """Of everything that was estimated."""
        return sum(cost.seconds for cost in (*self.phases, *self.evaluations))

    @property
    def is_well(self) -> bool:
        """Whether nothing speaks against the run."""
        return self.disk.fits

    def as_text(self) -> str:
        """Tables, then what they must be read with; the last line says whether the run can start."""
        times = ["s to read", "s to work", "s a batch", "time"]
        header = ["stage", "phase", "epochs", "batches", *times]
        lines = [format_table(header, [cost.row() for cost in self.phases])]
        if self.evaluations:
            header[1:3] = ["evaluated on", "evaluations"]
            lines += ["", format_table(header, [cost.row() for cost in self.evaluations]), ""]
        lines += [self._time_line(), self._memory_line(), self.disk.as_text(self.folder)]
        if self.fused_difference is not None:
            lines.append(
                "fusing: the denoisers fold into plain layers; largest relative difference of a batch's"
                f" features {self.fused_difference:.1e}"
            )
        if self.disk.fits:
            return "\n".join([*lines, f"nothing was written to {self.folder}; the run can start"])
        missing = size_in_words(self.disk.most - self.disk.free)
        return "\n".join([*lines, f"warning: the disk lacks {missing}; free it, or name another OUTPUT_DIR"])

    def _time_line(self) -> str:
        source = f"an estimate from {self.timed} timed steps of each phase, after one untimed"
        if self.evaluations:
            source += ", and from one batch of each evaluation; ranking and writing files come on top"
        else:
            source += "; there are no test images to evaluate; writing files comes on top"
        return f"time: {time_in_words(self.seconds)} in all, {source}"

    def _memory_line(self) -> str:
        workers = max(cost.time.workers for cost in (*self.phases, *self.evaluations))
        readers = f"; {workers} processes that read images come on top" if workers else ""
        if workers == 1:
            readers = "; 1 process that reads images comes on top"
        each = f" in each of {self.processes} processes" if self.processes > 1 else ""
        if self.device == "cuda":
            return f"memory: {size_in_words(self.memory)} of a GPU at most, by torch's count of tensors{each}"
        return f"memory: {size_in_words(self.memory)} resident at most so far{each}{readers}"

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "phases": [cost.as_dict("phase", "epochs") for cost in self.phases],
            "evaluations": [cost.as_dict("dataset", "evaluations") for cost in self.evaluations],
            "seconds": self.seconds,
            "timed_steps": self.timed,
            "processes": self.processes,
            "memory": {"device": self.device, "peak_bytes": self.memory},
            "disk": {
                "kept_bytes": self.disk.kept,
                "most_bytes": self.disk.most,
                "free_bytes": self.disk.free,
                "fits": self.disk.fits,
            },
            "fused_difference": self.fused_difference,
        }
