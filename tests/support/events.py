"""TensorBoard events as TensorBoard reads them."""

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def scalars_in(folder):
    """By tag, the (step, value) that are shown; nothing is left out."""
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]
    }
