"""Files of the warehouse are written once: from the moment they are made nobody may write them.

Data, manifests and metadata get the mode 0444; removing one needs only its folder's permission. A
query's process has no capability left, so the mode holds there even as uid 0.
"""

from __future__ import annotations

import os

from pyiceberg.io import OutputStream
from pyiceberg.io.pyarrow import ONE_MEGABYTE, PyArrowFile, PyArrowFileIO

MODE = 0o444


class SealedFile(PyArrowFile):
    """A file that only the stream which made it can write."""

    def create(self, overwrite: bool = False) -> OutputStream:  # noqa: FBT001, FBT002  as pyiceberg's
        """Create the file and seal it; the open stream goes on."""
        stream = super().create(overwrite)
        os.chmod(self._path, MODE)
        return stream


class SealedIO(PyArrowFileIO):
    """pyiceberg's way to files, sealing those of this machine; named by ``py-io-impl``."""

    def new_output(self, location: str) -> PyArrowFile:
        """Return the file to be written at ``location``."""
        scheme, netloc, path = self.parse_location(location, self.properties)
        kind = SealedFile if scheme == "file" else PyArrowFile
        files = self.fs_by_scheme(scheme, netloc)
        return kind(location=location, path=path, fs=files, buffer_size=ONE_MEGABYTE)
