"""Make docs/images/entry.png: an entry of the example lab as a page, photographed by a headless Chromium.

python docs/picture.py examples/lenet-on-cifar10/journal/e0012-e0014.md docs/images/entry.png
python docs/picture.py examples/lenet-on-cifar10/journal/e0017,e0019,e0021.md docs/images/observations.png 760 "## Observations"
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt

STYLE = """
body { font: 15px/1.5 'DejaVu Sans', sans-serif; color: #1f2328; max-width: 940px; margin: 24px auto; padding: 0 28px; }
h1 { font-size: 26px; border-bottom: 1px solid #d1d9e0; padding-bottom: 8px; } h2 { font-size: 19px; border-bottom: 1px solid #d1d9e0; }
table { border-collapse: collapse; margin: 12px 0; font-size: 13.5px; } td, th { border: 1px solid #d1d9e0; padding: 5px 11px; }
tr:nth-child(2n) td { background: #f6f8fa; } img { max-width: 78%; } p { margin: 10px 0; }
"""


def main(page: Path, picture: Path, height: int = 1500, start: str = "") -> None:
    """Photograph `page` (Markdown) into `picture` (PNG), 1000 pixels wide; from a heading on where one is given, the first evidence unfolded."""
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
    if browser is None:
        sys.exit("needs Chromium on the PATH (Debian: apt-get install chromium)")
    text = page.read_text()
    shown = text[text.index(f"\n{start}\n") :].replace("<details>", "<details open>", 1) if start else text
    html = MarkdownIt("commonmark").enable("table").render(shown)
    html = re.sub(r'src="fig/', f'src="{page.parent.resolve().as_uri()}/fig/', html)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "page.html"
        source.write_text(f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>{html}")
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-background-networking",
            f"--user-data-dir={folder}/p",
        ]
        subprocess.run(
            [*command, f"--window-size=1000,{height}", f"--screenshot={picture}", source.as_uri()], check=True, env=os.environ, capture_output=True
        )
    print(f"{picture} from {page}")


if __name__ == "__main__":
    picture = Path(sys.argv[2]).resolve()
    picture.parent.mkdir(parents=True, exist_ok=True)
    main(Path(sys.argv[1]), picture, *(int(a) for a in sys.argv[3:4]), *sys.argv[4:5])
