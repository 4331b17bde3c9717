"""Exercises of lesson 05: other right answers, rarer mistakes. And the live tool of the lesson measures."""

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from course_utils.embedding import EmbeddingExtractor, load_backbone
from course_utils.imaging import MammogramError, Preprocessor, read_mammogram
from course_utils.imaging.datasets import sample_cohort
from course_utils.plots import throughput_maps
from course_utils.teaching import exercise
from course_utils.teaching.widgets import LivePicture

SOURCE = Path(__file__).resolve().parents[2] / "notebooks" / "src" / "05_batched_extraction.py"


def by_loop(rows, labels):
    found = [None] * len(rows)
    for file, label in labels:
        if file in rows:
            found[rows.index(file)] = label
    return found


def by_reindexing(rows, labels):
    return pd.Series(dict(labels)).reindex(rows)


def by_merging(rows, labels):
    sheet = pd.DataFrame(labels, columns=["file", "label"])
    return pd.DataFrame({"file": rows}).merge(sheet, how="left", on="file")["label"]


def by_looking_each_up(files, digest, store, compute):
    todo = []
    for file in files:
        if digest(file) not in store and digest(file) not in map(digest, todo):
            todo.append(file)
    for file, vector in zip(todo, compute(todo), strict=True):
        store[digest(file)] = vector
    return np.stack([store[digest(file)] for file in files])


def by_last_copy(files, digest, store, compute):
    missing = {digest(file): file for file in files} if files else {}
    missing = {key: file for key, file in missing.items() if key not in store}
    if missing:
        store |= dict(zip(missing, compute(list(missing.values())), strict=True))
    return (store[digest(file)] for file in files)


def row_by_row(files, digest, store, compute):
    yield from by_looking_each_up(files, digest, store, compute)


def of_copied_vectors(files, digest, store, compute):
    missing = {digest(file): file for file in files if digest(file) not in store}
    for key, vector in zip(missing, compute(tuple(missing.values())), strict=True):
        store[key] = torch.tensor(vector)
    return torch.stack([torch.as_tensor(store[digest(file)]) for file in files])


@pytest.mark.parametrize(
    ("exercise_id", "answer"),
    [
        ("05.4", lambda rows, labels: pd.Series(dict(labels), dtype="Int64").reindex(rows)),
        ("05.5", row_by_row),
        ("05.5", of_copied_vectors),
        ("05.4", by_loop),
        ("05.4", by_reindexing),
        ("05.4", by_merging),
        ("05.5", by_looking_each_up),
        ("05.5", by_last_copy),
    ],
)
def test_another_way_to_the_same_answer_is_right_too(exercise_id, answer):
    verdict = exercise(exercise_id).judge(answer)
    assert verdict.state == "right", verdict.text


def spent(items, size):
    """Yield batches, and empty the list while doing so."""
    while items:
        yield [items.pop(0) for _ in range(min(size, len(items)))]


def part_of_it(rows, labels):
    return [next((label for file, label in labels if file in row), None) for row in rows]


def last_match(rows, labels):
    return [([None] + [label for file, label in labels if file.startswith(row)])[-1] for row in rows]


def sorts_the_labels(rows, labels):
    labels.sort()
    return [dict(labels).get(row) for row in rows]


def clears(network, images, size):
    network.eval()
    with torch.inference_mode():
        rows = torch.cat([network(batch) for batch in images.split(size)])
    images.zero_()
    return rows


def asks_first(read, names):
    good = []
    for name in names:
        try:
            read(name)
            good.append(name)
        except MammogramError:
            pass
    return good, [read(name) for name in good], {n: f"{n}" for n in names if n not in good}


def takes_names_out(read, names):
    pictures, failures = [], {}
    for name in list(names):
        try:
            pictures.append(read(name))
        except MammogramError as error:
            failures[name] = str(error)
            names.remove(name)
    return names, pictures, failures


def drops_files(files, digest, store, compute):
    all_files = list(files)
    for file in all_files:
        if digest(file) in store or [digest(f) for f in files].count(digest(file)) > 1:
            files.remove(file)
    store.update(zip(map(digest, files), compute(list(files)), strict=True))
    return [store[digest(file)] for file in all_files]


def only_new(files, digest, store, compute):
    missing = {digest(file): file for file in files if digest(file) not in store}
    store.update(zip(missing, compute(list(missing.values())), strict=True))
    return [store[key] for key in missing]


def nothing_new(files, digest, store, compute):
    return [store[digest(file)] for file in files if digest(file) in store]


def out_of_step(files, digest, store, compute):
    missing = {digest(file): file for file in files if digest(file) not in store}
    store.update(zip(missing, compute(sorted(missing.values(), reverse=True)), strict=True))
    return [store[digest(file)] for file in files]


def in_pieces(files, digest, store, compute):
    missing = {digest(file): file for file in files if digest(file) not in store}
    keys = list(missing)
    for part in (keys[:2], keys[2:]):
        store.update(zip(part, compute([missing[key] for key in part]), strict=True))
    return [store[digest(file)] for file in files]


def under_keys_of_its_own(files, digest, store, compute):
    store.update(zip(map(len, files), compute(files), strict=False))
    return [store[len(file)] for file in files]


