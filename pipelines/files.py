"""Files that a user names, or that lie in a home: a pipe or a device in their place is refused, since reading might never end.

Alone: `regular(Path("perplake.toml")).read_bytes()`.
"""

from __future__ import annotations

from pathlib import Path


def regular(path: Path) -> Path:
    """The path. Raises `OSError` where something is there that is no file."""
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is a {'folder' if path.is_dir() else 'pipe or a device'}: a file is needed")
    return path
