//! The form of a spool's files: a header, then frames, each with its length and checksum.
//!
//! A frame holds a message of the wire: what the actor would say in Hello (its run and what it
//! resumes) or a batch of records. So the form grows as the protocol does.

use prost::Message;
use tributary_common::ids::RunId;
use tributary_common::schema::{self, UnknownSchema};
use tributary_common::session::Resume;
use tributary_proto::convert::batch::StampedBatch;
use tributary_proto::v1;

/// The number of the form; see docs/compatibility.md.
pub(super) const SCHEMA: u32 = 1;
/// A file of a spool starts with this; then comes the number of its form.
const MAGIC: [u8; 8] = *b"TRIBSPOL";
pub(super) const HEADER: usize = 12;
/// A frame starts with this, so that the next one is found behind a damaged one.
const MARKER: [u8; 4] = [0xf1, b'T', b'F', 0x1a];
/// Marker, length, kind and checksum.
const FRAME_HEADER: usize = 17;
/// No frame is larger: twice what a message of a session may be.
const LARGEST: usize = 1 << 20;

/// What a frame holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// How the sessions stood when it was written.
    State(State),
    /// Records.
    Batch(StampedBatch),
}

/// Whose spool it is, and what was stamped and acked of each epoch.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    pub(super) run: RunId,
    pub(super) resume: Resume,
}

/// A part of a file: a whole frame, or the offset from which on nobody can read a frame, up to the next
/// one or the end.
pub(super) type Part = Result<Content, usize>;

/// The first bytes of a file.
pub(super) fn header() -> Vec<u8> {
    [&MAGIC[..], &SCHEMA.to_le_bytes()].concat()
}

/// Refuses the form of a newer release. A header that is torn or damaged says nothing.
pub(super) fn check_header(bytes: &[u8]) -> Result<(), UnknownSchema> {
    match bytes.strip_prefix(&MAGIC).and_then(|rest| rest.first_chunk::<4>()) {
        Some(number) => schema::check("a spool", u32::from_le_bytes(*number), SCHEMA),
        None => Ok(()),
    }
}

/// A frame, ready to be written.
pub(super) fn encode(content: Content) -> Vec<u8> {
    let (kind, payload) = match content {
        Content::State(State { run, resume }) => {
            let hello = v1::Hello {
                run_id: run.0.to_vec(),
                resume: Some(resume.into()),
                ..v1::Hello::default()
            };
            (1, hello.encode_to_vec())
        }
        Content::Batch(batch) => (2, v1::Batch::from(batch).encode_to_vec()),
    };
    let length = (payload.len() as u32).to_le_bytes();
    let check = checksum(length, kind, &payload);
    [&MARKER[..], &length, &[kind], &check, &payload].concat()
}

/// The parts of a file behind its header.
pub(super) struct Parts<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parts<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: HEADER.min(bytes.len()) }
    }
}

impl Iterator for Parts<'_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        if let Some((content, length)) = decode(rest) {
            self.at += length;
            return Some(Ok(content));
        }
        let start = self.at;
        let next = (1..rest.len()).find(|&skip| decode(&rest[skip..]).is_some());
        self.at = next.map_or(self.bytes.len(), |skip| start + skip);
        Some(Err(start))
    }
}

/// The frame at the start of these bytes, with its length.
fn decode(bytes: &[u8]) -> Option<(Content, usize)> {
    let rest = bytes.strip_prefix(&MARKER)?;
    let (&length, rest) = rest.split_first_chunk::<4>()?;
    let (&kind, rest) = rest.split_first()?;
    let (check, rest) = rest.split_first_chunk::<8>()?;
    let size = usize::try_from(u32::from_le_bytes(length)).ok().filter(|&size| size <= LARGEST)?;
    let payload = rest.get(..size)?;
    if checksum(length, kind, payload) != *check {
        return None;
    }
    let content = match kind {
        1 => {
            let hello = v1::Hello::decode(payload).ok()?;
            let run = RunId(hello.run_id.try_into().ok()?);
            Content::State(State { run, resume: hello.resume?.try_into().ok()? })
        }
        2 => Content::Batch(v1::Batch::decode(payload).ok()?.try_into().ok()?),
        _ => return None,
    };
    Some((content, FRAME_HEADER + size))
}

fn checksum(length: [u8; 4], kind: u8, payload: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&length).update(&[kind]).update(payload);
    let mut check = [0; 8];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    check
}
