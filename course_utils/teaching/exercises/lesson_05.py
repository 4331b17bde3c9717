"""Exercises of lesson 05: batches that lose nothing, a loop that embeds them, and bad files set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from course_utils.imaging.errors import MammogramError
from course_utils.teaching.exercises import Exercise, NotYet, Planted, tried

Batches = Callable[[Sequence[Any], int], Iterable[Sequence[Any]]]
EmbedAll = Callable[[nn.Module, torch.Tensor, int], torch.Tensor]
Read = Callable[[str], np.ndarray]
ReadAll = Callable[[Read, Sequence[str]], tuple[list[str], list[np.ndarray], dict[str, str]]]


def _test_batches(batches: Batches) -> None:
    names = list("abcdefgh")
    got = [list(batch) for batch in batches(list(names), 3)]
    came = f"8 files in batches of 3 became {got}."
    flat = [name for batch in got for name in batch]
    if flat == names[:6]:
        raise NotYet(f"{came} The last two files are gone. What becomes of a batch that is not full?")
    if len(flat) > len(names):
        raise NotYet(
            f"{came} Some files come twice. Where does one batch end, and where does the next begin?"
        )
    if sorted(flat) == names and flat != names:
        raise NotYet(f"{came} All are there, in another order. A batch is a run of neighbours in the list.")
    if flat != names:
        raise NotYet(f"{came} Each file must come once, in the order of the list.")
    if [len(batch) for batch in got] != [3, 3, 2]:
        raise NotYet(f"{came} Full batches first: sizes 3, 3 and 2.")
    if [list(batch) for batch in batches(list(names), 8)] != [names]:
        raise NotYet("8 files in batches of 8 are one batch, and no empty one after it.")
    if [list(batch) for batch in batches([], 3)]:
        raise NotYet("no files make no batch at all, not an empty one.")


def _network() -> nn.Module:
    """Small, with the two layers that behave otherwise in training: batch normalisation and dropout."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.5),
    )


