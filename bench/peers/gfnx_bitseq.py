"""Trains gfnx's trajectory balance on bit sequences and correlates log p with log R.

Uses gfnx's environment, reward, encoder, rollouts and correlation metric as they are, in the manner of its own
single-file baselines: one jitted step that draws a batch with the current policy and takes one step of Adam, scanned.
The modes and the test strings come from a task file that Tributary writes, so that both sides have the same.

One line of JSON for each evaluation goes to standard output, a last one with the totals.
"""

import argparse
import functools
import json
import os
import sys
import time


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="JSON: bits, word_bits, exponent, modes, test_strings")
    parser.add_argument("--trajectories", type=int, default=160_000)
    parser.add_argument("--evaluations", type=int, default=8, help="correlations on the way, on a tenth; the last on all")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--log-z-learning-rate", type=float, default=0.05)
    parser.add_argument("--weight-decay", type=float, default=1e-5)
    parser.add_argument("--epsilon", type=float, default=1e-3, help="of each step being uniform")
    parser.add_argument("--backward", choices=["learned", "uniform"], default="learned")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--paths", type=int, default=10, help="of P_B for each test string")
    parser.add_argument("--every", type=int, default=1, help="only every so manieth test string")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--core", type=int, default=None, help="run on this core alone")
    return parser.parse_args()


OPTIONS = options()
if OPTIONS.core is not None:
    # Before jax makes its threads.
    os.sched_setaffinity(0, {OPTIONS.core})

import equinox as eqx  # noqa: E402
import gfnx  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from gfnx.metrics import TestCorrelationMetricsModule  # noqa: E402

from gfnx_step import Learned, beginning, make_step  # noqa: E402


