"""How a command, or a script that uses the zoo, ends when something goes wrong."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from zoo.errors import ZooError

USER_ERROR = 2
INTERRUPTED = 130  # 128 and the number of SIGINT, as shells count


def say(message: str) -> None:
    """Writes a line to stderr."""
    sys.stderr.write(f"{message}\n")


@contextmanager
def plain_errors(tell: Callable[[str], None] = say) -> Iterator[None]:
    """Around the work: a user's mistake ends it with its message and status 2, an interruption with 130.

    ZOO_TRACEBACK=1 lets errors through.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # such as `zoo list | head`, which typer ends quietly
    except (ZooError, ValueError, OSError) as error:
        if os.environ.get("ZOO_TRACEBACK", "0") not in ("", "0"):
            raise
        tell(_words(error))
        raise SystemExit(USER_ERROR) from None
    except KeyboardInterrupt as interruption:
        tell(str(interruption) or "interrupted")
        raise SystemExit(INTERRUPTED) from None


def _words(error: Exception) -> str:
    """What an error says, without the number that the operating system gives it."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return str(error) or type(error).__name__
