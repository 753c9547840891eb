use super::*;
use crate::environment::Hypergrid;
use crate::environment::laws::check_laws;
use crate::environment::sequence::{Construction, Length};
use crate::exact::Target;

fn words(length: Length, alphabet: &str) -> Sequence {
    Sequence::over_alphabet(alphabet, length).unwrap()
}

fn motif(motifs: &[&str], weights: &[f64], environment: &dyn Environment) -> Motif {
    let motifs = motifs.iter().map(|&motif| motif.to_owned()).collect();
    Motif::new(motifs, weights.to_vec(), environment).unwrap()
}

fn log_reward(reward: &Motif, text: &str) -> f64 {
    let mut raw = Vec::new();
    reward.evaluate(&[Object::Text(text.to_owned())], &mut raw).unwrap();
    reward.transform(&raw).unwrap().get()
}

#[test]
fn counts_and_log_rewards_by_hand() {
    let environment = words(Length::MaxLength(6), "ACGT");
    let reward = motif(&["AA", "ACA", "T"], &[1.0, 0.5, -2.0], &environment);
    for (text, counts) in [
        ("A", [0.0, 0.0, 0.0]),
        ("AAA", [2.0, 0.0, 0.0]),
        ("ACACA", [0.0, 2.0, 0.0]),
        ("TAACAT", [1.0, 1.0, 2.0]),
    ] {
        let mut raw = Vec::new();
        reward.evaluate(&[Object::Text(text.to_owned())], &mut raw).unwrap();
        assert_eq!(raw, counts, "{text}");
        let expected = counts[0] + 0.5 * counts[1] - 2.0 * counts[2];
        assert_eq!(log_reward(&reward, text), expected, "{text}");
    }
    let names: Vec<String> = reward.outputs().into_iter().map(|output| output.name).collect();
    assert_eq!(names, ["AA", "ACA", "T"]);
}

#[test]
fn log_z_by_hand() {
    // Words of 1 or 2 letters over A and C; "AA" adds 1, each "C" takes 1/2 away:
    // A, C, AA, AC, CA, CC have 0, -1/2, 1, -1/2, -1/2, -1.
    let e = f64::exp;
    let z = 1.0 + 3.0 * e(-0.5) + e(1.0) + e(-1.0);
    for construction in [Construction::Append, Construction::PrependAppend, Construction::Insert] {
        let environment = words(Length::MaxLength(2), "AC").built_by(construction).unwrap();
        check_laws(&environment, 100, 1).unwrap();
        let reward = motif(&["AA", "C"], &[1.0, -0.5], &environment);
        let target = Target::new(&environment, &reward, 100, &mut || true).unwrap();
        assert_eq!(target.log_rewards().len(), 6);
        assert!((target.log_z() - z.ln()).abs() < 1e-12, "{construction:?}: {}", target.log_z());
    }
}

#[test]
fn log_z_is_that_of_the_transfer_matrix() {
    // Pairs only: the sum over words of n letters is 1' M^(n-1) 1 with M[a][b] = exp(w_ab).
    let environment = words(Length::MaxLength(6), "ACGT");
    let weights = [("AA", 2.0), ("CC", 1.5), ("GT", 1.0), ("TG", -1.0)];
    let (motifs, numbers): (Vec<&str>, Vec<f64>) = weights.iter().copied().unzip();
    let reward = motif(&motifs, &numbers, &environment);
    let weight = |a: char, b: char| {
        let pair = format!("{a}{b}");
        weights.iter().find(|(motif, _)| *motif == pair).map_or(1.0, |(_, w)| w.exp())
    };
    let mut ending_in = vec![1.0; 4];
    let mut z: f64 = 4.0;
    for _ in 2..=6 {
        let extended = "ACGT".chars().map(|b| {
            "ACGT".chars().zip(&ending_in).map(|(a, sum)| sum * weight(a, b)).sum::<f64>()
        });
        ending_in = extended.collect();
        z += ending_in.iter().sum::<f64>();
    }
    let target = Target::new(&environment, &reward, 10_000, &mut || true).unwrap();
    assert_eq!(target.log_rewards().len(), 5_460);
    assert!((target.log_z() - z.ln()).abs() < 1e-12, "{} {}", target.log_z(), z.ln());
}

