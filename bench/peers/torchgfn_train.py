"""Times torchgfn's trajectory balance, or trains it to an exact distance.

Uses torchgfn's environments, preprocessor, network with a tied trunk, sampler and loss as they are, in the manner of its
own `train_hypergrid.py`: on-policy, the log P_F of the draw is kept and not computed again. With exploration, that log P_F
is not the policy's; then the draw is without gradient and log P_F is computed for the loss.
"""

import copy
import importlib.metadata
import math

import torch
from gfn.estimators import DiscretePolicyEstimator
from gfn.gflownet import TBGFlowNet
from gfn.gym import HyperGrid
from gfn.preprocessors import KHotPreprocessor
from gfn.utils.modules import MLP

import task as tasks
from torchgfn_words import LETTERS, OneHot, Words


def hypergrid(environment: dict):
    side, dimensions = environment["side"], environment["dimensions"]
    rewards = {name.upper(): environment[name] for name in ("r0", "r1", "r2")}
    env = HyperGrid(dimensions, side, "original", rewards, validate_modes=False)
    preprocessor = KHotPreprocessor(side, dimensions)
    forward = MLP(preprocessor.output_dim, env.n_actions, tasks.WIDTH, tasks.HIDDEN_LAYERS)
    backward = MLP(preprocessor.output_dim, env.n_actions - 1, tasks.WIDTH, trunk=forward.trunk)
    pf = DiscretePolicyEstimator(forward, env.n_actions, preprocessor)
    pb = DiscretePolicyEstimator(backward, env.n_actions, preprocessor, is_backward=True)
    return env, TBGFlowNet(pf, pb)


def words(environment: dict):
    length = environment["length"]
    env = Words(length, torch.tensor(environment["log_rewards"]))
    forward = MLP(length * LETTERS, env.n_actions, tasks.WIDTH, tasks.HIDDEN_LAYERS)
    # Every state has one parent.
    return env, TBGFlowNet(DiscretePolicyEstimator(forward, env.n_actions, OneHot(length)), None, constant_pb=True)


class Looks:
    """The distance of the averaged weights on a hypergrid."""

    def __init__(self, task: dict, env, pf):
        self.ema = task["quality"]["ema"]
        self.grid = tasks.Grid(task["environment"])
        self.states = env.states_from_tensor(torch.from_numpy(self.grid.cells))
        self.grid.check(env.log_reward(self.states).numpy())
        self.averaged, self.live = copy.deepcopy(pf), pf

    @torch.no_grad()
    def follow(self, updates: int) -> None:
        """The weights of k updates ago count as ema^k, those at the start not at all."""
        share = (1 - self.ema) / (1 - self.ema**updates)
        torch._foreach_lerp_(list(self.averaged.parameters()), list(self.live.parameters()), share)

    @torch.no_grad()
    def total_variation(self) -> float:
        return self.grid.total_variation(self.averaged(self.states).numpy())


def main() -> None:
    task = tasks.read(__doc__)
    torch.manual_seed(task["seed"])
    environment, quality, batch = task["environment"], task["quality"], task["batch"]
    env, gflownet = {"hypergrid": hypergrid, "words": words}[environment["kind"]](environment)
    optimizer = torch.optim.Adam(gflownet.pf_pb_parameters(), lr=tasks.LEARNING_RATE)
    optimizer.add_param_group({"params": gflownet.logz_parameters(), "lr": tasks.LOG_Z_LEARNING_RATE})
    looks = schedule = None
    if quality is not None:
        looks = Looks(task, env, gflownet.pf)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda done: (1 + math.cos(math.pi * done / task["updates"])) / 2
        )

    def draw(updates: int):
        epsilon = 0.0
        if quality is not None:
            epsilon = quality["epsilon"] * max(0.0, 1 - updates / quality["epsilon_over"])
        if epsilon == 0.0:
            return gflownet.sample_trajectories(env, n=batch, save_logprobs=True), False
        with torch.no_grad():
            return gflownet.sample_trajectories(env, n=batch, epsilon=epsilon), True

    draw(0)
    clock, updates, transitions = tasks.Clock(), 0, 0
    clock.start()
    while updates < task["updates"] and clock.now() < task["most_seconds"]:
        trajectories, explored = draw(updates)
        loss = gflownet.loss(env, trajectories, recalculate_all_logprobs=explored)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        updates += 1
        transitions += int(trajectories.terminating_idx.sum())
        if looks is None:
            continue
        schedule.step()
        looks.follow(updates)
        if updates % quality["every"] == 0:
            clock.stop()
            distance = looks.total_variation()
            tasks.say({"updates": updates, "seconds": clock.seconds, "total_variation": distance})
            if distance <= quality["total_variation"]:
                break
            clock.start()
    else:
        clock.stop()
    versions = {name: importlib.metadata.version(name) for name in ("torchgfn", "torch")}
    tasks.say({
        "updates": updates,
        "seconds": clock.seconds,
        "mean_length": transitions / (updates * batch),
        "log_z": float(gflownet.logZ.detach()),
        "threads": torch.get_num_threads(),
        "versions": versions,
    })


if __name__ == "__main__":
    main()
