//! The data files of a run: read where the run file names them, kept in the run directory.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use tonic::codegen::Bytes;
use tributary_common::registry::{data_files, redirect};
use tributary_common::run_file::RunFile;
use tributary_proto::convert::learner::Asset;

use crate::error::LearnerError;
use crate::run_directory::{RunDirectory, RunDirectoryError};

/// Data files that were read.
pub(super) struct Data {
    /// Those that actors need too.
    pub(super) assets: Vec<(Asset, Bytes)>,
    /// All of them, by their names in the run directory.
    files: BTreeMap<String, Bytes>,
}

impl Data {
    /// Reads every data file, relative to `folder`, and lets the run file name the copies in the run
    /// directory.
    pub(super) fn read(run_file: &mut RunFile, folder: &Path) -> Result<Self, LearnerError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map(Bytes::from).map_err(|source| LearnerError::Read { path, source })
        };
        let (mut assets, mut kept) = (Vec::new(), HashMap::new());
        let mut files = BTreeMap::new();
        let mut keep = |name: &str, bytes: Bytes| {
            let ours = RunDirectory::data_name(name);
            if files.insert(ours.clone(), bytes.clone()).is_some_and(|other| other != bytes) {
                let short = Path::new(name).file_name().unwrap_or_default();
                let name = short.to_string_lossy().into_owned();
                return Err(LearnerError::from(RunDirectoryError::NameTaken { name }));
            }
            Ok(ours)
        };
        for file in data_files(run_file) {
            let bytes = read(&file.name)?;
            let name = keep(&file.name, bytes.clone())?;
            redirect(run_file, &file, Path::new(&name));
            let (blake3, size) = (*blake3::hash(&bytes).as_bytes(), bytes.len() as u64);
            assets.push((Asset { name: name.clone(), blake3, size }, bytes));
            kept.insert(file.name, name);
        }
        // One file may serve several purposes.
        let of_evaluation = run_file.evaluation.data_files().into_iter().map(|(_, file)| file);
        for file in of_evaluation.chain([&mut run_file.replay.initial]) {
            let Some(given) = file else { continue };
            let name = match kept.get(given) {
                Some(name) => String::clone(name),
                None => keep(given, read(given)?)?,
            };
            kept.insert(std::mem::replace(given, name.clone()), name);
        }
        Ok(Self { assets, files })
    }

    /// Keeps copies in the run directory.
    pub(super) fn keep(&self, directory: &RunDirectory) -> Result<(), RunDirectoryError> {
        self.files.iter().try_for_each(|(name, bytes)| directory.keep_data_file(name, bytes))
    }
}
