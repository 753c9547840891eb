"""What the runners of the peers share: the task that Tributary writes, the exact distance on hypergrids, the output.

The task is JSON:

    environment   {"kind": "hypergrid", "dimensions", "side", "r0", "r1", "r2"}, or
                  {"kind": "words", "length", "log_rewards"}: four letters, the digits of a word's index to the base 4
    batch, seed, updates, most_seconds (of training)
    quality       null, or {"total_variation": stop there, "every": updates between two looks, "ema",
                  "epsilon": at the start, "epsilon_over": updates until it is 0}; then both learning rates fall
                  as a half cosine over all updates

Lines of JSON go to standard output: one for each look, a last one with the totals. The clock stands still during looks.
"""

import argparse
import json
import time

import numpy as np

LEARNING_RATE = 1e-3
LOG_Z_LEARNING_RATE = 0.1
WIDTH = 256
HIDDEN_LAYERS = 2


def read(description: str) -> dict:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="JSON, as task.py tells")
    with open(parser.parse_args().task, encoding="utf-8") as file:
        return json.load(file)


class Grid:
    """A hypergrid's cells in the order of their index, the last coordinate running fastest, and its target."""

    def __init__(self, environment: dict):
        self.dimensions, self.side = environment["dimensions"], environment["side"]
        count = self.side**self.dimensions
        self.cells = np.stack(np.unravel_index(np.arange(count), (self.side,) * self.dimensions), -1)
        self.strides = self.side ** np.arange(self.dimensions - 1, -1, -1)
        distances = self.cells.sum(-1)
        order = np.argsort(distances, kind="stable")
        self.levels = np.split(order, np.cumsum(np.bincount(distances))[:-1])
        # Twice the distance from the middle, times side - 1: whole numbers, so that no border is rounded.
        off = np.abs(2 * self.cells - (self.side - 1))
        outer = (2 * off > self.side - 1).all(-1)
        band = ((5 * off > 3 * (self.side - 1)) & (5 * off < 4 * (self.side - 1))).all(-1)
        self.rewards = environment["r0"] + environment["r1"] * outer + environment["r2"] * band
        self.target = self.rewards / self.rewards.sum()

    def check(self, log_rewards: np.ndarray) -> None:
        """Fails unless the peer has the same log R in every cell."""
        off = np.abs(np.exp(np.asarray(log_rewards, dtype=np.float64)) - self.rewards) > 1e-5 * self.rewards
        if off.any():
            raise SystemExit(f"the peer has another reward in {off.sum()} cells, for instance {self.cells[off][0]}")

    def total_variation(self, forward_logits: np.ndarray) -> float:
        """Exact, of a policy with these logits in every cell, the exit last."""
        logits = np.asarray(forward_logits, dtype=np.float64).copy()
        logits[:, : self.dimensions][self.cells == self.side - 1] = -np.inf
        p = np.exp(logits - logits.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        reached = np.zeros(len(self.cells))
        reached[0] = 1.0
        for level in self.levels:
            for dimension, stride in enumerate(self.strides):
                here = level[self.cells[level, dimension] < self.side - 1]
                # No two of them lead to the same cell.
                reached[here + stride] += reached[here] * p[here, dimension]
        return float(np.abs(reached * p[:, -1] - self.target).sum() / 2)


class Clock:
    """Seconds of training."""

    def __init__(self):
        self.seconds = 0.0
        self.started = 0.0

    def start(self) -> None:
        self.started = time.perf_counter()

    def stop(self) -> None:
        self.seconds += time.perf_counter() - self.started

    def now(self) -> float:
        """While it runs."""
        return self.seconds + time.perf_counter() - self.started


def say(line: dict) -> None:
    print(json.dumps(line), flush=True)
