"""The same on a real Ray, where it is installed (`.[scale]`) and can be started; else tests say why not."""

import os
import sys
from types import SimpleNamespace

import pytest
from buckets import Server
from test_distributed import (
    EXACT,
    LITE,
    PREPROCESSOR,
    DiesOfAFile,
    DiesOnce,
    recipe,
    same_but_for_the_run,
)

from course_utils import objects
from course_utils.embedding import EmbeddingError, Extraction, on_ray
from course_utils.embedding.distributed import Recipe, extract_in_shards
from course_utils.embedding.on_ray import RayActors
from course_utils.embedding.shards import ENDED_ITS_PROCESS, plan


@pytest.fixture(scope="module")
def server():
    """Return an object store with one bucket."""
    server = Server()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def cluster(server):
    """Return the address of a cluster of two nodes on this machine, one core each."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e .[scale]")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:  # the nodes' processes have what is set now
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        for name, value in server.environment.items():
            patch.setenv(name, value)
        try:
            made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
            made.add_node(num_cpus=1)
            made.wait_for_nodes()
        except Exception as error:
            pytest.skip(f"Ray cannot be started here ({type(error).__name__})")
        yield made
        made.shutdown()


def test_two_nodes_give_what_one_process_gives(cluster, archive, alone, tmp_path):
    paths, names = archive
    backend = RayActors(cluster.address, cores=1)
    extract_in_shards(tmp_path, paths, recipe(), backend, names=names, shard_files=2)
    same_but_for_the_run(Extraction.read(tmp_path), alone)


def test_an_actor_that_is_lost_loses_nothing_and_doubles_nothing(cluster, archive, alone, tmp_path):
    paths, names = archive
    backend = RayActors(cluster.address, cores=1)
    extract_in_shards(tmp_path, paths, recipe(DiesOnce), backend, names=names, shard_files=5)
    same_but_for_the_run(Extraction.read(tmp_path), alone)


def test_a_file_that_ends_its_actor_twice_becomes_a_failure(cluster, archive, tmp_path):
    paths, names = archive
    backend = RayActors(cluster.address, count=1, cores=1)
    extract_in_shards(tmp_path, paths[:5], recipe(DiesOfAFile), backend, names=names[:5], shard_files=5)
    found = Extraction.read(tmp_path)
    assert found.table["file"].tolist() == [names[0], names[1], names[4]]
    assert found.failures.iloc[0].tolist() == [names[2], "read", ENDED_ITS_PROCESS]


def test_from_a_bucket_to_a_bucket_two_nodes_need_no_disk_in_common(
    cluster, server, archive, alone, tmp_path
):
    paths, names = archive
    server.make_bucket()
    bucket = objects.place("s3://bucket")
    for path, name in zip(paths, names, strict=True):
        objects.write(bucket / "in" / name, path.read_bytes())
    made = Recipe(LITE, EXACT, PREPROCESSOR, key=b"k" * 32)
    files = [bucket / "in" / name for name in names]
    backend = RayActors(cluster.address, cores=1)
    extract_in_shards("s3://bucket/out", files, made, backend, names=names, shard_files=2)
    with objects.folder_at_hand(bucket / "out") as here:
        same_but_for_the_run(Extraction.read(here), alone)
    assert not [name for name in server.names if "/.shards-" in name or "key" in name]


def test_a_node_that_is_lost_loses_nothing(cluster, archive, alone, tmp_path):
    paths, names = archive
    lost = []

    class LosesANode(RayActors):
        def run(self, todo, folder, recipe):
            for shard in super().run(todo, folder, recipe):
                if not lost:
                    lost.append(cluster.list_all_nodes()[1])
                    cluster.remove_node(lost[0], allow_graceful=False)
                yield shard

    extract_in_shards(
        tmp_path, paths, recipe(), LosesANode(cluster.address, cores=1), names=names, shard_files=1
    )
    assert lost
    same_but_for_the_run(Extraction.read(tmp_path), alone)


class LosesEveryActor:
    """As much of Ray as `RayActors` asks for, on a cluster whose actors all end."""

    class exceptions:
        RayActorError = type("RayActorError", (Exception,), {})
        RayTaskError = type("RayTaskError", (Exception,), {})

    def __init__(self, before):
        self._before = before

    def cluster_resources(self):
        return {"CPU": 1}

    def remote(self, **_):
        return lambda actor: SimpleNamespace(
            remote=lambda recipe, folder, cores: SimpleNamespace(run=SimpleNamespace(remote=self._run))
        )

    def _run(self, shard):
        self._before(shard)
        return object()

    def wait(self, running, num_returns):
        return running[:1], running[1:]

    def get(self, answer):
        raise self.exceptions.RayActorError

    def init(self, address, **_):
        pass

    def shutdown(self):
        pass


@pytest.mark.parametrize(
    ("begins", "said"), [(False, "end before they are ready"), (True, "20 actors in a row")]
)
def test_actors_that_all_end_are_a_sentence_that_is_true_of_a_cluster(tmp_path, monkeypatch, begins, said):
    (shard,) = plan(["a.dcm"], ["a.dcm"])
    notes = tmp_path / f"{shard.id}.begun"
    ray = LosesEveryActor(lambda shard: notes.touch() if begins else None)
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(EmbeddingError, match=said) as caught:
        list(RayActors("10.1.2.3:6379").run([shard], tmp_path, recipe()))
    assert "with --shards" in str(caught.value) or "--shards works" in str(caught.value)
    assert "Without --shards" not in str(caught.value)


def test_without_ray_it_says_how_to_do_without(archive, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    paths, names = archive
    with pytest.raises(EmbeddingError, match="Ray is not installed: pip install"):
        extract_in_shards(tmp_path, paths[:1], recipe(), RayActors(), names=names[:1])


def test_a_cluster_that_cannot_be_reached_is_a_sentence(archive, tmp_path, monkeypatch):
    class Unreachable:
        def init(self, address, **options):
            assert options == {"log_to_driver": False, "logging_level": "error"}
            raise ConnectionError("10.1.2.3: secret token")

    monkeypatch.setitem(sys.modules, "ray", Unreachable())
    with pytest.raises(EmbeddingError, match="--shards works in processes") as caught:
        on_ray._started("10.1.2.3:6379")
    assert "secret" not in str(caught.value)
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
