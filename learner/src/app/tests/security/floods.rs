//! Floods within HTTP/2: the connection ends early, and others do not notice.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::actor::{PATIENCE, TestActor};
use super::super::{GOOD, GRID, TestLearner};

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;
const END_HEADERS: u8 = 4;

/// Frames that a flood sends if nobody stops it.
const FRAMES: u32 = 100_000;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// POST of a call of ours, in HPACK without a table.
fn request() -> Vec<u8> {
    let path = b"/tributary.v1.Weights/Subscribe";
    let mut block = vec![0x83, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path);
    block.extend([0x01, 1, b'x']);
    block
}

/// How a flood ended.
#[derive(Debug)]
struct Ended {
    /// Frames that were sent until then.
    frames: u32,
    /// The learner's reason; none if the connection broke before it could be read.
    reason: Option<u32>,
}

/// Sends frames until the learner ends the connection.
async fn flood(url: &str, first: Vec<u8>, next: impl Fn(u32) -> Vec<u8>) -> Ended {
    let address = url.strip_prefix("http://").unwrap();
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let hello = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, &[])[..]].concat();
    writer.write_all(&[hello, first].concat()).await.unwrap();
    let ended = tokio::spawn(async move {
        let (mut bytes, mut piece) = (Vec::new(), [0; 4_096]);
        // What came before a reset counts, too.
        while let Ok(count @ 1..) = reader.read(&mut piece).await {
            bytes.extend(&piece[..count]);
        }
        bytes
    });
    let mut frames = 0;
    while frames < FRAMES && !ended.is_finished() && writer.write_all(&next(frames)).await.is_ok() {
        frames += 1;
    }
    let bytes = timeout(PATIENCE, ended).await.expect("the connection lives on").unwrap();
    Ended { frames, reason: goodbye(&bytes) }
}

/// The error code of the last GOAWAY frame.
fn goodbye(mut bytes: &[u8]) -> Option<u32> {
    let mut code = None;
    while bytes.len() >= 9 {
        let length = usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
        let payload = bytes.get(9..9 + length)?;
        if bytes[3] == GOAWAY {
            code = Some(u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?));
        }
        bytes = &bytes[9 + length..];
    }
    code
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_within_http2_end_their_own_connection_only() {
    let mut learner = TestLearner::start(GRID, &[]).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(&[GOOD; 50]).await;
    let resets = flood(&learner.url, Vec::new(), |number| {
        let stream = 2 * number + 1;
        let mut frames = frame(HEADERS, END_HEADERS, stream, &request());
        frames.extend(frame(RESET, 0, stream, &8_u32.to_be_bytes()));
        frames
    })
    .await;
    // Names of a kilobyte each, in a head that never ends.
    let header = [&[0x00, 0x7f, 0x80, 0x08][..], &[b'x'; 1_151], &[0x00]].concat();
    let opened = frame(HEADERS, 0, 1, &request());
    let continued = flood(&learner.url, opened, |_| frame(CONTINUATION, 0, 1, &header)).await;
    println!("resets: {resets:?}, continuations: {continued:?}");
    for ended in [resets, continued] {
        assert!(ended.frames < FRAMES, "{ended:?}");
        assert!(ended.reason.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{ended:?}");
    }
    actor.send(&[GOOD; 50]).await;
    actor.acked().await;
    actor.leave_when_drained().await;
    learner.end().await;
}
