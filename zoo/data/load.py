"""Data by path: the reader that the task's package names."""

from pathlib import Path
from typing import Any

from zoo.data.bundle import Bundle
from zoo.data.leaks import LEAKS, Leaks, check_leaks
from zoo.errors import DataError, check_name
from zoo.lookup import check_arguments, import_object
from zoo.registry import task_info


def load_data(path: str | Path, *, task: str, leaks: Leaks = "warn", **options: Any) -> Bundle:
    """Reads a folder or file, or whatever else the task's reader takes by name, as data of a task.

    leaks:   what is done about rows that are in two parts: "warn", "error" or "ignore"; see `zoo.data.find_leaks`.
    options: what the task's reader takes; checked by name.
    Raises:  DataError if there is nothing at `path`, and for leaks that are to be errors; UnknownNameError;
             UnknownArgumentError.
    """
    about = task_info(task)
    reader = import_object(about.reader)
    check_name("way to treat leaks", leaks, LEAKS)
    check_arguments(f"The reader of {task}", reader, options)
    if about.from_disk and not Path(path).exists():
        raise DataError(f"There is nothing at {path}. Expected the folder or file with the data of {task}.")
    bundle: Bundle = reader(path, **options)
    return check_leaks(bundle, leaks)