def _test_embed_all(embed_all: EmbedAll) -> None:
    images = torch.rand((7, 1, 8, 8), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = _network().eval()(images)
    got = tried(embed_all(_network().train(), images.clone(), 3))
    if not isinstance(got, torch.Tensor):
        raise NotYet(
            f"a tensor (N, D) is needed, and out came a {type(got).__name__}. What does torch.cat do?"
        )
    if got.shape == (1, 4):
        raise NotYet(
            "7 images went in, and 1 row came out: the last batch alone. Are the others overwritten?"
        )
    if got.shape != expected.shape:
        raise NotYet(f"7 images make {tuple(expected.shape)}, one row each, not {tuple(got.shape)}.")
    if not torch.allclose(got, expected, atol=1e-6):
        again = embed_all(_network().train(), images.clone(), 3)
        repeat = "the same" if torch.equal(got, again) else "not even the same"
        raise NotYet(
            f"the rows are wrong, and {repeat} on a second call. Here the network came in training mode, "
            "where "
            "batch normalisation looks at the neighbours and dropout throws dice. Which method of a module "
            "switches that off?"
        )
    if got.requires_grad:
        raise NotYet(
            "the numbers are right, but the result drags the whole graph for gradients along "
            "(requires_grad is "
            "True), and memory grows with every batch. Look at torch.inference_mode() or torch.no_grad()."
        )


def _test_read_all(read_all: ReadAll) -> None:
    pictures = {name: np.full((2, 2), number, np.float32) for number, name in enumerate("abde")}

    def read(name: str) -> np.ndarray:
        if name not in pictures:
            raise MammogramError(f"{name} is no DICOM file")
        return pictures[name]

    names = ["d", "a", "c", "e", "x", "b"]
    try:
        got: Any = read_all(read, list(names))
    except MammogramError:
        raise NotYet("the first bad file stopped everything. Catch MammogramError around one file.") from None
    if not isinstance(got, tuple) or len(got) != 3:
        raise NotYet("three things go back: the names that were read, their pictures, and the failures.")
    good, stack, failures = got
    if len(stack) == len(names):
        raise NotYet(
            "6 pictures came back for 4 that can be read. A picture that was made up gets an embedding like "
            "any other, and nobody can tell afterwards. A bad file gives no picture."
        )
    if len(good) != len(stack):
        raise NotYet(
            f"{len(good)} names and {len(stack)} pictures: the rows no longer match. A name belongs into "
            "the list "
            "only once its picture is there."
        )
    if list(good) != ["d", "a", "e", "b"]:
        raise NotYet(f"d, a, e and b can be read, in this order; your names are {', '.join(good)}.")
    if not all(np.array_equal(picture, pictures[name]) for name, picture in zip(good, stack, strict=True)):
        raise NotYet("names and pictures are in different orders: row i must be the picture of name i.")
    if set(failures) != {"c", "x"}:
        raise NotYet(
            f"c and x cannot be read, but the failures name {', '.join(map(str, failures)) or 'nobody'}. A "
            "file "
            "that vanishes without a word is the worst kind of failure."
        )
    if "no DICOM" not in str(failures["c"]):
        raise NotYet("the failure of c should say why. The exception brings a sentence: `str(error)`.")


def _skip_silently(read: Read, names: Sequence[str]) -> Any:
    good, pictures, _ = _sorted_out(read, names)
    return good, pictures, {}


def _names_first(read: Read, names: Sequence[str]) -> Any:
    _, pictures, failures = _sorted_out(read, names)
    return list(names), pictures, failures


def _zeros(read: Read, names: Sequence[str]) -> Any:
    good, pictures, failures = _sorted_out(read, names)
    known = dict(zip(good, pictures, strict=True))
    return list(names), [known.get(name, np.zeros((2, 2))) for name in names], failures


def _stop_at_first(read: Read, names: Sequence[str]) -> Any:
    return list(names), [read(name) for name in names], {}


def _sorted_out(read: Read, names: Sequence[str]) -> tuple[list[str], list[np.ndarray], dict[str, str]]:
    """What the planted answers have in common: each then spoils it in its own way."""
    pictures: dict[str, np.ndarray] = {}
    failures = {}
    for name in names:
        try:
            pictures[name] = read(name)
        except MammogramError as error:
            failures[name] = str(error)
    return list(pictures), list(pictures.values()), failures


def _loop(network: nn.Module, images: torch.Tensor, size: int) -> list[torch.Tensor]:
    return [network(batch) for batch in images.split(size)]


def _forgot_eval(network: nn.Module, images: torch.Tensor, size: int) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat(_loop(network, images, size))


def _kept_gradients(network: nn.Module, images: torch.Tensor, size: int) -> torch.Tensor:
    return torch.cat(_loop(network.eval(), images, size))


def _last_batch_only(network: nn.Module, images: torch.Tensor, size: int) -> torch.Tensor:
    with torch.inference_mode():
        return _loop(network.eval(), images, size)[-1]


EXERCISES = (
    Exercise(
        id="05.1",
        title="A list of files in batches",
        minutes=5,
        test=_test_batches,
        buys="every file comes once, in order, and the last batch may be small.",
        hints=(
            "Where does the first batch start, where the second, where the third? That is a `range` with a "
            "step.",
            "`items[start : start + size]` is one batch. A slice that reaches beyond the end simply stops "
            "there.",
            "Return `[items[start : start + size] for start in range(0, len(items), size)]`.",
        ),
        planted=(
            Planted(
                lambda items, size: [items[i * size : (i + 1) * size] for i in range(len(items) // size)],
                "dropped the last batch",
                "The last two files are gone",
            ),
            Planted(
                lambda items, size: [
                    items[i :: -(-len(items) // size)] for i in range(-(-len(items) // size))
                ],
                "dealt the files out like cards",
                "in another order",
            ),
            Planted(
                lambda items, size: [items[i : i + size + 1] for i in range(0, len(items), size)],
                "one too many in each slice",
                "Some files come twice",
            ),
        ),
    ),
    Exercise(
        id="05.2",
        title="Embed them all",
        minutes=8,
        test=_test_embed_all,
        buys="one image gives one vector, whoever its neighbours are, and memory stays flat.",
        hints=(
            "Three things: the network's mode, gradients, and putting the batches' results together.",
            "`network.eval()` before the loop, `with torch.inference_mode():` around it. "
            "`images.split(batch_size)` "
            "gives the batches.",
            "In the `with` block: `torch.cat([network(batch) for batch in images.split(batch_size)])`.",
        ),
        planted=(
            Planted(_forgot_eval, "forgot eval()", "came in training mode"),
            Planted(_kept_gradients, "kept the graph for gradients", "requires_grad is"),
            Planted(_last_batch_only, "kept the last batch only", "the last batch alone"),
        ),
    ),
    Exercise(
        id="05.3",
        title="Set bad files aside",
        minutes=8,
        test=_test_read_all,
        buys="one bad file costs one row of the failures, and every other row is still the right one.",
        hints=(
            "How much may stand inside `try`? If the whole loop does, the first bad file ends it.",
            "Inside the loop: `try` to read; in `except MammogramError as error` note the reason; only in "
            "`else` add "
            "the name and the picture, both at once.",
            "`failures[name] = str(error)` in the `except` branch; `good.append(name)` and "
            "`pictures.append(picture)` "
            "in the `else` branch; `return good, pictures, failures` after the loop.",
        ),
        planted=(
            Planted(_stop_at_first, "stopped at the first bad file", "stopped everything"),
            Planted(_skip_silently, "passed over bad files in silence", "the failures name nobody"),
            Planted(_names_first, "kept the names of bad files", "the rows no longer match"),
            Planted(_zeros, "made up a black picture", "A picture that was made up"),
        ),
    ),
)
