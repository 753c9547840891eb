//! What `strace -f -y -xx` writes, as calls with their begin and end.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// The calls that are looked at.
pub(super) const CALLS: [&str; 11] = [
    "pwrite64",
    "write",
    "writev",
    "sendto",
    "sendmsg",
    "fsync",
    "fdatasync",
    "read",
    "readv",
    "recvfrom",
    "recvmsg",
];

/// One call that succeeded.
#[derive(Clone, Debug)]
pub(super) struct Call {
    name: String,
    /// Descriptor and what it is: `7</path>`, `9<socket:[123]>`.
    pub(super) file: String,
    /// What was written or read.
    pub(super) data: Vec<u8>,
    /// The line at which it began.
    pub(super) began: usize,
    /// The line at which it was over.
    pub(super) ended: usize,
}

impl Call {
    /// Of the ledger's files.
    fn is_of_ledger(&self) -> bool {
        self.file.contains("/ledger.sqlite")
    }

    pub(super) fn is_sync(&self) -> bool {
        self.is_of_ledger() && matches!(&self.name[..], "fsync" | "fdatasync")
    }

    pub(super) fn is_ledger_write(&self) -> bool {
        self.is_of_ledger() && matches!(&self.name[..], "pwrite64" | "write" | "writev")
    }

    /// To a peer.
    pub(super) fn is_sent(&self) -> bool {
        self.file.contains("<socket:")
            && matches!(&self.name[..], "write" | "writev" | "sendto" | "sendmsg")
    }

    /// From a peer.
    pub(super) fn is_received(&self) -> bool {
        self.file.contains("<socket:")
            && matches!(&self.name[..], "read" | "readv" | "recvfrom" | "recvmsg")
    }
}

/// Reads a trace; calls in the order of their ends.
pub(super) fn read(text: &str) -> Result<Vec<Call>> {
    let mut unfinished: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    let mut calls = Vec::new();
    for (line, words) in text.lines().enumerate() {
        let Some((process, rest)) = words.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(beginning) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(process, (line, beginning));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (_, end) = resumed.split_once(" resumed>").context("a call that is resumed")?;
            if let Some((began, beginning)) = unfinished.remove(process) {
                calls.extend(call(&format!("{beginning}{end}"), began, line));
            }
        } else {
            calls.extend(call(rest, line, line));
        }
    }
    Ok(calls)
}

/// `NAME(7<FILE>, "DATA", ...) = COUNT`; none if it failed or says something else.
fn call(text: &str, began: usize, ended: usize) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let result: usize = result.split(' ').next()?.parse().ok()?;
    let file = arguments.split_inclusive('>').next()?;
    let mut data: Vec<u8> = arguments.split('"').skip(1).step_by(2).flat_map(bytes).collect();
    if !matches!(name, "fsync" | "fdatasync") {
        data.truncate(result);
    }
    let file = match file.split_once('<') {
        Some((number, name)) => {
            format!("{number}<{}", String::from_utf8_lossy(&bytes(name)))
        }
        None => return None,
    };
    Some(Call { name: name.to_owned(), file, data, began, ended })
}

/// `\x61\x62`, and what stands between as it is.
fn bytes(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        bytes.extend(u8::from_str_radix(digits, 16).ok());
        bytes.extend(rest.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn calls_are_read_whole_or_in_two_halves() {
        let text = "\
10 pwrite64(7</run/ledger.sqlite-wal>, \"\\x61\\x00\", 2, 0) = 2
11 recvfrom(9<socket:[5]>,  <unfinished ...>
10 fdatasync(7</run/ledger.sqlite-wal>) = 0
11 <... recvfrom resumed>\"\\x22\\x62\", 10, 0, NULL, NULL) = 2
12 writev(9<socket:[5]>, [{iov_base=\"\\x01\\x02\", iov_len=2}, {iov_base=\"\\x03\", iov_len=1}], 2) = 2
12 recvfrom(9<socket:[5]>, 0x7f, 10, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)
12 +++ exited with 0 +++
";
        let calls = read(text).unwrap();
        let said: Vec<_> =
            calls.iter().map(|c| (&c.name[..], &c.data[..], c.began, c.ended)).collect();
        let expected: [(&str, &[u8], usize, usize); 4] = [
            ("pwrite64", b"a\0", 0, 0),
            ("fdatasync", b"", 2, 2),
            ("recvfrom", b"\"b", 1, 3),
            ("writev", b"\x01\x02", 4, 4),
        ];
        assert_eq!(said, expected);
        assert!(calls[0].is_ledger_write() && calls[1].is_sync());
        assert!(calls[2].is_received() && calls[3].is_sent());
    }
}
