"""What is known about one image: its facts, the entry that a store keeps, or why there is none.

Every schema follows from the fields here: the parts of a store, the tables of a run folder, the columns of a
DataFrame. A new field of an image is one line in `Facts`; whoever makes facts fills it.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa

FILE = "file"
"""The column that says which file an image was read from: a matter of the run, not of the image."""


@dataclass(frozen=True)
class Facts:
    """What is known about one image; identities are pseudonyms, and what its file does not say is None.

    The metadata of a field say what follows from it. `shown`: the name that readers see, if it is not the
    field's. `compared`: clusters are compared with it, always or only where it varies. `rendering`: it says
    how the picture was made rather than which one it is, and so is kept with the thumbnail.
    """

    image_id: str
    sha256: str
    patient_key: str | None = field(metadata={"shown": "patient"})
    view: str | None = field(metadata={"compared": True})
    laterality: str | None = field(metadata={"shown": "side", "compared": True})
    voi: str = field(metadata={"shown": "grayscale transform", "rendering": True})
    warnings: tuple[str, ...] = field(metadata={"rendering": True})
    kind: str | None = field(default=None, metadata={"compared": "where it varies"})
    modifiers: tuple[str, ...] = field(default=(), metadata={"compared": "where it varies"})

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Facts:
        """Return the facts in a row of any table that was made from them; other columns are left out."""
        here = [each.name for each in fields(cls) if each.name in row]
        values: dict[str, Any] = {n: tuple(row[n]) if isinstance(row[n], list) else row[n] for n in here}
        return cls(**values)

    @classmethod
    def of(cls, mammogram: object, sha256: str) -> Facts:
        """Return what a mammogram says about itself: each fact has its name there, except its file's hash."""
        names = [each.name for each in fields(cls) if each.name != "sha256"]
        return cls(sha256=sha256, **{name: getattr(mammogram, name) for name in names})

    @classmethod
    def words(cls) -> list[str]:
        """Return the names of the fields that hold several words, as a tuple."""
        return [name for name, hint in get_type_hints(cls).items() if get_origin(hint) is tuple]


@dataclass(frozen=True, eq=False)
class Entry:
    """One image as a store keeps it: facts, a PNG of what the network saw, the embedding `(D,)` float32."""

    facts: Facts
    thumbnail: bytes
    embedding: np.ndarray


@dataclass(frozen=True)
class Told:
    """What a table says of one image whose file may not say it; identities are pseudonyms."""

    patient_key: str | None = None
    view: str | None = None
    laterality: str | None = None

    def completed(self, facts: Facts) -> Facts:
        """Return the facts, with what was told where the file says nothing."""
        missing = {name: told for name, told in vars(self).items() if getattr(facts, name) is None}
        return replace(facts, **missing)


@dataclass(frozen=True)
class Failure:
    """Why one file gave no vector: the stage (`read`, `preprocess` or `embed`) and a sentence."""

    stage: str
    reason: str


SHOWN = {each.name: str(each.metadata.get("shown", each.name)) for each in fields(Facts)}
"""The name that readers see for each field."""

# The woman comes last: she is the unit of every comparison, not one more thing to compare.
COMPARED = {
    name: SHOWN[name]
    for name in (*(each.name for each in fields(Facts) if each.metadata.get("compared")), "patient_key")
}
"""What clusters are compared with, field to shown name."""

WHERE_IT_VARIES = [
    SHOWN[each.name] for each in fields(Facts) if each.metadata.get("compared") == "where it varies"
]
"""Those of them, by their shown names, that are left out where they say the same of every image."""


def identity_columns() -> list[str]:
    """Return the columns that say which image a row is: those of embeddings.parquet, except the vector."""
    first, *others = [each.name for each in fields(Facts) if not each.metadata.get("rendering")]
    return [first, FILE, *others]


def rendering_columns() -> list[str]:
    """Return the columns that say how the picture was made: in thumbnails.parquet, beside id and PNG."""
    return [each.name for each in fields(Facts) if each.metadata.get("rendering")]


def table_columns() -> list[str]:
    """Return the columns of a table of images, one row per image."""
    return [*identity_columns(), *rendering_columns()]


def failure_columns() -> list[str]:
    """Return the columns of a table of failures, one row per file."""
    return [FILE, *(each.name for each in fields(Failure))]


def arrow_fields(columns: Iterable[str]) -> list[pa.Field]:
    """Return the Arrow fields of these columns, by the types of `Facts`; what may be None is nullable."""
    hints = get_type_hints(Facts) | {FILE: str}
    return [_arrow_field(name, hints[name]) for name in columns]


_ARROW = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}


def _arrow_field(name: str, hint: Any) -> pa.Field:
    optional = isinstance(hint, types.UnionType)
    if optional:
        hint = next(each for each in get_args(hint) if each is not types.NoneType)
    if get_origin(hint) is tuple:
        return pa.field(name, pa.list_(_ARROW[get_args(hint)[0]]), nullable=optional)
    return pa.field(name, _ARROW[hint], nullable=optional)
