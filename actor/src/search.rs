//! Local searches under way: trajectories whose next proposals wait for their rewards.

use crossbeam_channel::Receiver;
use tributary_common::log_space::LogReward;
use tributary_common::network::cpu::Snapshot;
use tributary_common::object::Object;
use tributary_common::random::Stream;
use tributary_common::reward::Reward;
use tributary_common::rollout::{BrokenEnvironment, LocalSearch, Proposal, accepts};
use tributary_common::run_file::Acceptance;
use tributary_common::trajectory::TrajectoryKind;

use crate::scoring::{Answer, Candidate};

/// The searches that start from the trajectories of one batch.
pub(crate) struct Search {
    /// Rounds that are still to be proposed.
    rounds: usize,
    /// Where each search stands; nowhere before its first reward.
    places: Vec<Option<Place>>,
    /// One for each search.
    streams: Vec<Stream>,
    /// What they propose; first the trajectories that they start from.
    proposals: Vec<Proposal>,
    /// Where the rewards of the proposals come from.
    pub(crate) answer: Receiver<Answer>,
}

/// Where a search stands.
struct Place {
    actions: Vec<u32>,
    object: Object,
    raw: Vec<f64>,
    log_reward: LogReward,
}

impl Search {
    /// From these candidates, whose rewards will come from `answer`.
    pub(crate) fn new(
        rounds: usize,
        candidates: &[Candidate],
        streams: Vec<Stream>,
        answer: Receiver<Answer>,
    ) -> Self {
        let start = |candidate: &Candidate| Proposal {
            trajectory: candidate.trajectory.clone(),
            log_correction: 0.0,
        };
        let proposals = candidates.iter().map(start).collect();
        let places = candidates.iter().map(|_| None).collect();
        Self { rounds, places, streams, proposals, answer }
    }

    /// Whether another round follows the one that waits.
    pub(crate) fn is_over(&self) -> bool {
        self.rounds == 0 || self.places.is_empty()
    }

    /// Takes the rewards of the proposals: each search moves or stays. One whose proposal could not
    /// be measured, or has no log-reward, ends.
    pub(crate) fn settle(&mut self, answer: Answer, reward: &dyn Reward, acceptance: Acceptance) {
        let places = std::mem::take(&mut self.places).into_iter();
        let streams = std::mem::take(&mut self.streams);
        let proposed = std::mem::take(&mut self.proposals).into_iter().zip(answer);
        for ((place, mut stream), (proposal, raw)) in places.zip(streams).zip(proposed) {
            let measured = raw.and_then(|raw| Some((reward.transform(&raw).ok()?, raw)));
            let Some((log_reward, raw)) = measured else { continue };
            let Proposal { trajectory, log_correction } = proposal;
            let is_accepted = place.as_ref().is_none_or(|place| {
                let rewards = [place.log_reward, log_reward];
                accepts(acceptance, rewards, log_correction, &mut stream)
            });
            let (actions, object) = (trajectory.actions, trajectory.object);
            let next = Place { actions, object, raw, log_reward };
            self.places.push(if is_accepted { Some(next) } else { place });
            self.streams.push(stream);
        }
    }

    /// The next round's proposals. Whoever proposes the object where it stands knows its values.
    ///
    /// # Errors
    /// The environment breaks its laws.
    pub(crate) fn propose(
        &mut self,
        local_search: &mut LocalSearch,
        snapshot: &Snapshot,
    ) -> Result<Vec<Candidate>, BrokenEnvironment> {
        let places: Vec<&Place> = self.places.iter().flatten().collect();
        let actions: Vec<&[u32]> = places.iter().map(|place| place.actions.as_slice()).collect();
        self.proposals = local_search.propose(snapshot, &actions, &mut self.streams)?;
        self.rounds -= 1;
        let candidate = |(proposal, place): (&Proposal, &Place)| Candidate {
            trajectory: proposal.trajectory.clone(),
            kind: TrajectoryKind::LocalSearch,
            known: (proposal.trajectory.object == place.object).then(|| place.raw.clone()),
            place: None,
        };
        Ok(self.proposals.iter().zip(places).map(candidate).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;
    use crate::fakes::{Grid, Sum, snapshot};
    use tributary_common::environment::Environment;
    use tributary_common::ids::PolicyVersion;
    use tributary_common::network::Network;
    use tributary_common::random::Purpose;
    use tributary_common::rollout::Trajectory;
    use tributary_common::run_file;

    fn candidate(cell: [usize; 2]) -> Candidate {
        let actions = [vec![0; cell[0]], vec![1; cell[1]]].concat();
        let object = Object::Integers(cell.map(|x| x as i64).to_vec());
        let trajectory = Trajectory { actions, object, log_mu: 0.0 };
        Candidate { trajectory, kind: TrajectoryKind::Forward, known: None, place: None }
    }

    fn search(cells: &[[usize; 2]]) -> Search {
        let candidates: Vec<Candidate> = cells.iter().copied().map(candidate).collect();
        let stream = |i| Stream::new(3, Purpose::LocalSearch, 0, i);
        let streams = (0..cells.len() as u64).map(stream).collect();
        Search::new(9, &candidates, streams, crossbeam_channel::never())
    }

    fn sum(object: &Object) -> f64 {
        let mut raw = Vec::new();
        Sum::default().evaluate(std::slice::from_ref(object), &mut raw).unwrap();
        raw[0]
    }

    #[test]
    fn greed_climbs_and_a_failed_proposal_ends_its_search() {
        let environment: Arc<dyn Environment> = Arc::new(Grid { side: 20 });
        let network = Network::mlp(&*environment, &[8], false, false);
        let snapshot = snapshot(&network, Some(1), PolicyVersion::default());
        let keys = run_file::LocalSearch { rounds: 9.into(), steps: 3, accept: Acceptance::Greedy };
        let mut local_search = LocalSearch::new(&environment, &keys);
        let mut search = search(&[[3, 3], [1, 2], [0, 0]]);
        let first = vec![Some(vec![6.0]), None, Some(vec![0.0])];
        search.settle(first, &Sum::default(), Acceptance::Greedy);
        assert_eq!((search.places.len(), search.streams.len()), (2, 2));
        let mut before = [6.0, 0.0];
        let mut climbed = 0;
        while !search.is_over() {
            let candidates = search.propose(&mut local_search, &snapshot).unwrap();
            let mut answer = Vec::new();
            for (candidate, stands) in candidates.iter().zip(before) {
                let (object, value) =
                    (&candidate.trajectory.object, sum(&candidate.trajectory.object));
                assert!(candidate.known.as_ref().is_none_or(|raw| raw[0] == value), "{object}");
                assert!(candidate.known.is_some() || candidate.kind == TrajectoryKind::LocalSearch);
                climbed += usize::from(value > stands);
                answer.push(Some(vec![value]));
            }
            search.settle(answer, &Sum::default(), Acceptance::Greedy);
            for (place, before) in search.places.iter().flatten().zip(&mut before) {
                let now = sum(&place.object);
                assert!(now >= *before, "greed went from {before} down to {now}");
                *before = now;
            }
        }
        assert!(climbed > 0 && before[1] > 0.0, "{before:?}");
        search.settle(vec![Some(vec![f64::NAN]), None], &Sum::default(), Acceptance::Greedy);
        assert!(search.places.is_empty());
    }
}
