"""Results as a Parquet file: a row for each face of each frame."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.errors import TrackerError
from tracker.face.schemes import Scheme
from tracker.result import FrameResult
from tracker.rows import COLUMNS, CONVENTION, SCHEMA_VERSION, Column, face_row
from tracker.sinks.base import Closing
from tracker.sources import Frame, Source
from tracker.system.extras import describe_missing
from tracker.system.files import STDOUT, Replacement, unwritable
from tracker.version import read_version
from tracker.weights.packaged import ModelIdentity

if TYPE_CHECKING:
    import pyarrow

PREFIX = "landmark_tracker."
"""Prefix of the keys in the metadata of a file."""


class ParquetTable(Closing):
    """Writes a Parquet file with a row for each face of each frame; tracker.rows.COLUMNS describes the columns.

    The file appears under its name when close completes it; until then it is a hidden file in the same folder. If the
    run is killed or the disk is full, an older file is kept. If no frame was written, no file appears. At most
    rows_per_group rows are kept in memory.

    The metadata of the file (pyarrow.parquet.read_schema(path).metadata and read_metadata(path).metadata) names the
    model with its SHA-256 and licence, the landmark scheme, the convention of pixel coordinates and the number of
    frames.

    Attributes:
        frames: number of frames written so far.
        rows: number of rows written so far.
    """

    def __init__(
        self,
        path: str | Path,
        source: Source,
        scheme: Scheme,
        model: ModelIdentity | None = None,
        rows_per_group: int = 4096,
    ) -> None:
        """Open the file.

        Args:
            path: of the file; an older one is replaced by close.
            source: of the frames, for its name and the number of unreadable frames.
            scheme: of the landmarks.
            model: the model that measures them, for the metadata.
            rows_per_group: number of rows in a row group.

        Raises:
            TrackerError: pyarrow is not installed, the file cannot be written, or another run is writing it.
        """
        self._path = Path(path)
        if self._path == STDOUT:
            raise TrackerError("a Parquet file cannot go to standard output (-): give the name of a file")
        self._pyarrow = _import_pyarrow()
        self._schema = arrow_schema(scheme, model)
        self._source, self._rows_per_group = source, rows_per_group
        self._rows: list[dict[str, Any]] = []
        self._writer: Any = None
        self.frames = self.rows = 0
        try:
            self._file = Replacement(self._path)
            try:
                self._open()
            except BaseException:
                self._file.discard()
                raise
        except OSError as error:
            raise unwritable(self._path, _plain(error)) from error

    def _open(self) -> None:
        lists = {column.name for column in COLUMNS if _length(column, 1)}
        plain = [column.name for column in COLUMNS if column.name not in lists]
        self._stream = self._pyarrow.OSFile(str(self._file.part), "wb")  # unlike Python's files, not cut by signals
        self._writer = self._pyarrow.parquet.ParquetWriter(
            self._stream, self._schema, compression="zstd", use_dictionary=plain, write_statistics=plain
        )

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Write the rows of a frame, see Sink.write."""
        self.frames += 1
        self._rows += [face_row(self._source.name, frame, result, face) for face in result.faces]
        self.rows += len(result.faces)
        if len(self._rows) >= self._rows_per_group:
            self._flush()

    def _flush(self) -> None:
        arrays = [_column(self._pyarrow, field, [row[field.name] for row in self._rows]) for field in self._schema]
        table = self._pyarrow.Table.from_arrays(arrays, schema=self._schema)
        self._rows = []  # before they are written, so that an interrupted run does not write them twice
        try:
            self._writer.write_table(table)
        except OSError as error:
            self.discard()
            raise unwritable(self._path, _plain(error)) from error

    def close(self) -> None:
        """Complete the file and give it its name, see Sink.close."""
        if self._writer is None or self.frames == 0:
            self.discard()
            return
        if self._rows:
            self._flush()
        try:
            counts = {"frames": self.frames, "unreadable_frames": self._source.losses.unreadable}
            self._writer.add_key_value_metadata({f"{PREFIX}{name}": str(count) for name, count in counts.items()})
            writer, self._writer = self._writer, None
            writer.close()
            self._stream.close()
            with self._file.part.open("rb+") as part:
                os.fsync(part.fileno())
            self._file.complete()
        except OSError as error:
            raise unwritable(self._path, _plain(error)) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Delete the new file unless it was completed; an older file is kept."""
        writer, self._writer, self._rows = self._writer, None, []
        with suppress(OSError):
            if writer is not None:
                writer.close()
        with suppress(OSError):
            self._stream.close()
        self._file.discard()


def arrow_schema(scheme: Scheme, model: ModelIdentity | None = None) -> pyarrow.Schema:
    """Make the Arrow schema of the rows, which is the same for all files with one landmark scheme.

    Args:
        scheme: of the landmarks.
        model: the model that measured them; its name, SHA-256 and licence go into the metadata.

    Returns:
        The fields of tracker.rows.COLUMNS, each with its unit and meaning in its metadata.

    Raises:
        TrackerError: pyarrow is not installed.
    """
    pyarrow = _import_pyarrow()
    about = {
        "schema_version": str(SCHEMA_VERSION),
        "tracker_version": read_version(),
        "scheme": scheme.name,
        "convention": CONVENTION,
    }
    if model is not None:
        about |= {"model": model.name, "model_sha256": model.sha256 or "", "model_licence": model.licence}
    metadata = {f"{PREFIX}{key}": value for key, value in about.items()}
    return pyarrow.schema([_field(pyarrow, column, scheme.count) for column in COLUMNS], metadata=metadata)


def _import_pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise TrackerError(f"a Parquet file {describe_missing('pyarrow', 'parquet', error)}") from None
    return pyarrow


def _plain(error: OSError) -> OSError:
    """Replace the long text of an error from Arrow by the system's text for the same number."""
    return error if error.errno is None else OSError(error.errno, os.strerror(error.errno))


def _length(column: Column, points: int) -> int:
    """Return the number of elements of a value, 0 if it is not an array."""
    return column.per_face + points * column.per_point


def _field(pyarrow: Any, column: Column, points: int) -> Any:
    kind = getattr(pyarrow, column.kind)()
    if length := _length(column, points):
        # Arrow cannot read lists of a fixed length from Parquet if some are null.
        kind = pyarrow.list_(pyarrow.field("element", kind, nullable=False), -1 if column.nullable else length)
    about = {"unit": column.unit, "meaning": column.meaning}
    return pyarrow.field(column.name, kind, column.nullable, {key: text for key, text in about.items() if text})


def _column(pyarrow: Any, field: Any, values: list[Any]) -> Any:
    if not pyarrow.types.is_fixed_size_list(field.type):
        return pyarrow.array(values, field.type)
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(np.concatenate(values)), type=field.type)
