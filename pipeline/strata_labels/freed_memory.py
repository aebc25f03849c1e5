"""Memory that a network has freed stays with the process, for the next batch."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache

# Parameters of glibc's `mallopt`.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Larger blocks go back to the system at once; free memory at the heap's end does above `_KEPT`.
_LARGEST, _KEPT = 2**28, 2**29


@cache
def keep_freed_memory() -> None:
    """Makes glibc keep freed blocks of up to 256 MB; does nothing elsewhere.

    Nor with a glibc that refuses so large a limit, as earlier ones do.

    By default it gives every block of more than 32 MB back to the system. A network on a CPU has
    such blocks in every layer, and the system spends more time on clearing them again than the
    network on its convolutions.
    """
    with suppress(OSError, AttributeError, TypeError):  # no glibc
        mallopt = ctypes.CDLL(None).mallopt
        if mallopt(_MMAP_THRESHOLD, _LARGEST):
            mallopt(_TRIM_THRESHOLD, _KEPT)
