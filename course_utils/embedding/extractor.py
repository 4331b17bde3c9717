"""Pictures or files to vectors, under one public name (lessons 05 and 06).

`EmbeddingExtractor.embed` maps pictures to vectors (see `network`). The rest goes the whole way for a list of
files (see `pipeline`): `stream` yields one outcome after another, `extract` collects them in memory,
`extract_to` writes them into a run folder; both record what was done.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from course_utils.embedding.errors import EmbeddingError
from course_utils.embedding.network import Network
from course_utils.embedding.pipeline import Pipeline, Reader, shelf_config
from course_utils.embedding.store import EmbeddingStore
from course_utils.files import as_text
from course_utils.imaging.preprocess import Preprocessor
from course_utils.objects import Place, place, sent
from course_utils.provenance import RunRecord
from course_utils.records import Entry, Failure, Told
from course_utils.runs.folder import RECORD, Extraction, RunFolder, RunInMemory


class EmbeddingExtractor(Network):
    """A network that takes files, too. Arguments, attributes and errors are those of `Network`.

    `stream`, `extract` and `extract_to` change one setting of the process, for speed: glibc keeps freed
    memory (see `keep_freed_memory`). The constructor and `embed` change none.
    """

    def config(self, preprocessor: Preprocessor) -> dict[str, Any]:
        """Return everything that changes a vector, except the file: the address of a shelf in the store."""
        return shelf_config(self, preprocessor)

    def stream(
        self,
        paths: Sequence[str | Path | Place],
        preprocessor: Preprocessor,
        *,
        store: EmbeddingStore | None = None,
        reader: Reader | None = None,
        workers: int = 0,
        progress: bool = True,
    ) -> Generator[Entry | Failure]:
        """Yield one outcome per file, in the order of `paths`; memory does not grow with their number.

        Files are read ahead of the network, at most a batch and `workers` of them. Close the generator to
        stop: what was computed is in the store.

        Args:
            paths: the files; an address in an object store is one, too (see `objects`).
            preprocessor: makes the picture; its `voi` says how each file is rendered.
            store: embeddings found in it are not computed again; new ones are kept in it batch by batch.
            reader: reads one file into a `Mammogram`, in place of `read_mammogram`, see
                `Mammogram.from_array`; then there can be no store.
            workers: threads that read ahead; 0 reads in this thread. Threads suffice, since the decoders
                release the GIL.
            progress: a progress bar, if there is a terminal or a notebook to show it.
        """
        _check_paths(paths)
        return Pipeline(self, preprocessor, store, reader).outcomes(paths, workers, progress)

    def extract(
        self,
        paths: Sequence[str | Path | Place],
        preprocessor: Preprocessor,
        *,
        names: Sequence[str] | None = None,
        told: Sequence[Told] | None = None,
        store: EmbeddingStore | None = None,
        reader: Reader | None = None,
        workers: int = 0,
        progress: bool = True,
    ) -> Extraction:
        """Turn files into vectors in memory: rows in the order of `paths`, a failure row per unusable file.

        Args:
            paths, preprocessor, store, reader, workers, progress: as for `stream`.
            names: what the column `file` says of each; by default the path below the common folder.
            told: what a table says of each; it fills in what the files do not say.
        """
        names = file_names(paths, names)
        pipeline = Pipeline(self, preprocessor, store, reader)
        results = RunInMemory(self.backbone.embedding_dim)
        return results.finish(pipeline.run(paths, names, results.add, workers, progress, told))

    def extract_to(
        self,
        folder: str | Path | Place,
        paths: Sequence[str | Path | Place],
        preprocessor: Preprocessor,
        *,
        names: Sequence[str] | None = None,
        told: Sequence[Told] | None = None,
        store: EmbeddingStore | None = None,
        reader: Reader | None = None,
        workers: int = 0,
        progress: bool = True,
    ) -> RunRecord:
        """Turn files into vectors in a run folder (see `RunFolder`), as they come: for a whole archive.

        The arguments are those of `extract`, the files those of `Extraction.write`. `folder` may be an
        address in an object store: what was written is sent there once it is whole.
        """
        names = file_names(paths, names)
        pipeline = Pipeline(self, preprocessor, store, reader)
        dim = self.backbone.embedding_dim
        with sent(place(folder), last=RECORD) as here, RunFolder(here, dim) as results:
            record = pipeline.run(paths, names, results.add, workers, progress, told)
            results.finish(record)
        return record


def _check_paths(paths: object) -> None:
    if isinstance(paths, str | os.PathLike):  # whose letters would each be taken for a file
        raise TypeError("paths is a list of files: put a single one into a list, and list those of a folder")


def file_names(paths: Sequence[str | Path | Place], given: Sequence[str] | None) -> Sequence[str]:
    """Return the names given, or each file's path below the folder that all share, never an absolute one."""
    _check_paths(paths)
    if given is not None:
        if len(given) != len(paths):
            raise EmbeddingError(f"{len(paths)} paths need as many names, got {len(given)}")
        return given
    if not paths:
        return []
    places = [place(path) for path in paths]
    if all(isinstance(each, Place) for each in places):
        parts = [each.parts for each in places if isinstance(each, Place)]
        first, last = min(each[:-1] for each in parts), max(each[:-1] for each in parts)
        above = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))))
        return ["/".join(each[above:]) for each in parts]
    files = [path.absolute() for path in places if isinstance(path, Path)]
    if len(files) < len(places):
        raise EmbeddingError("files of this machine and of an object store in one list need names")
    shared = Path(os.path.commonpath([file.parent for file in files]))
    return [as_text(file.relative_to(shared).as_posix()) for file in files]
