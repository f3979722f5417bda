"""Whatever anybody writes stays text, and the page talks to nobody but its server."""

import json
from collections.abc import Callable, Iterator
from itertools import batched  # noqa: F401
