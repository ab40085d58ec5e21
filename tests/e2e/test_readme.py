"""The README's commands do what it says, as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_the_commands_of_a_day(tmp_path):
    block = re.search(r"```console\n(.*?)```", README, re.DOTALL)[1]
    script = "set -e\n" + "".join(f"{line.removeprefix('$ ')}\n" for line in block.splitlines())
    assert "cd my-lab\n" in script
    script = script.replace("cd my-lab\n", "cd my-lab\ncp ../scan.png .\n")
    Image.new("L", (20, 20), 200).save(tmp_path / "scan.png")
    (tmp_path / "zhurnal").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m zhurnal "$@"\n')
    (tmp_path / "zhurnal").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "my-lab" / "journal" / "e0001-e0005.md").read_text()
    assert "e0003-e0005: Which learning rate?" in page
    assert page.count("](fig/") >= 2
    assert any(line.startswith("all holds: 1 entry, ") for line in done.stdout.splitlines())
    assert done.stdout.rstrip().splitlines()[-1].startswith("scan.png")


@pytest.mark.slow
def test_the_python_example(tmp_path, monkeypatch, capsys):
    from zhurnal.api import Lab

    monkeypatch.chdir(tmp_path)
    lab = Lab(Lab.init("my-lab").folder)
    lab.new({"train.epochs": 1, "train.num_threads": 1})
    lab.run("e0001")
    exec(re.search(r"```python\n(.*?)```", README, re.DOTALL)[1], {})
    assert "e0002" in capsys.readouterr().out


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith("http"):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


def test_references_are_what_the_code_says():
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import generate
    finally:
        sys.path.pop(0)
    for name, make in generate.PAGES.items():
        assert (ROOT / "docs" / name).read_text() == make(), f"docs/{name} is not up to date: run `make docs`"
