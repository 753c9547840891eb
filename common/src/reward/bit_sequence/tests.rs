use super::*;
use crate::environment::Hypergrid;
use crate::environment::sequence::{Construction, Length};
use crate::exact::Target;

fn settings(distance_scale: DistanceScale, exponent: f64) -> Settings {
    Settings { distance_scale, exponent, ..Settings::default() }
}

fn reward(word_bits: usize, length: usize, settings: Settings) -> BitSequence {
    let strings = Sequence::over_bits(word_bits, Length::Length(length)).unwrap();
    BitSequence::new(settings, &strings).unwrap()
}

fn text(object: &Object) -> &str {
    let Object::Text(text) = object else { unreachable!("an object of bits is a text") };
    text
}

fn measured(reward: &BitSequence, text: &str) -> f64 {
    let mut raw = Vec::new();
    reward.evaluate(&[Object::Text(text.to_owned())], &mut raw).unwrap();
    raw[0]
}

#[test]
fn the_nearest_mode_counts() {
    let mut reward = reward(4, 4, settings(DistanceScale::Raw, 2.0));
    reward.modes = ["0000000011111111", "1111000000001111"].map(|m| packed(m).unwrap()).into();
    for (text, distance) in [
        ("0000000011111111", 0.0),
        ("1111000000001111", 0.0),
        // 2 bits from the first, 10 from the second.
        ("0100000011111101", 2.0),
        // 8 from the first, 4 from the second.
        ("0000000000001111", 4.0),
        ("0000111111110000", 8.0),
    ] {
        assert_eq!(measured(&reward, text), distance, "{text}");
    }
}

#[test]
fn log_r_falls_by_the_exponent_for_each_unit_of_distance() {
    let log_reward = |scale, exponent, distance| {
        let reward = reward(8, 15, settings(scale, exponent));
        reward.transform(&[distance]).unwrap().get()
    };
    assert_eq!(log_reward(DistanceScale::PerBit, 3.0, 30.0), -0.75);
    assert_eq!(log_reward(DistanceScale::PerBit, 3.0, 120.0), -3.0);
    assert_eq!(log_reward(DistanceScale::Raw, 2.0, 30.0), -60.0);
    assert_eq!(log_reward(DistanceScale::Raw, 2.0, 0.0), 0.0);
    let reward = reward(8, 15, settings(DistanceScale::Raw, 2.0));
    for raw in [&[f64::NAN][..], &[-1.0], &[121.0], &[0.5], &[f64::NEG_INFINITY], &[], &[1.0, 2.0]]
    {
        assert!(reward.transform(raw).is_err(), "{raw:?}");
    }
}

#[test]
fn modes_are_blocks_and_pinned() {
    let per_bit = settings(DistanceScale::PerBit, 3.0);
    let modes = reward(8, 15, per_bit).modes();
    assert_eq!(modes.len(), 60);
    for mode in &modes {
        assert_eq!(text(mode).len(), 120);
        let blocks = (0..15).map(|i| &text(mode)[8 * i..8 * i + 8]);
        assert!(blocks.clone().all(|block| BLOCKS.contains(&block)), "{mode}");
    }
    let used: std::collections::HashSet<&str> =
        modes.iter().flat_map(|mode| (0..15).map(|i| &text(mode)[8 * i..8 * i + 8])).collect();
    assert_eq!(used.len(), BLOCKS.len());
    // The modes depend on n, M and the seed alone, and never change between releases.
    assert_eq!(modes, reward(1, 120, settings(DistanceScale::Raw, 2.0)).modes());
    assert_ne!(modes, reward(8, 15, Settings { seed: 1, ..per_bit }).modes());
    assert_eq!(text(&modes[0]), FIRST_MODE);
}

const FIRST_MODE: &str = "0000111100000000000011110011110000000000000000001111000011110000\
    00000000001111001111111111111111111100000000111100000000";

