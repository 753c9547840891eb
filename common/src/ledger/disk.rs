//! Where the ledger lies, and what kind of journal that allows.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::sys::statfs::statfs;

/// File systems shared between machines, by their number in statfs(2): memory cannot be shared over
/// them, which a write-ahead log needs.
const SHARED: [(i64, &str); 11] = [
    (0x6969, "NFS"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x00C3_6400, "Ceph"),
    (0x517B, "SMB"),
    (0xFE53_4D42, "SMB2"),
    (0xFF53_4D42, "CIFS"),
    (0x5346_414F, "AFS"),
    (0x0102_1997, "9P"),
    (0x6573_5546, "FUSE"),
];

/// How SQLite keeps a commit whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// A write-ahead log: readers and the writer do not wait for each other.
    WriteAheadLog,
    /// A rollback journal, on a file system that several machines share.
    Rollback {
        /// The file system.
        on: &'static str,
    },
}

impl Journal {
    /// What the file system of this folder allows.
    ///
    /// # Errors
    /// The system's.
    pub fn of_folder(folder: &Path) -> io::Result<Self> {
        // The number's type differs between systems; its 32 bits do not.
        let number = i64::from(statfs(folder)?.filesystem_type().0 as u32);
        Ok(Self::of_file_system(number))
    }

    fn of_file_system(number: i64) -> Self {
        let shared = SHARED.iter().find(|(shared, _)| *shared == number);
        shared.map_or(Self::WriteAheadLog, |&(_, on)| Self::Rollback { on })
    }

    /// Its name in SQLite.
    pub fn mode(self) -> &'static str {
        match self {
            Self::WriteAheadLog => "wal",
            Self::Rollback { .. } => "delete",
        }
    }

    /// For people.
    pub fn describe(self) -> String {
        match self {
            Self::WriteAheadLog => "write-ahead log".to_owned(),
            Self::Rollback { on } => format!("rollback journal, as the run directory is on {on}"),
        }
    }
}

/// Makes an empty file that only its owner reads (the ledger holds the actors' secrets), unless it is
/// there.
pub(super) fn create(path: &Path) -> io::Result<()> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match created {
        Ok(file) => file.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_shared_file_system_has_no_write_ahead_log() {
        assert_eq!(Journal::of_file_system(0x6969).mode(), "delete");
        assert!(Journal::of_file_system(0x0BD0_0BD0).describe().contains("on Lustre"));
        // ext4, tmpfs, overlay.
        for local in [0xEF53, 0x0102_1994, 0x794C_7630] {
            assert_eq!(Journal::of_file_system(local), Journal::WriteAheadLog);
        }
        let folder = tempfile::tempdir().unwrap();
        Journal::of_folder(folder.path()).unwrap();
    }
}
