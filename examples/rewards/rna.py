"""How well RNA sequences fold into a target structure, by ViennaRNA.

Reads {"id": 7, "objects": ["GCGC...", ...]} line by line and answers {"id": 7, "rewards": [0.83, ...]}: of each
sequence the expected share of positions that pair as the target says (1 - the ensemble defect of Zadeh et al.,
"Nucleic acid sequence design via efficient ensemble defect optimization", 2011), at 37 degrees Celsius.

`make setup-rna` installs ViennaRNA; the target is the argument.
"""

import json
import sys

import RNA

target = sys.argv[1]


def share(sequence):
    fold = RNA.fold_compound(sequence)
    fold.pf()
    return 1.0 - fold.ensemble_defect(target)


for line in sys.stdin:
    question = json.loads(line)
    rewards = [share(sequence) for sequence in question["objects"]]
    print(json.dumps({"id": question["id"], "rewards": rewards}), flush=True)
