"""Experiment files that are wrong, or made to harm: refused in a moment, with little memory, and with the line."""

from zhurnal.core.errors import ZhurnalError
from zhurnal.store import lab as labs
from zhurnal.store.lab import Lab

from .forks import measured
from .tally import Tally

MOST_SECONDS, MOST_BYTES = 1.0, 200_000_000
LINE = "e0001.yaml:"

# What it is, the file, and what is told (a part of it); `=` and a value where it is read.
FILES: tuple[tuple[str, str, str], ...] = (
    ("an alias", "question: &a x\nseries: *a\n", f"{LINE}1: aliases"),
    ("a bomb of aliases", "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: &d [*c, *c]\n", f"{LINE}1: aliases"),
    ("an anchor in a list", "settings:\n  seeds: [&s 1, *s]\n", f"{LINE}2: aliases"),
    ("a merge key", "settings:\n  train:\n    <<: {epochs: 3}\n", f"{LINE}3: merge keys"),
    ("a merge key of an alias", "x: &x {a: 1}\nsettings:\n  <<: *x\n", f"{LINE}1: aliases"),
    ("brackets", "[" * 50_000, f"{LINE}1: nested too deep"),
    ("braces", "a: " + "{a: " * 40_000, f"{LINE}1: nested too deep"),
    ("dashes", "a:\n  " + "- " * 50_000 + "x\n", f"{LINE}2: nested too deep"),
    ("question marks", "? " * 50_000 + "x\n", f"{LINE}1: nested too deep"),
    ("indentation", "".join(" " * i + "a:\n" for i in range(300)), f"{LINE}10: nested too deep"),
    ("a megabyte", "question: '" + "x" * 1_000_000 + "'\n", "bytes; at most 200,000 are read"),
    ("a hundred megabytes", "x" * 100_000_000, "bytes; at most 200,000 are read"),
    ("many keys", "".join(f"'k{i}': 1\n" for i in range(20_000)), "bytes; at most 200,000"),
    ("many keys in less", "".join(f"'{i}': 1\n" for i in range(15_000)), "more than 10,000 values"),
    ("a long list", "settings:\n  seeds: [\n" + "1,\n" * 40_000 + "]\n", "more than 10,000 values"),
    ("a tag that runs", "question: !!python/object/apply:os.system ['touch canary']\n", f"{LINE}1: tag"),
    ("a tag that makes", "question: !!python/name:os.system\n", f"{LINE}1: tag"),
    ("a tag of bytes", "question: !!binary aGVsbG8=\n", f"{LINE}1: tag"),
    ("a tag of a set", "settings: !!set {a, b}\n", f"{LINE}1: tag"),
    ("a tag of one's own", "question: !x y\n", f"{LINE}1: tag"),
    ("a tag declared", "%TAG ! tag:x.org,2000:\n---\nquestion: x\n", f"{LINE}2: directives"),
    ("an old version", "%YAML 1.1\n---\nsettings:\n  train: {drop_last: on}\n", f"{LINE}2: directives"),
    ("a key twice", "question: a\nquestion: b\n", f"{LINE}2: "),
    ("a key twice inside", "settings:\n  train: {epochs: 1, epochs: 2}\n", f"{LINE}2: "),
    ("a key of a list", "[a, b]: 1\n", f"{LINE}1: "),
    ("a key of a mapping", "{a: 1}: 1\n", f"{LINE}1: "),
    ("two documents", "question: a\n---\nquestion: b\n", f"{LINE}2: "),
    ("infinity by overflow", "settings:\n  optimizer: {lr: 1e400}\n", f"{LINE}2: optimizer.lr is inf"),
    ("no number", "settings:\n  optimizer: {lr: .nan}\n", f"{LINE}2: optimizer.lr is nan"),
    ("a word for true", "settings:\n  train: {drop_last: on}\n", f"{LINE}2: train.drop_last is on"),
    ("a word for false", "settings:\n  train: {drop_last: no}\n", f"{LINE}2: train.drop_last is no"),
    ("digits without end", "settings:\n  train: {epochs: " + "9" * 100_000 + "}\n", f"{LINE}2: a number of so many digits"),
    ("a number of 30 digits", "settings:\n  train: {epochs: " + "9" * 30 + "}\n", f"{LINE}2: "),
    ("a control character", "question: a\0b\n", "e0001.yaml: this is not YAML"),
    ("an escape for a terminal", 'settings:\n  data: {name: folder, path: "\\x1b[2Jx"}\n', f"{LINE}2: data.path holds the character U+001B"),
    ("right to left", 'settings:\n  data: {name: folder, path: "a\\u202Egpj.x"}\n', f"{LINE}2: data.path holds the character U+202E"),
    ("half a character", 'settings:\n  model: {name: lenet, weights: "\\uD800.pth"}\n', f"{LINE}2: model.weights holds the character U+D800"),
    ("tabs", "settings:\n\ttrain: {epochs: 1}\n", f"{LINE}2: "),
    ("no end of a text", "question: 'x\n", LINE),
    ("git's marks", "<<<<<<< HEAD\nquestion: a\n=======\nquestion: b\n>>>>>>> other\n", f"{LINE}1: git left a conflict"),
    ("nothing", "", "must be keys and values"),
    ("a list", "- a\n", "must be keys and values"),
    ("a title in all scripts", "question: 'Что лучше? 哪个 🔬'\nsettings: {}\n", "=Что лучше? 哪个 🔬"),
)  # fmt: skip


def hostile_yaml(tally: Tally) -> None:
    """Read each of FILES as an experiment."""
    labs.Lab.init(tally.folder / "lab")
    lab = Lab(tally.folder / "lab")
    lab.file("e0002").write_text("settings: {model: 'lenet'}\n")
    lab.experiment("e0002")  # what reading imports is there
    before = sorted(p.name for p in tally.folder.iterdir())

    def read() -> str:
        try:
            return "=" + Lab(lab.folder).experiment("e0001").question
        except ZhurnalError as error:
            return f"told: {error}"

    for name, text, told in FILES:
        lab.file("e0001").write_bytes(text.encode(errors="surrogatepass"))
        cost = measured(read)
        held = told in cost.ended and cost.ended.startswith(("told", "=")) and cost.seconds < MOST_SECONDS and cost.num_bytes < MOST_BYTES
        tally.count(held and "\x1b" not in cost.ended, f"{name}: {cost.seconds:.1f} s, {cost.num_bytes / 1e6:.0f} MB, {cost.ended[:200]}")
    tally.count(sorted(p.name for p in tally.folder.iterdir()) == before, "a file was made beside the lab")
