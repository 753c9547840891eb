//! A session as an actor opens it, with nobody behind it who draws anything.

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tributary_common::session::Credit;
use tributary_proto::convert::actor::{ActorEvent, Hello};
use tributary_proto::convert::learner::{LearnerEvent, Welcome};
use tributary_proto::credentials::Dialer;
use tributary_proto::limits;
use tributary_proto::v1::{
    ActorMessage, LearnerMessage, SubscribeRequest, WeightSet, WeightsMessage,
};

/// A session that may send.
pub(crate) struct Bare {
    pub(crate) up: mpsc::Sender<ActorMessage>,
    pub(crate) down: Streaming<LearnerMessage>,
    pub(crate) welcome: Box<Welcome>,
    /// The first.
    pub(crate) credit: Credit,
}

impl Bare {
    /// Until the first credit; `room` messages may wait to be sent.
    pub(crate) async fn join(
        dialer: &Dialer,
        software: &str,
        name: String,
        room: usize,
    ) -> Result<Self> {
        let line = dialer.connect().await?;
        let (up, messages) = mpsc::channel(room);
        let hello = Hello {
            attempt: None,
            protocol: limits::PROTOCOL,
            run: None,
            software: software.to_owned(),
            name,
            host: "here".to_owned(),
            process: std::process::id(),
            threads: 1,
            resume: None,
            claims: vec![],
        };
        up.send(ActorEvent::Hello(hello).into()).await?;
        let open = limits::sessions_client(line).open(ReceiverStream::new(messages)).await?;
        let mut down = open.into_inner();
        let LearnerEvent::Welcome(welcome) = hear(&mut down).await? else { bail!("not welcome") };
        up.send(ActorEvent::Ready(welcome.fingerprints).into()).await?;
        let credit = loop {
            if let LearnerEvent::Credit(credit) = hear(&mut down).await? {
                break credit;
            }
        };
        Ok(Self { up, down, welcome, credit })
    }
}

/// The next message.
pub(crate) async fn hear(down: &mut Streaming<LearnerMessage>) -> Result<LearnerEvent> {
    let message = down.message().await?.context("the learner ended the session")?;
    Ok(message.try_into()?)
}

/// Reads the weights, as every actor does on a connection of its own.
pub(crate) async fn follow(
    dialer: Dialer,
    welcome: Box<Welcome>,
    mut seen: impl FnMut(WeightsMessage) + Send,
) {
    let request = SubscribeRequest {
        run_id: welcome.run.0.to_vec(),
        actor_id: welcome.identity.actor.0,
        set: WeightSet::Ema.into(),
        newer_than: None,
    };
    let Ok(line) = dialer.connect().await else { return };
    let Ok(stream) = limits::weights_client(line).subscribe(request).await else { return };
    let mut stream = stream.into_inner();
    while let Ok(Some(message)) = stream.message().await {
        seen(message);
    }
}
