"""Secrets kept out of what is written and told: passwords, keys and tokens in texts of errors and warnings become `***`.

What counts: the values of environment variables whose names say so (`..._TOKEN`, `..._KEY`, `PASSWORD`), passwords and tokens in addresses
(`https://name:token@host`), words behind `token=`, `password:` and the like, and tokens that are known by how they begin.
"""

import os
import re

MASK = "***"
SHORTEST = 8  # characters; shorter values of variables are words that a text may hold by chance
_NAMES = re.compile(r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|_KEY$|_PAT$|^AUTH|_AUTH$", re.IGNORECASE)
_WORD = r"(?:[A-Za-z0-9_-]*(?:api[_-]?key|token|secret|passw(?:or)?d|access[_-]?key))"
_ASSIGNED = re.compile(rf"({_WORD}['\"]?\s*[=:]\s*['\"]?)(?!\*\*\*)[^\s'\",;&]{{6,}}", re.IGNORECASE)
_PATTERNS = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]{1,20}://)[^\s/@]{1,500}@", re.IGNORECASE), rf"\g<1>{MASK}@"),
    (re.compile(r"\b(?:ghp|gho|ghu|ghs|ghr|glpat|hf|sk|pk|rk|xox[abpors]|npm|pypi|dop_v1)[-_][A-Za-z0-9_-]{12,}"), MASK),
    (re.compile(r"\bgithub_pat_[A-Za-z0-9_]{20,}|\bAKIA[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{30,}"), MASK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+"), MASK),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*", re.DOTALL), MASK),
    (re.compile(r"(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{12,}", re.IGNORECASE), rf"\g<1>{MASK}"),
    (_ASSIGNED, rf"\g<1>{MASK}"),
)  # fmt: skip


def masked(text: str) -> str:
    """Return a text without what looks like a secret.

    >>> masked("git clone https://me:s3cret@example.org/x.git failed; api_key=abcdef123")
    'git clone https://***@example.org/x.git failed; api_key=***'
    """
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and value in text and _NAMES.search(name):
            text = text.replace(value, MASK)
    for pattern, by in _PATTERNS:
        text = pattern.sub(by, text)
    return text
