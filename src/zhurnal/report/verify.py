"""Whether a journal still says what the records hold: every generated block and figure, and what a person's sentences claim where they can be read.

Promises: nothing is written, drawn or fetched; blocks are made by the functions that `write` uses and figures are known by their stamps, so what
was just written holds; a sentence that cannot be read is not reported. What cannot be checked here (predictions are not kept in git) is a note.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..analyze import figures, summary
from ..analyze import results as results_figures
from ..analyze.drawing import read_stamp
from ..analyze.summary import Summary
from ..core import numbers
from ..core.errors import JournalError, LabError, ZhurnalError
from ..core.facts import assignments
from ..core.progress import Progress, silent
from ..core.text import printable
from ..store.lab import Lab
from ..store.runs import Run
from ..store.view import View, look
from . import blocks, claims, entry, journal, observed, pages, prose, repeats
from . import results as results_of
from .problems import Problem, Verified, ordered

SHOWN = 100  # characters of a line that are quoted


@dataclass(frozen=True)
class Page:
    """A page of the journal as it was read."""

    path: Path
    file: str  # as seen from the lab's folder
    text: str
    parts: tuple[blocks.Part, ...]  # empty where its markers do not fit together
    names: tuple[str, ...]  # the experiments that the entry is about; none for another page


class Verification:
    """One look at a journal: collects what does not hold."""

    def __init__(self, lab: Lab, view: View) -> None:
        self.lab, self.view = lab, view
        self.have = set(lab.names())
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self.counts = dict.fromkeys(("entries", "blocks", "figures", "sentences", "links", "records"), 0)
        self.used: set[Path] = set()  # files in fig/ that a page shows
        self._summaries: dict[str, Summary | None] = {}

    # --- what is there ---

    def pages(self) -> list[Page]:
        """Return the pages of the journal; one that cannot be read is reported."""
        about = dict(journal.entries(self.lab))
        found = []
        for path in sorted(self.lab.journal.glob("*.md")):
            file = f"journal/{path.name}"
            parts: list[blocks.Part] = []
            text = ""
            try:
                text = pages.read(path) or ""
                known = (*entry.BLOCKS, *results_of.OPTIONAL) if path in about else journal.BLOCKS
                parts = blocks.parse(text, path.name, known)
            except JournalError as error:
                for line in str(error).splitlines():
                    number = re.match(rf"{re.escape(path.name)}:(\d+): (.*)", line)
                    self.problems.append(Problem(file, int(number[1]) if number else 0, "page", number[2] if number else line))
            found.append(Page(path, file, text, tuple(parts), tuple(about.get(path, ()))))
        return found

    def summary(self, name: str) -> Summary | None:
        """Return the summary of an experiment; none where it cannot be read, which is reported once."""
        if name not in self._summaries:
            try:
                self._summaries[name] = summary.read(self.view, name)
            except ZhurnalError as error:
                self._summaries[name] = None
                for line in str(error).splitlines():
                    number = re.match(rf"{name}\.yaml:(\d+): (.*)", line)
                    self.problems.append(
                        Problem(f"experiments/{name}.yaml", int(number[1]) if number else 0, "record", number[2] if number else line)
                    )
        return self._summaries[name]

    def told(self, names: Sequence[str]) -> list[Summary] | None:
        """Return the summaries of experiments; none where one does not exist or cannot be read."""
        found = [self.summary(n) for n in names if n in self.have]
        known = [s for s in found if s is not None]
        return known if len(known) == len(names) else None

    # --- pages ---

    def check_blocks(self, page: Page) -> None:
        """Report blocks that are not what the records say."""
        there = [p for p in page.parts if isinstance(p, blocks.Block)]
        told = self.told(page.names)
        self.counts["blocks"] += len(there)
        if page.names:
            self.counts["entries"] += 1
            gone = [n for n in page.names if n not in self.have]
            if gone:
                text = f"the entry is about {numbers.show(gone)}, which {'does' if len(gone) == 1 else 'do'} not exist"
                self.problems.append(Problem(page.file, 0, "entry", f"{text}: rename the page after the experiments it is about"))
        unknown = self._without_predictions(told or ())
        for block in there:
            if page.names and told:
                content = entry.contents_of(told, self.lab, [block.name])[block.name]
                if unknown and _of_predictions(block, content):
                    text = f"block '{block.name}' is not checked: the predictions of {numbers.show(unknown)} are not here"
                    self.notes.append(Problem(page.file, block.line, "block", text))
                    if block.edited:
                        self.problems.append(Problem(page.file, block.line, "edited", f"block '{block.name}' was edited by hand"))
                else:
                    self._check_block(page, block, content, f"zhurnal write {numbers.show(page.names)}")
            elif not page.names:
                with suppress(ZhurnalError):  # an experiment that cannot be read is reported elsewhere
                    names = numbers.show(n for _, found in journal.entries(self.lab) for n in found) if journal.entries(self.lab) else "e0001"
                    self._check_block(page, block, journal.listing(self.lab), f"zhurnal write {names}")

    def _without_predictions(self, told: Sequence[Summary]) -> list[str]:
        found = []
        for s in told:
            try:
                results_of.read(s)
            except LabError:
                found.append(s.name)
        return found

    def _check_block(self, page: Page, block: blocks.Block, content: str, way: str) -> None:
        found = blocks.difference(block, content)
        if found is None and not block.edited:
            return
        place = found.line if found else block.line
        there, now = (printable(t.strip(), SHOWN) for t in ((found.there, found.now) if found else ("", "")))
        evidence = f"the records say: {now}" if now else "the records have no such line" if found else "the records say what the block says"
        if block.edited:
            what = f"block '{block.name}' was edited by hand" + (
                f": it says: {there}" if there else "" if found else ", or the hash in its marker was"
            )
            self.problems.append(Problem(page.file, place, "edited", f"{what}. Take its lines away and write again: `{way}`", evidence=evidence))
        else:
            what = f"block '{block.name}' is out of date" + (f": it says: {there}" if there else "")
            self.problems.append(Problem(page.file, place, "block", f"{what}. Write it again: `{way}`", evidence=evidence))

    def check_links(self, page: Page) -> None:
        """Report links and images that lead nowhere, and figures that show something else than the records hold."""
        here = prose.anchors(page.text)
        seen: set[str] = set()
        for link in prose.links(page.text):
            if not link.is_relative:
                continue
            self.counts["links"] += 1
            target = (page.path.parent / link.target).resolve() if link.target else page.path
            if link.target.startswith("/"):
                self.problems.append(Problem(page.file, link.line, "link", f"{link.target} is a path of one machine: give it as seen from the page"))
            elif not target.exists():
                is_figure = target.parent == (self.lab.journal / "fig").resolve()
                text = f"figure {target.name} is missing: draw it again" if is_figure else f"{link.target} leads nowhere: there is no such file"
                way = f", `zhurnal write {numbers.show(page.names)}`" if is_figure and page.names else ""
                self.problems.append(Problem(page.file, link.line, "figure" if is_figure else "link", text + way))
            elif link.anchor and target.suffix == ".md":
                if link.anchor not in (here if target == page.path.resolve() or not link.target else prose.anchors(pages.read(target) or "")):
                    text = f"#{link.anchor} leads nowhere: {target.name} has no such heading"
                    self.problems.append(Problem(page.file, link.line, "link", text))
            elif target.parent == (self.lab.journal / "fig").resolve():
                self.used.add(target)
                if link.target not in seen:
                    seen.add(link.target)
                    self._check_figure(page, link.line, target)

    # --- figures ---

    def _check_figure(self, page: Page, line: int, path: Path) -> None:
        self.counts["figures"] += 1
        expected = self._expected(path.stem, page.names)
        for file in (path, path.with_suffix(".svg" if path.suffix == ".png" else ".png")):
            if not file.is_file() or file.suffix not in (".png", ".svg") or expected is None:
                continue
            self.used.add(file)
            if text := self._figure_problem(file, *expected):
                way = "Draw it again" + (f": `zhurnal write {numbers.show(page.names)}`" if page.names else "")
                self.problems.append(Problem(page.file, line, "figure", f"figure {file.name} {text}. {way}"))

    def _expected(self, stem: str, names: Sequence[str]) -> tuple[str, str] | None:
        """Return the digest of what a figure should show, or why there is none; none where it is no figure that can be known by its name."""
        own = [(list(names), kind) for kind in figures.KINDS if names and figures.file_stem(names, kind) == stem]
        found = own[0] if own else figures.parse_stem(stem, figures.KINDS)
        if found is not None:
            told = self.told(found[0])
            if told is None:
                return "", f"is of {numbers.show(found[0])}, not all of which exist"
            digest = figures.source(told, found[1])
            return digest, "" if digest else "shows curves that the records do not have"
        kind = figures.parse_stem(stem, results_figures.KINDS)
        told = self.told(kind[0]) if kind else None
        if kind is None or not told:
            return None
        with suppress(LabError):  # no predictions here: its block has a note
            if (said := results_of.read(told[0])) is not None:
                return results_figures.source(said, kind[1]), ""
        return None

    def _figure_problem(self, path: Path, expected: str, why: str) -> str:
        if why:
            return why
        stamp = read_stamp(path)
        if stamp is None:
            return "does not say what it was drawn from"
        if not stamp.intact:
            return "was changed after it was drawn"
        return "shows something else than the records hold" if stamp.source != expected else ""

    def check_prose(self, page: Page) -> None:
        """Report what a person's sentences and tables claim and the records do not bear out."""
        evidence = claims.Evidence(page.file, page.names, frozenset(self.have), self.summary, self.lab.config.smallest_difference)
        found, read = claims.problems(prose.sentences(page.parts), prose.rows(page.parts), evidence)
        self.problems += found
        self.counts["sentences"] += read
        named = {name for s in prose.sentences(page.parts) for name in prose.named(s.text)}
        for first, text in prose.pieces(page.parts) if page.names else []:
            for link in prose.links(text):
                shown = figures.parse_stem(Path(link.target).stem, (*figures.KINDS, *results_figures.KINDS))
                if shown and (others := sorted(set(shown[0]) - set(page.names) - named)):
                    text = f"figure {Path(link.target).name} shows {numbers.show(others)}, which neither the entry is about nor its text names"
                    self.problems.append(Problem(page.file, first + link.line - 1, "figure", text))

    def check_unused(self) -> None:
        """Note figures that no page shows."""
        folder = self.lab.journal / "fig"
        unused = sorted(p for p in folder.glob("*") if p.suffix in (".png", ".svg") and p.resolve() not in self.used) if folder.is_dir() else []
        for path in unused:
            expected = self._expected(path.stem, ())
            more = self._figure_problem(path, *expected) if expected else ""
            self.notes.append(Problem(f"journal/fig/{path.name}", 0, "figure", "no page shows it" + (f", and it {more}" if more else "")))

    # --- records ---

    def check_records(self, name: str) -> None:
        """Report damage to what an experiment's runs left, and a file that was edited after they began."""
        s = self.summary(name)
        if s is None:
            return
        if edited := self.view.edited(name):
            text = f"was edited after it ran ({printable(assignments(edited), SHOWN)}): its results are of before. Make a new experiment of it"
            self.problems.append(Problem(f"experiments/{name}.yaml", 0, "record", text))
        for run in s.runs:
            self.counts["records"] += 1
            self.problems += _record_problems(run, f"experiments/logs/{name}/s{run.seed}")

    def check_entries(self, about: Iterable[str]) -> None:
        """Report experiments that ran and are in no entry."""
        told = set(about)
        left = [n for n in sorted(self.have - told, key=numbers.number) if (s := self.summary(n)) and any(r.status != "waiting" for r in s.runs)]
        for part in numbers.show(left).split(",") if left else ():
            names = numbers.parse(part)
            text = f"{part} ran and {'is' if len(names) == 1 else 'are'} in no entry of the journal: `zhurnal write {part}`"
            self.problems.append(Problem(f"experiments/{names[0]}.yaml", 0, "entry", text))


