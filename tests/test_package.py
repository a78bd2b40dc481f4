"""What the repository says of itself agrees with itself."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import nbchat

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = dict(re.findall(r"^([\w-]+)==(.+)$", (ROOT / "scripts/oldest.txt").read_text(encoding="utf-8"), re.MULTILINE))


def promised() -> list[Requirement]:
    """What a user installs on Python 3.11, and the kernel; not what only the tests and JupyterLab need."""
    extras = PROJECT["optional-dependencies"]
    kernel = [text for text in extras["test"] if text.startswith("ipykernel")]
    texts = [*PROJECT["dependencies"], *extras["socks"], *extras["terminal"], *kernel]
    requirements = [Requirement(text) for text in texts]
    return [one for one in requirements if one.marker is None or one.marker.evaluate({"python_version": "3.11"})]


@pytest.mark.parametrize("requirement", promised(), ids=lambda requirement: requirement.name)
def test_the_oldest_version_that_is_promised_is_the_one_that_is_tested(requirement: Requirement) -> None:
    (bound,) = requirement.specifier
    release = Version(bound.version).release
    assert bound.operator == ">="
    assert Version(PINS[requirement.name]).release[: len(release)] == release


def test_the_changelog_has_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## [{nbchat.__version__}]" in changelog


def test_nobody_is_told_to_install_another_projects_package() -> None:
    """The name `nbchat` on the package index is not ours; the distribution is `jupyter-nbchat`."""
    wrong = re.compile(r"\binstall(\s+-\S+)*\s+[\"']?nbchat\b")
    for file in [*ROOT.glob("*.md"), *(ROOT / "nbchat").rglob("*.*"), *(ROOT / "notebooks").glob("*.ipynb")]:
        if file.suffix in (".md", ".py", ".ipynb", ".js"):
            assert not wrong.search(file.read_text(encoding="utf-8")), file


@pytest.mark.parametrize("script", ["scripts/quickstart", "scripts/test", "scripts/venv.sh", ".ci/run"])
def test_the_scripts_are_well_formed(script: str) -> None:
    subprocess.run(["bash", "-n", ROOT / script], check=True)
