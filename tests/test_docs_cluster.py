"""What docs/cluster.md shows can be asked for, and its templates are what they say."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from course_utils.cli.arguments import make_parser

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEMPLATES = sorted((DOCS / "cluster").iterdir())


def test_every_template_is_linked():
    page = (DOCS / "cluster.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\(cluster/(.+?)\)", page) == ["slurm.sh", "ray-up.yaml", "kuberay.yaml"]
    assert {path.name for path in TEMPLATES} == {"slurm.sh", "ray-up.yaml", "kuberay.yaml"}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_the_command_of_a_template_can_be_parsed(template):
    (line,) = re.findall(r"course (embed .*)", template.read_text(encoding="utf-8"))
    words = shlex.split(line.replace('"$((SLURM_CPUS_ON_NODE / 2))"', "8"))
    arguments = make_parser().parse_args(words)
    assert arguments.shards == 8 or arguments.ray == "auto"
    assert arguments.backbone == "resnet50"


@pytest.mark.parametrize(
    "template", [t for t in TEMPLATES if t.suffix == ".yaml"], ids=lambda path: path.name
)
def test_yaml_is_yaml(template):
    assert isinstance(yaml.safe_load(template.read_text(encoding="utf-8")), dict)


def test_the_shell_script_is_one():
    subprocess.run(["bash", "-n", str(DOCS / "cluster" / "slurm.sh")], check=True)
