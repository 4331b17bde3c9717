"""Exercises of lesson 05: batches that lose nothing and a loop that embeds them; bad files set aside, labels
that stay with their rows, and a run that goes on where it was stopped.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from course_utils.imaging.errors import MammogramError
from course_utils.teaching.exercises import Exercise, NotYet, Planted, kind_of, tried

Batches = Callable[[Sequence[Any], int], Iterable[Sequence[Any]]]
EmbedAll = Callable[[nn.Module, torch.Tensor, int], torch.Tensor]
Read = Callable[[str], np.ndarray]
ReadAll = Callable[[Read, Sequence[str]], tuple[list[str], list[np.ndarray], dict[str, str]]]
Labels = Sequence[tuple[str, int]]
LabelsOf = Callable[[Sequence[str], Labels], Iterable[int | None]]
Vectors = MutableMapping[str, np.ndarray]
Digest = Callable[[str], str]
Compute = Callable[[Sequence[str]], Sequence[np.ndarray]]
Resume = Callable[[Sequence[str], Digest, Vectors, Compute], Iterable[np.ndarray]]


def _test_batches(batches: Batches) -> None:
    for number, size in [(8, 3), (7, 3), *itertools.product(range(11), range(1, 12))]:
        _test_cut(batches, [f"{i}.dcm" for i in range(number)], size)
    _test_cut(batches, ["b.dcm", "d.dcm", "a.dcm", "c.dcm"], 3)  # in no order of the alphabet


def _test_cut(batches: Batches, files: list[str], size: int) -> None:
    given = list(files)
    cut = _cut(batches, given, size)
    came = f"{len(files)} files in batches of {size} became {cut}."
    if any(isinstance(batch, str) for batch in cut):
        raise NotYet(f"{came} A batch is itself a list: `[[a, b], [c]]`, not `[a, b, c]`.")
    if not all(isinstance(batch, Iterable) for batch in cut):
        raise NotYet(f"{came} A batch is a list of the files themselves, not a number.")
    if len(cut) > 1 and isinstance(cut[0], list) and all(batch is cut[0] for batch in cut):
        raise NotYet(f"{came} All batches are one and the same list. Begin a new one: `batch = []`.")
    got = [list(batch) for batch in cut]
    flat: list[Any] = [name for batch in got for name in batch]
    if any(isinstance(name, list | tuple) for name in flat):
        raise NotYet(f"{came} One pair of brackets too many: `[[a], [b]]`, not `[[[a], [b]]]`.")
    if None in flat:
        raise NotYet(f"{came} `None` is not one of the files. The last batch may be shorter.")
    if got == [files[:size]] and len(files) > 2 * size:
        raise NotYet(f"{came} That is the first batch alone: is `return` inside the loop?")
    if not set(flat) <= set(files):
        strange = next(name for name in flat if name not in files)
        raise NotYet(f"{came} {strange!r} is none of the files. A batch holds the files themselves.")
    if len(got) == len(_sizes(len(files), size)) > 1 and got[0] == files[:size] and not any(got[1:]):
        raise NotYet(
            f"{came} After the first batch all are empty. A slice goes from a place to a place, "
            "`items[start:stop]`; its second number is no length."
        )
    if len(flat) < len(files) and flat == files[: len(flat)]:
        raise NotYet(f"{came} The end of the list is gone. What becomes of a batch that is not full?")
    if len(flat) > len(files):
        raise NotYet(
            f"{came} Some files come twice. Where does one batch end, and where does the next begin?"
        )
    if flat != files and flat == sorted(files):
        raise NotYet(f"{came} They are sorted now. The batches keep the order that the list had.")
    if flat != files and sorted(flat) == sorted(files):
        raise NotYet(f"{came} All are there, in another order. A batch is a run of neighbours in the list.")
    missing = [name for name in files if name not in flat]
    if missing:
        raise NotYet(f"{came} Each file must come once, and {', '.join(missing)} did not come.")
    if flat != files:
        raise NotYet(f"{came} Each file must come once, in the order of the list.")
    if [] in got:
        raise NotYet(f"{came} An empty batch is no batch.")
    if got and len(got[0]) > size:
        raise NotYet(f"{came} The first batch holds {len(got[0])}. Is the size a number of your own?")
    if [len(batch) for batch in got] != _sizes(len(files), size):
        raise NotYet(f"{came} Full batches first: the sizes should be {_sizes(len(files), size)}.")
    if given != files:
        raise NotYet(
            f"the batches are right, but afterwards the list that you were given holds {len(given)} of its "
            f"{len(files)} files. It is not yours: cut slices from it, and take nothing out."
        )


def _cut(batches: Batches, files: list[str], size: int) -> list[Any]:
    """Return the answer's batches; say so if it is no list, or if it is the empty list that stops it."""
    try:
        found: Any = batches(files, size)
        cut = None if isinstance(found, Mapping | str) or not isinstance(found, Iterable) else list(found)
    except (IndexError, ValueError, ZeroDivisionError) as error:
        if files:
            raise
        raise NotYet(
            f"a list of no files makes no batches, `[]`, and your function stopped with "
            f"{type(error).__name__}: {error}."
        ) from None
    if cut is None:
        raise NotYet(f"a list of batches is needed, and out came {kind_of(found, 'an array')}.")
    return cut


