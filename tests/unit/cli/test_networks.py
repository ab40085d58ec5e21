"""`zhurnal models` and `zhurnal summary`, as they print."""

import pytest
from click.testing import CliRunner

from zhurnal.api import Lab
from zhurnal.cli import cli
from zhurnal.cli.models import big
from zhurnal.core.errors import RunError, ZhurnalError
from zhurnal.core.settings import MODELS


def call(*words):
    result = CliRunner().invoke(cli, words)
    if isinstance(result.exception, ZhurnalError):
        raise result.exception
    return result


@pytest.mark.slow
def test_models_lists_every_network_and_the_libraries():
    result = call("models", "--image", "1x28x28", "--classes", "26")
    assert result.exit_code == 0, result.output
    for name in MODELS:
        assert f"model={name} " in result.output
    assert "for images of 1x28x28 and 26 classes" in result.output
    assert "one of 80 of torchvision" in result.output or "of torchvision, such as" in result.output
    assert "model=timm:NAME" in result.output
    lenet = next(line for line in result.output.splitlines() if line.startswith("model=lenet"))
    assert lenet.split()[1] == f"{6 * 26 + 16 * 151 + 257 * 120 + 121 * 84 + 85 * 26:,}"
    assert "cannot be cut into patches" in call("models", "--image", "3x30x30").output
    assert call("models", "--image", "32x32").exit_code == 2


def test_names_of_a_library():
    lines = call("models", "torchvision:resnet*").output.split()
    assert "torchvision:resnet18" in lines
    assert all(line.startswith("torchvision:resnet") for line in lines)
    assert "torchvision:wide_resnet50_2" in call("models", "torchvision:net50_").output  # a part of a name does too
    with pytest.raises(RunError, match="none of the 80 networks of torchvision is called nothing"):
        call("models", "torchvision:nothing")
    assert call("models", "resnet*").exit_code == 2


def test_summary_of_an_experiment(tmp_path):
    lab = Lab(Lab.init(tmp_path / "lab").folder)
    lab.new({"model": "airnet", "model.width": "small", "data": "cifar10", "model.freeze": "group1"})
    out = call("--lab", str(lab.folder), "summary", "e0001", "--svg", str(tmp_path / "net.svg")).output
    assert "e0001  airnet for 3x32x32 and 10 classes" in out
    assert "146,744 parameters" in out
    rows = {line.split()[0]: line for line in out.splitlines() if line}
    assert rows["whiten"].rstrip().endswith("partly frozen")
    assert rows["group1.conv1"].rstrip().endswith("  frozen")
    assert rows["group2.conv1"].rstrip().endswith("%")
    assert "64x7x7" in rows["group2.norm1"]
    assert (tmp_path / "net.svg").read_text().startswith("<svg ")


def test_summary_of_own_images_and_own_network(tmp_path):
    from PIL import Image

    lab = Lab(Lab.init(tmp_path / "lab").folder)
    (lab.folder / "my_net.py").write_text(
        "from torch import nn\nclass Net(nn.Module):\n"
        "    def __init__(self, image, num_classes):\n        super().__init__()\n"
        "        self.conv, self.pool, self.spare = nn.Conv2d(image[0], 3, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()\n"
        "        self.fc = nn.LazyLinear(num_classes)\n"
        "    def forward(self, x):\n        return self.fc(self.pool(self.pool(self.conv(x))).flatten(1))\n"
    )
    for kind in ("cat", "dog", "newt"):
        (lab.folder / "images" / kind).mkdir(parents=True)
        for k in range(4):
            Image.new("RGB", (12, 8), (k, 0, 0)).save(lab.folder / "images" / kind / f"{k}.png")
    lab.new({"model": "my_net.py:Net", "data": "images/"})
    out = call("--lab", str(lab.folder), "summary", "e0001").output
    assert "my_net.py:Net for 3x8x12 and 3 classes" in out
    assert "note: pool is used 2 times" in out
    assert "note: spare (ReLU) is never used" in out
    out = call("--lab", str(lab.folder), "summary", "e0001", "--image", "1x16x16", "--classes", "2").output
    assert "my_net.py:Net for 1x16x16 and 2 classes" in out


def test_numbers_for_people():
    assert [big(n) for n in (0, 12, 1300, 236e6, 3.329e9, 1.2e12)] == ["–", "12", "1.30 k", "236 M", "3.33 G", "1.20 T"]
