"""Trains torchgfn's trajectory balance on words of four letters and says how good it is for what it paid.

Uses torchgfn's bit sequences of two bits a word (four letters, appended), its sampler, replay buffer, network and loss
as they are; only the reward is a table, letters are one-hot, and the policy that is compared is an average
whose decay grows to Tributary's. The task file, which Tributary writes, holds log R of each word: the letters of word `i` are its digits
to the base 4, the first letter the lowest.

One line of JSON goes to standard output for each number of distinct words that was paid for.
"""

import argparse
import copy
import json

import torch
from gfn.containers import ReplayBuffer
from gfn.estimators import DiscretePolicyEstimator
from gfn.gflownet import TBGFlowNet
from gfn.gym.bitSequence import BitSequence
from gfn.preprocessors import Preprocessor
from gfn.samplers import Sampler
from gfn.utils.modules import MLP

LETTERS = 4
EPSILON = 0.1
EMA = 0.998
CAPACITY = 100_000


class Words(BitSequence):
    """Words of four letters with a table of log R."""

    def __init__(self, length: int, log_rewards: torch.Tensor):
        super().__init__(word_size=2, seq_size=2 * length, n_modes=1)
        self.table = log_rewards
        self.units = LETTERS ** torch.arange(length)

    def indices(self, states) -> torch.Tensor:
        return (states.tensor * self.units).sum(-1)

    def log_reward(self, final_states) -> torch.Tensor:
        return self.table[self.indices(final_states)]


class OneHot(Preprocessor):
    """A column for each letter at each place; none for a place that is empty."""

    def __init__(self, length: int):
        super().__init__(output_dim=length * LETTERS)

    def preprocess(self, states) -> torch.Tensor:
        letters = torch.nn.functional.one_hot(states.tensor.clamp(-1, LETTERS - 1) + 1, LETTERS + 1)
        return letters[..., 1:].flatten(-2).float()


def distribution(policy, env: Words, length: int) -> torch.Tensor:
    """P of each word: the probabilities of the letters, one after the other."""
    words = torch.zeros(1, 0, dtype=torch.long)
    log_p = torch.zeros(1)
    for place in range(length):
        empty = torch.full((len(words), length - place), -1)
        states = env.states_from_tensor(torch.cat([words, empty], 1))
        logits = policy(states)[:, :LETTERS]
        log_p = (log_p[:, None] + logits.log_softmax(-1)).flatten()
        words = words.repeat_interleave(LETTERS, 0)
        words = torch.cat([words, torch.arange(LETTERS).repeat(len(words) // LETTERS)[:, None]], 1)
    p = torch.empty(LETTERS**length, dtype=torch.float64)
    p[(words * env.units).sum(-1)] = log_p.double().exp()
    return p


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="JSON: length, log_rewards, best, points, most_drawn, batch, uses, seed")
    task = json.load(open(parser.parse_args().task))
    torch.set_num_threads(1)
    torch.manual_seed(task["seed"])
    length, batch = task["length"], task["batch"]
    log_rewards = torch.tensor(task["log_rewards"])
    target = log_rewards.double().softmax(0)
    best = torch.zeros(len(log_rewards), dtype=torch.bool)
    best[task["best"]] = True

    env = Words(length, log_rewards)
    pf = DiscretePolicyEstimator(MLP(length * LETTERS, env.n_actions, 256, 2), env.n_actions, OneHot(length))
    gflownet = TBGFlowNet(pf, None, constant_pb=True)
    averaged = copy.deepcopy(pf)
    optimizer = torch.optim.Adam(pf.parameters(), lr=1e-3)
    optimizer.add_param_group({"params": gflownet.logz_parameters(), "lr": 0.1})
    sampler, buffer = Sampler(pf), ReplayBuffer(env, capacity=CAPACITY)
    paid = torch.zeros(len(log_rewards), dtype=torch.bool)
    points, drawn, updates = list(task["points"]), 0, 0

    while points and drawn < task["most_drawn"]:
        trajectories = sampler.sample_trajectories(env, n=batch, epsilon=EPSILON)
        paid[env.indices(trajectories.terminating_states)] = True
        if updates == 0:
            with torch.no_grad():
                gflownet.logZ.fill_(-gflownet.get_scores(trajectories).mean())
        drawn += batch
        if task["uses"] > 1:
            buffer.add(trajectories)
        for _ in range(task["uses"]):
            used = buffer.sample(batch) if task["uses"] > 1 else trajectories
            loss = gflownet.loss(env, used, recalculate_all_logprobs=True)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            updates += 1
            with torch.no_grad():
                decay = min(EMA, (1 + updates) / (10 + updates))
                for mean, now in zip(averaged.parameters(), pf.parameters()):
                    mean.lerp_(now, 1 - decay)
        while points and paid.sum() >= points[0]:
            with torch.no_grad():
                p = distribution(averaged, env, length)
            point = {
                "paid": points.pop(0),
                "drawn": drawn,
                "total_variation": (p - target).abs().sum().item() / 2,
                "recall": (paid & best).sum().item() / best.sum().item(),
            }
            print(json.dumps(point), flush=True)


if __name__ == "__main__":
    main()
