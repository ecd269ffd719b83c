"""How the risk of a false alarm is divided, so that a whole rollout keeps what its policy says.

Whatever the parts are, they sum to at most one, and the probability that any of them errs is at most the sum of the
probabilities that each errs (C. E. Bonferroni, "Teoria statistica delle classi e calcolo delle probabilità", 1936).
Parts of unequal size are as valid as equal ones. The first step gets most: the candidate has least traffic then, and
that is where stopping early spares visitors. Errors get most of a step, because requests that fail are rare and each
one counts; slowness shows in every request and needs little.
"""

_FIRST_STEP = 0.8

ERRORS = 0.88
ERRORS_ALONE = 0.02
LATENCY = 0.08
WAITING = 0.02


def of_step(alpha: float, step: int) -> float:
    """The part of `alpha` for one step, counted from 1: 0.8 for the first, 0.2 / (k (k - 1)) for step k.

    Sums to `alpha` over any number of steps.
    """
    return alpha * (_FIRST_STEP if step <= 1 else (1.0 - _FIRST_STEP) / (step * (step - 1)))


def of_look(risk: float, number: int) -> float:
    """The part of `risk` for one look, counted from 1, where every look is a test of its own.

    1 / (j (j + 1)): sums to `risk` over any number of looks.
    """
    return risk / (number * (number + 1))
