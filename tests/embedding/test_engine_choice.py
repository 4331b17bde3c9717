"""The engine `auto`: chosen by measured times, kept, and named by what it really is."""

import itertools
import json

import pytest
import torch

from course_utils.embedding import EmbeddingError, EmbeddingExtractor, EmbeddingStore, choice, distributed
from course_utils.embedding.distributed import Recipe
from course_utils.imaging import Preprocessor


class Clock:
    """A clock that each batch moves on by as many seconds as it is said to take."""

    def __init__(self):
        self.now, self.worked = 0.0, []

    def __call__(self):
        return self.now

    def batch(self, name, seconds):
        each = itertools.chain(seconds, itertools.repeat(seconds[-1]))

        def run():
            self.worked.append(name)
            self.now += next(each)

        return run


@pytest.fixture
def with_openvino(monkeypatch):
    monkeypatch.setattr(choice, "openvino_version", lambda: "2026.0")


def _auto(lite0, monkeypatch, times, **options):
    """An extractor for which OpenVINO is so many times as fast, and what was measured; nothing is timed."""
    measured = []

    def measure(torch_batch, openvino_batch):
        measured.append((torch_batch, openvino_batch))
        return times

    monkeypatch.setattr(choice, "times_as_fast", measure)
    monkeypatch.setattr("course_utils.embedding.network.make_engine", lambda name, *a, **k: _named(name))
    return EmbeddingExtractor(lite0, device="cpu", engine="auto", **options), measured


def _named(name):
    def run(images):
        return torch.full((len(images), 1280), float(name == "openvino"))

    return run


def test_the_median_of_the_turns_counts_without_the_warming_up_and_whoever_begins():
    clock = Clock()
    # Torch: 9 s to warm up, then 2 s, but 40 in one slow moment. OpenVINO: 8, then 1.
    torch_batch, openvino = clock.batch("torch", [9.0, 2.0, 40.0, 2.0]), clock.batch("openvino", [8.0, 1.0])
    clock.now = -1e9
    times = choice.times_as_fast(torch_batch, openvino, clock)
    assert times == 2.0


def test_five_turns_are_taken_unless_they_take_long_and_who_begins_changes():
    quick, slow = Clock(), Clock()
    choice.times_as_fast(quick.batch("t", [0.1]), quick.batch("o", [0.1]), quick)
    assert quick.worked == [*"to", *"ot", *"to", *"ot", *"to", *"ot"]
    choice.times_as_fast(slow.batch("t", [60.0]), slow.batch("o", [60.0]), slow)
    assert slow.worked == [*"to", *"ot"]


@pytest.mark.usefixtures("with_openvino")
@pytest.mark.parametrize(
    ("times", "expected"), [(3.0, "openvino"), (1.04, "openvino"), (1.02, "torch"), (0.5, "torch")]
)
def test_openvino_is_chosen_where_it_is_clearly_faster_and_one_line_says_so(
    times, expected, lite0, monkeypatch, caplog
):
    extractor, measured = _auto(lite0, monkeypatch, times)
    assert len(measured) == 1
    assert extractor.engine == extractor.identity()["engine"] == expected
    assert extractor.embed(torch.rand(1, 1, 224, 224))[0, 0] == (expected == "openvino")
    (record,) = caplog.records
    assert (
        record.message == f"Using the engine {expected}: openvino is {times:.2f} times as fast as torch here"
    )


@pytest.mark.usefixtures("with_openvino")
def test_a_choice_is_kept_beside_the_store_for_the_same_settings_alone(lite0, monkeypatch, tmp_path, caplog):
    first, _ = _auto(lite0, monkeypatch, 2.0, choices=tmp_path)
    again, measured = _auto(lite0, monkeypatch, 0.5, choices=tmp_path)
    assert (first.engine, again.engine, measured) == ("openvino", "openvino", [])
    assert "as measured before" in caplog.records[-1].message
    for other in ({"batch_size": 1}, {"precision": "bf16"}, {"deterministic": True}, {"adapter": "folded"}):
        extractor, measured = _auto(lite0, monkeypatch, 0.5, choices=tmp_path, **other)
        assert (extractor.engine, len(measured)) == ("torch", 1)
    monkeypatch.setattr(choice, "openvino_version", lambda: "2027.0")
    assert _auto(lite0, monkeypatch, 0.5, choices=tmp_path)[0].engine == "torch"
    assert str(tmp_path) not in (tmp_path / choice.FILE).read_text()


