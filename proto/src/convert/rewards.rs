//! Who measures what: questions of actors and answers of the learner.

use std::sync::Arc;
use std::time::Duration;

use tributary_common::claims::asker::Evaluated;
use tributary_common::claims::{Answer, Finding, LeaseId, Outcome};
use tributary_common::ids::{ActorId, Epoch};
use tributary_common::object::Object;
use tributary_common::plain_text::plain;
use tributary_common::reward::ObjectKey;
use tributary_common::session::Secret;

use super::{
    Result, WireError, bounded, bytes, cut, positive, required, secret, short, value_error,
};
use crate::{limits, v1};

/// One message of an actor.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// The first: who asks.
    Proof(Proof),
    /// Objects that it would measure.
    Claims(Vec<ObjectKey>),
    /// It still works under these.
    Renewals(Vec<LeaseId>),
    /// What it measured, with the message's number in its stream.
    Results(u64, Vec<Evaluated>),
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The actor.
    pub actor: ActorId,
    /// Its own.
    pub secret: Secret,
    /// Its session.
    pub epoch: Epoch,
}

/// One message of the learner.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Answers, each to its key.
    Answers(Vec<(ObjectKey, Answer)>),
    /// Results up to this message are on disk.
    Acked(u64),
}

impl From<Question> for v1::ActorQuestion {
    fn from(question: Question) -> Self {
        use v1::actor_question::Message;
        let message = match question {
            Question::Proof(Proof { actor, secret, epoch }) => Message::Proof(v1::ActorProof {
                actor_id: actor.0,
                secret: secret.0.to_vec(),
                epoch: Some(epoch.into()),
            }),
            Question::Claims(keys) => {
                let keys = keys.into_iter().map(|key| key.0.to_vec()).collect();
                Message::Claims(v1::Claims { keys })
            }
            Question::Renewals(leases) => {
                let lease_ids = leases.into_iter().map(|lease| lease.0).collect();
                Message::Renewals(v1::Renewals { lease_ids })
            }
            Question::Results(number, results) => {
                let results = results.into_iter().map(Into::into).collect();
                Message::Results(v1::Results { number, results })
            }
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<v1::ActorQuestion> for Question {
    type Error = WireError;

    fn try_from(wire: v1::ActorQuestion) -> Result<Self> {
        use v1::actor_question::Message;
        Ok(match required(wire.message, "actor_question")? {
            Message::Proof(proof) => Self::Proof(Proof {
                actor: ActorId(positive(proof.actor_id, "proof.actor_id")?),
                secret: secret(&proof.secret)?,
                epoch: required(proof.epoch, "proof.epoch")?.try_into()?,
            }),
            Message::Claims(claims) => {
                bounded(claims.keys.len(), limits::CLAIM_KEYS, "claims.keys")?;
                let key = |key: &Vec<u8>| bytes(key, "claims.keys").map(ObjectKey);
                Self::Claims(claims.keys.iter().map(key).collect::<Result<_>>()?)
            }
            Message::Renewals(renewals) => {
                bounded(renewals.lease_ids.len(), limits::CLAIM_KEYS, "renewals.lease_ids")?;
                Self::Renewals(renewals.lease_ids.into_iter().map(LeaseId).collect())
            }
            Message::Results(results) => {
                bounded(results.results.len(), limits::RESULTS, "results.results")?;
                let number = positive(results.number, "results.number")?;
                let results = results.results.into_iter().map(TryInto::try_into);
                Self::Results(number, results.collect::<Result<_>>()?)
            }
        })
    }
}

impl From<Evaluated> for v1::Result {
    fn from(evaluated: Evaluated) -> Self {
        let Evaluated { key, object, outcome, is_transient, seconds, lease, policy } = evaluated;
        Self {
            key: key.0.to_vec(),
            object: object.json(),
            seconds: f64::from(seconds),
            lease_id: lease.map_or(0, |lease| lease.0),
            transient: is_transient,
            policy: policy.map(Into::into),
            ..outcome.into()
        }
    }
}

impl TryFrom<v1::Result> for Evaluated {
    type Error = WireError;

    fn try_from(wire: v1::Result) -> Result<Self> {
        let object = Object::of_json(&wire.object).ok_or_else(|| {
            let found = plain(&cut(wire.object.clone()));
            value_error("result.object", found, "an object in JSON")
        })?;
        Ok(Self {
            key: ObjectKey(bytes(&wire.key, "result.key")?),
            object,
            seconds: seconds(wire.seconds)?,
            lease: (wire.lease_id > 0).then_some(LeaseId(wire.lease_id)),
            is_transient: wire.transient,
            policy: wire.policy.map(TryInto::try_into).transpose()?,
            outcome: outcome(&wire)?,
        })
    }
}

/// Only status, values and error.
impl From<Outcome> for v1::Result {
    fn from(outcome: Outcome) -> Self {
        let measured = v1::EvaluationStatus::Measured.into();
        let failed = v1::EvaluationStatus::Failed.into();
        match outcome {
            Outcome::Measured(raw) => Self { status: measured, raw, ..Self::default() },
            Outcome::Failed(why) => Self { status: failed, error: cut(why), ..Self::default() },
        }
    }
}

fn outcome(wire: &v1::Result) -> Result<Outcome> {
    match v1::EvaluationStatus::try_from(wire.status) {
        Ok(v1::EvaluationStatus::Measured | v1::EvaluationStatus::Reused) => {
            positive(wire.raw.len(), "result.raw")?;
            bounded(wire.raw.len(), limits::OUTPUTS, "result.raw")?;
            Ok(Outcome::Measured(wire.raw.clone()))
        }
        Ok(v1::EvaluationStatus::Failed) => {
            Ok(Outcome::Failed(plain(&short(wire.error.clone(), "result.error")?)))
        }
        Ok(v1::EvaluationStatus::Unspecified) | Err(_) => {
            Err(WireError::UnknownEnum { field: "result.status", value: wire.status })
        }
    }
}

fn seconds(seconds: f64) -> Result<f32> {
    match seconds.is_finite() && seconds >= 0.0 {
        true => Ok(seconds as f32),
        false => Err(value_error("result.seconds", seconds, "finite and not negative")),
    }
}

impl From<Reply> for v1::LearnerAnswer {
    fn from(reply: Reply) -> Self {
        use v1::learner_answer::Message;
        let message = match reply {
            Reply::Answers(answers) => {
                Message::Answers(v1::Answers { answers: answers.into_iter().map(answer).collect() })
            }
            Reply::Acked(through_number) => Message::ResultsAck(v1::ResultsAck { through_number }),
        };
        Self { message: Some(message) }
    }
}

fn answer((key, answer): (ObjectKey, Answer)) -> v1::Answer {
    use v1::answer::Answer as Wire;
    let answer = match answer {
        Answer::Known(finding) => Wire::Known(v1::Result {
            seconds: f64::from(finding.seconds),
            actor_id: finding.actor.0,
            ..finding.outcome.clone().into()
        }),
        Answer::Granted { lease, lasts } => {
            let lease_milliseconds = milliseconds(lasts).max(1);
            Wire::Granted(v1::Granted { lease_id: lease.0, lease_milliseconds })
        }
        Answer::Busy { by, again } => Wire::Busy(v1::Busy {
            actor_id: by.map_or(0, |by| by.0),
            retry_after_milliseconds: again.map_or(0, |again| milliseconds(again).max(1)),
        }),
    };
    v1::Answer { key: key.0.to_vec(), answer: Some(answer) }
}

/// About what an answer takes in a message.
pub fn answer_bytes(answer: &Answer) -> usize {
    let values = match answer {
        Answer::Known(finding) => match &finding.outcome {
            Outcome::Measured(raw) => 8 * raw.len(),
            Outcome::Failed(why) => why.len(),
        },
        Answer::Granted { .. } | Answer::Busy { .. } => 0,
    };
    96 + values
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl TryFrom<v1::LearnerAnswer> for Reply {
    type Error = WireError;

    fn try_from(wire: v1::LearnerAnswer) -> Result<Self> {
        use v1::learner_answer::Message;
        Ok(match required(wire.message, "learner_answer")? {
            Message::Answers(answers) => {
                Self::Answers(answers.answers.into_iter().map(checked).collect::<Result<_>>()?)
            }
            Message::ResultsAck(ack) => Self::Acked(ack.through_number),
        })
    }
}

fn checked(wire: v1::Answer) -> Result<(ObjectKey, Answer)> {
    use v1::answer::Answer as Wire;
    let key = ObjectKey(bytes(&wire.key, "answer.key")?);
    let answer = match required(wire.answer, "answer")? {
        Wire::Known(result) => Answer::Known(Arc::new(Finding {
            outcome: outcome(&result)?,
            seconds: seconds(result.seconds)?,
            actor: ActorId(result.actor_id),
        })),
        Wire::Granted(granted) => Answer::Granted {
            lease: LeaseId(positive(granted.lease_id, "granted.lease_id")?),
            lasts: Duration::from_millis(positive(
                granted.lease_milliseconds,
                "granted.lease_milliseconds",
            )?),
        },
        Wire::Busy(busy) => {
            let again = busy.retry_after_milliseconds;
            Answer::Busy {
                by: (busy.actor_id > 0).then_some(ActorId(busy.actor_id)),
                again: (again > 0).then_some(Duration::from_millis(again)),
            }
        }
    };
    Ok((key, answer))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key(n: u8) -> ObjectKey {
        ObjectKey([n; 32])
    }

    fn evaluated(outcome: Outcome) -> Evaluated {
        Evaluated {
            key: key(1),
            object: Object::Text("ACGT".to_owned()),
            outcome,
            is_transient: false,
            seconds: 1.5,
            lease: Some(LeaseId(7)),
            policy: None,
        }
    }

    #[test]
    fn questions_come_back_as_they_were() {
        let failed = evaluated(Outcome::Failed("no such strand".to_owned()));
        for question in [
            Question::Claims(vec![key(1), key(2)]),
            Question::Renewals(vec![LeaseId(7)]),
            Question::Results(3, vec![evaluated(Outcome::Measured(vec![0.5, -1.0])), failed]),
        ] {
            let wire = v1::ActorQuestion::from(question.clone());
            assert_eq!(Question::try_from(wire).unwrap(), question);
        }
    }

    #[test]
    fn answers_come_back_as_they_were() {
        let outcome = Outcome::Measured(vec![0.5]);
        let known = Finding { outcome, seconds: 0.25, actor: ActorId(4) };
        let lasts = Duration::from_secs(60);
        let answers = vec![
            (key(1), Answer::Known(Arc::new(known))),
            (key(2), Answer::Granted { lease: LeaseId(9), lasts }),
            (key(3), Answer::Busy { by: Some(ActorId(2)), again: None }),
            (key(4), Answer::Busy { by: None, again: Some(Duration::from_millis(5)) }),
        ];
        for reply in [Reply::Answers(answers), Reply::Acked(12)] {
            let wire = v1::LearnerAnswer::from(reply.clone());
            assert_eq!(Reply::try_from(wire).unwrap(), reply);
        }
    }

    #[test]
    fn a_result_that_cannot_be_is_refused() {
        let sound = v1::Result::from(evaluated(Outcome::Measured(vec![1.0])));
        for (what, change) in [
            ("key", (|r| r.key = vec![1; 31]) as fn(&mut v1::Result)),
            ("object", |r| r.object = "{".to_owned()),
            ("status", |r| r.status = 0),
            ("status", |r| r.status = 9),
            ("raw", |r| r.raw.clear()),
            ("raw", |r| r.raw = vec![0.0; limits::OUTPUTS + 1]),
            ("seconds", |r| r.seconds = f64::NAN),
            ("seconds", |r| r.seconds = -1.0),
        ] {
            let mut result = sound.clone();
            change(&mut result);
            let error = Evaluated::try_from(result).unwrap_err().to_string();
            assert!(error.contains(what), "{error} does not say {what}");
        }
    }
}
