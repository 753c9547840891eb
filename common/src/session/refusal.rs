//! Why an actor may not take part.

/// The kinds of refusals. All but [`Full`](RefusalCode::Full) are final: the actor must not retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// No common protocol version.
    Protocol,
    /// The learner trains another run.
    Run,
    /// The actor's program builds another environment, reward or network.
    Fingerprint,
    /// The secret does not belong to the actor id, or the id is unknown.
    Identity,
    /// As many actors as the learner takes.
    Full,
    /// The run is over or stops.
    Complete,
    /// A message that breaks the protocol.
    ProtocolError,
}

impl RefusalCode {
    /// Whether the same actor may be welcome later.
    pub fn retryable(self) -> bool {
        matches!(self, Self::Full)
    }
}

/// A refusal that says what, theirs and ours, and what to do. `ours` is the learner's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the learner refuses this actor: {field} is {theirs} here and {ours} there; {advice}")]
pub struct Refusal {
    /// Its kind.
    pub code: RefusalCode,
    /// What differs, for example "environment".
    pub field: String,
    /// The learner's value.
    pub ours: String,
    /// The actor's value.
    pub theirs: String,
    /// What to do.
    pub advice: String,
}

impl Refusal {
    /// A refusal from its parts.
    pub fn new(
        code: RefusalCode,
        field: &str,
        ours: impl ToString,
        theirs: impl ToString,
        advice: &str,
    ) -> Self {
        Self {
            code,
            field: field.to_string(),
            ours: ours.to_string(),
            theirs: theirs.to_string(),
            advice: advice.to_string(),
        }
    }
}

/// Hashes of what actor and learner must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprints {
    /// [`crate::environment::fingerprint`].
    pub environment: [u8; 32],
    /// Of the reward's identity, data files included.
    pub reward: [u8; 32],
    /// Of [`crate::network::Network::architecture`].
    pub architecture: [u8; 32],
}

impl Fingerprints {
    /// The learner's against the actor's; names the first that differs.
    pub fn agree(&self, theirs: &Fingerprints) -> Result<(), Refusal> {
        let advice = "run the same version of the program, with the same registry, on both sides";
        for (field, ours, theirs) in [
            ("environment", self.environment, theirs.environment),
            ("reward", self.reward, theirs.reward),
            ("architecture", self.architecture, theirs.architecture),
        ] {
            if ours != theirs {
                let (ours, theirs) = (short(&ours), short(&theirs));
                return Err(Refusal::new(RefusalCode::Fingerprint, field, ours, theirs, advice));
            }
        }
        Ok(())
    }
}

fn short(hash: &[u8; 32]) -> String {
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Picks the newest protocol version that both sides speak; ranges are inclusive.
pub fn common_protocol(ours: (u32, u32), theirs: (u32, u32)) -> Result<u32, Refusal> {
    let newest = ours.1.min(theirs.1);
    if newest >= ours.0.max(theirs.0) {
        return Ok(newest);
    }
    let range = |(min, max): (u32, u32)| format!("{min}..{max}");
    let advice = "use the same release of actor and learner";
    Err(Refusal::new(RefusalCode::Protocol, "protocol", range(ours), range(theirs), advice))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_fingerprint_that_differs_is_named() {
        let ours = Fingerprints { environment: [1; 32], reward: [2; 32], architecture: [3; 32] };
        assert_eq!(ours.agree(&ours), Ok(()));
        for (field, theirs) in [
            ("environment", Fingerprints { environment: [9; 32], ..ours }),
            ("reward", Fingerprints { reward: [9; 32], ..ours }),
            ("architecture", Fingerprints { architecture: [9; 32], ..ours }),
        ] {
            let refusal = ours.agree(&theirs).unwrap_err();
            assert_eq!((refusal.code, refusal.field.as_str()), (RefusalCode::Fingerprint, field));
            assert_eq!(refusal.theirs, "0909090909090909");
            assert!(refusal.to_string().contains(field), "{refusal}");
        }
    }

    #[test]
    fn the_newest_common_protocol_is_taken() {
        assert_eq!(common_protocol((1, 1), (1, 1)), Ok(1));
        assert_eq!(common_protocol((1, 4), (2, 3)), Ok(3));
        let refusal = common_protocol((2, 3), (4, 9)).unwrap_err();
        assert_eq!((refusal.ours.as_str(), refusal.theirs.as_str()), ("2..3", "4..9"));
        assert!(!refusal.code.retryable());
    }
}
