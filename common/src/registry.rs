//! Which environments and rewards a run file's `kind` can name.
//!
//! Users add their own: `Registry::builtin().with_environment("mine", |section| ...)`.

mod kinds;
mod lockstep;
mod replay;
mod suitability;

pub use kinds::Kind;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::environment::{self, Environment, Hypergrid, Sequence};
use crate::reward::table::file::objects::{self, Listed};
use crate::reward::{
    self, BitSequence, Delayed, HypergridReward, Landscape, Motif, Outside, OutsideReward,
    Repeated, Reward, Table,
};
use crate::run_file::{self, Origin, Problem, RunFile, RunFileError, Section, Toml};

/// Makes an environment from its section of the run file.
pub type EnvironmentFactory =
    Arc<dyn Fn(&Section) -> Result<Arc<dyn Environment>, Vec<Problem>> + Send + Sync>;

/// Makes a reward from its section of the run file.
pub type RewardFactory = Arc<
    dyn Fn(&Section, &RewardContext<'_>) -> Result<Arc<dyn Reward>, Vec<Problem>> + Send + Sync,
>;

/// What a reward may look at while it is made.
pub struct RewardContext<'a> {
    /// The run's environment.
    pub environment: &'a Arc<dyn Environment>,
    /// Where relative names of data files start.
    pub files: &'a Path,
}

/// The kinds of environments and rewards that a program knows.
#[derive(Clone, Default)]
pub struct Registry {
    environments: BTreeMap<String, EnvironmentFactory>,
    rewards: BTreeMap<String, RewardFactory>,
}

/// A run file's environment and reward, made.
#[derive(Clone)]
pub struct Task {
    /// How objects are built.
    pub environment: Arc<dyn Environment>,
    /// What they are worth, at the price that the run file sets: `delay` included.
    pub reward: Arc<dyn Reward>,
    /// The same values without the delay: for the exact target, which costs nothing to know.
    pub undelayed: Arc<dyn Reward>,
    /// The objects of `exploration.initial`.
    pub initial: Arc<Vec<Listed>>,
}

/// What two programs of a run must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprints {
    /// Of the environment: identity and behaviour.
    pub environment: [u8; 32],
    /// Of the reward: identity, the contents of its data files included.
    pub reward: [u8; 32],
}

impl Task {
    fn new(made: Made, run_file: &RunFile, files: &Path) -> Result<Self, Vec<Problem>> {
        let (environment, undelayed) = made;
        let run_file::Reward { delay, repeats, average, .. } = run_file.reward;
        let repeated = |reward: Arc<dyn Reward>| match repeats {
            Some(repeats) if repeats > 1 => Arc::new(Repeated::new(reward, repeats, average)),
            _ => reward,
        };
        let reward: Arc<dyn Reward> = match delay {
            Some(delay) => Arc::new(Delayed::new(Arc::clone(&undelayed), delay)),
            None => Arc::clone(&undelayed),
        };
        let (reward, undelayed) = (repeated(reward), repeated(undelayed));
        let outside = undelayed.outside().is_some();
        let mut problems = suitability::problems(run_file, environment.as_ref(), outside);
        problems.extend(replay::problems(run_file, environment.as_ref()));
        let initial = initial(run_file, environment.as_ref(), undelayed.as_ref(), files)
            .unwrap_or_else(|problem| {
                problems.push(problem);
                Vec::new()
            });
        if problems.is_empty() {
            Ok(Self { environment, reward, undelayed, initial: Arc::new(initial) })
        } else {
            Err(problems)
        }
    }

    /// Whether the values of all objects may be asked for without paying for any: nobody outside is to
    /// be asked, and actors share nothing or all is at hand.
    pub fn is_free(&self, run_file: &RunFile) -> bool {
        let Self { undelayed, .. } = self;
        undelayed.outside().is_none() && (!run_file.reward.is_shared() || undelayed.is_at_hand())
    }

    /// What another program must have too, to take part in this run.
    pub fn fingerprints(&self) -> Fingerprints {
        Fingerprints {
            environment: environment::fingerprint(self.environment.as_ref()),
            reward: reward::fingerprint(self.reward.as_ref()),
        }
    }
}

/// A data file that a run file names and that every program of the run needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Its section and key.
    pub key: (&'static str, &'static str),
    /// As written in the run file: absolute, or relative to the run file's folder.
    pub name: String,
}

/// Reads the file of `exploration.initial`, if there is one.
fn initial(
    run_file: &RunFile,
    environment: &dyn Environment,
    reward: &dyn Reward,
    files: &Path,
) -> Result<Vec<Listed>, Problem> {
    let Some(name) = &run_file.exploration.initial else { return Ok(Vec::new()) };
    objects::read(&files.join(name), environment, reward).map_err(|error| {
        let (path, message) = ("exploration.initial".to_owned(), error.to_string());
        Problem { message: format!("`{path}` {message}"), path, origin: Origin::Absent }
    })
}