def _of_predictions(block: blocks.Block, content: str) -> bool:
    """Return whether a block was made from predictions, so that without them it says something else; `content` is what it would say."""
    if block.name == observed.NAME:
        return observed.rests_on_more(block.body, content)
    return block.name in results_of.OPTIONAL and blocks.difference(block, content) is not None


def _record_problems(run: Run, folder: str) -> list[Problem]:
    found = []
    for problem in run.problems:
        file, _, text = problem.partition(": ")
        line = re.match(r"line (\d+): ", text)
        if line is None and run.status == "running":
            continue  # its last line is just being written
        said = f"{text.removeprefix(line.group())}: the line was changed or is damaged" if line else text
        found.append(
            Problem(f"{folder}/{file}", int(line[1]) if line else 0, "record", f"{said}. What it said is left out of all tables and figures")
        )
    if run.num_epochs and (last := int(run.last["epoch"])) != run.num_epochs:
        found.append(Problem(f"{folder}/record.jsonl", 0, "record", f"{last - run.num_epochs} of its {last} epochs are missing"))
    if run.end and run.best and (run.end.get("best_epoch"), run.end.get("best_val_acc")) != run.best:
        text = f"its last row says that epoch {run.end.get('best_epoch')} was best, its rows say epoch {run.best[0]}"
        found.append(Problem(f"{folder}/record.jsonl", 0, "record", text))
    if run.status != "waiting" and not run.effective:
        found.append(Problem(f"{folder}/effective.json", 0, "record", "is missing or damaged: what the run really got is not known"))
    return found


