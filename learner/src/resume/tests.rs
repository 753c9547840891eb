#![allow(clippy::unwrap_used)]
use super::*;
use crate::checkpoint::CheckpointWriter;
use crate::fakes;
use crate::replay::Replay;
use crate::training::{Moments, TrainingState};
use tributary_common::ids::Incarnation;
use tributary_common::registry::Registry;
use tributary_common::run_file;

const RUN: RunId = RunId([7; 16]);

fn network() -> Network {
    let text = "[environment]\nkind = \"hypergrid\"\ndimensions = 2\nside = 3\n[reward]\n\
                kind = \"original\"\n[policy]\nhidden = [4]\n[learner]\nupdates = 1\n";
    let (run_file, task) = Registry::builtin().read(text, &[], Path::new("")).unwrap();
    Network::of_run(&run_file, task.environment.as_ref())
}

fn write(run: &Path, run_id: RunId, step: u64) -> PathBuf {
    let network = network();
    let values = vec![step as f32; network.parameter_count()];
    let moments = Moments { steps: step, mean: values.clone(), square: values.clone() };
    let (weights, ema) = (values.clone(), values);
    let training = TrainingState { step, weights, ema, moments, ..TrainingState::default() };
    let replay = Replay::new(&run_file::Replay::default(), 2).unwrap().save();
    let training = training.into();
    let contents = Contents { training, replay, ..Contents::default() };
    let config = fakes::checkpoint_config(run, run_id, Incarnation(1), network);
    CheckpointWriter::new(config).write(&contents).unwrap()
}

fn newest_step(run: &Path) -> Result<Option<u64>, CheckpointError> {
    Ok(newest_in(run, RUN, &network())?.map(|contents| contents.training.step))
}

fn flip(folder: &Path, file: &str) {
    let path = folder.join(file);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_newest_whole_checkpoint_is_taken_and_damaged_ones_are_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    assert_eq!(newest_step(run).unwrap(), None, "it died before its first checkpoint");
    let paths = [1, 2, 3].map(|step| write(run, RUN, step));
    fs::create_dir(run.join(FOLDER).join(".tmp-000001-000000000004")).unwrap();
    assert_eq!(newest_step(run).unwrap(), Some(3));
    assert!(!run.join(FOLDER).join(".tmp-000001-000000000004").exists());

    flip(&paths[2], "optimizer.safetensors");
    fs::remove_file(paths[1].join("state.json")).unwrap();
    assert_eq!(newest_step(run).unwrap(), Some(1));
    let aside = |path: &Path| path.with_extension("corrupt").is_dir() && !path.exists();
    assert!(aside(&paths[2]) && aside(&paths[1]) && !aside(&paths[0]));

    flip(&paths[0], "raw.safetensors");
    for _ in 0..2 {
        let error = newest_step(run).unwrap_err().to_string();
        assert!(error.contains("none of the checkpoints") && error.contains("damaged"), "{error}");
    }
    assert!(paths[0].exists(), "nothing is set aside when there is nothing else");
    fs::remove_dir_all(&paths[0]).unwrap();
    let error = newest_step(run).unwrap_err().to_string();
    assert!(error.contains("was set aside as damaged"), "a run never begins anew: {error}");
}

#[test]
fn what_is_not_damaged_is_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    write(run, RUN, 1);
    let newest = write(run, RunId([8; 16]), 2);
    let error = newest_step(run).unwrap_err().to_string();
    assert!(error.contains("belongs to the run 0808"), "{error}");
    let manifest = br#"{"schema": 9}"#;
    fs::write(newest.join(checkpoint::MANIFEST), manifest).unwrap();
    fs::write(newest.join(checkpoint::SEAL), checkpoint::seal(manifest)).unwrap();
    let error = newest_step(run).unwrap_err().to_string();
    assert!(error.contains("has schema 9"), "{error}");
    assert!(newest.exists());
}
