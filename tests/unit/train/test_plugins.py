"""Parts of installed packages: found by name without importing the package, used, written down, and named where a name is unknown."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from zhurnal.core import plugins, settings
from zhurnal.core.errors import RunError, SettingsError
from zhurnal.store.lab import Lab
from zhurnal.train import models, optimizers, own, setup
from zhurnal.train.data import prepare
from zhurnal.train.watch import Silent

EXAMPLE = Path(__file__).parents[3] / "examples" / "plugin-package"


def install(source, site, points=None):
    """Put a package into a folder as pip does: its files, and a dist-info with its entry points."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    for file in (source / "src").rglob("*.py"):
        target = site / file.relative_to(source / "src")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = points or project["entry-points"]
    text = "\n".join(f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in names.items()) for group, names in groups.items())
    (info / "entry_points.txt").write_text(text)
    return site


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(install(EXAMPLE, tmp_path / "site"))
    before = set(sys.modules)
    yield tmp_path / "site"
    for name in [m for m in sys.modules if m.startswith("zhurnal_tiny") and m not in before]:
        del sys.modules[name]


def test_names_are_known_without_importing_the_package(site):
    found = settings.parse({"model": {"name": "tiny", "width": 4}, "data": {"name": "stripes", "num": 60}, "optimizer": "sign_sgd"})
    assert found.model.options() == {"width": 4}
    assert found.data.options() == {"num": 60}
    assert not [m for m in sys.modules if m.startswith("zhurnal_tiny")]
    assert plugins.find("model", "tiny") == plugins.Plugin("tiny", "zhurnal_tiny.parts:tiny", "zhurnal-tiny", "0.1.0")
    assert settings.parse(found.to_dict()) == found


def test_without_the_package_the_error_names_the_three_ways(site, monkeypatch):
    with pytest.raises(SettingsError) as caught:
        settings.parse({"model": "tinny"})
    assert str(caught.value).endswith(
        "; did you mean 'tiny'?; or a file of your own: my_model.py:Name; "
        "or a name that an installed package brings (group zhurnal.models; there is tiny); "
        "or a library's: timm:resnet50, torchvision:vgg16_bn"
    )
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(site)])
    with pytest.raises(SettingsError, match=r"'tiny' is none of .*\(group zhurnal.models; none does\)"):
        settings.parse({"model": "tiny"})


def test_a_built_in_name_is_looked_up_nowhere(site, monkeypatch):
    def scan(section):
        raise AssertionError("packages were looked over")

    monkeypatch.setattr(plugins, "_scan", scan)
    settings.parse({"model": "lenet", "data": "digits", "optimizer": "sgd", "loss": "cross_entropy"})
    settings.parse({"model": "net.py:Net"})


def test_a_name_that_two_packages_bring_is_an_error(site, tmp_path):
    other = tmp_path / "other"
    (other / "src").mkdir(parents=True)
    (other / "pyproject.toml").write_text('[project]\nname = "other"\nversion = "2"\n')
    install(other, site, {"zhurnal.models": {"tiny": "other:tiny"}})
    with pytest.raises(SettingsError, match=r"'tiny' is brought by other or zhurnal-tiny; uninstall all but one"):
        settings.parse({"model": "tiny"})


def test_parts_of_a_package_are_used_and_written_down(site, tmp_path):
    found = settings.parse({"model": {"name": "tiny", "width": 4}, "data": {"name": "stripes", "num": 60}, "optimizer": "sign_sgd"})
    data = prepare(found.data, root=tmp_path, base=tmp_path, cache=tmp_path / "cache")
    assert (data.classes, len(data.test), data.image) == (("horizontal", "vertical"), 10, (1, 12, 12))
    network = models.make(found.model, data.image, 2, seed=1, base=tmp_path)
    assert network[0].out_channels == 4
    assert type(optimizers.make_optimizer(found.optimizer, network, tmp_path)).__name__ == "SignSGD"
    part = own.find("model", "tiny", tmp_path)
    told = part.identity(Path("/nowhere"))
    assert {k: told[k] for k in ("file", "sha256", "package", "version")} == {
        "file": "parts.py",
        "sha256": part.sha256,
        "package": "zhurnal-tiny",
        "version": "0.1.0",
    }
    assert part.source_text == (EXAMPLE / "src" / "zhurnal_tiny" / "parts.py").read_text()
    assert own.find("model", "lenet", tmp_path) is None
    (site / "zhurnal_tiny" / "__init__.py").write_text("")
    assert own.find("model", "tiny", tmp_path).sha256 != part.sha256


def test_what_is_wrong_with_a_package(site, tmp_path):
    with pytest.raises(SettingsError, match=r"^model.widht: tiny has no such setting; did you mean 'width'\? it has width$"):
        models.make(settings.parse({"model": {"name": "tiny", "widht": 3}}).model, (1, 8, 8), 2, seed=1, base=tmp_path)
    for module in ("zhurnal_tiny.parts", "zhurnal_tiny"):
        sys.modules.pop(module)
    (site / "zhurnal_tiny" / "parts.py").write_text("1 / 0\n")
    with pytest.raises(RunError, match=r"^tiny of package zhurnal-tiny 0.1.0 cannot be loaded from zhurnal_tiny.parts:tiny \(ZeroDivisionError: "):
        own.find("model", "tiny", tmp_path)


def test_an_experiment_with_parts_of_a_package_is_built(site, tmp_path):
    torch.set_num_threads(1)
    lab = Lab.init(tmp_path / "lab")
    experiment = lab.new({"model": "tiny", "data": "stripes", "optimizer": "sign_sgd", "optimizer.lr": 0.003})
    parts = setup.build(lab, experiment, 42, download=False, watcher=Silent())
    assert len(parts.data.train) == 450


@pytest.mark.slow
@pytest.mark.parametrize("way", ["by hand", "pip"])
def test_the_example_runs_and_keeps_the_contract(tmp_path, way):
    site = tmp_path / "site"
    if way == "pip":
        pytest.importorskip("hatchling")
        pytest.importorskip("pip")
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site)]
        command = [sys.executable, "-m", "pip", "install", *options, str(EXAMPLE)]
        subprocess.run(command, check=True, env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    else:
        install(EXAMPLE, site)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), *sys.path]), "OMP_NUM_THREADS": "1"}

    def zhurnal(*arguments):
        command = [sys.executable, "-m", "zhurnal", *arguments]
        return subprocess.run(command, cwd=tmp_path / "lab", env=environment, capture_output=True, text=True)

    (tmp_path / "lab").mkdir()
    assert zhurnal("init").returncode == 0
    changes = ["model=tiny", "data=stripes", "optimizer=sign_sgd", "optimizer.lr=0.003", "train.epochs=4", "train.batch_size=32"]
    assert zhurnal("new", *changes).returncode == 0
    done = zhurnal("run", "e0001", "--quiet")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split("best val. acc. ")[1].split()[0]) > 90
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests")]
    tests = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert tests.returncode == 0, tests.stdout