def verify(lab: Lab, names: Sequence[str] | None = None, *, progress: Progress = silent) -> Verified:
    """Return what of a journal does not hold.

    Args:
        lab: the lab.
        names: experiments: only the entries about them are verified, with the records behind these. None: the whole journal.
        progress: is told how far it is.

    Raises:
        LabError: no entry is about any of `names`, or one of them does not exist.
    """
    wanted = None if names is None else set(lab.select(",".join(names)))
    with look(lab) as view:
        found = Verification(lab, view)
        every = found.pages()
        chosen = [p for p in every if wanted is None or wanted & set(p.names)]
        if wanted is not None and not chosen:
            shown = numbers.show(wanted)
            raise LabError(f"no entry of the journal is about {shown}: write one with `zhurnal write {shown}`")
        if wanted is not None:
            found.problems = [p for p in found.problems if p.kind != "page" or p.file in {page.file for page in chosen}]
        about = [n for p in chosen for n in p.names if n in found.have]
        records = lab.names() if wanted is None else list(dict.fromkeys(about))
        total = len(chosen) + len(records)
        for number, name in enumerate(records):
            progress("verifying", number, total)
            found.check_records(name)
        for number, page in enumerate(chosen, len(records)):
            progress("verifying", number, total)
            found.check_blocks(page)
            found.check_links(page)
            found.check_prose(page)
        found.problems += repeats.problems([(p.file, p.parts, p.names) for p in every], {p.file for p in chosen})
        if wanted is None:
            found.check_entries(about)
            found.check_unused()
        progress("verifying", total, total)
    return Verified(ordered(found.problems), ordered(found.notes), found.counts)
