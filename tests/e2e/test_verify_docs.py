"""What docs/verify.md gives to copy: the files are what GitHub and pre-commit read, and their commands run without PyTorch."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "verify.md").read_text()
BLOCKS = [YAML(typ="safe").load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
HOOK = YAML(typ="safe").load((ROOT / ".pre-commit-hooks.yaml").read_text())[0]
# Not there: what the workflow does not install, or what need not be loaded.
WITHOUT = "import sys\nfor name in ('torch', 'torchvision', 'sklearn', 'PIL', 'matplotlib', 'tensorboard'): sys.modules[name] = None\n"


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(command)
    assert program == "zhurnal"
    code = f"{WITHOUT}from zhurnal.cli import main; main({arguments!r})"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "examples" / "moving-shapes", tmp_path / "FOLDER")
    return tmp_path / "FOLDER"


def test_the_workflow_has_what_github_asks_for(lab: Path) -> None:
    workflow = BLOCKS[0]
    job = workflow["jobs"]["verify"]
    assert workflow.get("on", workflow.get(True)) == ["push", "pull_request"]
    assert job["runs-on"]
    assert all(("uses" in step) != ("run" in step) for step in job["steps"])
    packages = next(step["run"] for step in job["steps"] if step.get("run", "").startswith("pip install numpy")).split()[2:]
    project = (ROOT / "pyproject.toml").read_text()
    assert all(f'"{p}>=' in project for p in packages)
    (command,) = [step["run"] for step in job["steps"] if step.get("run", "").startswith("zhurnal")]
    done = run(command, lab)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("all holds: 1 entry")
    page = lab / "journal" / "e0001-e0003.md"
    page.write_text(page.read_text().replace("| e0001 |", "| e0009 |", 1))
    assert run(command, lab).returncode == 1


def test_the_hooks_have_what_pre_commit_asks_for(lab: Path) -> None:
    assert {"id", "name", "entry", "language", "files", "pass_filenames"} <= HOOK.keys()
    theirs, local = (block["repos"][0] for block in BLOCKS[1:])
    assert [hook["id"] for hook in theirs["hooks"]] == [HOOK["id"]]
    assert theirs["rev"]
    assert local["repo"] == "local"
    for name in ("journal/e0001.md", "labs/cifar/experiments/logs/e0001/s42/record.jsonl", "zhurnal.yaml"):
        assert re.search(HOOK["files"], name)
    assert not re.search(HOOK["files"], "src/journal.py")
    assert run(HOOK["entry"], lab).returncode == 0
    assert run(local["hooks"][0]["entry"], lab.parent).returncode == 0
