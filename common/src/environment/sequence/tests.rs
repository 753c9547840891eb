#![allow(clippy::unwrap_used)]

mod edges;
mod multigraph;

use super::*;
use crate::environment::fingerprint;
use crate::environment::laws::check_laws;
use crate::run_file::Section;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

const CONSTRUCTIONS: [Construction; 4] = [
    Construction::Append,
    Construction::PrependAppend,
    Construction::Insert,
    Construction::AnyPosition,
];

/// A construction of sequences that it can build, or of none.
fn built(sequence: Sequence, construction: Construction) -> Option<Sequence> {
    let is_variable = matches!(sequence.length, Length::MaxLength(_));
    let is_impossible = construction == Construction::AnyPosition && is_variable;
    (!is_impossible).then(|| sequence.built_by(construction).unwrap())
}

#[test]
fn the_laws_hold_also_in_degenerate_sizes() {
    for longest in [1, 2, 5, 20] {
        for alphabet in ["A", "01", "ACGT"] {
            for length in [Length::Length(longest), Length::MaxLength(longest)] {
                let sequences = Sequence::over_alphabet(alphabet, length).unwrap();
                for construction in CONSTRUCTIONS {
                    if let Some(sequences) = built(sequences.clone(), construction) {
                        check_laws(&sequences, 50, 1).unwrap();
                    }
                }
            }
        }
    }
}

/// Ten thousand walks over DNA words and strings of blocks of a fixed and of a variable length.
fn ten_thousand_walks(construction: Construction) {
    for length in [Length::Length(5), Length::MaxLength(5)] {
        let blocks = words(&["Br", "C1CC1", "O"]);
        for sequences in
            [Sequence::over_alphabet("ACGT", length), Sequence::over_vocabulary(blocks, length)]
        {
            if let Some(sequences) = built(sequences.unwrap(), construction) {
                check_laws(&sequences, 10_000, 2).unwrap();
            }
        }
    }
    let bits = Sequence::over_bits(3, Length::Length(4)).unwrap();
    check_laws(&bits.built_by(construction).unwrap(), 10_000, 4).unwrap();
}

#[test]
fn the_laws_hold_on_ten_thousand_walks_by_append() {
    ten_thousand_walks(Construction::Append);
    let dna = Sequence::over_alphabet("ACGT", Length::Length(8)).unwrap();
    check_laws(&dna, 10_000, 3).unwrap();
}

#[test]
fn the_laws_hold_on_ten_thousand_walks_by_prepend_append() {
    ten_thousand_walks(Construction::PrependAppend);
}

#[test]
fn the_laws_hold_on_ten_thousand_walks_by_insert() {
    ten_thousand_walks(Construction::Insert);
}

#[test]
fn the_laws_hold_on_ten_thousand_walks_by_any_position() {
    ten_thousand_walks(Construction::AnyPosition);
}