@pytest.mark.usefixtures("with_openvino")
@pytest.mark.parametrize("damage", ["", "{", "[]", '{"a": 1}', None])
def test_choices_that_cannot_be_read_are_made_again(damage, lite0, monkeypatch, tmp_path):
    extractor, _ = _auto(lite0, monkeypatch, 2.0, choices=tmp_path)
    file = tmp_path / choice.FILE
    if damage is None:
        kept = json.loads(file.read_text())
        file.write_text(json.dumps({key: {**value, "engine": "tpu"} for key, value in kept.items()}))
    else:
        file.write_text(damage)
    extractor, measured = _auto(lite0, monkeypatch, 2.0, choices=tmp_path)
    assert (extractor.engine, len(measured)) == ("openvino", 1)


def test_without_openvino_or_not_on_the_cpu_nothing_is_measured(lite0, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(choice, "openvino_version", lambda: None)
    extractor, measured = _auto(lite0, monkeypatch, 2.0, choices=tmp_path)
    assert (extractor.engine, measured) == ("torch", [])
    monkeypatch.setattr(choice, "openvino_version", lambda: "2026.0")
    monkeypatch.setattr("course_utils.embedding.network.pick_device", lambda name: torch.device("meta"))
    monkeypatch.setattr("course_utils.embedding.network.check_precision", lambda device, precision: None)
    extractor, measured = _auto(lite0, monkeypatch, 2.0, choices=tmp_path)
    assert (extractor.engine, measured) == ("torch", [])
    assert not list(tmp_path.iterdir())
    assert not caplog.records


@pytest.mark.usefixtures("with_openvino")
def test_where_openvino_fails_torch_is_used_and_that_is_said_without_the_errors_text(
    lite0, monkeypatch, tmp_path, caplog
):
    def made(name, *given, **named):
        if name == "openvino":
            raise RuntimeError("/srv/somebody/secret")
        return _named(name)

    monkeypatch.setattr("course_utils.embedding.network.make_engine", made)
    extractor = EmbeddingExtractor(lite0, device="cpu", engine="auto", choices=tmp_path)
    assert extractor.engine == "torch"
    assert caplog.messages == ["Using the engine torch: openvino fails here (RuntimeError)"]
    assert not (tmp_path / choice.FILE).exists()


@pytest.mark.usefixtures("with_openvino")
def test_the_callers_random_numbers_do_not_depend_on_a_choice(lite0, monkeypatch):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    _auto(lite0, monkeypatch, 2.0)
    assert torch.rand(1) == expected


def test_the_record_and_the_stores_key_name_the_engine_that_was_used(lite0, samples, tmp_path, monkeypatch):
    monkeypatch.setattr(choice, "TURNS", 1)  # with the real engines, whichever is faster
    store = EmbeddingStore(tmp_path)
    extractor = EmbeddingExtractor(lite0, device="cpu", engine="auto", choices=store.folder)
    record = extractor.extract(samples[:2], Preprocessor(size=224), store=store, progress=False).record
    assert record.engine == extractor.engine
    by_name = EmbeddingExtractor(lite0, device="cpu", engine=extractor.engine)
    again = by_name.extract(samples[:2], Preprocessor(size=224), store=store, progress=False).record
    assert again.counts["from_store"] == 2


@pytest.mark.parametrize("chosen", ["torch", "openvino"])
def test_in_shards_the_master_chooses_once_and_its_processes_are_told(chosen, lite0, monkeypatch, tmp_path):
    asked = []

    class Extractor:
        engine = chosen

        def __init__(self, backbone, **options):
            asked.append(options)

    monkeypatch.setattr(distributed, "EmbeddingExtractor", Extractor)
    recipe = Recipe({"name": "efficientnet_lite0"}, {"engine": "auto", "device": "cpu"}, store=tmp_path)
    settled, address = distributed._settled(recipe)
    assert asked == [{"choices": tmp_path, "engine": "auto", "device": "cpu"}]
    assert settled.extractor == {"engine": chosen, "device": "cpu"}
    named = Recipe({"name": "efficientnet_lite0"}, {"engine": chosen, "device": "cpu"}, store=tmp_path)
    assert distributed._settled(named)[1] == address
    assert len(asked) == 1


def test_an_engine_of_which_nobody_has_heard_is_refused_and_auto_is_among_the_answers(lite0):
    with pytest.raises(EmbeddingError, match="auto or torch or openvino"):
        EmbeddingExtractor(lite0, engine="tpu")
