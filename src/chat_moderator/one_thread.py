"""Keeps numpy's arithmetic on the thread that asks for it."""

import os
from typing import Final

_VARIABLES: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def compute_on_one_thread() -> None:
    """To be called before numpy is imported; where the environment says otherwise, that holds.

    The matrices of a batch are small: on two cores that other work keeps busy, further threads took three times the
    processor time.
    """
    for name in _VARIABLES:
        os.environ.setdefault(name, "1")
