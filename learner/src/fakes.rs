//! What tests of training share.

use tributary_common::environment::Environment;
use tributary_common::ids::PolicyVersion;
use tributary_common::random::Stream;

use crate::replay::Samples;

/// Trajectories of uniformly random legal steps, with log-rewards in [-2, -1).
pub(crate) fn random_trajectories(
    environment: &dyn Environment,
    count: u64,
    stream: &mut Stream,
) -> Samples {
    let mut samples = Samples::default();
    let (mut state, mut legal) = (vec![0; environment.state_width()], Vec::new());
    for i in 0..count {
        environment.reset(&mut state);
        let mut actions = Vec::new();
        loop {
            legal.clear();
            environment.legal_forward(&state, &mut legal);
            let exits = usize::from(environment.can_stop(&state));
            let Some(&action) = legal.get(stream.below(legal.len() + exits)) else { break };
            actions.push(action);
            environment.step(&mut state, action);
        }
        samples.push(i, actions, stream.uniform() - 2.0, PolicyVersion::default());
    }
    samples
}
