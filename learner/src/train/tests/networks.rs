//! Every architecture learns an exact target.

use super::*;

const WORDS: &str = r#"
[run]
seed = 3
[environment]
kind = "sequence"
alphabet = "AB"
[reward]
kind = "table"
file = "words.tsv"
[policy]
network = "transformer"
layers = 1
width = 16
[learner]
updates = 400
batch = 16
learning_rate = 0.003
ema = 0.99
device = "cpu"
"#;

/// Words of up to three letters, worth 1 and 2 more for each letter that is the one before it.
fn words(changes: &[(&str, &str)]) -> (RunFile, Task) {
    tch::set_num_threads(1);
    let longest = if changes.iter().any(|(key, _)| *key == "environment.length") { 3 } else { 1 };
    let mut table = String::from("word\tvalue\n");
    for length in longest..=3usize {
        for bits in 0..1u32 << length {
            let letter = |i: usize| if bits >> i & 1 == 0 { 'A' } else { 'B' };
            let word: String = (0..length).map(letter).collect();
            let same = (1..length).filter(|&i| letter(i) == letter(i - 1)).count();
            table += &format!("{word}\t{}\n", 1 + 2 * same);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("words.tsv"), table).unwrap();
    let changes: Vec<_> = changes.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    Registry::builtin().read(WORDS, &changes, folder.path()).unwrap()
}

#[test]
fn transformers_learn_words_by_every_construction() {
    let (construction, own) = ("environment.construction", ("policy.backward_network", "own"));
    let (fixed, up_to) = (("environment.length", "3"), ("environment.max_length", "3"));
    for changes in [
        &[(construction, "append"), up_to][..],
        &[(construction, "prepend_append"), up_to, ("policy.activation", "gelu")][..],
        &[(construction, "insert"), up_to, own][..],
        &[(construction, "any_position"), fixed, own][..],
    ] {
        let (run_file, task) = words(changes);
        let (total_variation, log_z) = converge(&run_file, &task);
        println!("{changes:?}: total variation {total_variation}, log Z off by {log_z}");
        assert!(total_variation < 0.05, "{changes:?}: total variation {total_variation}");
        assert!(log_z.abs() < 0.1, "{changes:?}: log Z is off by {log_z}");
    }
}

#[test]
fn perceptrons_with_norms_and_a_p_b_of_their_own_learn_a_small_hypergrid() {
    for changes in [
        &[("policy.backward_network", "own")][..],
        &[("policy.layer_norm", "true"), ("policy.activation", "gelu")][..],
    ] {
        let (run_file, task) = run(changes);
        let (total_variation, log_z) = converge(&run_file, &task);
        println!("{changes:?}: total variation {total_variation}, log Z off by {log_z}");
        assert!(total_variation < 0.05, "{changes:?}: total variation {total_variation}");
        assert!(log_z.abs() < 0.1, "{changes:?}: log Z is off by {log_z}");
    }
}

#[test]
fn dropout_goes_on_bit_for_bit_after_a_restart() {
    let (run_file, task) = run(&[("policy.dropout", "0.1")]);
    let batches = batches(&task);
    let mut trainer = super::trainer(&run_file, &task);
    trainer.update(&batches[0]).unwrap();
    let mut restored = super::trainer(&run_file, &task);
    restored.restore(&trainer.state().unwrap()).unwrap();
    for one in [&mut trainer, &mut restored] {
        one.update(&batches[1]).unwrap();
    }
    assert_eq!(trainer.state().unwrap(), restored.state().unwrap());
}
