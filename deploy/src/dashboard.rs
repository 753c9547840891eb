//! `tributary dashboard`: where a run is looked at in a browser.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use tributary_common::token::Token;

use crate::credentials::Address;
use crate::error::CommandError;
use crate::output;

/// Prints the address of a run's dashboard, with the token that the page asks for
///
/// The token stands behind a #, so that a browser keeps it to itself: it is not sent as part of an
/// address, and the page takes it out of the address bar. Whoever has the line may look at the run and
/// end it.
///
/// For a learner on another machine: ssh -L 4180:HOST:PORT that-machine, with host and port of the
/// address, and then the address with localhost:4180 instead.
#[derive(Args)]
pub(crate) struct Options {
    /// The run directory, on the learner's machine
    #[arg(value_name = "RUN_DIR")]
    run_dir: PathBuf,
}

/// Prints it.
pub(crate) fn run(options: &Options) -> Result<(), CommandError> {
    output::print(&format!("{}\n", address(&options.run_dir)?))
}

/// The page with the token.
pub(crate) fn address(run: &Path) -> Result<String, CommandError> {
    let token = run.join("token");
    let page = page(run).filter(|_| token.exists()).ok_or_else(|| CommandError::RunDirectory {
        path: run.to_owned(),
        reason: "has no learner: give the directory of a run that was started".to_owned(),
    })?;
    let token = Token::read(&token).map_err(CommandError::Token)?;
    Ok(format!("{page}#token={}", token.reveal()))
}

/// Where a run's learner shows its dashboard; none if it has not told.
pub(crate) fn page(run: &Path) -> Option<String> {
    let address: Address =
        serde_json::from_slice(&fs::read(run.join("address.json")).ok()?).ok()?;
    let told = !address.http.is_empty();
    told.then(|| format!("{}/", address.http.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_token_is_behind_the_address() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(page(folder.path()), None);
        let error = address(folder.path()).unwrap_err().to_string();
        assert!(error.contains("has no learner"), "{error}");
        let text =
            r#"{"schema":1,"grpc":"http://127.0.0.1:1","http":"http://127.0.0.1:2","pid":3}"#;
        fs::write(folder.path().join("address.json"), text).unwrap();
        fs::write(folder.path().join("token"), "0123456789abcdef\n").unwrap();
        assert_eq!(page(folder.path()).unwrap(), "http://127.0.0.1:2/");
        let whole = address(folder.path()).unwrap();
        assert_eq!(whole, "http://127.0.0.1:2/#token=0123456789abcdef");
    }
}