def the_whole_list_under_each(files, digest, store, compute):
    missing = {digest(file): file for file in files if digest(file) not in store}
    store.update(dict.fromkeys(missing, compute(list(missing.values()))))
    return [store[digest(file)] for file in files]


def switches_gradients_off(network, images, size):
    torch.set_grad_enabled(False)
    return torch.cat([network.eval()(batch) for batch in images.split(size)])


def by_place(rows, labels):
    return [labels[[file for file, _ in labels].index(row)][1] for row in rows]


@pytest.mark.parametrize(
    ("exercise_id", "answer", "says"),
    [
        ("05.1", lambda items, size: {0: items}, "out came a dict"),
        ("05.1", lambda items, size: len(items) // size, "out came an int"),
        ("05.1", lambda items, size: [list(range(len(items)))], "0 is none of the files"),
        ("05.1", lambda items, size: [[items[:size], items[size:]]], "One pair of brackets too many"),
        ("05.1", lambda items, size: [items[:1] + items[2:]], "1.dcm did not come"),
        (
            "05.1",
            lambda items, size: [items[i : i + size] for i in range(0, len(items), size)] if items[0] else 0,
            "a list of no files makes no batches",
        ),
        ("05.3", lambda read, names: (len(names), [], {}), "the first of the three is a list of names"),
        ("05.4", by_place, "row d/5 has no label, and your function stopped (ValueError)"),
        ("05.4", lambda rows, labels: [[dict(labels).get(row)] for row in rows], "your list holds a list"),
        ("05.5", in_pieces, "one call, with all that is missing"),
        ("05.5", under_keys_of_its_own, "which `digest` gives for none of the files"),
        ("05.5", the_whole_list_under_each, "something else than the one vector"),
        ("05.5", lambda *given: given[2] if list(row_by_row(*given)) else 0, "the store itself came back"),
        ("05.5", lambda files, digest, store, compute: compute(files[0]), "got one name, 'a'"),
        ("05.4", lambda rows, labels: dict(labels), "out came a dict"),
        ("05.4", lambda rows, labels: [], "3 rows need 3 labels"),
        (
            "05.4",
            lambda rows, labels: [next((lb for f, lb in labels if f.startswith(row)), None) for row in rows],
            "b/1 got the label of b/10. One name is a part of the other",
        ),
        ("05.1", spent, "take nothing out"),
        ("05.2", clears, "the images that you were given have other values now"),
        ("05.3", asks_first, "should be the string"),
        ("05.3", takes_names_out, "the list of names that you were given is another one now"),
        ("05.4", part_of_it, "One name is a part of the other"),
        ("05.4", last_match, "One name is a part of the other"),
        ("05.4", sorts_the_labels, "the lists that you were given have changed"),
        ("05.5", drops_files, "the list of files that you were given is another one now"),
        ("05.4", lambda rows, labels: by_merging(rows, labels).fillna(-1), "d/5: what it got is made up"),
        ("05.5", only_new, "6 files need 6 vectors"),
        ("05.5", nothing_new, "you computed nothing"),
        ("05.5", out_of_step, "do keys and vectors keep step?"),
        ("05.5", lambda *given: {**given[2]} if by_last_copy(*given) else 0, "out came a dict"),
    ],
)
def test_a_rarer_mistake_is_named_too(exercise_id, answer, says):
    verdict = exercise(exercise_id).judge(answer)
    assert verdict.state == "wrong"
    assert says in verdict.text


def test_a_check_leaves_gradients_as_they_were():
    exercise("05.2").judge(switches_gradients_off)
    assert torch.is_grad_enabled()


def test_a_network_left_in_training_draws_none_of_the_students_random_numbers():
    before = torch.get_rng_state()
    exercise("05.2").judge(lambda network, images, size: network(images))
    assert torch.equal(before, torch.get_rng_state())


def test_moving_a_slider_of_the_live_tool_measures_a_setting_that_was_not_tried_and_keeps_the_others():
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if getattr(node, "name", None) == "throughput"]
    paths, archive = list(sample_cohort().path[:3]), "8 large files"  # where the lesson's tool begins
    preprocess = Preprocessor()
    tried = {archive: {}}
    names = {
        "backbone": load_backbone("efficientnet_lite0"),
        "EmbeddingExtractor": EmbeddingExtractor,
        "pictures": np.stack([preprocess(read_mammogram(path)) for path in paths]),
        "preprocess": preprocess,
        "archives": {archive: paths},
        "tried": tried,
        "sizes": (1, 8),
        "readers": (0, 1, 2),
        "throughput_maps": throughput_maps,
    }
    exec(compile(tree, str(SOURCE), "exec"), names)
    picture = LivePicture(names["throughput"], batch_size=[1, 8], workers=[0, 1, 2], archive=[archive])
    assert list(tried[archive]) == [(8, 2)]
    picture.children[1].value = 1
    assert list(tried[archive]) == [(8, 2), (8, 1)]
    assert all(0.1 < rate < 10_000 for rate in tried[archive].values())
    assert "could not be drawn" not in picture.children[-1].value
