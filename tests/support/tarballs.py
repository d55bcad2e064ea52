"""Archives made in memory."""

from __future__ import annotations

import io
import tarfile


def tarball(**files: bytes) -> bytes:
    """An uncompressed tar of the files by their names."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return whole.getvalue()
