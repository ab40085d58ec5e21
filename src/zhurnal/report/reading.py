"""What a person's sentence claims, as far as plain patterns can tell; whether it is true is for `claims.py`.

A sentence that is a question, a plan or a supposition claims nothing, one with a negation only what it gives in numbers. What is not read for certain
is not read: a claim that is missed costs less than a reader who no longer looks.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

NAMES = re.compile(r"\be\d{4,7}\b")
_SUPPOSED = re.compile(
    r"\?\s*$|\b(?:if|whether|would|should|could|might|may|maybe|perhaps|expect\w*|hop(?:e|ed|ing)|hypothes\w*|suppose\w*|assum\w*|will|plan\w*|try|next)\b",
    re.I,
)
_NEGATED = re.compile(r"\b(?:not|no|never|neither|nor|cannot|without|hardly|nothing)\b|n['’]t\b", re.I)
_HEDGED = re.compile(
    r"\b(?:seem\w*|look(?:s|ed)?|appear\w*|probably|likely|observed|(?:in|of|for) (?:this|these|those|the two|both) (?:\w+ )?(?:runs?|seeds?)"
    r"|one run|single run|one seed|this time|in one|by chance)\b",
    re.I,
)
_ELSEWHERE = re.compile(r"\b(?:reference|paper|published|literature|their|they|author\w*|other journal|another journal|leaderboard)\b|https?:", re.I)


@dataclass(frozen=True)
class Better:
    """`first` is better (or worse, or level with) `second`; experiments, or words such as adam and sgd."""

    first: str
    second: str
    sign: int  # 1 better, -1 worse, 0 level
    points: float | None = None  # by how many
    digits: int = 0
    hedged: bool = False


@dataclass(frozen=True)
class Matters:
    """A setting makes a difference: for the better (1), for the worse (-1), or either (0)."""

    word: str
    keys: tuple[str, ...]  # the settings that the word can mean
    sign: int
    hedged: bool = False


@dataclass(frozen=True)
class Figure:
    """An accuracy in percent, of an experiment, or of the best of the entry (no name)."""

    name: str
    number: float
    digits: int
    of: str  # best, test, train, or an empty text for any
    so_far: bool = False


@dataclass(frozen=True)
class Optimum:
    """The best value of a setting."""

    word: str
    key: str
    number: float
    text: str
    tested: bool  # it says: of those that were tried


@dataclass(frozen=True)
class Saturates:
    """Validation accuracy rises no more after an epoch (or, `rises`: validation loss rises from it on)."""

    names: tuple[str, ...]  # empty for those of the entry
    epoch: int
    loss_rises: bool = False


@dataclass(frozen=True)
class Names:
    """Experiments that a sentence is about."""

    names: tuple[str, ...]


Claim = Better | Matters | Figure | Optimum | Saturates | Names


def _any(*words: str) -> str:
    """Return a pattern for any of these, each of which is a pattern."""
    return f"(?:{'|'.join(words)})"


_SUBJECT = r"(?:\[?e\d{4,7}\]?|[A-Za-z][A-Za-z0-9_+-]*)"
_FIRST = rf"(?P<first>{_SUBJECT})(?: \([^()]{{1,40}}\))?"
_SECOND = rf"(?:the )?(?P<second>{_SUBJECT})"
_ADVERB = _any(
    "much", "clearly", "far", "significantly", "slightly", "a little", "a bit", "a lot", "considerably", "noticeably", "always", "still", "also",
    "consistently", "even",
)  # fmt: skip
_ADVERBS = rf"(?:{_ADVERB} )*"
_VERB = _any(
    "is",
    "was",
    "are",
    "were",
    "performs?",
    "performed",
    "works?",
    "worked",
    "does",
    "did",
    "scores?",
    "scored",
    "comes out",
    "came out",
    "ends?",
    "ended",
)
_MEASURE = r"(?:in (?:validation |val\. ?|test )?acc(?:uracy|\.)? )?"
_BETTER = re.compile(
    rf"{_FIRST} {_VERB} {_ADVERBS}(?P<word>better|worse|superior|inferior) {_MEASURE}(?:than|to) {_SECOND}",
    re.I,
)
_BEATS = re.compile(rf"{_FIRST} {_ADVERBS}(?:beats?|outperform(?:s|ed)?|surpass(?:es|ed)?) {_SECOND}", re.I)
_SAME = _any("as good as", "as bad as", "equal to", "the same as", "no better than", "no worse than", "not better than", "not worse than")
_LEVEL = re.compile(rf"{_FIRST} {_VERB} {_SAME} {_SECOND}", re.I)
_BY = re.compile(r"\bby (?:about |around |some |~|≈)?(?P<number>\d{1,2}(?:\.\d{1,3})?) ?(?:%|points?|pts|pp)", re.I)
_IN_BRACKETS = re.compile(r"\([^()]*\)")
# A comparison of something else than accuracy at the end is not read.
_OTHER_MEASURE = re.compile(
    r"\b"
    + _any(
        "loss", "losses", "times?", "seconds?", "minutes?", "speed", r"fast\w*", r"slow\w*", r"train\w*", "memory", r"calibrat\w*", r"epochs? \d",
        r"after \d", "at first", "first epochs", "early", "at the (?:start|beginning)", "class(?:es)?", "parameters?", "size", "until", "initially",
    )
    + r"\b",
    re.I,
)  # fmt: skip

# Words for settings: what they may stand for.
SETTINGS = {
    "scheduler": ("scheduler",), "schedule": ("scheduler",), "lr schedule": ("scheduler",), "learning rate schedule": ("scheduler",),
    "weight decay": ("optimizer.weight_decay",), "weight_decay": ("optimizer.weight_decay",),
    "normalization": ("data.normalize",), "normalisation": ("data.normalize",),
    "augmentation": ("data.transform",), "data augmentation": ("data.transform",), "simple augmentation": ("data.transform",),
    "momentum": ("optimizer.momentum",), "nesterov": ("optimizer.nesterov",), "batch size": ("train.batch_size",),
    "learning rate": ("optimizer.lr",), "optimizer": ("optimizer",), "initialization": ("model.init",), "initialisation": ("model.init",),
    "dropout": ("model.dropout",), "label smoothing": ("loss.label_smoothing",), "pre-training": ("model.weights", "model.pretrained"),
    "pretraining": ("model.weights", "model.pretrained"),
    "mixup": ("train.mixup",), "cutmix": ("train.cutmix",), "warm-up": ("scheduler.warmup_epochs",),
}  # fmt: skip
_SETTING = _any(*(re.escape(w) for w in sorted(SETTINGS, key=len, reverse=True)))
_HELPS = _any(r"helps?", "helped", r"improves?(?: \w+)?", r"improved(?: \w+)?", r"(?:is|was) (?:better|useful|helpful|beneficial)(?! than)")
_HURTS = _any("hurts?", "harms?", r"(?:is|was) (?:worse|harmful)(?! than)", "makes it worse")
_ROLE = _any(
    r"(?:plays?|played) (?:a|an) (?:\w+ )?role", "matters?", "mattered", r"(?:is|was) (?:\w+ )?(?:important|crucial|essential)",
    r"makes? (?:a|the) (?:\w+ )?difference",
)  # fmt: skip
_BEFORE_SETTING = r"(?:^|\b(?:the|that|using|a|so|but|and|here|also) |[,:] )"
_MATTERS = re.compile(rf"{_BEFORE_SETTING}(?P<word>{_SETTING}) {_ADVERBS}(?:(?P<helps>{_HELPS})|(?P<hurts>{_HURTS})|(?P<role>{_ROLE}))\b", re.I)

NUMBERS = {
    "learning rate": "optimizer.lr", "lr": "optimizer.lr", "batch size": "train.batch_size", "batch_size": "train.batch_size",
    "weight decay": "optimizer.weight_decay", "weight_decay": "optimizer.weight_decay", "momentum": "optimizer.momentum",
}  # fmt: skip
_QUANTITY = rf"(?P<word>{_any(*(re.escape(w) for w in sorted(NUMBERS, key=len, reverse=True)))})"
_ABOUT = r"(?:about |around |approximately |roughly |near |some |ca\. ?|~ ?|≈ ?)?"
_VALUE = r"(?P<number>\d+(?:[.,]\d+)?(?:e-?\d+)?)(?![\d%]| ?(?:%|points|epochs?|seconds?|s\b))"
_BEST = r"(?:optimal|optimum|best|ideal)"
_IS = r"(?: (?:is|was|seems to be|lies at|lies|=)|:|,)?"
_OPTIMA = (
    re.compile(
        rf"\b{_BEST} (?P<tested>tested |tried )?(?:initial |init |constant )?{_QUANTITY}(?P<behind> tested| tried)?(?: here)?{_IS} ?(?:at )?"
        rf"{_ABOUT}{_VALUE}",
        re.I,
    ),
    re.compile(
        rf"\b{_QUANTITY}(?: of| =|=)? ?{_ABOUT}{_VALUE} (?:is|was|seems(?: to be)?|looks) (?:the )?"
        rf"(?:{_BEST}(?P<tested> tested| tried| of those)?|(?P<behind>\b)sweet spot)",
        re.I,
    ),
    re.compile(rf"\bsweet spot (?:for|of) the {_QUANTITY}{_IS} ?(?:at )?{_ABOUT}{_VALUE}(?P<tested>)(?P<behind>)", re.I),
    re.compile(rf"\b{_QUANTITY}\b[^.;]{{0,40}}?\bsweet spot{_IS} ?(?:at )?{_ABOUT}{_VALUE}(?P<tested>)(?P<behind>)", re.I),
)

_EPOCH = r"(?:about |around |~|≈)?(?:(?:the )?epochs? )?(?P<number>\d{1,5})(?:th)?(?! ?(?:%|points|seconds?|s\b|min|[.,]\d))"
_FLATTENS = _any(
    "saturat(?:es?|ed|ing|ion)", "plateaus?", "plateaued", "flattens?(?: out)?", "stops? (?:rising|improving)", "converge[sd]?"
)  # fmt: skip
_SATURATES = re.compile(rf"\b{_FLATTENS}\b[^.;,]{{0,25}}?\b(?:around|at|near|after|by|from|about|until) {_EPOCH}", re.I)
_RISES = _any("rises?", "rose", "degrades?", "degraded", "increases?", "increased", "grows?", "grew")
_LOSS_RISES = re.compile(
    rf"\b(?:validation|val\.?|test) loss\b[^.;,]{{0,25}}?\b{_RISES}\b[^.;,]{{0,20}}?\b(?:from|after|at|around|since) {_EPOCH}", re.I
)

# Between an experiment and its accuracy, and the other way round, only these words stand.
_KIND = r"(?:best|last|final|highest|mean|validation|val\.?|test|training|train|accuracy|accuracies|acc\.?|top-?1)"
_REACHES = _any(
    "has", "had", "have", "is", "was", "reach(?:es|ed)?", "gets?", "got", "achieve[sd]?", "attain(?:s|ed)?", "scores?", "scored", "comes?", "came",
    "ends?", "ended",
)  # fmt: skip
_FILLER = rf"(?:(?:{_KIND}|{_REACHES}|an?|the|its|of|at|to|with|about|around|after|score|result)|[:=(,~≈])"
_ACCURACY = r"(?P<number>\d{1,3}(?:\.\d{1,4})?)"
_NAME = r"\[?(?P<name>e\d{4,7})\]?"
_AFTER_NAME = re.compile(rf"{_NAME}(?P<between>\)?(?: ?{_FILLER}){{0,7}}) ?{_ACCURACY} ?(?P<percent>%)?", re.I)
_BEFORE_NAME = re.compile(
    rf"{_ACCURACY} ?(?P<percent>%)(?P<between>(?: {_KIND}){{0,3}}) (?:\((?=\[?e\d+\]?[,)])|(?:of|in|for|with|from|by) (?:the )?){_NAME}", re.I
)
_BEST_ACCURACY = re.compile(
    rf"\b(?:best|highest)(?P<far> so far)? (?P<between>(?:validation |val\. ?|test |training |train )?(?:accuracy|acc\.?|result))(?P<far2> so far)?"
    rf" ?(?:is|was|of|at|:|=|reached)? ?(?:is |was |of )?{_ABOUT}{_ACCURACY} ?(?P<percent>%)?",
    re.I,
)
# Behind a number, what makes it something else than an accuracy.
_OTHER_PERCENT = re.compile(
    r"^ ?%? ?(?:"
    + _any(
        "more", "less", "faster", "slower", "fewer", "higher", "lower", "better", "worse", "above", "below", "confidence", "interval", "points",
        "dropout", "of the (?:training|train|time|data|epochs|parameters|weights|steps)", "of its", "off", "cheaper", "longer", "shorter",
    )
    + r"\b|[-–] ?\d)",
    re.I,
)  # fmt: skip


def claims(text: str) -> Iterator[Claim]:
    """Give what a sentence claims."""
    elsewhere = _ELSEWHERE.search(text) is not None
    if not elsewhere and (found := tuple(dict.fromkeys(NAMES.findall(text)))):
        yield Names(found)
    if _SUPPOSED.search(text):
        return
    hedged = _HEDGED.search(text) is not None
    if not _NEGATED.search(text):
        yield from _comparisons(text, hedged)
        yield from _effects(text, hedged)
        yield from _epochs(text)
        if not elsewhere:
            yield from _optima(text)
    else:
        yield from (_better(m, 0, text, hedged) for m in _LEVEL.finditer(text) if not _OTHER_MEASURE.search(text))
    yield from _figures(text, elsewhere)


def _comparisons(text: str, hedged: bool) -> Iterator[Claim]:
    if _OTHER_MEASURE.search(_IN_BRACKETS.sub("", text)):
        return
    for match in _BETTER.finditer(text):
        yield _better(match, 1 if match["word"].lower() in ("better", "superior") else -1, text, hedged)
    for match in _BEATS.finditer(text):
        yield _better(match, 1, text, hedged)
    for match in _LEVEL.finditer(text):
        yield _better(match, 0, text, hedged)


def _better(match: re.Match[str], sign: int, text: str, hedged: bool) -> Better:
    by = _BY.search(text)
    names = [match[g].strip("[]") for g in ("first", "second")]
    return Better(names[0], names[1], sign, float(by["number"]) if by and sign else None, digits(by["number"]) if by else 0, hedged)


def _effects(text: str, hedged: bool) -> Iterator[Claim]:
    if _OTHER_MEASURE.search(text):
        return
    for match in _MATTERS.finditer(text):
        sign = 1 if match["helps"] else -1 if match["hurts"] else 0
        yield Matters(match["word"].lower(), SETTINGS[match["word"].lower()], sign, hedged)


def _epochs(text: str) -> Iterator[Claim]:
    names = tuple(dict.fromkeys(NAMES.findall(text)))
    if "train" not in text.lower().replace("trains", "").replace("trained", ""):
        yield from (Saturates(names, int(m["number"])) for m in _SATURATES.finditer(text))
    yield from (Saturates(names, int(m["number"]), loss_rises=True) for m in _LOSS_RISES.finditer(text))


def _optima(text: str) -> Iterator[Claim]:
    seen: set[int] = set()
    for pattern in _OPTIMA:
        for match in pattern.finditer(text):
            if match.start("number") not in seen:
                seen.add(match.start("number"))
                word, number = match["word"].lower(), match["number"].replace(",", ".")
                yield Optimum(word, NUMBERS[word], float(number), number, bool(match["tested"] or match["behind"]))


def _figures(text: str, elsewhere: bool) -> Iterator[Claim]:
    taken: set[int] = set()  # where numbers stand that belong to an experiment
    accuracy = re.search(r"\bacc(?:uracy|uracies|\.)", text, re.I) is not None
    for pattern in (_BEFORE_NAME, _AFTER_NAME):
        for match in pattern.finditer(text):
            place = match.start("number")
            if place in taken or not _is_accuracy(match, text, accuracy):
                continue
            taken.add(place)
            before = _near(text[max(0, match.start() - 40) : match.start()])
            yield Figure(match["name"], float(match["number"]), digits(match["number"]), which(f"{before} {match['between']}"))
    if NAMES.search(text) or elsewhere:
        return
    for match in _BEST_ACCURACY.finditer(text):
        if match.start("number") not in taken and _is_accuracy(match, text, accuracy):
            of = which(match["between"])
            yield Figure("", float(match["number"]), digits(match["number"]), of or "best", bool(match["far"] or match["far2"]))


def _near(before: str) -> str:
    """Return the last words before a number, as far as they are about it."""
    return re.split(r"[,;(:]|\band\b|\bthan\b|\bagainst\b", before)[-1]


def _is_accuracy(match: re.Match[str], text: str, accuracy: bool) -> bool:
    """Return whether a number is an accuracy in percent, as far as the words around it tell."""
    number = match["number"]
    if float(number) > 100 or _OTHER_PERCENT.match(text[match.end("number") :]) or re.match(r"[\d.]*\d|[–-]\d|x\d", text[match.end("number") :]):
        return False
    if not match["percent"] and not (accuracy and "." in number and re.search(r"\bacc", match["between"], re.I)):
        return False
    return "." in number or accuracy


def which(words: str) -> str:
    """Return which accuracy words name: best, test, train, or an empty text for any."""
    lower = words.lower()
    if "train" in lower:
        return "train"
    if re.search(r"\b(?:last|final|ends?|ended)\b", lower):
        return ""
    return "test" if "test" in lower else "best" if re.search(r"\b(?:best|highest)\b", lower) else ""


def digits(number: str) -> int:
    """Return how many digits a number has behind the point."""
    return len(number.partition(".")[2])
