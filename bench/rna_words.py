"""Writes what each RNA word of eight letters is worth: how strongly it binds a strand of 50, by ViennaRNA's duplexfold.

usage: rna_words.py FILE      with the Python of `make setup-rna`

A table for the reward "table": the word, a tab, minus the energy of the best duplex in kcal/mol, 0 where none is stable.
Words are written with T for U, so that they are those of TFBind8. The strand is drawn with a fixed seed.
"""

import itertools
import random
import sys

import RNA

SEED = 8
STRAND = "".join(random.Random(SEED).choices("ACGU", k=50))


def main():
    with open(sys.argv[1], "w") as file:
        print("sequence\tbinding", file=file)
        for letters in itertools.product("ACGU", repeat=8):
            word = "".join(letters)
            energy = RNA.duplexfold(word, STRAND).energy
            print(f"{word.replace('U', 'T')}\t{max(0.0, -energy):.2f}", file=file)


if __name__ == "__main__":
    main()
