#!/usr/bin/env python3
"""A reward as a gRPC service, for examples/rewards/grpc.toml. It needs two packages of PyPI:

    python3 -m venv venv && venv/bin/pip install grpcio grpcio-tools
    venv/bin/python examples/rewards/server.py 127.0.0.1:9000

Put your own function in place of `reward`. An exception in it is an error of that object alone.
"""

import json
import pathlib
import sys
import time
from concurrent import futures

import grpc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto" / "proto"
sys.path.insert(0, str(PROTO))
words, services = grpc.protos_and_services("tributary/v1/rewards.proto")

PAIRS = {"AT", "TA", "CG", "GC"}


def reward(word: str) -> float:
    """1, and 1 for each letter that would pair with its opposite if the word were folded in half."""
    return 1.0 + sum(word[i] + word[-1 - i] in PAIRS for i in range(len(word) // 2))


def measured(text: str):
    """The reward of an object in JSON, or why it has none."""
    start = time.monotonic()
    try:
        value = reward(json.loads(text))
    except Exception as error:  # whatever it is, the others go on
        return words.Measured(status="EVALUATION_STATUS_FAILED", error=repr(error))
    seconds = time.monotonic() - start
    return words.Measured(status="EVALUATION_STATUS_MEASURED", raw=[value], seconds=seconds)


class Service(services.RewardServiceServicer):
    def Describe(self, request, context):
        output = words.RewardOutput(name="value", role="REWARD_ROLE_OBJECTIVE")
        return words.DescribeReply(kind="pairs", version="1", outputs=[output])

    def Evaluate(self, requests, context):
        for request in requests:
            yield words.EvaluateReply(id=request.id, measured=[measured(x) for x in request.objects])


def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:0"
    # A stream takes a thread for as long as it is open.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64))
    services.add_RewardServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port(address)
    server.start()
    print(f"http://127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
