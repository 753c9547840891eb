"""Times gfnx's trajectory balance, or trains it to an exact distance.

Uses gfnx's environments, rewards and rollouts as they are, in the manner of its own single-file baselines: one jitted step,
scanned. Compiling is not timed.
"""

import functools
import importlib.metadata

import equinox as eqx
import gfnx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import task as tasks
from gfnx_step import Learned, beginning, make_step

# Of the alphabet of words, the empty place included.
LETTERS = 5


class Policy(eqx.Module):
    """An MLP with a forward and a backward head on one trunk."""

    network: eqx.nn.MLP
    forward_actions: int = eqx.field(static=True)
    one_hot: bool = eqx.field(static=True)

    def __init__(self, environment, inputs: int, one_hot: bool, key: jax.Array):
        self.forward_actions = environment.action_space.n
        self.one_hot = one_hot
        logits = self.forward_actions + environment.backward_action_space.n
        self.network = eqx.nn.MLP(inputs, logits, tasks.WIDTH, tasks.HIDDEN_LAYERS, key=key)

    def __call__(self, observation: jax.Array) -> tuple[jax.Array, jax.Array]:
        if self.one_hot:
            # Behind the beginning-of-sentence token.
            observation = jax.nn.one_hot(observation[1:], LETTERS).reshape(-1)
        logits = self.network(observation)
        return logits[: self.forward_actions], logits[self.forward_actions :]


class TableReward(gfnx.TFBind8RewardModule):
    """gfnx's reward, with a table that is given instead of read from a file that no package has."""

    def __init__(self, length: int, log_rewards: list[float]):
        super().__init__()
        # gfnx has the first letter as the highest digit.
        table = np.asarray(log_rewards).reshape((4,) * length).transpose()
        self.table = jnp.exp(jnp.asarray(table.reshape(-1)))

    def init(self, rng_key, dummy_state):
        return {"rewards": self.table}


def make_environment(environment: dict):
    """The environment, its inputs, whether they are tokens."""
    if environment["kind"] == "words":
        reward = TableReward(environment["length"], environment["log_rewards"])
        return gfnx.TFBind8Environment(reward), LETTERS * environment["length"], True
    reward = gfnx.GeneralHypergridRewardModule(environment["r0"], environment["r1"], environment["r2"])
    dimensions, side = environment["dimensions"], environment["side"]
    return gfnx.HypergridEnvironment(reward, dim=dimensions, side=side), dimensions * side, False


class Looks:
    """The distance of the averaged weights on a hypergrid."""

    def __init__(self, task: dict, environment, parameters, fixed):
        self.grid = tasks.Grid(task["environment"])
        cells = jnp.asarray(self.grid.cells, dtype=jnp.int32)
        states = environment.get_init_state(len(cells)).replace(state=cells)
        self.grid.check(environment.reward_module.log_reward(states, parameters))
        observations = environment.get_obs(states, parameters)
        self.logits = jax.jit(lambda policy: jax.vmap(eqx.combine(policy, fixed))(observations)[0])

    def total_variation(self, policy) -> float:
        return self.grid.total_variation(self.logits(policy))


def main() -> None:
    task = tasks.read(__doc__)
    quality, updates = task["quality"], task["updates"]
    environment, inputs, one_hot = make_environment(task["environment"])
    training_key, network_key, environment_key = jax.random.split(jax.random.PRNGKey(task["seed"]), 3)
    parameters = environment.init(environment_key)
    policy, fixed = eqx.partition(Policy(environment, inputs, one_hot, network_key), eqx.is_inexact_array)

    def rate(start: float):
        return start if quality is None else optax.cosine_decay_schedule(start, updates)

    optimizer = optax.multi_transform(
        {"policy": optax.adam(rate(tasks.LEARNING_RATE)), "log_z": optax.adam(rate(tasks.LOG_Z_LEARNING_RATE))},
        Learned(jax.tree.map(lambda _: "policy", policy), "log_z"),
    )
    ema, looks, block = None, None, max(1, updates // 20)
    epsilon = lambda _: 0.0  # noqa: E731
    if quality is not None:
        ema, block = quality["ema"], quality["every"]
        looks = Looks(task, environment, parameters, fixed)
        epsilon = optax.linear_schedule(quality["epsilon"], 0.0, quality["epsilon_over"])
    step = make_step(environment, parameters, fixed, optimizer, task["batch"], epsilon, ema)

    @functools.partial(jax.jit, donate_argnums=(0,))
    def train(progress):
        return jax.lax.scan(step, progress, None, length=block)

    # A copy: what is given away in the first block must have no other owner.
    progress = jax.tree.map(jnp.copy, beginning(training_key, Learned(policy, jnp.array(0.0)), optimizer, ema))
    compiling = tasks.Clock()
    compiling.start()
    train = train.lower(progress).compile()
    compiling.stop()
    clock, done = tasks.Clock(), 0
    while done + block <= updates and clock.seconds < task["most_seconds"]:
        clock.start()
        progress, losses = train(progress)
        jax.block_until_ready((progress, losses))
        clock.stop()
        done += block
        if looks is not None:
            distance = looks.total_variation(progress.averaged)
            tasks.say({"updates": done, "seconds": clock.seconds, "total_variation": distance})
            if distance <= quality["total_variation"]:
                break
    versions = {name: importlib.metadata.version(name) for name in ("gfnx", "jax", "equinox", "optax")}
    tasks.say({
        "updates": done,
        "seconds": clock.seconds,
        "compiling_seconds": compiling.seconds,
        "mean_length": int(progress.transitions) / (done * task["batch"]),
        "log_z": float(progress.learned.log_z),
        "versions": versions,
    })


if __name__ == "__main__":
    main()
