"""Pages: parse and render are inverse, and bringing blocks up to date changes no byte of a person's prose."""

from hypothesis import given
from hypothesis import strategies as st

from zhurnal.core.errors import JournalError
from zhurnal.report import blocks

NAMES = ("header", "motivation", "results", "table", "figures")

lines = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "<!-- zhurnal:begin table -->", "<!-- zhurnal:end table -->", "<!-- zhurnal:begin header sha=0123abcd -->", "<!-- zhurnal:end header -->",
            "<!-- a person's comment -->", "| a | b |", "```", " <!-- zhurnal:end table -->", "﻿# Title", "\x0b\x0c\x1c\u2028", "\r",
        ]
    ),
)  # fmt: skip
pages = st.builds(
    lambda parts, end: "".join(line + newline for line, newline in parts) + end,
    st.lists(st.tuples(lines, st.sampled_from(["\n", "\r\n"])), max_size=12),
    lines,
)
prose = st.text(max_size=80).filter(lambda text: "zhurnal" not in text)
contents = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=60).filter(lambda text: "zhurnal" not in text)


@given(pages)
def test_what_parses_is_rendered_to_the_same_bytes(text: str) -> None:
    try:
        parts = blocks.parse(text, "page.md", NAMES)
    except JournalError as found:
        error = found
    else:
        assert blocks.render(parts) == text
        return
    assert all(line.startswith("page.md:") for line in str(error).split("\n"))


@given(st.lists(prose, min_size=6, max_size=6), st.permutations(NAMES), st.tuples(contents, contents), st.sampled_from(["\n", "\r\n"]), st.data())
def test_prose_survives_every_rewriting(words: list[str], order: list[str], texts: tuple[str, str], newline: str, data: st.DataObject) -> None:
    """Whatever stands between the blocks, in whatever order they stand and however many were taken away."""
    kept = order[: data.draw(st.integers(0, len(order)))]
    page = words[0]
    spoken = [page]
    for name, text in zip(kept, words[1:], strict=False):
        if page and not page.endswith("\n"):
            page += newline
            spoken[-1] += newline
        page += blocks.make(name, texts[0]).replace("\n", newline)
        page += text
        spoken.append(text)
    parts = blocks.parse(page, "page.md", NAMES)
    updated = blocks.update(parts, dict.fromkeys(NAMES, texts[1]), "page.md")
    after = blocks.render(updated.parts)
    again = blocks.parse(after, "page.md", NAMES)
    assert [p.text for p in again if isinstance(p, blocks.Prose)] == [text for text in spoken if text]
    assert [p.name for p in again if isinstance(p, blocks.Block)] == kept
    assert updated.notes == ()
    assert set(updated.absent) == set(NAMES) - set(kept)
    twice = blocks.update(again, dict.fromkeys(NAMES, texts[1]), "page.md")
    assert blocks.render(twice.parts) == after
    if kept and newline == "\r\n":
        block = next(p for p in again if isinstance(p, blocks.Block))
        assert "\n" not in block.body.replace("\r\n", "")


@given(contents, contents, st.booleans())
def test_an_edited_block_is_kept_unless_forced(before: str, edit: str, force: bool) -> None:
    page = blocks.make("table", before)
    (block,) = blocks.parse(page, "page.md", NAMES)
    assert isinstance(block, blocks.Block)
    assert not block.edited
    body = block.body + edit + "a word of mine\n"
    updated = blocks.update([blocks.Block(block.name, block.sha, body, block.begin, block.end, 1)], {"table": "new"}, "page.md", force=force)
    (after,) = updated.parts
    assert isinstance(after, blocks.Block)
    assert ("a word of mine" in after.body) is not force
    assert len(updated.notes) == 1
    assert updated.notes[0].startswith("page.md:1: block 'table' was edited by hand")
