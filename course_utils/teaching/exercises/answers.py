"""How the checks of lessons 00 and 01 call an answer: with copies, and whatever kind of array comes back."""

from collections.abc import Callable
from typing import Any

import numpy as np


def on_copies(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Return the answer as it works on copies of the arrays, lists and dictionaries that it is called with.

    So an answer that changes what it is given is compared with what it was given, and is still told about
    the change, by the exercise. A torch tensor comes back as the array that it stands for.
    """

    def call(*given: Any) -> Any:
        copies = [each.copy() if isinstance(each, np.ndarray | list | dict) else each for each in given]
        result = answer(*copies)
        return result.detach().cpu().numpy() if hasattr(result, "detach") else result

    return call
