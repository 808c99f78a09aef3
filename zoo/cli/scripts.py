"""How a script that uses the zoo ends when something goes wrong: as the commands do."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from zoo.cli.app import INTERRUPTED, USER_ERROR
from zoo.errors import ZooError


@contextmanager
def plain_errors() -> Iterator[None]:
    """Around the work of a script: a user's mistake ends it with its message and status 2, an interruption with 130.

    ZOO_TRACEBACK=1 lets errors through.
    """
    try:
        yield
    except (ZooError, ValueError) as error:
        if os.environ.get("ZOO_TRACEBACK", "0") not in ("", "0"):
            raise
        _end(str(error), status=USER_ERROR)
    except KeyboardInterrupt as interruption:
        _end(str(interruption) or "interrupted", status=INTERRUPTED)


def _end(message: str, *, status: int) -> NoReturn:
    sys.stderr.write(f"{message}\n")
    raise SystemExit(status)
