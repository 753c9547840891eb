//! log F of the states that a user names.

use serde::Serialize;
use tributary_common::environment::{Environment, Sequence};
use tributary_common::exact::{ExactError, Marginals, SnapshotPolicy, Target, log_flows};

use crate::error::CommandError;
use crate::run_directory::Trained;

/// The flow through one state, in logarithms.
#[derive(Serialize)]
pub(super) struct Flow {
    /// As the user named it.
    pub(super) state: String,
    /// Of the target with the policy's P_B; minus infinity (null in JSON) where there is none.
    pub(super) log_flow_target: f64,
    /// Learned log Z and the log of the share of the policy's trajectories that pass through.
    pub(super) log_flow_policy: f64,
    /// Whether the first is the log of the sum of R over all that grows out of the state.
    pub(super) is_partition_function: bool,
}

/// The flows through these states.
///
/// # Errors
/// A text that names no state, an environment whose states cannot be listed.
pub(super) fn flows(
    states: &[String],
    trained: &Trained,
    exact: Option<&(Target, Marginals)>,
) -> Result<Vec<Flow>, CommandError> {
    if states.is_empty() {
        return Ok(Vec::new());
    }
    let environment = trained.task.environment.as_ref();
    let list = environment.enumeration().zip(exact);
    let (list, (target, marginals)) =
        list.ok_or_else(|| ExactError::NotListed { kind: environment.identity().kind })?;
    let mut policy = SnapshotPolicy::new(&trained.snapshot);
    let log_flows = log_flows(environment, target, &mut policy, &mut || true)?;
    let is_tree = is_tree(environment, list.states());
    let flow = |text: &String| {
        let index = list.index(&state(environment, text)?) as usize;
        Ok(Flow {
            state: text.clone(),
            log_flow_target: log_flows[index],
            log_flow_policy: trained.snapshot.weights().log_z + marginals.passing[index].ln(),
            is_partition_function: is_tree,
        })
    };
    states.iter().map(flow).collect()
}

/// An object's state, or the state of a sequence that is not finished.
fn state(environment: &dyn Environment, text: &str) -> Result<Vec<u32>, CommandError> {
    let object = environment.parse_object(text).and_then(|object| environment.state_of(&object));
    let unfinished = || Sequence::of(environment).and_then(|words| words.unfinished(text));
    object.or_else(|error| {
        unfinished().ok_or(CommandError::NoSuchState {
            option: "--flow",
            text: text.to_owned(),
            reason: error.reason,
        })
    })
}

/// Whether no state has two ways back.
fn is_tree(environment: &dyn Environment, states: u64) -> bool {
    let Some(list) = environment.enumeration() else { return false };
    let (mut state, mut ways) = (vec![0; environment.state_width()], Vec::new());
    (0..states).all(|index| {
        list.state(index, &mut state);
        ways.clear();
        environment.legal_backward(&state, &mut ways);
        ways.len() <= 1
    })
}
