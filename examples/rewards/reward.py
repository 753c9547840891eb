#!/usr/bin/env python3
"""A reward in Python, with nothing but the standard library.

Each line of standard input asks for objects, each line of standard output answers:

    {"id": 7, "objects": ["ACGTACGT", "AAAACCCC"]}
    {"id": 7, "rewards": [5.0, 1.0]}

Put your own function in place of `reward`. What is written to standard error goes to the actor's log.
An object that cannot be measured has an error in place of its value; an exception ends the worker, and
the object is tried again a few times.
"""

import json
import sys

PAIRS = {"AT", "TA", "CG", "GC"}


def reward(word: str) -> float:
    """1, and 1 for each letter that would pair with its opposite if the word were folded in half."""
    half = len(word) // 2
    if half == 0:
        raise ValueError("nothing to fold")
    return 1.0 + sum(word[i] + word[-1 - i] in PAIRS for i in range(half))


def measured(word: str):
    """The word's reward, or why it has none."""
    try:
        return reward(word)
    except ValueError as error:
        return {"error": str(error)}


def main() -> None:
    print("ready to measure", file=sys.stderr)
    for line in sys.stdin:
        request = json.loads(line)
        rewards = [measured(word) for word in request["objects"]]
        # One line, and at once: the actor waits for it.
        print(json.dumps({"id": request["id"], "rewards": rewards}), flush=True)


if __name__ == "__main__":
    main()
