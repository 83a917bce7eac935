"""Which timestep each denoised layer begins at: the rules that t follows over the depth of a network."""

import reprlib

T_RULES = ("depth", "spread")


def first_timesteps(layers: int, steps: int, timesteps: int, rule: str | int = "depth") -> list[int]:
    r"""The first reverse step t of each layer, in forward order; a layer takes t, t-1, ..., t-steps+1.

    With N layers, layer i (from 0) and T timesteps,

        depth:    t_i = steps (N - i)                     the paper's
        spread:   t_i = floor(T (N - i) / N + 1/2)
        a number: t_i = that number, at every layer

    With ``depth`` t falls over steps N, ..., 1, each taken once (Algorithms 1 and 2 of the paper). With
    ``spread`` it falls over the whole schedule, from T at the first layer; no t is taken twice, because the
    beginnings lie T / N >= steps apart before rounding.

    Args:
        layers: N, at least 1.
        steps: Reverse steps a layer, at least 1.
        timesteps: T of the schedule.
        rule: ``depth``, ``spread``, or a whole number, also as text.

    Raises:
        ValueError: If the rule is none of these, or a step would leave 1..T.

    Example:
        >>> first_timesteps(4, 1, 1000), first_timesteps(4, 1, 1000, "spread"), first_timesteps(4, 1, 1000, 7)
        ([4, 3, 2, 1], [1000, 750, 500, 250], [7, 7, 7, 7])
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    rule = read_rule(rule)
    if isinstance(rule, int):
        if not steps <= rule <= timesteps:
            raise ValueError(
                f"the t that every layer begins at must be in {steps}..{timesteps} (the steps of a layer to"
                f" the timesteps of the schedule), got {reprlib.repr(rule)}"
            )
        return [rule] * layers
    needed = layers * steps
    if needed > timesteps:
        raise ValueError(
            f"{layers} layer{'s' * (layers > 1)} of {steps} steps need {needed} timesteps, the schedule has"
            f" {timesteps}; raise timesteps or lower steps"
        )
    left = range(layers, 0, -1)
    if rule == "depth":
        return [steps * n for n in left]
    return [(2 * timesteps * n + layers) // (2 * layers) for n in left]


def read_rule(rule: str | int) -> str | int:
    """``depth``, ``spread``, or the whole number that a rule is or says.

    Raises:
        ValueError: If it is none of these.
    """
    if type(rule) is int or rule in T_RULES:
        return rule
    # Few enough digits for Python to read, and more than any schedule has.
    if isinstance(rule, str) and rule.isascii() and rule.isdecimal() and len(rule) < 20:
        return int(rule)
    raise ValueError(
        f"t_rule must be {', '.join(T_RULES)} or a whole number such as '100', got {reprlib.repr(rule)}"
    )