#[test]
fn the_test_set_has_a_string_for_every_count_of_flips() {
    let reward = reward(8, 15, settings(DistanceScale::PerBit, 3.0));
    let (modes, strings) = (reward.modes(), reward.test_set());
    assert_eq!(strings.len(), 7_200);
    for (i, string) in strings.iter().enumerate() {
        let mode = text(&modes[i / 120]).bytes();
        let flipped = mode.zip(text(string).bytes()).filter(|(a, b)| a != b).count();
        assert_eq!(flipped, i % 120);
        assert!(measured(&reward, text(string)) <= flipped as f64);
    }
    assert_eq!(strings, reward.test_set());
}

#[test]
fn log_z_is_that_of_the_closed_form() {
    // One mode, raw: each bit agrees with weight 1 or differs with e^-c, so Z = (1 + e^-c)^n.
    for (construction, word_bits) in [(Construction::Append, 1), (Construction::AnyPosition, 2)] {
        let length = Length::Length(8 / word_bits);
        let strings = Sequence::over_bits(word_bits, length).unwrap();
        let strings = strings.built_by(construction).unwrap();
        for (scale, exponent, c) in
            [(DistanceScale::Raw, 2.0, 2.0f64), (DistanceScale::PerBit, 3.0, 3.0 / 8.0)]
        {
            let settings = Settings { modes: 1, ..settings(scale, exponent) };
            let reward = BitSequence::new(settings, &strings).unwrap();
            let target = Target::new(&strings, &reward, 1_000, &mut || true).unwrap();
            assert_eq!(target.log_rewards().len(), 256);
            let expected = 8.0 * (-c).exp().ln_1p();
            assert!((target.log_z() - expected).abs() < 1e-12, "{construction:?} {scale:?}");
        }
    }
}

#[test]
fn only_strings_of_whole_blocks_are_taken() {
    let refused = |keys: &str, environment: &dyn Environment| {
        let section = Section::from_toml("reward", &format!("kind = 'bit_sequence'\n{keys}"));
        let problems = BitSequence::from_section(&section.unwrap(), environment).err().unwrap();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let given = "distance_scale = 'raw'\nexponent = 2";
    let bits = |length| Sequence::over_bits(2, length).unwrap();
    for environment in [
        &Hypergrid::new(2, 2).unwrap() as &dyn Environment,
        &Sequence::over_alphabet("AC", Length::Length(8)).unwrap(),
        &Sequence::over_vocabulary(vec!["00".into(), "11".into()], Length::Length(8)).unwrap(),
        &bits(Length::MaxLength(8)),
    ] {
        let message = refused(given, environment);
        assert!(message.contains("is a reward of bits"), "{message}");
    }
    let message = refused(given, &bits(Length::Length(5)));
    assert!(message.contains("10 bits must be a multiple"), "{message}");
    let strings = bits(Length::Length(8));
    assert!(refused("exponent = 2", &strings).contains("`reward.distance_scale` is missing"));
    assert!(refused("distance_scale = 'bits'\nexponent = 2", &strings).contains("\"per_bit\""));
    let message = refused("distance_scale = 'raw'\nexponent = 0\nmodes = 0", &strings);
    assert!(message.contains("be greater than 0") && message.contains("at least 1"), "{message}");
}

#[test]
fn what_is_no_string_of_n_bits_has_no_value() {
    let reward = reward(8, 1, settings(DistanceScale::Raw, 1.0));
    for text in ["0000000", "000000000", "0000000x", ""] {
        let object = Object::Text(text.to_owned());
        let result = reward.evaluate(&[object], &mut Vec::new());
        assert!(matches!(result, Err(RewardError::UnknownObject { .. })), "{text}");
    }
    assert!(reward.evaluate(&[Object::Integers(vec![0])], &mut Vec::new()).is_err());
}

#[test]
fn the_identity_holds_the_whole_definition() {
    let reward = reward(8, 15, settings(DistanceScale::PerBit, 3.0));
    let expected = r#"{"bits":120,"modes":60,"seed":0,"distance_scale":"per_bit","exponent":3.0}"#;
    assert_eq!(reward.identity().configuration, expected);
}
