//! Decoding of every message of the wire. The first byte chooses the message; what is accepted must
//! say the same after a way back to bytes and to the domain again.

use prost::Message;
use tributary_proto::convert::actor::ActorEvent;
use tributary_proto::convert::chunks::{Chunk, Fetch, Subscription, WeightsEvent};
use tributary_proto::convert::learner::LearnerEvent;
use tributary_proto::v1;

/// One message.
pub fn run(data: &[u8]) {
    let Some((&kind, bytes)) = data.split_first() else { return };
    match kind % 16 {
        0..=3 => both_ways::<v1::ActorMessage, ActorEvent>(bytes),
        4..=6 => both_ways::<v1::LearnerMessage, LearnerEvent>(bytes),
        7 => both_ways::<v1::WeightsMessage, WeightsEvent>(bytes),
        8 => both_ways::<v1::SubscribeRequest, Subscription>(bytes),
        9 => both_ways::<v1::FetchRequest, Fetch>(bytes),
        10 => both_ways::<v1::AssetData, Chunk>(bytes),
        11 => words::<v1::StatusReply>(bytes),
        12 => words::<v1::MetricsRecord>(bytes),
        13 => words::<v1::ActorQuestion>(bytes),
        14 => words::<v1::LearnerAnswer>(bytes),
        _ => words::<v1::WatchRequest>(bytes),
    }
}

fn both_ways<W, D>(bytes: &[u8])
where
    W: Message + Default + TryInto<D> + From<D>,
    D: Clone,
    W::Error: std::fmt::Display,
{
    let Ok(message) = W::decode(bytes) else { return };
    let event: D = match message.try_into() {
        Ok(event) => event,
        Err(error) => {
            // What is refused is refused in words of bounded length.
            assert!(error.to_string().len() < 4096, "{error}");
            return;
        }
    };
    let first = W::from(event).encode_to_vec();
    let Ok(again) = W::decode(&first[..]) else { panic!("its own bytes do not decode") };
    let again: D = match again.try_into() {
        Ok(again) => again,
        Err(error) => panic!("its own bytes are refused: {error}"),
    };
    assert_eq!(first, W::from(again).encode_to_vec(), "it says something else the second time");
}

fn words<W: Message + Default>(bytes: &[u8]) {
    let Ok(message) = W::decode(bytes) else { return };
    let first = message.encode_to_vec();
    let Ok(again) = W::decode(&first[..]) else { panic!("its own bytes do not decode") };
    assert_eq!(first.len(), again.encode_to_vec().len());
}