/// The data files of a run file: `reward.file`, `exploration.initial`.
pub fn data_files(run_file: &RunFile) -> Vec<DataFile> {
    let reward = run_file.reward.section.table.get("file").and_then(Toml::as_str);
    let initial = run_file.exploration.initial.as_deref();
    let files = [(("reward", "file"), reward), (("exploration", "initial"), initial)];
    let named = files.into_iter().filter_map(|(key, name)| Some((key, name?)));
    named.map(|(key, name)| DataFile { key, name: name.to_owned() }).collect()
}

/// Makes a run file read a data file from another place, such as a copy fetched from the learner.
pub fn redirect(run_file: &mut RunFile, file: &DataFile, path: &Path) {
    let path = path.to_string_lossy().into_owned();
    match file.key {
        ("exploration", _) => run_file.exploration.initial = Some(path),
        (_, key) => drop(run_file.reward.section.table.insert(key.to_owned(), Toml::String(path))),
    }
}

impl Registry {
    /// Everything that comes with Tributary.
    pub fn builtin() -> Self {
        let mut registry = Self::default()
            .with_environment(Hypergrid::KIND, |section| {
                Ok(Arc::new(Hypergrid::from_section(section)?))
            })
            .with_environment(Sequence::KIND, |section| {
                Ok(Arc::new(Sequence::from_section(section)?))
            })
            .with_reward(BitSequence::KIND, |section, context| {
                let environment = context.environment.as_ref();
                Ok(Arc::new(BitSequence::from_section(section, environment)?))
            })
            .with_reward(Motif::KIND, |section, context| {
                let environment = context.environment.as_ref();
                Ok(Arc::new(Motif::from_section(section, environment)?))
            })
            .with_reward(Table::KIND, |section, context| {
                let environment = context.environment.as_ref();
                Ok(Arc::new(Table::from_section(section, environment, context.files)?))
            })
            .with_reward(OutsideReward::COMMAND, |section, context| {
                Ok(Arc::new(OutsideReward::command(section, context.files)?))
            })
            .with_reward(OutsideReward::GRPC, |section, context| {
                Ok(Arc::new(OutsideReward::services(section, context.files)?))
            });
        for landscape in Landscape::USUAL {
            registry = registry.with_reward(landscape.kind(), |section, context| {
                let environment = context.environment.as_ref();
                Ok(Arc::new(HypergridReward::from_section(section, environment)?))
            });
        }
        registry
    }

    /// Adds an environment, or replaces the one of that kind.
    pub fn with_environment(
        mut self,
        kind: &str,
        make: impl Fn(&Section) -> Result<Arc<dyn Environment>, Vec<Problem>> + Send + Sync + 'static,
    ) -> Self {
        self.environments.insert(kind.to_owned(), Arc::new(make));
        self
    }

