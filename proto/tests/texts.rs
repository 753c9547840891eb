//! Texts that only people read say the same however often they are passed on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::hello;
use prost::Message;
use tributary_proto::convert::actor::ActorEvent;
use tributary_proto::{limits, v1};

/// What the fuzz target `wire` found: a name that grew with every escape was cut the next time only.
#[test]
fn names_that_grow_when_they_are_escaped_stay_as_they_are_from_then_on() {
    for part in ["\u{1}", "*\u{1}\0", "\u{feff}", "x", "é"] {
        for length in (0..=limits::TEXT_BYTES / part.len()).step_by(7) {
            let text = part.repeat(length);
            let greeting = v1::Hello { name: text.clone(), host: text.clone(), ..hello().into() };
            let goodbye = v1::Goodbye { reason: text, ..Default::default() };
            for message in [
                v1::actor_message::Message::Hello(greeting),
                v1::actor_message::Message::Goodbye(goodbye),
            ] {
                let what = format!("{part:?} {length} times");
                let event = ActorEvent::try_from(v1::ActorMessage { message: Some(message) });
                let first = v1::ActorMessage::from(event.expect(&what)).encode_to_vec();
                let again = v1::ActorMessage::decode(&first[..]).unwrap();
                let again = ActorEvent::try_from(again).expect(&what);
                assert_eq!(first, v1::ActorMessage::from(again).encode_to_vec(), "{what}");
            }
        }
    }
}
