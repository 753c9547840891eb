//! The bytes of the main messages are committed: a change that breaks the wire breaks this test.
//! Files may be added (`TRIBUTARY_BLESS=1`), an existing one must never change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;

use prost::Message;
use tributary_proto::convert::actor::ActorEvent;
use tributary_proto::convert::chunks::WeightsEvent;
use tributary_proto::convert::learner::LearnerEvent;
use tributary_proto::v1;

/// The committed bytes of a message, after comparing them with those of this release.
fn golden(name: &str, encoded: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.hex"));
    let digits = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text: String = encoded.chunks(32).map(|line| digits(line) + "\n").collect();
    if std::env::var_os("TRIBUTARY_BLESS").is_some_and(|value| value == "1") && !path.exists() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed =
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(committed, text, "the bytes of {name} changed: peers of older releases break");
    encoded.to_vec()
}

#[test]
fn actors_still_speak_the_same_bytes() {
    for (name, event) in common::actor_events() {
        let bytes = golden(name, &v1::ActorMessage::from(event.clone()).encode_to_vec());
        let message = v1::ActorMessage::decode(&bytes[..]).unwrap();
        assert_eq!(ActorEvent::try_from(message).unwrap(), event, "{name}");
    }
}

#[test]
fn learners_still_speak_the_same_bytes() {
    for (name, event) in common::learner_events() {
        let bytes = golden(name, &v1::LearnerMessage::from(event.clone()).encode_to_vec());
        let message = v1::LearnerMessage::decode(&bytes[..]).unwrap();
        assert_eq!(LearnerEvent::try_from(message).unwrap(), event, "{name}");
    }
    for (name, event) in common::weights_events() {
        let bytes = golden(name, &v1::WeightsMessage::from(event.clone()).encode_to_vec());
        let message = v1::WeightsMessage::decode(&bytes[..]).unwrap();
        assert_eq!(WeightsEvent::try_from(message).unwrap(), event, "{name}");
    }
}

#[test]
fn what_is_words_still_has_the_same_bytes() {
    for (name, bytes) in common::words() {
        golden(name, &bytes);
    }
}
