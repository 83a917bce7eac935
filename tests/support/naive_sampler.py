"""What holds of an epoch of P x K batches, checked in plain loops; no numpy, no torch."""


def groups_of(count, num_instances):
    """How many groups of K an identity of ``count`` images gives: whole ones, or one drawn with replacement."""
    return max(count // num_instances, 1)


def pk_faults(batches, labels, num_ids, num_instances):
    """Every rule that an epoch breaks, in words; none for a valid epoch."""
    faults = []
    images, uses, groups = {}, {}, {}
    for row, label in enumerate(labels):
        images.setdefault(label, []).append(row)
        uses[row] = 0
    for number, batch in enumerate(batches):
        per_identity = {}
        for row in batch:
            uses[row] += 1
            per_identity[labels[row]] = per_identity.get(labels[row], 0) + 1
        if len(per_identity) != num_ids:
            faults.append(f"batch {number} shows {len(per_identity)} identities")
        for label, count in per_identity.items():
            groups[label] = groups.get(label, 0) + 1
            if count != num_instances:
                faults.append(f"batch {number} shows identity {label} {count} times")
    left = 0
    for label, rows in images.items():
        if len(rows) >= num_instances and any(uses[row] > 1 for row in rows):
            faults.append(f"an image of identity {label} comes twice")
        allowed = groups_of(len(rows), num_instances)
        if groups.get(label, 0) > allowed:
            faults.append(f"identity {label} is in {groups[label]} batches, its images make {allowed}")
        left += groups.get(label, 0) < allowed
    if left >= num_ids:
        faults.append(f"{left} identities still have images, enough for another batch")
    return faults
