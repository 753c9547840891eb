"""One iteration of gfnx's baselines, for a scan: draw with the current policy, take one step of the optimizer."""

from typing import Any, Callable, NamedTuple

import equinox as eqx
import gfnx
import jax
import jax.numpy as jnp


class Learned(NamedTuple):
    """What the optimizer moves: the numbers of a policy, and log Z."""

    policy: Any
    log_z: jax.Array


class Progress(NamedTuple):
    """What goes from one iteration to the next."""

    key: jax.Array
    learned: Learned
    state: Any
    # Of the policy; none without `ema`.
    averaged: Any
    updates: jax.Array
    # Of all trajectories, the exit included.
    transitions: jax.Array


def beginning(key, learned: Learned, optimizer, ema: float | None = None) -> Progress:
    averaged = None if ema is None else learned.policy
    return Progress(key, learned, optimizer.init(learned), averaged, jnp.array(0), jnp.array(0))


def make_step(environment, parameters, fixed, optimizer, batch: int, epsilon: Callable, ema: float | None = None):
    """`epsilon` is that of an update; a policy is its numbers and what is `fixed`, and gives both logits of an
    observation."""

    def loss(learned: Learned, trajectories):
        forward, backward = jax.vmap(jax.vmap(eqx.combine(learned.policy, fixed)))(trajectories.obs)
        info = {"forward_logits": forward, "backward_logits": backward}
        log_pf, log_pb = gfnx.utils.forward_trajectory_log_probs(
            environment, trajectories.replace(info=info), parameters
        )
        log_reward = jnp.where(trajectories.pad, 0.0, trajectories.log_gfn_reward).sum(axis=1)
        return jnp.square(learned.log_z + log_pf - log_pb - log_reward).mean()

    def step(progress: Progress, _):
        def behaviour(key, observations, policy):
            forward, backward = jax.vmap(eqx.combine(policy, fixed))(observations)
            uniform = jax.random.bernoulli(key, epsilon(progress.updates), (batch, 1))
            explored = jnp.where(uniform, 0.0, forward)
            return explored, {"forward_logits": forward, "backward_logits": backward}

        key, drawing = jax.random.split(progress.key)
        trajectories, _ = gfnx.utils.forward_rollout(
            rng_key=drawing,
            num_envs=batch,
            policy_fn=behaviour,
            policy_params=progress.learned.policy,
            env=environment,
            env_params=parameters,
        )
        value, gradients = jax.value_and_grad(loss)(progress.learned, trajectories)
        changes, state = optimizer.update(gradients, progress.state, progress.learned)
        learned = eqx.apply_updates(progress.learned, changes)
        updates, averaged = progress.updates + 1, None
        if ema is not None:
            # The weights of k updates ago count as ema^k, those at the start not at all.
            share = (1 - ema) / (1 - ema**updates)
            averaged = jax.tree.map(lambda mean, now: mean + share * (now - mean), progress.averaged, learned.policy)
        transitions = progress.transitions + (~trajectories.pad).sum()
        return Progress(key, learned, state, averaged, updates, transitions), value

    return step
