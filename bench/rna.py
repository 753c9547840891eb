"""Holds the designs of a run of examples/rna.toml against sequences that are drawn at random.

    make bench-rna

trains and then runs this with the Python of `make setup-rna`: bench/rna.py TRIBUTARY RUN_DIR. It measures 100,000
random sequences with the run's own program and prints how many designs, each at least five letters from the others,
are better than the best of them. Fails where that are fewer than 20.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BATCH = 100
HEADER = "| | value | sequence |\n|---|---|---|"


def measured(command, folder, sequences):
    """The values of these sequences, from a program of its own."""
    command = [os.path.join(folder, command[0]) if "/" in command[0] else command[0], *command[1:]]
    worker = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    values = []
    for start in range(0, len(sequences), BATCH):
        question = {"id": start, "objects": sequences[start : start + BATCH]}
        print(json.dumps(question), file=worker.stdin, flush=True)
        values += json.loads(worker.stdout.readline())["rewards"]
    worker.stdin.close()
    worker.wait()
    return values


def git(*arguments):
    return subprocess.run(["git", *arguments], capture_output=True, text=True).stdout.strip()


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("tributary")
    options.add_argument("run_dir", type=Path)
    options.add_argument("--random", type=int, default=100_000, help="sequences that are drawn at random")
    options.add_argument("--seed", type=int, default=1, help="of the random sequences")
    options.add_argument("--min-distance", type=int, default=5)
    options.add_argument("--bar", type=int, default=20, help="designs that have to be better")
    options.add_argument("--processes", type=int, default=2)
    options = options.parse_args()

    example = Path(__file__).resolve().parent.parent / "examples/rna.toml"
    run = tomllib.loads(example.read_text())
    command, length = run["reward"]["command"], run["environment"]["length"]
    draw = random.Random(options.seed)
    sequences = ["".join(draw.choices("ACGU", k=length)) for _ in range(options.random)]
    shares = [sequences[i :: options.processes] for i in range(options.processes)]
    with ThreadPoolExecutor() as pool:
        values = list(pool.map(lambda share: measured(command, example.parent, share), shares))
    best, sequence = max((v, s) for vs, ss in zip(values, shares) for v, s in zip(vs, ss))

    arguments = ["--top", "1000", "--min-distance", str(options.min_distance), "--json"]
    output = subprocess.run(
        [options.tributary, "candidates", options.run_dir, *arguments], check=True, capture_output=True
    )
    designs = [(line["raw"][0], line["object"]) for line in json.loads(output.stdout)["candidates"]]
    summary = json.loads((options.run_dir / "summary.json").read_text())
    better = sum(value > best for value, _ in designs)

    print(HEADER)
    print(f"| best of {options.random:,} random sequences | {best:.4f} | {sequence} |")
    for place in (1, 5, 10, 20, 50, 100, 1000):
        if place <= len(designs):
            value, sequence = designs[place - 1]
            print(f"| design {place} | {value:.4f} | {sequence} |")
    changed = "+" if git("status", "--porcelain") else ""
    print(
        f"\n{better} of the {len(designs)} best designs, each at least {options.min_distance} letters from the others, are "
        f"better than the best random sequence. {summary['counters']['paid']:,} sequences were paid for in {summary['seconds']:.0f} s "
        f"of training. Seed {options.seed}, {os.cpu_count()} cores, commit {git('rev-parse', '--short', 'HEAD')}{changed}."
    )
    if better < options.bar:
        sys.exit(f"only {better} designs are better, {options.bar} are wanted")


if __name__ == "__main__":
    main()
