//! The batch scripts. They hold paths and options, never a secret.

use std::path::Path;

use super::folder::Folder;

/// Slurm warns the learner so many seconds before its time is up: enough for a checkpoint on a slow file system.
const WARNING_SECONDS: u32 = 120;

/// The script of the learner's job.
pub(super) fn learner(folder: &Folder, options: &str) -> String {
    let job = folder.launched.learner_job();
    let log = folder.logs().join("learner-%j.log");
    let command =
        format!("exec {} slurm learner {}", quoted(&folder.launched.program), quoted(&folder.run));
    let defaults = [
        "--requeue --open-mode=append".to_owned(),
        format!("--signal=B:USR1@{WARNING_SECONDS}"),
        format!("--output={}", escaped(&log)),
    ];
    script(&defaults, options, &job, &command)
}

/// The script of the actors' jobs, which are arrays.
pub(super) fn actor(folder: &Folder, options: &str) -> String {
    let job = folder.launched.actor_job();
    let log = folder.logs().join("actor-%A_%a.log");
    let command =
        format!("exec {} slurm actor {}", quoted(&folder.launched.program), quoted(&folder.run));
    let defaults =
        ["--requeue --open-mode=append".to_owned(), format!("--output={}", escaped(&log))];
    script(&defaults, options, &job, &command)
}

/// Of two options that contradict each other Slurm takes the later one: the user's win over the defaults, and the
/// name, by which the jobs are found again, wins over the user's.
fn script(defaults: &[String], options: &str, job: &str, command: &str) -> String {
    let mut text = "#!/bin/bash\n".to_owned();
    let options = [options.trim().to_owned()];
    let options = options.into_iter().filter(|options| !options.is_empty());
    let all = defaults.iter().cloned().chain(options).chain([format!("--job-name={job}")]);
    for line in all {
        text += &format!("#SBATCH {line}\n");
    }
    text + command + "\n"
}

/// A path as a word of the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// A path in a line of options.
fn escaped(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

#[cfg(test)]
mod tests {
    use super::super::folder::Launched;
    use super::*;

    #[test]
    fn scripts_hold_defaults_then_the_users_options_then_the_name() {
        let folder = Folder { run: "/home/a/runs/grid-1".into(), launched: Launched::example() };
        let expected = "#!/bin/bash
#SBATCH --requeue --open-mode=append
#SBATCH --signal=B:USR1@120
#SBATCH --output=\"/home/a/runs/grid-1/slurm/logs/learner-%j.log\"
#SBATCH --gres=gpu:1 -c 8 -t 2-0
#SBATCH --job-name=my-grid-learner-00c0ffee
exec '/opt/tributary'\\''s/tributary' slurm learner '/home/a/runs/grid-1'
";
        assert_eq!(learner(&folder, "--gres=gpu:1 -c 8 -t 2-0"), expected);
        let actor = actor(&folder, "");
        assert!(actor.contains("actor-%A_%a.log"), "{actor}");
        assert!(!actor.contains("--signal"), "an actor's warning is SIGTERM\n{actor}");
        assert_eq!(actor.lines().count(), 5, "{actor}");
    }
}
