"""What holds of an epoch of P x K batches, checked in plain loops; no numpy, no torch."""


def pk_faults(batches, labels, num_ids, num_instances):
    """Every rule that an epoch breaks, in words; none for a valid epoch."""
    faults = []
    for number, batch in enumerate(batches):
        faults += batch_faults(number, [labels[row] for row in batch], num_ids, num_instances)
    left = 0
    for label in sorted(set(labels)):
        rows = [row for row in range(len(labels)) if labels[row] == label]
        drawn = [row for batch in batches for row in batch if labels[row] == label]
        if len(rows) >= num_instances and len(drawn) > len(set(drawn)):
            faults.append(f"an image of identity {label} comes twice")
        # An identity with too few images gives one group, drawn with replacement.
        allowed = max(len(rows) // num_instances, 1)
        used = sum(any(labels[row] == label for row in batch) for batch in batches)
        if used > allowed:
            faults.append(f"identity {label} is in {used} batches, its images make {allowed}")
        left += used < allowed
    if left >= num_ids:
        faults.append(f"{left} identities still have images, enough for another batch")
    return faults


def batch_faults(number, labels, num_ids, num_instances):
    """What is wrong with one batch of these labels."""
    faults = []
    if len(set(labels)) != num_ids:
        faults.append(f"batch {number} shows {len(set(labels))} identities")
    for label in sorted(set(labels)):
        if labels.count(label) != num_instances:
            faults.append(f"batch {number} shows identity {label} {labels.count(label)} times")
    return faults
