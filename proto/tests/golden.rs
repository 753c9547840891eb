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
    for (name, bytes) in [common::words(), common::calls(), common::rewards()].concat() {
        golden(name, &bytes);
    }
}

/// A field of a later release: number 2000, the text "later".
fn with_a_later_field(bytes: &[u8]) -> Vec<u8> {
    let field = [0x82, 0x7d, 5, b'l', b'a', b't', b'e', b'r'];
    [bytes, &field].concat()
}

#[test]
fn fields_of_a_later_release_are_ignored() {
    for (name, event) in common::actor_events() {
        let bytes = v1::ActorMessage::from(event.clone()).encode_to_vec();
        let message = v1::ActorMessage::decode(&with_a_later_field(&bytes)[..]).unwrap();
        assert_eq!(ActorEvent::try_from(message).unwrap(), event, "{name}");
    }
    for (name, event) in common::learner_events() {
        let bytes = v1::LearnerMessage::from(event.clone()).encode_to_vec();
        let message = v1::LearnerMessage::decode(&with_a_later_field(&bytes)[..]).unwrap();
        assert_eq!(LearnerEvent::try_from(message).unwrap(), event, "{name}");
    }
    // In the messages within, too: hello, and what it resumes.
    let hello = v1::Hello::from(common::hello()).encode_to_vec();
    let hello = v1::Hello::decode(&with_a_later_field(&hello)[..]).unwrap();
    assert_eq!(tributary_proto::convert::actor::Hello::try_from(hello).unwrap(), common::hello());
}

/// The messages as people read them, beside the bytes.
#[test]
fn the_texts_beside_the_bytes_say_what_the_bytes_say() {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut say = |name: &str, message: &dyn std::fmt::Debug| {
        writeln!(text, "{name}: {message:#?}\n").unwrap();
    };
    for (name, event) in common::actor_events() {
        say(name, &v1::ActorMessage::from(event));
    }
    for (name, event) in common::learner_events() {
        say(name, &v1::LearnerMessage::from(event));
    }
    for (name, event) in common::weights_events() {
        say(name, &v1::WeightsMessage::from(event));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/messages.txt");
    if std::env::var_os("TRIBUTARY_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}