#[test]
fn motifs_are_made_of_whole_tokens() {
    let bits = Sequence::over_bits(2, Length::Length(4)).unwrap();
    let reward = motif(&["01", "0111"], &[1.0, 10.0], &bits);
    // 00 10 11 01: "01" also stands across two tokens, which does not count.
    assert_eq!(log_reward(&reward, "00101101"), 1.0);
    assert_eq!(log_reward(&reward, "01110111"), 22.0);
    let blocks = ["Br", "C1CC1", "1"].map(str::to_owned).into();
    let blocks = Sequence::over_vocabulary(blocks, Length::MaxLength(3)).unwrap();
    let reward = motif(&["Br C1CC1", "1 1", "Br"], &[1.0, 10.0, 100.0], &blocks);
    let mut raw = Vec::new();
    let object = |words: &[&str]| Object::Words(words.iter().map(|&w| w.to_owned()).collect());
    reward.evaluate(&[object(&["Br", "C1CC1", "Br"]), object(&["1", "1", "1"])], &mut raw).unwrap();
    assert_eq!(raw, [1.0, 0.0, 2.0, 0.0, 2.0, 0.0]);
}

#[test]
fn what_cannot_be_counted_is_refused() {
    let environment = words(Length::MaxLength(3), "AC");
    let refused = |keys: &str, environment: &dyn Environment| {
        let section = Section::from_toml("reward", &format!("kind = 'motif'\n{keys}")).unwrap();
        let problems = Motif::from_section(&section, environment).err().unwrap();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for (keys, expected) in [
        ("", "`reward.motifs` is missing"),
        ("motifs = []", "must have from 1 to 1024 entries"),
        ("motifs = ['AG']", "`reward.motifs` \"AG\": \"G\" is not in the vocabulary"),
        ("motifs = ['']", "must have no empty motif"),
        ("motifs = ['A', 'A']", "has \"A\" twice"),
        ("motifs = ['A', 'C']\nweights = [1]", "`reward.weights` gives 1 numbers for 2 motifs"),
        ("motif = ['A']", "did you mean `motifs`?"),
    ] {
        let message = refused(keys, &environment);
        assert!(message.contains(expected), "{keys}: {message}");
    }
    let message = refused("motifs = ['A']", &Hypergrid::new(2, 2).unwrap());
    assert!(message.contains("is a reward of sequences"), "{message}");
    let reward = motif(&["A"], &[1.0], &environment);
    assert!(reward.evaluate(&[Object::Integers(vec![1])], &mut Vec::new()).is_err());
    assert!(reward.transform(&[1.0, 2.0]).is_err());
    assert!(reward.transform(&[f64::NAN]).is_err());
}

#[test]
fn the_identity_holds_motifs_and_weights() {
    let environment = words(Length::MaxLength(3), "AC");
    let section = Section::from_toml("reward", "kind = 'motif'\nmotifs = ['AA', 'C']").unwrap();
    let reward = Motif::from_section(&section, &environment).unwrap();
    let expected = r#"{"motifs":["AA","C"],"weights":[1.0,1.0]}"#;
    assert_eq!(reward.identity().configuration, expected);
}

#[test]
fn raw_values_that_are_no_counts_are_refused() {
    let environment = words(Length::MaxLength(4), "AC");
    let reward = motif(&["A", "CC"], &[1.0, -1.0], &environment);
    assert_eq!(reward.transform(&[4.0, 3.0]).unwrap().get(), 1.0);
    for raw in [[5.0, 0.0], [0.0, 4.0], [-1.0, 0.0], [0.5, 0.0], [0.0, f64::MAX]] {
        assert!(reward.transform(&raw).is_err(), "{raw:?}");
    }
    for infinity in [f64::INFINITY, f64::NEG_INFINITY] {
        assert!(reward.transform(&[infinity, 0.0]).is_err());
    }
}
