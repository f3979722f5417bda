"""How a process that judges for long shares the interpreter and the processor's cores among its threads."""

import gc
import os
import sys
from typing import Final

SWITCH_INTERVAL: Final = 0.0002
"""Seconds a thread may keep the interpreter while another waits: the judge must not stall the loop or the writer."""

COLLECTION: Final = (50_000, 20, 50)
"""The collector's thresholds: a batch makes thousands of short-lived lists and dicts, none of them in a cycle."""

ARITHMETIC: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""What libraries of linear algebra read when they are loaded."""


def one_core_for_arithmetic() -> None:
    """One thread multiplies matrices, unless the environment says otherwise; to be called before numpy is imported.

    More of them wait for each other by spinning: beside a busy event loop, or a second process, judging is several
    times slower with two threads than with one.
    """
    for name in ARITHMETIC:
        os.environ.setdefault(name, "1")


def share() -> None:
    """Lets threads take turns often, and the collector leave alone what was there before."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()
    gc.set_threshold(*COLLECTION)