def _sizes(number: int, size: int) -> list[int]:
    full, rest = divmod(number, size)
    return [size] * full + [rest] * (rest > 0)


@torch.random.fork_rng(devices=[])  # the student's random numbers stay as they are
def _network() -> nn.Sequential:
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


class _Saved:
    """A tensor that a graph keeps for its gradients; it lives as long as the graph."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor.detach()  # a layer's own output would hold the graph that holds it


@dataclass(frozen=True)
class _Pass:
    """What the network saw in one call: images, its mode, and the tensors that graphs hold after it."""

    images: int
    training: bool
    saved: int


@torch.random.fork_rng(devices=[])  # dropout, in a network left in training, draws from the student's
def _test_embed_all(embed_all: EmbedAll) -> None:
    for size in (2, 3):
        images = torch.rand((7, 1, 8, 8), generator=torch.Generator().manual_seed(1))
        with torch.enable_grad():  # whatever the answer switches, afterwards it is as it was
            _test_embed(embed_all, images, size)


def _test_embed(embed_all: EmbedAll, images: torch.Tensor, size: int) -> None:
    with torch.inference_mode():
        expected = _network().eval()(images)
    network, passes, given = _network().train(), list[_Pass](), images.clone()
    saved: weakref.WeakSet[_Saved] = weakref.WeakSet()

    def watch(layer: nn.Module, inputs: tuple[torch.Tensor], _: torch.Tensor) -> None:
        passes.append(_Pass(len(inputs[0]), layer.training, len(saved)))

    def save(tensor: torch.Tensor) -> _Saved:
        saved.add(box := _Saved(tensor))
        return box

    network[-1].register_forward_hook(watch)  # on a layer: `network.forward(batch)` is seen too
    with torch.autograd.graph.saved_tensors_hooks(save, lambda box: box.tensor):
        got = tried(embed_all(network, given, size))

    if not torch.is_grad_enabled():
        raise NotYet(
            "after your function gradients are off for everything that follows, too. "
            "`with torch.inference_mode():` switches them on again where its block ends."
        )
    if isinstance(got, np.ndarray):
        raise NotYet("a tensor (N, D) is needed, and yours has become an array: leave out `.numpy()`.")
    if not isinstance(got, torch.Tensor):
        raise NotYet(f"a tensor (N, D) is needed, and out came {kind_of(got)}. What does torch.cat do?")
    if got.shape == (1, 4):
        raise NotYet(
            "7 images went in, and 1 row came out: the last batch alone. Are the others overwritten?"
        )
    if got.shape != expected.shape:
        raise NotYet(f"7 images make {tuple(expected.shape)}, one row each, not {tuple(got.shape)}.")
    if any(one.training for one in passes):
        raise NotYet(
            "the rows are wrong: the network came in training mode, where batch normalisation looks at the "
            "neighbours and dropout throws dice. Which method of a module switches that off?"
        )
    _test_lengths([one.images for one in passes], size)
    rows = got.detach().float()
    if not torch.allclose(rows, expected, atol=1e-6):
        found = torch.isclose(rows[:, None], expected, atol=1e-6).all(dim=2).any(dim=0)
        if found.all():
            raise NotYet("these are the right vectors, in the wrong order: row i belongs to image i.")
        if found.any():
            raise NotYet(
                f"{found.sum()} of the 7 vectors are there, and the others are not. Where does the result of "
                "each batch go? One may be written over another."
            )
        raise NotYet("the network ran as it should, but the numbers are altered before or after it.")
    if got.requires_grad:
        raise NotYet(
            "the numbers are right, but the result drags the whole graph for gradients along (requires_grad "
            "is True), and memory grows with every batch. Look at torch.inference_mode() or torch.no_grad()."
        )
    if passes[-1].saved > 2 * passes[0].saved:  # two: a name may hold the last batch while the next runs
        raise NotYet(
            "the numbers are right, but every batch keeps its graph until the end, and memory grows with "
            "each. Let none come up: torch.inference_mode() around the loop."
        )
    if not torch.equal(given, images):
        raise NotYet(
            "the vectors are right, but the images that you were given have other values now. They are "
            "not yours: change a copy."
        )


def _test_lengths(lengths: list[int], size: int) -> None:
    came = f"with a batch size of {size}, the network saw 7 images in batches of {lengths}."
    if lengths == [7]:
        raise NotYet(f"{came} All at once: ten thousand will not fit into memory.")
    if lengths != _sizes(7, size):
        raise NotYet(
            f"{came} It should be {_sizes(7, size)}. Is the size a number of your own? `split` takes the "
            "size of a piece, `chunk` how many pieces."
        )


def _test_read_all(read_all: ReadAll) -> None:
    pictures = {name: np.full((2, 2), number, np.float32) for number, name in enumerate("abde", 1)}
    reasons = {"c": "c is no DICOM file", "x": "x holds no pixels"}

    reads: list[str] = []

    def read(name: str) -> np.ndarray:
        reads.append(name)
        if name in reasons:
            raise MammogramError(reasons[name])
        return pictures[name]

    names = ["d", "a", "c", "e", "x", "b"]
    given = list(names)
    try:
        got: Any = read_all(read, given)
    except MammogramError:
        raise NotYet("the first bad file stopped everything. Catch MammogramError around one file.") from None
    if not isinstance(got, Sequence) or isinstance(got, str) or len(got) != 3:
        raise NotYet("three things go back: the names that were read, their pictures, and the failures.")
    if not all(isinstance(part, Iterable) for part in got[:2]):
        raise NotYet("the first of the three is a list of names, the second a list of pictures.")
    failures = got[2]
    good, stack = (part if isinstance(part, Mapping) else list(part) for part in got[:2])
    _test_kinds(good, stack, failures)
    if given != names and len(stack) < 4:
        raise NotYet(
            "your function takes names out of the list that it was given. A loop over that list then passes "
            "over the name behind each. Begin a list of your own."
        )
    if len(stack) == 1 and good == names[:1]:
        raise NotYet("one picture came back, the first. Is `return` inside the loop?")
    if len(stack) == 2 and good == names[:2]:
        raise NotYet("everything after the first bad file is missing: does the loop go on?")
    if len(stack) == len(names) and np.array_equal(stack[1], stack[2]):
        raise NotYet(
            "c cannot be read, and came back with the picture of a, the file before it: where `read` raises "
            "an error, your variable still holds the last picture. Append in `else`, or in `try`."
        )
    if len(stack) == len(names):
        raise NotYet(
            "6 pictures came back for 4 that can be read. A picture that was made up gets an embedding like "
            "any other, and nobody can tell afterwards. A bad file gives no picture."
        )
    if len(good) != len(stack) and good == ["d", "a", "e", "b"]:
        raise NotYet(
            f"4 names and {len(stack)} pictures. Each name has one picture, whole: `append` puts it in, and "
            "`extend` or `np.hstack` takes it apart."
        )
    if len(good) != len(stack):
        raise NotYet(
            f"{len(good)} names and {len(stack)} pictures: the rows no longer match. A name belongs into "
            "the list only once its picture is there."
        )
    if good != ["d", "a", "e", "b"]:
        raise NotYet(f"d, a, e and b can be read, in this order; your names are {', '.join(map(str, good))}.")
    if not all(np.array_equal(picture, pictures[name]) for name, picture in zip(good, stack, strict=True)):
        raise NotYet("names and pictures are in different orders: row i must be the picture of name i.")
    if set(failures) == set(reasons.values()):
        raise NotYet("the reasons are the keys of your dictionary. It goes from the name to the reason.")
    if set(failures) > set(reasons):
        raise NotYet(
            f"c and x alone cannot be read, and the failures name {', '.join(map(str, failures))}. Only "
            "`except` may write into them."
        )
    if set(failures) != set(reasons):
        raise NotYet(
            f"c and x cannot be read, but the failures name {', '.join(map(str, failures)) or 'nobody'}. A "
            "file that vanishes without a word is the worst kind of failure."
        )
    for name, reason in reasons.items():
        if failures[name] != reason:
            raise NotYet(
                f"the reason for {name} should be the string {reason!r}, and is {failures[name]!r}. The "
                "exception brings its sentence: `str(error)`."
            )
    if len(reads) > len(names):
        raise NotYet(
            f"the three are right, but `read` was called {len(reads)} times for {len(names)} files. Reading "
            "is what takes the time: call it once a file, and keep what it gives."
        )
    if given != names:
        raise NotYet(
            "the three are right, but the list of names that you were given is another one now. It is "
            "not yours: begin a list of your own."
        )
    _test_lets_bugs_out(read_all)


def _test_kinds(good: Any, pictures: Any, failures: Any) -> None:
    names_last = any(isinstance(name, np.ndarray) for name in good)
    if names_last or isinstance(good, Mapping) or isinstance(pictures, Mapping):
        raise NotYet("first the list of names, then the list of pictures, then the dictionary of failures.")
    if not isinstance(failures, Mapping):
        raise NotYet(
            f"the failures should be a dictionary, {{name: reason}}, and are a {type(failures).__name__}."
        )


def _test_lets_bugs_out(read_all: ReadAll) -> None:
    def read(name: str) -> np.ndarray:
        raise ZeroDivisionError

    try:
        read_all(read, ["a"])
    except ZeroDivisionError:
        return
    raise NotYet("you caught everything, even a bug in `read`: catch MammogramError only.")


def _test_labels_of(labels_of: LabelsOf) -> None:
    # 0 is a label; z/9 has no row; the labels have an order of their own; names end alike, or begin alike.
    labels = [("b/10", 3), ("a/2", 0), ("z/9", 4), ("c/4", 1), ("a/1", 2), ("b/1", 5)]
    # Both orders of the labels: to take the first match fails in the one, or else in the other.
    for order in (1, -1):
        _test_join(labels_of, ["a/1", "b/10", "c/4"], [labels[0], *labels[2:5]][::order])
        _test_join(labels_of, ["c/4", "b/1", "a/1", "b/10", "a/2"], labels[::order])
        _test_join(labels_of, ["c/4", "d/5", "b/10", "a/2"], labels[::order])


def _test_join(labels_of: LabelsOf, rows: list[str], labels: list[tuple[str, int]]) -> None:
    known = dict(labels)
    expected = [known.get(row) for row in rows]
    given = list(rows), list(labels)
    try:
        found: Any = tried(labels_of(*given))
    except (LookupError, ValueError, StopIteration) as error:
        if None not in expected:
            raise
        raise NotYet(
            f"row {rows[expected.index(None)]} has no label, and your function stopped "
            f"({type(error).__name__}). It should get None: one image without a label is no reason to lose "
            "the others."
        ) from None
    if isinstance(found, Mapping | str) or not isinstance(found, Iterable):
        raise NotYet(f"a list is needed, one label a row, and out came {kind_of(found)}.")
    listed = list(found)
    for each in listed:
        if isinstance(each, list | tuple | set | np.ndarray):
            raise NotYet(
                f"your list holds {kind_of(each, 'an array')}, {each}. A row gets its label alone, a whole "
                "number or None."
            )
    got = [_plain(each) for each in listed]
    if got == expected:
        if given != (rows, labels):
            raise NotYet(
                "the labels are right, but the lists that you were given have changed. They are "
                "not yours: sort or shorten a copy."
            )
        return
    came = f"the rows {', '.join(rows)} got the labels {got}."
    if got == [label for _, label in labels][: len(rows)]:
        raise NotYet(f"{came} That is row i with label i, whatever their files are. Match the names.")
    if got == [known[row] for row in sorted(rows) if row in known]:
        raise NotYet(f"{came} They are in the order of the sorted names, and the rows are not.")
    if got == [label for file, label in labels if file in rows]:
        raise NotYet(
            f"{came} Those are the right labels in the order of the list of labels. For which of the two "
            "lists should your loop run?"
        )
    if got == [label for label in expected if label is not None]:
        raise NotYet(
            f"{came} {rows[expected.index(None)]} has no label and is left out, so that all rows below it "
            "slide up. Put None in its place."
        )
    if len(got) != len(rows):
        raise NotYet(f"{came} {len(rows)} rows need {len(rows)} labels.")
    if not any(got) and 0 not in got:
        raise NotYet(
            f"{came} No row has found a label. Does your dictionary lead from the file to its label?"
        )
    wrong = [i for i in range(len(rows)) if got[i] != expected[i]]
    first = rows[wrong[0]]
    if all(expected[i] is None for i in wrong):
        raise NotYet(f"{came} Nobody has labelled {first}: what it got is made up. It should be None.")
    if all(expected[i] == 0 and got[i] is None for i in wrong):
        raise NotYet(f"{came} The label of {first} is 0, and 0 is a label. `or` takes it for nothing.")
    whose = {label: file for file, label in labels}.get(got[wrong[0]], "")
    if whose and (whose in first or first in whose):
        raise NotYet(
            f"{came} {first} got the label of {whose}. One name is a part of the other, and still they are "
            "two files: look for an equal name (`==`), not for one that is `in` it or begins with it."
        )
    if whose and whose.rpartition("/")[2] == first.rpartition("/")[2]:
        raise NotYet(
            f"{came} {first} got the label of {whose}. Two folders may each hold a file of that name: the "
            "folder belongs to the name."
        )
    raise NotYet(f"{came} It should be {expected}.")


def _plain(label: Any) -> Any:
    """A label, or None for what pandas and numpy have in its place: NA, and NaN, which is unlike itself."""
    if isinstance(label, np.generic | torch.Tensor):
        label = label.item()
    return None if label is None or label is pd.NA or label != label else label


def _test_resume(resume: Resume) -> None:
    contents = {"a": "one", "b": "two", "c": "three", "d": "one", "e": "five", "f": "six"}  # d: a copy of a
    for in_store in (["five", "two", "of another archive"], list(contents.values()), []):
        _test_run(resume, contents, in_store)


def _test_run(resume: Resume, contents: Mapping[str, str], in_store: Sequence[str]) -> None:
    vectors = {
        content: np.full(2, i) for i, content in enumerate(dict.fromkeys([*in_store, *contents.values()]))
    }
    store = {content: vectors[content] for content in in_store}
    calls: list[list[str]] = []

    def compute(wanted: Sequence[str]) -> list[np.ndarray]:
        if isinstance(wanted, str):
            raise NotYet(f"`compute` takes a list of files, and got one name, {wanted!r}.")
        calls.append(list(wanted))
        for name in calls[-1]:
            if name in vectors:
                raise NotYet(
                    f"`compute` takes files, and got {name!r}, which is a key. (A dictionary gives its keys "
                    "when a loop runs over it: `.values()`.)"
                )
        return [vectors[contents[name]] for name in calls[-1]]

    files = list(contents)
    given = list(files)
    found: Any = tried(resume(given, contents.__getitem__, store, compute))
    if isinstance(found, Iterator):  # one that computes as it goes has done nothing so far
        found = list(found)
    held = [name for name in files if contents[name] in in_store]
    state = f"of the files {', '.join(files)} the store held {', '.join(held) or 'none'}"
    if any(name in store for name in files):
        raise NotYet(
            "the store has entries under the names of files now. A renamed file would be computed again, and "
            "a changed one would get its old vector. The key is `digest(file)`."
        )
    strange = [key for key in store if key not in vectors]
    if strange:
        raise NotYet(
            f"the store has an entry under {strange[0]!r} now, which `digest` gives for none of the files."
        )
    _test_computed(calls, contents, held, len({*in_store}), state)
    if any(content not in store for content in contents.values()):
        raise NotYet("what was computed is not in the store afterwards, and the next run computes it again.")
    if any(content not in store for content in in_store):
        raise NotYet(
            "the store held a vector of another archive, and it is gone. Others go on from this store, too: "
            "add to it, and take nothing out."
        )
    for content in contents.values():
        _test_kept(store[content], content, vectors)
    if found is store:
        raise NotYet("the store itself came back. Return a list: one vector a file, in the files' order.")
    _test_rows(found, [vectors[contents[name]] for name in files], state)
    if given != files:
        raise NotYet(
            "the rows are right, but the list of files that you were given is another one now. It is "
            "not yours: collect what is missing in a list of your own."
        )


def _test_kept(vector: Any, content: str, vectors: Mapping[str, np.ndarray]) -> None:
    """Compare what the store holds of one content with what was computed of it."""
    kept = np.asarray(vector)
    if np.array_equal(kept, vectors[content]):
        return
    if any(np.array_equal(kept, other) for other in vectors.values()):
        raise NotYet("the store has a vector under the key of another file: do keys and vectors keep step?")
    raise NotYet(
        f"under {content!r} the store holds something else than the one vector that `compute` gave: "
        f"{kind_of(vector, 'an array')}."
    )


def _test_computed(
    calls: list[list[str]], contents: Mapping[str, str], held: list[str], entries: int, state: str
) -> None:
    computed = [name for call in calls for name in call]
    did = f"{state}, and you computed {', '.join(computed) or 'nothing'}"
    if held and len(held) < len(contents) and computed == list(contents)[entries:]:
        raise NotYet(
            f"{did}, as if the first {entries} of the list were done. How many are there says nothing about "
            "which. Ask for each."
        )
    again = [name for name in computed if name in held]
    if again:
        raise NotYet(f"{did}: {', '.join(again)} again, for nothing.")
    if len(calls) > 1 and len(set(computed)) < len(computed):
        raise NotYet(
            f"`compute` was called {len(calls)} times, and the same files came up again. Call it once, "
            "before the loop that keeps what it gives."
        )
    distinct = {contents[name] for name in computed}
    if distinct != {content for name, content in contents.items() if name not in held}:
        raise NotYet(f"{did}. All that the store does not hold is left to do.")
    if len(distinct) < len(computed):
        raise NotYet(
            "d is a copy of a, byte for byte, and both were computed. One content needs one vector: collect "
            "what is missing by its key."
        )
    if len(calls) == len(computed) > 1:
        raise NotYet(
            "`compute` was called for one file at a time. It makes batches of what it gets: give it the "
            "whole list of what is missing, once."
        )
    if sum(map(bool, calls)) > 1:
        raise NotYet(
            f"`compute` was called {len(calls)} times. It makes batches by itself: one call, with all that "
            "is missing."
        )


def _test_rows(found: Any, expected: list[np.ndarray], state: str) -> None:
    if isinstance(found, Mapping | str) or not isinstance(found, Iterable):
        raise NotYet(f"a list of vectors is needed, one a file, and out came {kind_of(found)}.")
    found = list(found)
    if any(each is None for each in found):
        raise NotYet(
            f"{state}, and a row came back as None. Make the rows at the end, when the store holds them all."
        )
    got = [np.asarray(each) for each in found]
    if len(got) != len(expected):
        raise NotYet(
            f"{len(expected)} files need {len(expected)} vectors, be they new or from the store; out came "
            f"{len(got)}."
        )
    if not all(map(np.array_equal, got, expected)):
        raise NotYet(
            f"{state}. What was held and what is new must stand in the order of the files again: row i "
            "belongs to file i. Look each up by its key at the end."
        )


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


def _leave_the_loop(read: Read, names: Sequence[str]) -> Any:
    good, pictures, _ = _sorted_out(read, names[:2])
    return good, pictures, {"c": "c is no DICOM file"}


def _exception_kept(read: Read, names: Sequence[str]) -> Any:
    good, pictures, failures = _sorted_out(read, names)
    return good, pictures, {name: MammogramError(reason) for name, reason in failures.items()}


def _list_of_failures(read: Read, names: Sequence[str]) -> Any:
    good, pictures, failures = _sorted_out(read, names)
    return good, pictures, list(failures)


def _other_order(read: Read, names: Sequence[str]) -> Any:
    good, pictures, failures = _sorted_out(read, names)
    return failures, good, pictures


def _catch_everything(read: Read, names: Sequence[str]) -> Any:
    return _sorted_out(read, names, Exception)


def _sorted_out(
    read: Read, names: Sequence[str], caught: type[Exception] = MammogramError
) -> tuple[list[str], list[np.ndarray], dict[str, str]]:
    """What the planted answers have in common: each then spoils it in its own way."""
    pictures: dict[str, np.ndarray] = {}
    failures = {}
    for name in names:
        try:
            pictures[name] = read(name)
        except caught as error:
            failures[name] = str(error)
    return list(pictures), list(pictures.values()), failures


def _read_twice(read: Read, names: Sequence[str]) -> Any:
    _, _, failures = _sorted_out(read, names)
    good = [name for name in names if name not in failures]
    return good, [read(name) for name in good], failures


def _last_picture_again(read: Read, names: Sequence[str]) -> Any:
    pictures, failures = [], {}
    for name in names:
        try:
            picture = read(name)
        except MammogramError as error:
            failures[name] = str(error)
        pictures.append(picture)
    return list(names), pictures, failures


def _returned_in_the_loop(read: Read, names: Sequence[str]) -> Any:
    return _sorted_out(read, names[:1])


def _removed_while_looping(read: Read, names: list[str]) -> Any:
    pictures, failures = [], {}
    for name in names:
        try:
            pictures.append(read(name))
        except MammogramError as error:
            failures[name] = str(error)
            names.remove(name)
    return names, pictures, failures


def _reasons_as_keys(read: Read, names: Sequence[str]) -> Any:
    good, pictures, failures = _sorted_out(read, names)
    return good, pictures, {reason: name for name, reason in failures.items()}


def _taken_apart(read: Read, names: Sequence[str]) -> Any:
    good, pictures, failures = _sorted_out(read, names)
    return good, [row for picture in pictures for row in picture], failures


def _inside_a_name(rows: Sequence[str], labels: Labels) -> Any:
    return [next((label for file, label in labels if row in file), None) for row in rows]


def _sorted_names(rows: Sequence[str], labels: Labels) -> Any:
    known = dict(labels)
    return [known[row] for row in sorted(rows) if row in known]


def _last_part(rows: Sequence[str], labels: Labels) -> Any:
    known = {file.rpartition("/")[2]: label for file, label in labels}
    return [known.get(row.rpartition("/")[2]) for row in rows]


def _without_unlabelled(rows: Sequence[str], labels: Labels) -> Any:
    known = dict(labels)
    return [known[row] for row in rows if row in known]


def _compute_all(files: Sequence[str], digest: Digest, store: Vectors, compute: Compute) -> Any:
    store.update(zip(map(digest, files), compute(files), strict=True))
    return [store[digest(file)] for file in files]


def _count(files: Sequence[str], digest: Digest, store: Vectors, compute: Compute) -> Any:
    rest, known = files[len(store) :], list(store.values())
    new = compute(rest)
    store.update(zip(map(digest, rest), new, strict=True))
    return [*known, *new]


def _by_file_name(files: Sequence[str], digest: Digest, store: Vectors, compute: Compute) -> Any:
    missing = [file for file in files if file not in store]
    store.update(zip(missing, compute(missing), strict=True))
    return [store[file] for file in files]


def _known_first(files: Sequence[str], digest: Digest, store: Vectors, compute: Compute) -> Any:
    keys = [digest(file) for file in files]
    known = [store[key] for key in keys if key in store]
    missing = {key: file for key, file in zip(keys, files, strict=True) if key not in store}
    store.update(zip(missing, compute(list(missing.values())), strict=True))
    return [*known, *(store[key] for key in keys if key in missing)]


def _keep_nothing(files: Sequence[str], digest: Digest, store: Vectors, compute: Compute) -> Any:
    missing = {digest(file): file for file in files if digest(file) not in store}
    both = {**store, **dict(zip(missing, compute(list(missing.values())), strict=True))}
    return [both[digest(file)] for file in files]


def _copies_twice(files: Sequence[str], digest: Digest, store: Vectors, compute: Compute) -> Any:
    missing = [file for file in files if digest(file) not in store]
    store.update(zip(map(digest, missing), compute(missing), strict=True))
    return [store[digest(file)] for file in files]


def _one_at_a_time(files: Sequence[str], digest: Digest, store: Vectors, compute: Compute) -> Any:
    for file in files:
        if digest(file) not in store:
            store[digest(file)] = compute([file])[0]
    return [store[digest(file)] for file in files]


def _keys_computed(files: Sequence[str], digest: Digest, store: Vectors, compute: Compute) -> Any:
    missing = {digest(file): file for file in files if digest(file) not in store}
    store.update(zip(missing, compute(missing), strict=True))  # type: ignore[arg-type]
    return [store[digest(file)] for file in files]


def _called_in_the_loop(files: Sequence[str], digest: Digest, store: Vectors, compute: Compute) -> Any:
    missing = {digest(file): file for file in files if digest(file) not in store}
    for number, key in enumerate(missing):
        store[key] = compute(list(missing.values()))[number]
    return [store[digest(file)] for file in files]


def _swept_out(files: Sequence[str], digest: Digest, store: Vectors, compute: Compute) -> Any:
    keys = [digest(file) for file in files]
    for key in set(store) - set(keys):
        del store[key]
    missing = {key: file for key, file in zip(keys, files, strict=True) if key not in store}
    store.update(zip(missing, compute(list(missing.values())), strict=True))
    return [store[key] for key in keys]


def _rows_too_early(files: Sequence[str], digest: Digest, store: Vectors, compute: Compute) -> Any:
    rows = [store.get(digest(file)) for file in files]
    missing = {digest(file): file for file in files if digest(file) not in store}
    store.update(zip(missing, compute(list(missing.values())), strict=True))
    return rows


def _taken_out(items: list[Any], size: int) -> list[list[Any]]:
    found = []
    while items:
        found.append(items[:size])
        del items[:size]
    return found


def _one_list(items: Sequence[Any], size: int) -> list[list[Any]]:
    found: list[list[Any]] = []
    batch: list[Any] = []
    for item in items:
        if len(batch) == size:
            found.append(batch)
            batch.clear()
        batch.append(item)
    return [*found, batch]


def _half_a_slice(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start:size] for start in range(0, len(items), size)]


def _threes(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + 3] for start in range(0, len(items), 3)]


def _sorted_files(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [sorted(items)[start : start + size] for start in range(0, len(items), size)]


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


def _all_at_once(network: nn.Module, images: torch.Tensor, size: int) -> torch.Tensor:
    with torch.inference_mode():
        return network.eval()(images)


def _size_of_its_own(network: nn.Module, images: torch.Tensor, size: int) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat(_loop(network.eval(), images, 3))


def _detached_late(network: nn.Module, images: torch.Tensor, size: int) -> torch.Tensor:
    return torch.cat(_loop(network.eval(), images, size)).detach()


def _backwards(network: nn.Module, images: torch.Tensor, size: int) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat(_loop(network.eval(), images, size)).flip(0)


def _normalised(network: nn.Module, images: torch.Tensor, size: int) -> torch.Tensor:
    with torch.inference_mode():
        return nn.functional.normalize(torch.cat(_loop(network.eval(), images, size)))


def _one_over_another(network: nn.Module, images: torch.Tensor, size: int) -> torch.Tensor:
    rows = torch.zeros(len(images), 4)
    with torch.inference_mode():
        for number, vectors in enumerate(_loop(network.eval(), images, size)):
            rows[number : number + len(vectors)] = vectors
    return rows


def _as_an_array(network: nn.Module, images: torch.Tensor, size: int) -> np.ndarray:
    with torch.inference_mode():
        return np.concatenate([each.numpy() for each in _loop(network.eval(), images, size)])


def _off_for_good(network: nn.Module, images: torch.Tensor, size: int) -> torch.Tensor:
    torch.set_grad_enabled(False)
    return torch.cat(_loop(network.eval(), images, size))


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
                "The end of the list is gone",
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
            Planted(lambda items, size: items[:size], "gave back files, not batches", "itself a list"),
            Planted(
                lambda items, size: list(itertools.zip_longest(*[iter(items)] * size)),
                "filled the last batch up",
                "`None` is not one of the files",
            ),
            Planted(
                lambda items, size: np.array_split(items, -(-len(items) // size)),
                "made all batches about equal",
                "Full batches first",
            ),
            Planted(_half_a_slice, "took the end of a slice for its length", "is no length"),
            Planted(_threes, "wrote the size in", "The first batch holds"),
            Planted(_sorted_files, "sorted the files", "They are sorted now"),
            Planted(_one_list, "emptied a batch that was already handed over", "one and the same list"),
            Planted(_taken_out, "took the files out of the list that it was given", "take nothing out"),
        ),
    ),
    Exercise(
        id="05.2",
        title="Embed them all",
        minutes=8,
        test=_test_embed_all,
        buys="one image gives one vector, whichever others are in its batch, and memory stays flat.",
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
            Planted(_all_at_once, "gave the network all images at once", "All at once"),
            Planted(_size_of_its_own, "wrote the batch size in", "Is the size a number of your own?"),
            Planted(_detached_late, "detached after the loop", "keeps its graph until the end"),
            Planted(_one_over_another, "wrote each batch over the last", "may be written over another"),
            Planted(_as_an_array, "made an array of the tensor", "leave out `.numpy()`"),
            Planted(_off_for_good, "switched gradients off for good", "off for everything that follows"),
            Planted(_backwards, "put the rows in another order", "in the wrong order"),
            Planted(_normalised, "normalised the rows", "the numbers are altered"),
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
            Planted(_last_picture_again, "took the last picture once more", "still holds the last picture"),
            Planted(_returned_in_the_loop, "returned inside the loop", "Is `return` inside the loop?"),
            Planted(_removed_while_looping, "took names out while looping", "passes over the name behind"),
            Planted(_reasons_as_keys, "turned the dictionary round", "are the keys of your dictionary"),
            Planted(_taken_apart, "took the pictures apart", "`append` puts it in"),
            Planted(_leave_the_loop, "left the loop at a bad file", "does the loop go on?"),
            Planted(_exception_kept, "kept the exception, not its sentence", "`str(error)`"),
            Planted(_list_of_failures, "made a list of the failures", "should be a dictionary"),
            Planted(_other_order, "gave the failures back first", "first the list of names"),
            Planted(_catch_everything, "caught every exception", "you caught everything"),
            Planted(_read_twice, "read every good file twice", "call it once a file"),
        ),
    ),
    Exercise(
        id="05.4",
        title="Which label belongs to which row?",
        minutes=6,
        test=_test_labels_of,
        buys="labels may come in any order and with any gaps: each row gets its own, or None.",
        hints=(
            "Which of the two lists must your result be as long as? Let the loop run over that one.",
            "`dict(labels)` finds the label of a name at once. What does its `get` give for a name that it "
            "does not know?",
            "`known = dict(labels)`, and then `[known.get(row) for row in rows]`.",
        ),
        planted=(
            Planted(
                lambda rows, labels: [label for _, label in labels][: len(rows)],
                "joined by row number",
                "That is row i with label i",
            ),
            Planted(
                lambda rows, labels: [label for file, label in labels if file in rows],
                "looped over the labels",
                "in the order of the list of labels",
            ),
            Planted(_sorted_names, "sorted the rows", "in the order of the sorted names"),
            Planted(_without_unlabelled, "left rows without a label out", "slide up"),
            Planted(
                lambda rows, labels: [dict(labels).get(row, 0) for row in rows],
                "filled gaps with 0",
                "is made up",
            ),
            Planted(
                lambda rows, labels: [dict(labels).get(row) or None for row in rows],
                "took label 0 for none",
                "0 is a label",
            ),
            Planted(_last_part, "compared the last part of the names", "the folder belongs to the name"),
            Planted(_inside_a_name, "looked for the name inside others", "One name is a part of the other"),
            Planted(
                lambda rows, labels: [{label: file for file, label in labels}.get(row) for row in rows],
                "turned the dictionary round",
                "No row has found a label",
            ),
            Planted(
                lambda rows, labels: [(row, dict(labels).get(row)) for row in rows],
                "gave pairs back",
                "A row gets its label alone",
            ),
            Planted(
                lambda rows, labels: [dict(labels)[row] for row in rows],
                "stopped at a row without a label",
                "and your function stopped",
            ),
        ),
    ),
    Exercise(
        id="05.5",
        title="Go on where it was stopped",
        minutes=10,
        test=_test_resume,
        buys="a killed run goes on where it was, a renamed file costs nothing, and each row is in its place.",
        hints=(
            "First the key of every file. Then: which keys does the store lack?",
            "Collect what is missing in a dictionary, key to file: a copy has the same key and comes in "
            "once. At the end make the rows from the store, in the order of the files.",
            "`keys = [digest(file) for file in files]`; `missing = {key: file for key, file in "
            "zip(keys, files) if key not in store}`; "
            "`store.update(zip(missing, compute(list(missing.values()))))`; "
            "and the rows are `[store[key] for key in keys]`.",
        ),
        planted=(
            Planted(_compute_all, "computed everything again", "again, for nothing"),
            Planted(_count, "took the first ones for done", "says nothing about which"),
            Planted(_by_file_name, "used the file's name as the key", "under the names of files"),
            Planted(_known_first, "put the known rows first", "stand in the order of the files again"),
            Planted(_keep_nothing, "kept nothing in the store", "not in the store afterwards"),
            Planted(_copies_twice, "computed a copy twice", "d is a copy of a"),
            Planted(_keys_computed, "gave keys to compute", "which is a key"),
            Planted(_called_in_the_loop, "called compute inside a loop", "the same files came up again"),
            Planted(_swept_out, "swept the store", "and take nothing out"),
            Planted(_rows_too_early, "made the rows before the vectors", "a row came back as None"),
            Planted(_one_at_a_time, "computed one file at a time", "for one file at a time"),
        ),
        fills=(2,),  # the store
    ),
)
