//! `tributary certs`: an authority of one's own, certificates and tokens for a run on several machines.

mod authority;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use tributary_proto::access::{CertifiedName, Role};

use crate::error::CommandError;
use crate::output;
use authority::{Authority, write_secret, write_token};

/// Makes certificates and tokens for a run on several machines
///
/// DIR gets an authority (ca.pem, ca-key.pem) and a folder for each who takes part: learner, control
/// (commands, Prometheus) and actor-1, actor-2, ... Copy each folder to the machines that need it and
/// give it as --credentials; actors may share one. Keep ca-key.pem at a safe place, or delete it: who
/// has it can make more certificates. A DIR that holds an authority is used again: more actors, more
/// hosts, new certificates for ones that are about to expire.
#[derive(Args)]
pub(crate) struct Options {
    /// Where they are written
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The certificates are good for the run of this name only [default: for any run]
    #[arg(long, value_name = "NAME")]
    run: Option<String>,
    /// A name or address of the learner's machine, as actors will write it; may be repeated (localhost
    /// and this machine's name are always in)
    #[arg(long = "host", value_name = "NAME_OR_IP")]
    hosts: Vec<String>,
    /// How many folders for actors
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=4096))]
    actors: u16,
    /// How long the certificates are valid
    #[arg(long, value_name = "DAYS", default_value_t = 30,
        value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
}

/// Makes them, and says how to use them.
pub(crate) fn run(options: &Options) -> Result<(), CommandError> {
    output::print(&make(options)?)
}

/// How long the certificates of a run on a cluster are valid; the learner's is made anew at each start.
const RUN_DAYS: u16 = 365;

/// The authority, certificates and tokens of a run whose actors share theirs. The learner gets its
/// certificate where it runs: [`make_for_learner`].
pub(crate) fn make_for_run(directory: &Path, run: &str) -> Result<(), CommandError> {
    let (directory, run) = (directory.to_owned(), Some(run.to_owned()));
    make(&Options { directory, run, hosts: Vec::new(), actors: 1, days: RUN_DAYS }).map(drop)
}

/// The learner's certificate for this machine, of an authority that [`make_for_run`] made.
pub(crate) fn make_for_learner(directory: &Path, hosts: &[String]) -> Result<(), CommandError> {
    let authority = Authority::open(directory, RUN_DAYS)?;
    authority.certify_learner(&directory.join("learner"), &self::hosts(hosts))
}

fn make(options: &Options) -> Result<String, CommandError> {
    let directory = &options.directory;
    make_folder(directory)?;
    let authority = Authority::open(directory, options.days)?;
    let hosts = hosts(&options.hosts);
    let learner = make_folder(&directory.join("learner"))?;
    authority.certify_learner(&learner, &hosts)?;
    let control = make_folder(&directory.join("control"))?;
    certify(&authority, options, &control, Role::Control, "control")?;
    let actor_token = write_token(&learner.join("actor.token"))?;
    let control_token = write_token(&learner.join("control.token"))?;
    write_secret(&control.join("token"), &control_token)?;
    for number in 1..=options.actors {
        let name = format!("actor-{number}");
        let folder = make_folder(&directory.join(&name))?;
        certify(&authority, options, &folder, Role::Actor, &name)?;
        write_secret(&folder.join("token"), &actor_token)?;
    }
    Ok(page(options, &hosts))
}

fn certify(
    authority: &Authority,
    options: &Options,
    folder: &Path,
    role: Role,
    name: &str,
) -> Result<(), CommandError> {
    let name = CertifiedName { run: options.run.clone(), role, name: name.to_owned() };
    authority.certify_client(folder, &name)
}

fn make_folder(path: &Path) -> Result<PathBuf, CommandError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    match made {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(CommandError::system(format!("make {}", path.display()))(error))
        }
        _ => Ok(path.to_owned()),
    }
}

/// The names that the learner's certificate is for.
fn hosts(given: &[String]) -> Vec<String> {
    let mut hosts = given.to_vec();
    let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    for host in [own.trim(), "localhost", "127.0.0.1", "::1"] {
        if !host.is_empty() && !hosts.iter().any(|known| known == host) {
            hosts.push(host.to_owned());
        }
    }
    hosts
}

fn page(options: &Options, hosts: &[String]) -> String {
    let directory = options.directory.display();
    let host = hosts.first().map_or("HOST", String::as_str);
    let actors = match options.actors {
        1 => "actor-1".to_owned(),
        many => format!("actor-1 ... actor-{many}"),
    };
    format!(
        "{directory}: an authority and certificates for {days} days; the learner's is for {names}

on the learner's machine, a learner and actors beside it:
  tributary train RUN.toml --listen 0.0.0.0:4100 --certs {directory}
or a learner alone:
  tributary-learner --run-file RUN.toml --run-dir RUN_DIR --listen 0.0.0.0:4100 \\
    --credentials {directory}/learner

on other machines, each with a copy of one of the folders {actors}:
  tributary actor --learner https://{host}:4100 --credentials actor-1

what the run is doing, with the folder control:
  tributary status https://{host}:4100 --credentials control

Keep {directory}/ca-key.pem where nobody else can read it: it makes more certificates.
",
        days = options.days,
        names = hosts.join(", "),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn folders_hold_what_each_needs_and_secrets_are_ones_own() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("certs");
        let mut options = Options {
            directory: directory.clone(),
            run: Some("grid".to_owned()),
            hosts: vec!["10.0.0.7".to_owned()],
            actors: 2,
            days: 3,
        };
        make(&options).unwrap();
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
        for name in [
            "ca-key.pem",
            "learner/key.pem",
            "control/key.pem",
            "actor-2/key.pem",
            "learner/actor.token",
            "learner/control.token",
            "control/token",
            "actor-1/token",
        ] {
            let mode = fs::metadata(directory.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert_eq!(read("learner/control.token"), read("control/token"));
        assert_eq!(read("learner/actor.token"), read("actor-2/token"));
        assert_ne!(read("control/token"), read("actor-1/token"));
        assert!(!directory.join("actor-1/ca-key.pem").exists());

        // Once more: the authority and the tokens stay, certificates are new.
        let (authority, token) = (read("ca.pem"), read("actor-1/token"));
        let certificate = read("actor-1/cert.pem");
        options.actors = 3;
        let page = make(&options).unwrap();
        assert_eq!((read("ca.pem"), read("actor-3/token")), (authority, token));
        assert_ne!(read("actor-1/cert.pem"), certificate);
        for expected in ["https://10.0.0.7:4100", "actor-3", "3 days", "--certs"] {
            assert!(page.contains(expected), "{expected} is not in\n{page}");
        }
    }
}
