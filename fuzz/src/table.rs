//! Tables of measured objects, data sets and lists of objects to start from.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use tributary_common::data_set;
use tributary_common::environment::sequence::Length;
use tributary_common::environment::{Environment, Hypergrid, Sequence};
use tributary_common::reward::table::file::{self, objects};
use tributary_common::reward::{HypergridReward, Landscape, Reward};

struct Tasks {
    path: PathBuf,
    environments: Vec<Box<dyn Environment>>,
    reward: HypergridReward,
}

static TASKS: LazyLock<Tasks> = LazyLock::new(|| {
    let folder = PathBuf::from("/dev/shm").canonicalize().unwrap_or_else(|_| std::env::temp_dir());
    let grid = Hypergrid::new(2, 3).expect("a grid");
    let reward = HypergridReward::new(Landscape::USUAL[0], &grid).expect("its reward");
    let words = vec!["Br".to_owned(), "C1CC1".to_owned(), "\"".to_owned(), ",".to_owned()];
    let environments: Vec<Box<dyn Environment>> = vec![
        Box::new(grid),
        Box::new(Sequence::over_alphabet("AC", Length::MaxLength(3)).expect("words")),
        Box::new(Sequence::over_vocabulary(words, Length::MaxLength(2)).expect("blocks")),
        Box::new(Sequence::over_bits(2, Length::Length(2)).expect("bits")),
    ];
    Tasks {
        path: folder.join(format!("tributary-fuzz-{}", std::process::id())),
        environments,
        reward,
    }
});

/// One file; its first byte chooses the environment and the separator.
pub fn run(data: &[u8]) {
    let Some((&choice, content)) = data.split_first() else { return };
    let Tasks { path, environments, reward } = &*TASKS;
    let environment = &*environments[usize::from(choice) % environments.len()];
    let path = path.with_extension(["tsv", "csv", "txt"][usize::from(choice / 8) % 3]);
    fs::write(&path, content).expect("written");
    if let Ok(measured) = file::read(&path, environment) {
        for (object, value) in &measured.values {
            assert!(value.is_finite(), "{object} {value}");
            assert_eq!(environment.parse_object(&object.to_string()).as_ref(), Ok(object));
        }
    }
    if let Ok(known) = data_set::read(&path, environment, reward) {
        let mut state = vec![0; environment.state_width()];
        for known in known {
            let replayed = tributary_common::trajectory::replay(
                environment,
                &known.actions,
                &mut state,
                |_, _| {},
            );
            assert_eq!(replayed, Ok(()));
            assert!(!known.log_reward.get().is_nan());
        }
    }
    if let Ok(listed) = objects::read(&path, environment, reward) {
        for listed in listed {
            assert!(environment.state_of(&listed.object).is_ok(), "{}", listed.object);
            assert!(listed.raw.is_none_or(|raw| raw.len() == reward.outputs().len()));
        }
    }
}
