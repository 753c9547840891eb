"""Forwards the metrics of a run to Weights & Biases, each record once, while it trains or afterwards:

    tributary metrics RUN_DIR --follow | python3 examples/wandb.py --project grids --id hypergrid-1

Started again with the same id, it leaves out what it has sent already.
"""

import argparse
import json
import os
import sys

# This file is called like the package, which is to be found elsewhere.
here = os.path.dirname(os.path.abspath(__file__))
sys.path = [folder for folder in sys.path if os.path.abspath(folder) != here]

import wandb

parser = argparse.ArgumentParser()
parser.add_argument("--project", default="tributary")
parser.add_argument("--id", help="of the run, to go on with it later")
options = parser.parse_args()

with wandb.init(project=options.project, id=options.id, resume="allow") as run:
    run.define_metric("*", step_metric="updates")
    sent = run.step
    for line in sys.stdin:
        record = json.loads(line)
        # Grows for ever; the updates go back where a learner goes on from a checkpoint.
        number = record.pop("number")
        if number >= sent:
            values = {name: value for name, value in record.items() if isinstance(value, (int, float))}
            run.log(values, step=number)
