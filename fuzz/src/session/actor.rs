//! The actor's side.

use tributary_common::ids::{ActorId, Epoch, Incarnation, Seq};
use tributary_common::session::actor::{ActorSession, State};
use tributary_common::session::{Acked, Credit, Identity, Secret};

use crate::input::Input;

/// Plays events until the bytes end.
pub(super) fn run(events: &[u8]) {
    let mut session = ActorSession::<u64>::default();
    let mut input = Input(events);
    let mut held = Vec::new();
    while event(&mut session, &mut input, &mut held).is_some() {
        let unacked = session.unacked_records() as u64;
        assert_eq!(session.stamped_records(), session.acked_records() + unacked);
        let bytes: u64 = session.held().map(|(_, &bytes)| bytes).sum();
        assert_eq!(bytes, session.unacked_bytes());
        assert!(session.held().map(|(key, _)| key).is_sorted_by(|a, b| a < b));
    }
}

fn event(
    session: &mut ActorSession<u64>,
    input: &mut Input<'_>,
    sent: &mut Vec<u64>,
) -> Option<()> {
    match input.byte()? % 12 {
        0 => drop(session.hello()),
        1 => {
            let identity = Identity {
                actor: ActorId(1 + input.below(2)? as u64),
                secret: Secret([1; 16]),
                epoch: epoch(input)?,
            };
            let acked = acked(input)?;
            let _ = session.welcome(identity, &[acked]);
        }
        2..=4 => {
            let bytes = u64::from(input.byte()?);
            let _ = session.complete(bytes, bytes);
        }
        5 => {
            let records = Some(input.number()?).filter(|records| *records != 7);
            let _ = session.grant(Credit { bytes: input.number()?, records });
        }
        6 | 7 => {
            let most = input.number()?;
            if let Some(outgoing) = session.take(most) {
                assert!(!outgoing.records.is_empty());
                let bytes: u64 = outgoing.records.iter().copied().sum();
                assert!(outgoing.records.len() == 1 || bytes <= most);
                sent.push(bytes);
            }
        }
        8 | 9 => {
            let acked = acked(input)?;
            let before = session.unacked_records();
            match session.ack(acked) {
                Ok(count) => assert_eq!(before - count, session.unacked_records()),
                Err(_) => assert_eq!(before, session.unacked_records()),
            }
        }
        10 => session.disconnect(),
        _ => match input.byte()? {
            0 => session.fence(epoch(input)?),
            1 => session.refuse(false),
            2 => session.drain(),
            _ => session.refuse(true),
        },
    }
    if matches!(session.state(), State::Fenced(_) | State::Refused) {
        assert!(session.take(u64::MAX).is_none(), "a session that is over sends");
    }
    Some(())
}

fn epoch(input: &mut Input<'_>) -> Option<Epoch> {
    Some(Epoch { incarnation: Incarnation(1 + input.below(2)? as u32), counter: input.number()? })
}

fn acked(input: &mut Input<'_>) -> Option<Acked> {
    Some(Acked { epoch: epoch(input)?, below: Seq(input.number()?) })
}
