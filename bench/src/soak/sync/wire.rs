//! The messages in the bytes of HTTP/2 connections, without TLS.

use std::collections::BTreeMap;

/// What a client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length, type, flags, stream.
const FRAME_HEAD: usize = 9;
/// Whether it is compressed, and its length.
const MESSAGE_HEAD: usize = 5;
const DATA: u8 = 0;

/// One direction of a connection.
#[derive(Default)]
pub(super) struct Direction {
    left: Vec<u8>,
    streams: BTreeMap<u32, Vec<u8>>,
}

impl Direction {
    /// Adds bytes; the messages that are complete now, with their streams.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
        self.left.extend(bytes);
        if self.left.len() < PREFACE.len() && PREFACE.starts_with(&self.left) {
            return Vec::new();
        }
        if self.left.starts_with(PREFACE) {
            self.left.drain(..PREFACE.len());
        }
        let mut messages = Vec::new();
        while let Some((kind, stream, payload)) = self.frame() {
            if kind != DATA {
                continue;
            }
            let buffer = self.streams.entry(stream).or_default();
            buffer.extend(payload);
            while let Some(message) = message(buffer) {
                messages.push((stream, message));
            }
        }
        messages
    }

    fn frame(&mut self) -> Option<(u8, u32, Vec<u8>)> {
        let &[a, b, c, kind, _, d, e, f, g] = self.left.first_chunk::<FRAME_HEAD>()?;
        let end = FRAME_HEAD + u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = self.left.get(FRAME_HEAD..end)?.to_vec();
        self.left.drain(..end);
        Some((kind, u32::from_be_bytes([d, e, f, g]), payload))
    }
}

fn message(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let &[_, a, b, c, d] = buffer.first_chunk::<MESSAGE_HEAD>()?;
    let end = MESSAGE_HEAD + u32::from_be_bytes([a, b, c, d]) as usize;
    let message = buffer.get(MESSAGE_HEAD..end)?.to_vec();
    buffer.drain(..end);
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_however_the_bytes_are_cut() {
        let mut bytes = PREFACE.to_vec();
        // Settings, then a message in two frames of stream 3.
        bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        bytes.extend([0, 0, 6, DATA, 0, 0, 0, 0, 3, 0, 0, 0, 0, 3, b'a']);
        bytes.extend([0, 0, 2, DATA, 0, 0, 0, 0, 3, b'b', b'c']);
        for step in 1..bytes.len() {
            let mut direction = Direction::default();
            let messages: Vec<_> =
                bytes.chunks(step).flat_map(|part| direction.add(part)).collect();
            assert_eq!(messages, [(3, b"abc".to_vec())], "in parts of {step}");
        }
    }
}
