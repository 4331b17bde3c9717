"""What people meet who want to take part: pages, forms, workflows and containers name only what there is."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from needs import needs

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    "CONTRIBUTING.md",
    "CODE_OF_CONDUCT.md",
    "CHANGELOG.md",
    "SECURITY.md",
    ".github/pull_request_template.md",
]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[0-9]-*.yml"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RECIPES = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def loaded(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def every_text(part: object) -> list[str]:
    """All strings in what YAML or JSON gave."""
    if isinstance(part, dict):
        return [text for value in part.values() for text in every_text(value)]
    if isinstance(part, list):
        return [text for value in part for text in every_text(value)]
    return [part] if isinstance(part, str) else []


# The pages


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text_of(page)) if not re.match(r"[a-z]+:", link)]
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_file_recipe_and_command_that_a_page_names_is_there(page: str) -> None:
    text = text_of(page)
    quoted = re.findall(r"`([\w./-]+)`", text)
    tops = {path.name for path in ROOT.iterdir()}
    files = [name for name in quoted if "/" in name and name.split("/")[0] in tops and "NN" not in name]
    files += [name for name in quoted if name.endswith((".toml", ".yml", ".lock", ".cff", ".md"))]
    assert [name for name in files if not (ROOT / name).exists()] == []
    assert set(re.findall(r"\bmake ([a-z-]+)`", text)) - {"help"} <= RECIPES
    for command in set(re.findall(r"`course ([a-z]+)", text)):
        assert f'"{command}"' in text_of("course_utils/cli/arguments.py"), command


def test_whoever_contributes_is_told_of_patients_before_all_else() -> None:
    text = text_of("CONTRIBUTING.md")
    assert 0 < text.index("No patient data, anywhere") < text.index("## Set up")


def test_the_table_of_floors_is_the_one_that_import_linter_checks() -> None:
    table = re.findall(r"^\| (\d) \| (.+?) \|", text_of("CONTRIBUTING.md"), re.MULTILINE)
    rooms = [set(re.findall(r"`(\w+)`", cell)) for _, cell in table]
    layers = re.search(r"^layers = \[\n(.*?)^\]", text_of("pyproject.toml"), re.MULTILINE | re.DOTALL)
    assert layers
    assert rooms == [set(re.findall(r"course_utils\.(\w+)", line)) for line in layers[1].splitlines()]
    assert [int(floor) for floor, _ in table] == list(range(len(rooms), 0, -1))


def test_the_changelog_lists_versions_newest_first_and_the_newest_is_that_of_the_package() -> None:
    headings = re.findall(r"^## (.*)$", text_of("CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    dated = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", heading) for heading in headings[1:]]
    assert all(dated)
    released = [(tuple(map(int, found[1].split("."))), found[2]) for found in dated if found]
    assert released == sorted(released, reverse=True)
    citation = loaded(ROOT / "CITATION.cff")
    assert headings[1] == f"[{citation['version']}] - {citation['date-released']}"


# Forms


def test_there_is_a_form_for_each_kind_of_report_and_no_empty_page() -> None:
    assert len(FORMS) == 4
    assert loaded(ROOT / ".github/ISSUE_TEMPLATE/config.yml")["blank_issues_enabled"] is False


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_a_form_has_what_github_asks_of_it(form: Path) -> None:
    content = loaded(form)
    assert content["name"]
    assert content["description"]
    ids = [part["id"] for part in content["body"] if part["type"] != "markdown"]
    assert len(set(ids)) == len(ids)
    for part in content["body"]:
        assert part["type"] in {"markdown", "input", "textarea", "dropdown", "checkboxes"}
        attributes = part["attributes"]
        assert attributes["value" if part["type"] == "markdown" else "label"]
        if part["type"] in {"dropdown", "checkboxes"}:
            assert attributes["options"]
    assert any(part.get("validations", {}).get("required") for part in content["body"])


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_every_form_says_that_no_patient_data_may_be_in_it(form: Path) -> None:
    assert re.search(r"no patient data", " ".join(every_text(loaded(form))), re.IGNORECASE)


@pytest.mark.parametrize("number", ["1", "3"])
def test_a_failing_cell_or_command_asks_for_the_doctor_and_a_promise(number: str) -> None:
    (form,) = (path for path in FORMS if path.name.startswith(number))
    parts = {part.get("id"): part for part in loaded(form)["body"]}
    assert "course doctor" in parts["doctor"]["attributes"]["label"]
    assert parts["doctor"]["validations"]["required"]
    assert parts["private"]["attributes"]["options"][0]["required"]
    assert "no dicom" in every_text(loaded(form)["body"][0])[1].lower()


def test_the_form_of_a_failing_cell_lists_every_lesson() -> None:
    (lessons,) = (part for part in loaded(FORMS[0])["body"] if part.get("id") == "lesson")
    numbers = [option[:2] for option in lessons["attributes"]["options"]]
    assert numbers == sorted(path.name[:2] for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


# Workflows


def lines_of(workflow: Path) -> list[str]:
    """Every command that a workflow runs, without comments."""
    steps = [step for job in loaded(workflow)["jobs"].values() for step in job["steps"]]
    return [line for step in steps for line in step.get("run", "").splitlines() if line.strip()]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_only_what_there_is(workflow: Path) -> None:
    for line in lines_of(workflow):
        program, *rest = shlex.split(line, comments=True)
        if program == "make":
            assert set(rest) <= RECIPES, line
        elif program in ("python", "python3"):
            assert rest[0] == "-m" or (ROOT / rest[0]).is_file(), line
        else:
            assert program == "gh" or (ROOT / program).is_file(), line


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_do_no_more_than_it_has_to_and_ends(workflow: Path) -> None:
    content = loaded(workflow)
    assert content["permissions"] == {"contents": "read"}
    for job in content["jobs"].values():
        assert job["timeout-minutes"] <= 90
        for step in job["steps"]:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/none@v1"))


def test_both_ends_of_the_range_of_versions_are_tested_each_week() -> None:
    content = loaded(ROOT / ".github/workflows/test.yml")
    listed = content["jobs"]["test"]["strategy"]["matrix"]["include"]
    assert {"--newest", "--lowest"} <= {row["versions"] for row in listed}
    assert content[True]["schedule"]  # YAML takes the key `on` for a truth value


def test_what_a_release_calls_is_what_tools_release_offers() -> None:
    called = re.findall(r"tools/release\.py (\w+)", text_of(".github/workflows/release.yml"))
    assert set(called) == {"check", "try", "notes"}
    offered = subprocess.run(
        [sys.executable, ROOT / "tools" / "release.py", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "{check,try,notes}" in offered


# Hooks


def test_the_hooks_are_checks_of_the_project_with_the_projects_own_versions() -> None:
    repositories = loaded(ROOT / ".pre-commit-config.yaml")["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    run = text_of("Makefile") + text_of("tools/starting.py").replace('", "', " ")
    for hook in repositories[0]["hooks"]:
        assert hook["language"] == "system"
        wanted = re.sub(r"^python | --force-exclude$", "", hook["entry"])
        assert wanted in run, hook["id"]


# Containers


def test_the_image_installs_as_everybody_does_and_runs_as_nobody_special() -> None:
    steps = re.findall(r"^(FROM|RUN|USER|CMD|COPY|WORKDIR|LABEL) (.*)$", DOCKERFILE, re.MULTILINE)
    kinds = [kind for kind, _ in steps]
    assert ("RUN", "python start.py setup") in steps
    user = kinds.index("USER")
    assert steps[user][1] != "root"
    assert user < steps.index(("RUN", "python start.py setup"))
    assert "USER" not in kinds[user + 1 :]
    command = json.loads(dict(steps)["CMD"])
    assert (ROOT / command[1]).is_file()
    assert command[2] == "lab"


def test_the_image_says_that_it_is_for_research_only_and_that_nobody_built_it() -> None:
    import course_utils

    assert course_utils.DISCLAIMER in DOCKERFILE
    assert "It has not been built so far" in re.sub(r"\n# ", " ", DOCKERFILE)
    assert "-p 127.0.0.1:8888:8888" in DOCKERFILE


def test_jupyterlab_takes_the_options_that_the_image_gives_it() -> None:
    from course_utils.cli.arguments import make_parser

    command = json.loads(dict(re.findall(r"^(CMD) (.*)$", DOCKERFILE, re.MULTILINE))["CMD"])
    assert make_parser().parse_args(command[2:]).jupyter == ["--no-browser", "--ip=0.0.0.0"]


@needs("git")
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout: no list of tracked files")
def test_the_image_gets_every_tracked_file_and_nothing_else_that_lies_in_a_checkout() -> None:
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    tops = {line.split("/")[0] for line in listed.splitlines()}
    rules = [line for line in text_of(".dockerignore").splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == tops


def test_the_development_container_starts_from_the_dockerfile_and_calls_start_py() -> None:
    content = json.loads(text_of(".devcontainer/devcontainer.json"))
    build = content["build"]
    assert (ROOT / ".devcontainer" / build["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert re.search(rf"^FROM \S+ AS {build['target']}$", DOCKERFILE, re.MULTILINE)
    assert f"useradd --create-home --shell /bin/bash {content['remoteUser']}" in DOCKERFILE
    assert content["postCreateCommand"] == "python start.py setup"