#[test]
fn a_preset_is_what_its_keys_say() {
    let identity = |keys: &str| {
        let section = Section::from_toml("environment", &format!("kind = 'sequence'\n{keys}"));
        Sequence::from_section(&section.unwrap()).unwrap().identity()
    };
    let blocks = "['C', 'O', 'N', 'CF', 'C=O', 'C=C', 'C#C', 'c1ccccc1', 'C1CCCCC1', 'C1CCNC1', \
                  'CCC']";
    for (preset, written) in [
        ("tfbind8'", "alphabet = 'ACGT'\nlength = 8"),
        (
            "tfbind8'\nconstruction = 'prepend_append'",
            "alphabet = 'ACGT'\nlength = 8\nconstruction = 'prepend_append'",
        ),
        ("bitseq'", "word_bits = 8\nlength = 15\nconstruction = 'any_position'"),
        ("bitseq'\nbits = 32\nword_bits = 4\nconstruction = 'append'", "word_bits = 4\nlength = 8"),
        (
            "qm9_strings'",
            &format!("vocabulary = {blocks}\nlength = 5\nconstruction = 'prepend_append'"),
        ),
    ] {
        assert_eq!(identity(&format!("preset = '{preset}")), identity(written), "{preset}");
    }
    let refused = |keys: &str| {
        let section = Section::from_toml("environment", &format!("kind = 'sequence'\n{keys}"));
        let problems = Sequence::from_section(&section.unwrap()).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let message = refused("preset = 'tfbind8'\nlength = 6");
    assert_eq!(message, "`environment.length` applies only without a preset");
    let message = refused("preset = 'qm9_strings'\nbits = 6");
    assert!(message.contains("`environment.bits` applies only with `word_bits`"), "{message}");
    let message = refused("word_bits = 2\nlength = 3\nbits = 6");
    assert_eq!(message, "`environment.length` and `bits` are given: give one of them");
}

#[test]
fn all_states_are_counted() {
    let states = |alphabet, length| {
        let sequences = Sequence::over_alphabet(alphabet, length).unwrap();
        sequences.enumeration().map(Enumeration::states)
    };
    assert_eq!(states("ACGT", Length::Length(8)), Some(87_381));
    assert_eq!(states("A", Length::MaxLength(3)), Some(4));
    assert_eq!(states("01", Length::Length(63)), Some(u64::MAX));
    assert_eq!(states("01", Length::Length(64)), None);
    let any_position = |alphabet, length| {
        let sequences = Sequence::over_alphabet(alphabet, Length::Length(length)).unwrap();
        let sequences = sequences.built_by(Construction::AnyPosition).unwrap();
        sequences.enumeration().map(Enumeration::states)
    };
    assert_eq!(any_position("ACGT", 8), Some(390_625));
    assert_eq!(any_position("A", 63), Some(1 << 63));
    assert_eq!(any_position("A", 64), None);
}

#[test]
fn bad_configurations_are_refused_by_key() {
    let refused = |tokens: &[&str], length| {
        Sequence::over_vocabulary(words(tokens), length).unwrap_err().to_string()
    };
    let one = Length::Length(1);
    assert_eq!(refused(&[], one), "`vocabulary` must have at least one token");
    assert_eq!(refused(&["A", "A"], one), "`vocabulary` has the token \"A\" twice");
    assert!(refused(&["A", ""], one).contains("has \"\""));
    assert!(refused(&["A B"], one).contains("has \"A B\""));
    assert_eq!(refused(&["A"], Length::MaxLength(0)), "`max_length` must be at least 1");
    assert!(refused(&["A", "B"], Length::Length(usize::MAX)).contains("`length` times 2"));
    let twice = Sequence::over_alphabet("AA", one).unwrap_err();
    assert_eq!(twice.key, "alphabet");
}

#[test]
fn a_run_file_names_every_problem() {
    let problems = |keys: &str| {
        let section = Section::from_toml("environment", keys).unwrap();
        let problems = Sequence::from_section(&section).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let text = problems("kind = 'sequence'\nconstruction = 'inset'\nalphabt = 'AC'");
    assert!(text.contains("\"append\", \"prepend_append\", \"insert\", \"any_pos"), "{text}");
    assert!(text.contains("did you mean `alphabet`?"), "{text}");
    let text = problems("kind = 'sequence'\nalphabet = 'AC'\nvocabulary = ['A']");
    assert!(text.contains("`environment.length` or `max_length` or `bits` is missing"), "{text}");
    assert!(text.contains("`environment.alphabet` and `vocabulary` are given"), "{text}");
    let text = problems("kind = 'sequence'\nlength = 2\nmax_length = 2");
    assert!(text.contains("`environment.length` and `max_length` are given"), "{text}");
    let expected = "`environment.alphabet` or `vocabulary` or `word_bits` is missing";
    assert!(text.contains(expected), "{text}");
    let text = problems("kind = 'sequence'\nalphabet = 'AA'\nlength = 2");
    assert_eq!(text, "`environment.alphabet` has the token \"A\" twice");
    let any_position = "kind = 'sequence'\nalphabet = 'AC'\nconstruction = 'any_position'";
    let text = problems(&format!("{any_position}\nmax_length = 3"));
    let expected = "`environment.construction` = \"any_position\" fills every position: give \
                    `length`, not `max_length`";
    assert_eq!(text, expected);
    for bits in [0, 17] {
        let text = problems(&format!("kind = 'sequence'\nlength = 1\nword_bits = {bits}"));
        assert_eq!(text, format!("`environment.word_bits` = {bits}: must be from 1 to 16"));
    }
}

#[test]
fn what_is_no_sequence_is_refused_with_its_reason() {
    let dna = Sequence::over_alphabet("ACGT", Length::Length(4)).unwrap();
    for (text, expected) in [
        ("ACGTA", "object \"ACGTA\": it has 5 tokens, expected 4"),
        ("ACG", "it has 3 tokens"),
        ("", "it has 0 tokens"),
        ("ACGX", "\"X\" is not in the vocabulary"),
    ] {
        let message = dna.parse_object(text).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let blocks = words(&["Br", "C1CC1"]);
    let blocks = Sequence::over_vocabulary(blocks, Length::MaxLength(2)).unwrap();
    assert_eq!(blocks.parse_object("Br C1CC1").unwrap(), Object::Words(words(&["Br", "C1CC1"])));
    let message = blocks.parse_object("Br Br Br").unwrap_err().to_string();
    assert!(message.contains("it has 3 tokens, expected 1 to 2"), "{message}");
}

#[test]
fn an_alphabet_is_a_vocabulary_of_characters() {
    let length = Length::Length(3);
    let alphabet = Sequence::over_alphabet("AC", length).unwrap();
    let vocabulary = Sequence::over_vocabulary(words(&["A", "C"]), length).unwrap();
    assert_eq!(alphabet.identity(), vocabulary.identity());
    let expected = r#"{"construction":"append","tokens":["A","C"],"length":3}"#;
    assert_eq!(alphabet.identity().configuration, expected);
}

#[test]
fn strings_of_bits_are_texts_whatever_the_word() {
    let string = Object::Text("00101101".to_owned());
    for (word_bits, length) in [(1, 8), (2, 4), (4, 2), (8, 1)] {
        let strings = Sequence::over_bits(word_bits, Length::Length(length)).unwrap();
        assert_eq!(strings.parse_object("00101101").unwrap(), string);
        assert_eq!(strings.object(&strings.state_of(&string).unwrap()), string);
        assert_eq!(strings.bits(), Some(8));
    }
    let words = Sequence::over_bits(4, Length::Length(2)).unwrap();
    assert_eq!(words.state_of(&string).unwrap(), [2, 1 + 0b0010, 1 + 0b1101]);
    let message = words.parse_object("0010110").unwrap_err().to_string();
    assert!(message.contains("\"110\" is not in the vocabulary"), "{message}");
    assert_eq!(Sequence::over_alphabet("01", Length::Length(3)).unwrap().bits(), Some(3));
    assert_eq!(Sequence::over_bits(2, Length::MaxLength(3)).unwrap().bits(), None);
    assert_eq!(Sequence::over_alphabet("AC", Length::Length(3)).unwrap().bits(), None);
}

#[test]
fn sequences_are_found_behind_an_environment() {
    let words = Sequence::over_bits(2, Length::Length(3)).unwrap();
    for construction in CONSTRUCTIONS {
        let sequence = words.clone().built_by(construction).unwrap();
        let identity = sequence.identity();
        assert_eq!(Sequence::of(&sequence).unwrap().identity(), identity);
        let expected =
            format!(r#"{{"construction":"{}","word_bits":2,"length":3}}"#, construction.name());
        assert_eq!(identity.configuration, expected);
    }
    let grid = crate::environment::Hypergrid::new(2, 3).unwrap();
    assert!(Sequence::of(&grid).is_none());
}

#[test]
fn fingerprints_are_those_of_earlier_releases() {
    let blocks = words(&["Br", "C1CC1"]);
    for (sequence, expected) in [
        (
            Sequence::over_alphabet("ACGT", Length::Length(8)),
            "6616354a83e1e8f8dadb0ec7158ac0edd881b3a6ffc66c02b888ee3a1d37d765",
        ),
        (
            Sequence::over_alphabet("01", Length::MaxLength(5)),
            "d3e68120e92cc9d10b8986742748337d50439a07dda4c1fa7730574cfb575d08",
        ),
        (
            Sequence::over_vocabulary(blocks, Length::MaxLength(4)),
            "b44e1340cd7cd3f680d010226d302e76b7e4d2a741f09a3c4dd49de1105f8556",
        ),
    ] {
        let found = blake3::Hash::from(fingerprint(&sequence.unwrap())).to_hex();
        assert_eq!(found.as_str(), expected);
    }
}

#[test]
fn distances_are_counted_in_what_objects_are_made_of() {
    let text = |text: &str| Object::Text(text.to_owned());
    let distance = |sequences: &Sequence, a: &Object, b: &Object| {
        let distance = sequences.distance(a, b);
        assert_eq!(distance, sequences.distance(b, a));
        distance
    };
    let fixed = Sequence::over_alphabet("ACGT", Length::Length(4)).unwrap();
    assert_eq!(distance(&fixed, &text("ACGT"), &text("CGTA")), Some(4.0));
    assert_eq!(distance(&fixed, &text("ACGT"), &text("ACG")), None);
    let variable = Sequence::over_alphabet("ACGT", Length::MaxLength(4)).unwrap();
    assert_eq!(distance(&variable, &text("ACGT"), &text("CGTA")), Some(2.0));
    assert_eq!(distance(&variable, &text("A"), &text("CAGA")), Some(3.0));
    let bits = Sequence::over_bits(4, Length::Length(2)).unwrap();
    assert_eq!(distance(&bits, &text("00001111"), &text("00111110")), Some(3.0));
    let blocks = Sequence::over_vocabulary(words(&["Br", "C1CC1"]), Length::Length(2)).unwrap();
    let (a, b) = (Object::Words(words(&["Br", "Br"])), Object::Words(words(&["Br", "C1CC1"])));
    assert_eq!(distance(&blocks, &a, &b), Some(1.0));
    assert_eq!(distance(&blocks, &a, &text("Br")), None);
}

#[test]
fn a_text_may_name_a_sequence_that_is_not_finished() {
    let fixed = Sequence::over_alphabet("ACGT", Length::Length(4)).unwrap();
    assert_eq!(fixed.unfinished("CA"), Some(vec![2, 2, 1, 0, 0]));
    assert_eq!(fixed.unfinished(""), Some(vec![0; 5]));
    assert_eq!(fixed.unfinished("ACGTA"), None);
    assert_eq!(fixed.unfinished("AX"), None);
    let blocks = Sequence::over_vocabulary(words(&["Br", "C1CC1"]), Length::Length(3)).unwrap();
    assert_eq!(blocks.unfinished("C1CC1"), Some(vec![1, 2, 0, 0]));
    let any = fixed.built_by(Construction::AnyPosition).unwrap();
    assert_eq!(any.unfinished("CA"), None);
}