class Policy(eqx.Module):
    """gfnx's encoder and a linear layer on the mean over the positions.

    The baselines take the mean behind the layer: the same function, at sixteen times the price.
    """

    encoder: gfnx.networks.Encoder
    output: eqx.nn.Linear
    forward_actions: int = eqx.field(static=True)
    backward_actions: int = eqx.field(static=True)
    learned_backward: bool = eqx.field(static=True)

    def __init__(self, environment: gfnx.BitseqEnvironment, settings: argparse.Namespace, key: jax.Array):
        encoder_key, output_key = jax.random.split(key)
        self.forward_actions = environment.action_space.n
        self.backward_actions = environment.backward_action_space.n
        self.learned_backward = settings.backward == "learned"
        self.encoder = gfnx.networks.Encoder(
            vocab_size=environment.ntoken,
            # The observation has the beginning-of-sentence token before the words.
            max_length=environment.max_length + 1,
            embedding_size=settings.width,
            hidden_size=settings.width,
            intermediate_size=settings.width,
            num_layers=settings.layers,
            num_heads=settings.heads,
            dropout_rate=0.0,
            pad_id=environment.pad_token,
            key=encoder_key,
        )
        logits = self.forward_actions + (self.backward_actions if self.learned_backward else 0)
        self.output = eqx.nn.Linear(settings.width, logits, key=output_key)

    def __call__(self, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Forward and backward logits of one observation."""
        encoded = self.encoder(tokens, jnp.arange(tokens.shape[0]))["layers_out"][-1]
        logits = self.output(encoded.mean(axis=0))
        if not self.learned_backward:
            return logits, jnp.zeros(self.backward_actions)
        return logits[: self.forward_actions], logits[self.forward_actions :]


def make_environment(task: dict) -> tuple[gfnx.BitseqEnvironment, object]:
    """gfnx's environment with the modes of the task."""
    reward = gfnx.BitseqRewardModule(
        sentence_len=task["bits"],
        k=task["word_bits"],
        mode_set_size=len(task["modes"]),
        reward_exponent=task["exponent"],
    )
    environment = gfnx.BitseqEnvironment(reward, n=task["bits"], k=task["word_bits"])
    parameters = environment.init(jax.random.PRNGKey(0))
    modes = jnp.asarray(bits(task["modes"]), dtype=bool)
    return environment, parameters.replace(reward_params={"mode_set": modes})


def bits(strings: list[str]) -> np.ndarray:
    return np.array([[character == "1" for character in string] for string in strings])


def make_evaluation(environment, parameters, fixed, test_set, settings):
    """Pearson and Spearman of log p (by paths of P_B) and log R on the test strings, by gfnx's own metric."""

    def backward(key, observations, policy):
        del key
        forward_logits, backward_logits = jax.vmap(eqx.combine(policy, fixed))(observations)
        return backward_logits, {"forward_logits": forward_logits, "backward_logits": backward_logits}

    count = test_set.tokens.shape[0]
    metric = TestCorrelationMetricsModule(
        env=environment,
        bwd_policy_fn=backward,
        n_rounds=settings.paths,
        batch_size=max(size for size in range(1, 129) if count % size == 0),
    )
    initial = metric.init(
        jax.random.PRNGKey(2), TestCorrelationMetricsModule.InitArgs(env_params=parameters, test_set=test_set)
    )

    @jax.jit
    def evaluate(policy, key):
        arguments = metric.ProcessArgs(policy_params=policy, env_params=parameters)
        return metric.get(metric.process(initial, key, arguments))

    return evaluate


def test_states(environment, strings: list[str]):
    tokens = jax.vmap(lambda word: gfnx.utils.bitseq.tokenize(word, environment.k))(jnp.asarray(bits(strings)))
    return gfnx.BitseqEnvState.from_tokens(tokens.astype(jnp.int32))


def main() -> None:
    settings = OPTIONS
    with open(settings.task, encoding="utf-8") as file:
        task = json.load(file)
    environment, parameters = make_environment(task)
    strings = task["test_strings"][:: settings.every]
    test_set = test_states(environment, strings)
    log_rewards = np.asarray(environment.reward_module.log_reward(test_set, parameters))

    training_key, network_key, evaluation_key = jax.random.split(jax.random.PRNGKey(settings.seed), 3)
    policy, fixed = eqx.partition(Policy(environment, settings, network_key), eqx.is_inexact_array)
    learned = Learned(policy, jnp.array(0.0))
    optimizer = optax.multi_transform(
        {
            "policy": optax.adamw(settings.learning_rate, weight_decay=settings.weight_decay),
            "log_z": optax.adam(settings.log_z_learning_rate),
        },
        Learned(jax.tree.map(lambda _: "policy", learned.policy), "log_z"),
    )
    step = make_step(environment, parameters, fixed, optimizer, settings.batch, lambda _: settings.epsilon)
    evaluate_all = make_evaluation(environment, parameters, fixed, test_set, settings)
    evaluate_some = make_evaluation(
        environment, parameters, fixed, jax.tree.map(lambda leaf: leaf[::10], test_set), settings
    )

    iterations = settings.trajectories // settings.batch
    block = max(1, iterations // settings.evaluations)

    @functools.partial(jax.jit, donate_argnums=(0,))
    def train(carry):
        return jax.lax.scan(step, carry, None, length=block)

    carry = beginning(training_key, learned, optimizer)
    start = time.perf_counter()
    train = train.lower(carry).compile()
    compiling = time.perf_counter() - start
    training = evaluating = 0.0
    figures = {}
    blocks = iterations // block
    for number in range(1, blocks + 1):
        evaluate = evaluate_all if number == blocks else evaluate_some
        start = time.perf_counter()
        carry, losses = train(carry)
        jax.block_until_ready(losses)
        training += time.perf_counter() - start
        start = time.perf_counter()
        figures = {name: float(value) for name, value in evaluate(carry.learned.policy, evaluation_key).items()}
        evaluating += time.perf_counter() - start
        figures |= {
            "trajectories": number * block * settings.batch,
            "loss": float(losses[-min(block, 100) :].mean()),
            "log_z": float(carry.learned.log_z),
            "training_seconds": training,
        }
        print(json.dumps(figures), flush=True)
    versions = {"gfnx": "0.0.1", "jax": jax.__version__, "equinox": eqx.__version__, "optax": optax.__version__}
    totals = {
        **figures,
        "compiling_seconds": compiling,
        "evaluating_seconds": evaluating,
        "test_strings": len(strings),
        "mean_log_reward_of_test": float(log_rewards.mean()),
        "seed": settings.seed,
        "versions": versions,
    }
    print(json.dumps({"final": totals}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
