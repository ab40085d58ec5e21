"""Secrets in texts that a run writes down and the program tells: none comes through."""

import contextlib
import io
import os
from unittest import mock

from zhurnal.cli import main
from zhurnal.core.secrets import masked

from .tally import Tally

# What holds it, the secret, and the variable of the environment that has it too (or none).
SECRETS: tuple[tuple[str, str, str], ...] = (
    ("fatal: unable to access 'https://me:{}@github.com/x.git/'", "s3cr3tpassword", ""),
    ("remote: https://{}@github.com/me/x.git", "ghp_0123456789abcdefABCDEF", ""),
    ("origin\tssh://git:{}@example.org/x (fetch)", "hunter2hunter2", ""),
    ("postgresql://user:{}@db.example.org/runs refused", "p-a-s-s-w", ""),
    ("401 for token {}", "ghp_0123456789abcdefABCDEF0123456789", ""),
    ("401 for {}", "github_pat_11ABCDEFG0123456789_abcdefghij", ""),
    ("wandb: invalid key {}", "0123456789abcdef0123456789abcdef01234567", "WANDB_API_KEY"),
    ("login failed: hf {}", "hf_abcdefghijklmnopqrstuvwx", ""),
    ("Incorrect API key provided: {}", "sk-proj-abcdefghijklmnop1234567890", ""),
    ("InvalidAccessKeyId {}", "AKIAIOSFODNN7EXAMPLE", ""),
    ("signature with {} does not match", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", "AWS_SECRET_ACCESS_KEY"),
    ("Authorization: Bearer {}", "abcdef.0123456789.xyz", ""),
    ("cookie {}", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N", ""),
    ("key {} is not valid", "AIzaSyA0123456789abcdefghijklmnopqrstu", ""),
    ("config: {{'api_key': '{}'}}", "0123456789", ""),
    ("PASSWORD={} python train.py", "correct-horse", ""),
    ("slack {}", "xoxb-123456789012-abcdefABCDEF", ""),
    ("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----", "MIIEowIBAAKCAQEA", ""),
    ("KeyError: {}", "just-a-long-phrase", "MY_SERVICE_TOKEN"),
    ("environ({{'A': '1', 'DB_PASSWORD': '{}'}})", "tr0ub4dor&3", "DB_PASSWORD"),
    ("npm {}", "npm_abcdefghijklmnopqrstuvwxyz012345", ""),
    ("glpat {}", "glpat-abcdefghijklmnopqrst", ""),
)
HARMLESS = (
    "e0040.yaml:7: optimizer.lr is 300, must be above 0", "https://github.com/x/y.git does not exist", "tokens: 5", "the key is missing",
    "goes on from epoch 3, step 812", "keyboard interrupt", "data.path: /home/me/photos.zip",
)  # fmt: skip


def secrets(tally: Tally) -> None:
    """Put each secret into a text that is written down, and into an error of a command."""
    lab = tally.folder / "lab"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(["init", str(lab)])
    for text, secret, variable in SECRETS:
        with mock.patch.dict(os.environ, {variable: secret} if variable else {}):
            told = masked(text.format(secret))
            tally.count(secret not in told and "***" in told, f"{text!r}: {told!r}")
            out = io.StringIO()
            with contextlib.redirect_stderr(out), contextlib.suppress(SystemExit):
                main(["--lab", str(lab), "show", text.format(secret).replace("\n", " ")])
            tally.count(secret not in out.getvalue() and out.getvalue(), f"{text!r} in an error: {out.getvalue()!r}")
    for text in HARMLESS:
        tally.count(masked(text) == text, f"{text!r} became {masked(text)!r}")
