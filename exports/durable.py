"""What outlives a power cut."""

import errno
import os
from pathlib import Path


def rename(directory: Path, target: Path) -> None:
    """Give a finished directory its name once the disk holds all of it, and wait until it holds the
    name: else it could come back with the name, and without what was written into it."""
    for folder, _, names in os.walk(directory):
        for name in (*names, "."):
            _to_disk(Path(folder) / name)
    directory.rename(target)
    _to_disk(target.parent)


def _to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        # Some file systems (network, FUSE) have no flushing of folders: nothing more can be done.
        if not (error.errno == errno.EINVAL and path.is_dir()):
            raise
    finally:
        os.close(file)
