"""Error texts, byte for byte. `ZHURNAL_UPDATE_GOLDEN=1 pytest tests/golden` rewrites the file: read the difference before committing it."""

import os
from pathlib import Path

import pytest

from zhurnal.api import Lab
from zhurnal.core.errors import ZhurnalError

GOLDEN = Path(__file__).parent / "files" / "errors.txt"

FILES = {
    "an unknown key, a wrong type, an unknown name, a number outside: all at once": """\
question: What is wrong here?
parent: e0001
changes:
  optimzer: adam
  train.epochs: many
  train.epoch: 3
  model: lenett
  optimizer.lr: 300
  data.validation: 0.9
  data.normalize: {mean: [0.5], std: [0]}
  scheduler: {name: step, step_size: 0}
""",
    "an option of another part": "parent: e0001\nchanges:\n  optimizer.betas: [0.9, 0.99]\n",
    "a parent that does not exist": "parent: e0099\nchanges: {}\n",
    "a circle of parents": "parent: e0003\nchanges: {}\n",
    "a parent and full settings": "parent: e0001\nsettings:\n  model: lenet\n",
    "changes without a parent": "changes:\n  train.epochs: 3\n",
    "a key of the file": "parant: e0001\n",
    "a key twice": "parent: e0001\nparent: e0001\n",
    "an alias": "question: &a x\nparent: *a\n",
    "a tag": "question: !!python/object:os.system x\n",
    "no YAML": "parent: [e0001\n",
    "no mapping": "- e0001\n",
    "deep nesting": "[" * 5000,
    "a folder without a path": "settings:\n  data: folder\n",
    "a path without a folder": "settings:\n  data: {name: cifar10, path: x}\n",
    "Nesterov without momentum": "settings:\n  optimizer: {name: sgd, momentum: 0, nesterov: true}\n",
    "seeds": "settings:\n  seeds: [1, 1]\n",
    "true for a number": "settings:\n  train: {epochs: true, drop_last: 1}\n",
    "steps of a transform: all at once": """\
parent: e0001
changes:
  data.transform:
    - crp
    - flip
    - cutout: {siz: 8, p: 2}
    - crop:
      padding: 4
    - crop: {padding: 0, mode: mirror}
    - cutout(size=8)
    - augment
    - random_erasing: {scale: [0.3, 0.1]}
    - resize_crop: {scale: 0.5}
    - alternating_flip: {p: 0.5}
    - 5
""",
    "a transform that does not exist": "parent: e0001\nchanges:\n  data.transform: augmnt\n",
    "steps without brackets": "parent: e0001\nchanges:\n  data.transform: crop, flip\n",
    "steps as a mapping": "parent: e0001\nchanges:\n  data.transform: {crop: {padding: 4}}\n",
    "class weights": "settings:\n  loss: {name: cross_entropy, class_weights: [1, 0]}\n",
    "a probability of nothing": "settings:\n  train: {mix_probability: 0.5}\n",
    "mixing out of range": "settings:\n  train: {mixup: -1, cutmix: yes, tta: shift}\n",
    "not a number": "settings:\n  optimizer: {lr: .nan}\n",
    "no number for a part of one's own": """\
settings:
  model: {name: 'net.py:Net', slope: .inf}
  optimizer: {name: 'timm:lion', betas: [0.9, .nan]}
""",
}
CALLS = {
    "an experiment that does not exist": lambda lab: lab.select("e0001,e0042-e0043"),
    "no number": lambda lab: lab.select("first"),
    "a range that runs backwards": lambda lab: lab.select("e0002-e0001"),
    "weights of nothing": lambda lab: lab.new({"model.weights": "e0001"}, parent="e0001"),
    "to continue nothing": lambda lab: lab.new({}, continues="e0042"),
    "a question too long": lambda lab: lab.new({}, question="?" * 2001),
}


def test_error_texts(tmp_path):
    lab = Lab(Lab.init(tmp_path / "lab").folder)
    lab.new({"data": "digits"}, question="a parent")
    lab.new({"optimizer": "adam"}, parent="e0001")
    told = []
    for what, text in FILES.items():
        lab.file("e0003").write_text(text)
        with pytest.raises(ZhurnalError) as caught:
            Lab(lab.folder).experiment("e0003")
        told.append(f"# {what}\n{caught.value}\n")
    lab.file("e0003").unlink()
    for what, call in CALLS.items():
        with pytest.raises(ZhurnalError) as caught:
            call(Lab(lab.folder))
        told.append(f"# {what}\n{caught.value}\n")
    found = "\n".join(told).replace(str(tmp_path), "TMP")
    if os.environ.get("ZHURNAL_UPDATE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()