    /// Adds a reward, or replaces the one of that kind.
    pub fn with_reward(
        mut self,
        kind: &str,
        make: impl Fn(&Section, &RewardContext<'_>) -> Result<Arc<dyn Reward>, Vec<Problem>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.rewards.insert(kind.to_owned(), Arc::new(make));
        self
    }

    /// Reads a run file and makes its environment and reward; `files` is the folder where relative
    /// names of data files start. As [`RunFile::parse`] and [`task`](Self::task), but with the
    /// problems of all sections at once.
    ///
    /// # Errors
    /// Every problem of the run file.
    pub fn read(
        &self,
        text: &str,
        overrides: &[(String, String)],
        files: &Path,
    ) -> Result<(RunFile, Task), RunFileError> {
        let mut made = None;
        let mut run_file = RunFile::parse_with(text, overrides, |environment, reward| {
            let result = self.make(environment, reward, files);
            result.map(|pair| made = pair).err().unwrap_or_default()
        })?;
        let task = match made {
            Some(made) => Task::new(made, &run_file, files)?,
            None => self.task(&run_file, files)?,
        };
        if let Some(outside) = task.undelayed.outside() {
            settle(&mut run_file, outside);
        }
        Ok((run_file, task))
    }

    /// Makes the environment and the reward of a run file; `files` is the folder where relative
    /// names of data files start.
    ///
    /// # Errors
    /// Every problem with the two sections. A reward is not made, only its kind is checked, while
    /// its environment has problems.
    pub fn task(&self, run_file: &RunFile, files: &Path) -> Result<Task, Vec<Problem>> {
        let (environment, reward) = (&run_file.environment, &run_file.reward.section);
        let made = self.make(Some(environment), Some(reward), files)?;
        Task::new(made.ok_or_else(Vec::new)?, run_file, files)
    }

    /// Makes what has a section: an environment alone is made to find its problems, a reward needs
    /// its environment.
    fn make(
        &self,
        environment: Option<&Section>,
        reward: Option<&Section>,
        files: &Path,
    ) -> Result<Option<Made>, Vec<Problem>> {
        let environment =
            environment.map(|section| find(&self.environments, section)?(section)).transpose();
        let make_reward = reward
            .map(|section| find(&self.rewards, section).map(|make| (make, section)))
            .transpose();
        let (environment, make_reward) = match (environment, make_reward) {
            (Ok(environment), Ok(make_reward)) => (environment, make_reward),
            (environment, make_reward) => {
                let of_environment = environment.err().unwrap_or_default();
                let of_reward = make_reward.err().unwrap_or_default();
                return Err(of_environment.into_iter().chain(of_reward).collect());
            }
        };
        let (Some(environment), Some((make, section))) = (environment, make_reward) else {
            return Ok(None);
        };
        let reward = make(section, &RewardContext { environment: &environment, files })?;
        Ok(Some((environment, reward)))
    }
}

/// Fills in what depends on who measures: what was paid for is not to be lost nor paid for again, and
/// actors that are handed this run file have no folder in which it lies.
fn settle(run_file: &mut RunFile, outside: &Outside) {
    if *run_file.reward.durable.get_or_insert(true) {
        run_file.reward.shared.get_or_insert(true);
    }
    let (key, path) = match outside {
        Outside::Command(command) => ("folder", Some(&command.folder)),
        Outside::Services(services) => ("endpoints_file", services.endpoints_file.as_ref()),
    };
    if let Some(path) = path.and_then(|path| std::path::absolute(path).ok()) {
        let path = Toml::String(path.to_string_lossy().into_owned());
        run_file.reward.section.table.insert(key.to_owned(), path);
    }
}

type Made = (Arc<dyn Environment>, Arc<dyn Reward>);

fn find<'a, F>(known: &'a BTreeMap<String, F>, section: &Section) -> Result<&'a F, Vec<Problem>> {
    let names = || known.keys().map(String::as_str).collect::<Vec<_>>();
    known.get(&section.kind).ok_or_else(|| vec![section.unknown_kind(&names())])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::time::Duration;

    use super::*;

    fn run_file(environment: &str, reward: &str) -> RunFile {
        let text =
            format!("[environment]\n{environment}\n[reward]\n{reward}\n[learner]\nupdates = 1");
        RunFile::parse(&text, &[]).unwrap()
    }

    fn problems(environment: &str, reward: &str) -> String {
        let run_file = run_file(environment, reward);
        let problems = Registry::builtin().task(&run_file, Path::new(".")).err().unwrap();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    const GRID: &str = "kind = 'hypergrid'\ndimensions = 2\nside = 8";

    #[test]
    fn every_reward_of_the_hypergrid_is_made() {
        for kind in ["original", "cosine", "sparse", "deceptive"] {
            let run_file = run_file(GRID, &format!("kind = '{kind}'"));
            let task = Registry::builtin().task(&run_file, Path::new(".")).unwrap();
            assert_eq!(task.reward.identity().kind, kind);
        }
    }

    #[test]
    fn an_unknown_kind_names_the_nearest_and_all_known() {
        let text = problems("kind = 'hypergird'\nside = 8", "kind = 'tabel'");
        for expected in ["\"hypergrid\"", "\"sequence\"", "did you mean", "\"table\"", "\"cosine\""]
        {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(problems(GRID, "kind = 'cosin'").contains("did you mean `cosine`?"));
    }

    #[test]
    fn problems_of_both_sections_come_with_their_lines() {
        let text = problems("kind = 'hypergrid'\ndimensions = 2\nside = 1", "kind = 'nothing'");
        assert!(text.contains("`environment.side` = 1: must be at least 2"), "{text}");
        assert!(text.contains("line 4: ") && text.contains("line 6: "), "{text}");
    }

    #[test]
    fn a_run_file_is_read_with_all_its_problems_at_once() {
        let read = |text: &str| Registry::builtin().read(text, &[], Path::new("."));
        let text = format!("[environment]\n{GRID}\n[reward]\nkind = 'sparse'\n[learner]\n");
        let (run_file, task) = read(&format!("{text}updates = 1")).unwrap();
        assert_eq!(run_file.learner.updates, Some(1));
        assert_eq!(task.environment.forward_actions(), 2);
        let text = text.replace("side = 8", "side = 1").replace("'sparse'", "'spar'");
        let error = read(&format!("{text}bach = 1\nupdates = 1")).err().unwrap();
        assert_eq!(error.problems.len(), 3, "{error}");
        let error = read("[environment]\nkind = 'x'\n[learner]\nupdates = 1").err().unwrap();
        assert_eq!(error.problems.len(), 2, "{error}");
    }

    #[test]
    fn the_same_run_file_gives_the_same_fingerprints_whatever_the_delay() {
        let made = |environment: &str, reward: &str| {
            let task = Registry::builtin().task(&run_file(environment, reward), Path::new("."));
            task.unwrap().fingerprints()
        };
        let cosine = made(GRID, "kind = 'cosine'");
        assert_eq!(cosine, made(GRID, "kind = 'cosine'\nr0 = 0.1\ndelay = '50ms'"));
        assert_ne!(cosine.reward, made(GRID, "kind = 'cosine'\nr0 = 0.2").reward);
        let other = "kind = 'hypergrid'\ndimensions = 3\nside = 8";
        assert_ne!(cosine.environment, made(other, "kind = 'cosine'").environment);
    }

    #[test]
    fn the_exact_target_does_not_wait_for_the_delay() {
        let run_file = run_file(GRID, "kind = 'cosine'\ndelay = '1h'");
        assert_eq!(run_file.reward.delay, Some(Duration::from_secs(3600)));
        let task = Registry::builtin().task(&run_file, Path::new(".")).unwrap();
        let object = task.environment.object(&[1, 1]);
        let mut raw = Vec::new();
        task.undelayed.evaluate(&[object], &mut raw).unwrap();
        assert_eq!(raw.len(), 1);
    }

    #[test]
    fn only_a_table_is_free_where_actors_share_what_they_pay_for() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("words"), "word\tvalue\nA\t1\nC\t2\n").unwrap();
        let words = "kind = 'sequence'\nalphabet = 'AC'\nlength = 1";
        for (environment, reward, is_free) in [
            (GRID, "kind = 'cosine'", true),
            (GRID, "kind = 'cosine'\nshared = true\ndurable = true", false),
            (words, "kind = 'table'\nfile = 'words'\nshared = true\ndurable = true", true),
            (
                words,
                "kind = 'table'\nfile = 'words'\nshared = true\ndurable = true\nrepeats = 2",
                true,
            ),
            (words, "kind = 'command'\ncommand = ['true']", false),
        ] {
            let run_file = run_file(environment, reward);
            let task = Registry::builtin().task(&run_file, folder.path()).unwrap();
            assert_eq!(task.is_free(&run_file), is_free, "{reward}");
        }
    }

    #[test]
    fn a_data_file_may_be_read_from_another_place() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        fs::write(&copy, "word\tvalue\nA\t1\nC\t2\n").unwrap();
        let environment = "kind = 'sequence'\nalphabet = 'AC'\nlength = 1";
        let mut run_file = run_file(environment, "kind = 'table'\nfile = '../words.tsv'");
        let registry = Registry::builtin();
        let missing = registry.task(&run_file, folder.path()).err().unwrap();
        assert!(missing[0].message.contains("../words.tsv"), "{}", missing[0].message);
        let files = data_files(&run_file);
        assert_eq!(files[0].name, "../words.tsv");
        redirect(&mut run_file, &files[0], &copy);
        let task = registry.task(&run_file, Path::new("/nowhere")).unwrap();
        let expected = format!("\"content\":\"{}\"", blake3::hash(&fs::read(&copy).unwrap()));
        assert!(task.reward.identity().configuration.contains(&expected));
    }

    #[test]
    fn initial_objects_are_a_data_file_too_and_their_lines_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("start.csv");
        fs::write(&path, "cell,value\n1 2,0.5\n").unwrap();
        let mut run_file = run_file(GRID, "kind = 'cosine'");
        run_file.exploration.initial = Some("start.csv".to_owned());
        let files = data_files(&run_file);
        assert_eq!((files[0].key, files.len()), (("exploration", "initial"), 1));
        let registry = Registry::builtin();
        assert_eq!(registry.task(&run_file, folder.path()).unwrap().initial.len(), 1);
        redirect(&mut run_file, &files[0], &path);
        assert_eq!(registry.task(&run_file, Path::new("/nowhere")).unwrap().initial.len(), 1);
        fs::write(&path, "cell\n1 8\n").unwrap();
        let problems = registry.task(&run_file, Path::new("")).err().unwrap();
        let message = &problems[0].message;
        assert!(message.starts_with("`exploration.initial` = /"), "{message}");
        assert!(message.contains("line 2: object \"1 8\""), "{message}");
    }
}
