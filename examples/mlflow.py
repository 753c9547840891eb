"""Forwards the metrics of a run to MLflow, each record once, while it trains or afterwards:

    tributary metrics RUN_DIR --follow | python3 examples/mlflow.py --experiment grids

With --run ID, which it prints, it goes on with a run and leaves out what it has sent already.
"""

import argparse
import json
import os
import sys

# This file is called like the package, which is to be found elsewhere.
here = os.path.dirname(os.path.abspath(__file__))
sys.path = [folder for folder in sys.path if os.path.abspath(folder) != here]

import mlflow
from mlflow.entities import Metric

parser = argparse.ArgumentParser()
parser.add_argument("--experiment", default="tributary")
parser.add_argument("--run", metavar="ID", help="go on with this one")
options = parser.parse_args()

mlflow.set_experiment(options.experiment)
client = mlflow.MlflowClient()
with mlflow.start_run(run_id=options.run) as run:
    print(f"--run {run.info.run_id}", flush=True)
    sent = client.get_run(run.info.run_id).data.metrics.get("number", 0)
    for line in sys.stdin:
        record = json.loads(line)
        if record["number"] > sent:
            values = [(name, value) for name, value in record.items() if isinstance(value, (int, float))]
            time = int(1000 * record["time"])
            metrics = [Metric(name, value, time, record["step"]) for name, value in values]
            client.log_batch(run.info.run_id, metrics=metrics)
