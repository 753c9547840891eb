//! Event files for TensorBoard, in the run directory's folder `tensorboard`: the figures of `metrics.jsonl` as scalars.
//!
//! A file is a row of records (length, its checksum, bytes, their checksum), each an `Event` in protobuf;
//! `tensorboard/compat/proto/{event,summary}.proto` of the package `tensorboard` declare them.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use prost::Message;
use tributary_common::ids::Incarnation;

use crate::record::Record;

/// The folder in the run directory.
pub const FOLDER: &str = "tensorboard";
/// From this version on what a restarted program does again takes the place of what was there.
const VERSION: &str = "brain.Event:2";
/// `SessionLog.START`.
const START: i32 = 1;

/// The event file of one start of a learner.
#[derive(Debug)]
pub struct EventFile {
    file: BufWriter<File>,
    is_new: bool,
}

impl EventFile {
    /// Begins one behind those of earlier starts.
    ///
    /// # Errors
    /// The file system's.
    pub fn create(run_directory: &Path, incarnation: Incarnation) -> io::Result<Self> {
        let folder = run_directory.join(FOLDER);
        fs::create_dir_all(&folder)?;
        // TensorBoard reads the files in the order of their names.
        let name = format!("events.out.tfevents.{:010}.tributary", incarnation.0);
        let file = BufWriter::new(File::create(folder.join(name))?);
        Ok(Self { file, is_new: true })
    }

    /// Adds a record, as 32-bit numbers, at its step.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        // Steps fit.
        let (wall_time, step) = (record.time, record.step as i64);
        if std::mem::take(&mut self.is_new) {
            let what = Some(What::FileVersion(VERSION.to_owned()));
            self.add(&Event { wall_time, step: 0, what })?;
            let what = Some(What::SessionLog(SessionLog { status: START }));
            self.add(&Event { wall_time, step, what })?;
        }
        let scalar = |(tag, value): (&String, &f64)| Scalar {
            tag: tag.replacen('.', "/", 1),
            simple_value: Some(*value as f32),
        };
        let what =
            Some(What::Summary(Summary { value: record.values.iter().map(scalar).collect() }));
        self.add(&Event { wall_time, step, what })?;
        self.file.flush()
    }

    fn add(&mut self, event: &Event) -> io::Result<()> {
        let bytes = event.encode_to_vec();
        let length = (bytes.len() as u64).to_le_bytes();
        for part in [&length[..], &bytes] {
            self.file.write_all(part)?;
            self.file.write_all(&masked_crc32c(part).to_le_bytes())?;
        }
        Ok(())
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(double, tag = 1)]
    wall_time: f64,
    #[prost(int64, tag = 2)]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = 3)]
    FileVersion(String),
    #[prost(message, tag = 5)]
    Summary(Summary),
    #[prost(message, tag = 7)]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Summary {
    #[prost(message, repeated, tag = 1)]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Scalar {
    #[prost(string, tag = 1)]
    tag: String,
    #[prost(float, optional, tag = 2)]
    simple_value: Option<f32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SessionLog {
    #[prost(int32, tag = 1)]
    status: i32,
}

/// As TFRecord masks it, so that a checksum of bytes with checksums in them is not special.
fn masked_crc32c(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32 with Castagnoli's polynomial (RFC 3720, appendix B.4).
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
    !bytes.iter().fold(!0, step)
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(crc32c(b""), 0);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa, "RFC 3720");
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43, "RFC 3720");
    }

    fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(count);
        *bytes = rest;
        taken
    }

    /// Takes bytes with the right checksum behind them.
    fn checked<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
        let taken = take(bytes, count);
        let check = take(bytes, 4).try_into().unwrap();
        assert_eq!(u32::from_le_bytes(check), masked_crc32c(taken));
        taken
    }

    fn events(mut bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let length = checked(&mut bytes, 8).try_into().unwrap();
            let event = checked(&mut bytes, u64::from_le_bytes(length) as usize);
            events.push(Event::decode(event).unwrap());
        }
        events
    }

    #[test]
    fn records_are_events_behind_the_two_of_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(folder.path(), Incarnation(3)).unwrap();
        let record = |step, loss| Record {
            number: step,
            step,
            seconds: 1.0,
            time: 1.5e9,
            values: [("loss".to_owned(), loss), ("yield.0.objects".to_owned(), 7.0)].into(),
            stalled_edge: None,
        };
        file.write(&record(40, 0.0)).unwrap();
        file.write(&record(50, 0.25)).unwrap();
        let path = folder.path().join("tensorboard/events.out.tfevents.0000000003.tributary");
        let bytes = fs::read(path).unwrap();
        let events = events(&bytes);
        assert_eq!(events.len(), 4);
        assert_eq!(events[0].what, Some(What::FileVersion(VERSION.to_owned())));
        assert_eq!(events[1].what, Some(What::SessionLog(SessionLog { status: START })));
        assert_eq!(events[1].step, 40, "where this start goes on");
        let scalar = |tag: &str, value| Scalar { tag: tag.to_owned(), simple_value: Some(value) };
        for (event, step, loss) in [(&events[2], 40, 0.0), (&events[3], 50, 0.25)] {
            let value = vec![scalar("loss", loss), scalar("yield/0.objects", 7.0)];
            assert_eq!(event.what, Some(What::Summary(Summary { value })));
            assert_eq!((event.step, event.wall_time), (step, 1.5e9));
        }
    }
}
