//! What each action of each construction does, and the closed forms of their paths.

use super::*;
use crate::random::{Purpose, Stream};

/// Sequences of up to four of the tokens A, C and G (0, 1, 2), exactly four if they must be.
fn sequences(construction: Construction) -> Sequence {
    let length = match construction {
        Construction::AnyPosition => Length::Length(4),
        _ => Length::MaxLength(4),
    };
    Sequence::over_alphabet("ACG", length).unwrap().built_by(construction).unwrap()
}

/// The texts of the states along a path of actions, an empty position being a dot.
fn path(construction: Construction, actions: &[u32]) -> Vec<String> {
    let sequences = sequences(construction);
    let mut state = vec![0; sequences.state_width()];
    let mut texts = Vec::new();
    for &action in actions {
        assert!(sequences.is_legal(&state, action), "{action} in {state:?}");
        sequences.step(&mut state, action);
        texts.push(state[1..].iter().map(|&word| [".", "A", "C", "G"][word as usize]).collect());
    }
    texts
}

#[test]
fn each_action_adds_its_token_at_its_place() {
    for (construction, actions, expected) in [
        (Construction::Append, [0, 1, 2, 0], ["A...", "AC..", "ACG.", "ACGA"]),
        // Below 3 in front, from 3 on at the end.
        (Construction::PrependAppend, [0, 1, 5, 3], ["A...", "CA..", "CAG.", "CAGA"]),
        // 3 for each position, then the token.
        (Construction::Insert, [0, 4, 5, 2], ["A...", "AC..", "AGC.", "GAGC"]),
        (Construction::AnyPosition, [6, 1, 11, 5], ["..A.", "C.A.", "C.AG", "CGAG"]),
    ] {
        assert_eq!(path(construction, &actions), expected, "{construction:?}");
    }
}

#[test]
fn legal_actions_by_hand() {
    let legal = |construction, actions: &[u32]| {
        let sequences = sequences(construction);
        let mut state = vec![0; sequences.state_width()];
        actions.iter().for_each(|&action| sequences.step(&mut state, action));
        let (mut forward, mut backward) = (Vec::new(), Vec::new());
        sequences.legal_forward(&state, &mut forward);
        sequences.legal_backward(&state, &mut backward);
        (forward, backward)
    };
    let range = |numbers: std::ops::Range<u32>| numbers.collect::<Vec<u32>>();
    // One token is in front and at the end: two edges lead back to the empty sequence.
    assert_eq!(legal(Construction::PrependAppend, &[1]), (range(0..6), vec![0, 1]));
    assert_eq!(legal(Construction::PrependAppend, &[0, 0, 0, 0]), (vec![], vec![0, 1]));
    assert_eq!(legal(Construction::Insert, &[]), (range(0..3), vec![]));
    assert_eq!(legal(Construction::Insert, &[0, 0]), (range(0..9), vec![0, 1]));
    let open = [range(0..3), range(9..12)].concat();
    assert_eq!(legal(Construction::AnyPosition, &[4, 7]), (open, vec![1, 2]));
}

#[test]
fn two_edges_join_the_same_two_states() {
    // "A" grows to "AA" in front and at the end.
    for (construction, actions, inverses) in
        [(Construction::PrependAppend, [0, 3], [0, 1]), (Construction::Insert, [0, 3], [0, 1])]
    {
        let sequences = sequences(construction);
        let one = sequences.state_of(&Object::Text("A".to_owned())).unwrap();
        let two = sequences.state_of(&Object::Text("AA".to_owned())).unwrap();
        for (action, backward) in actions.into_iter().zip(inverses) {
            let mut state = one.clone();
            sequences.step(&mut state, action);
            assert_eq!(state, two);
            assert_eq!(sequences.inverse(&one, action), backward);
            assert_eq!(sequences.forward_of(&two, backward), action);
        }
    }
}

#[test]
fn paths_are_as_many_as_the_closed_form() {
    // Paths of edges to a sequence of n tokens: 1, 2^n, n! and n!.
    let expected = |construction, n: u32| match construction {
        Construction::Append => 1,
        Construction::PrependAppend => 2u64.pow(n),
        Construction::Insert | Construction::AnyPosition => (1..=u64::from(n)).product(),
    };
    for construction in CONSTRUCTIONS {
        let sequences = sequences(construction);
        let list = sequences.enumeration().unwrap();
        let mut paths = vec![0u64; list.states() as usize];
        paths[0] = 1;
        let (mut state, mut legal) = (vec![0; sequences.state_width()], Vec::new());
        for index in 0..paths.len() {
            list.state(index as u64, &mut state);
            assert_eq!(paths[index], expected(construction, state[0]), "{construction:?}");
            legal.clear();
            sequences.legal_forward(&state, &mut legal);
            for &action in &legal {
                let mut next = state.clone();
                sequences.step(&mut next, action);
                paths[list.index(&next) as usize] += paths[index];
            }
        }
    }
}

#[test]
fn strings_of_molecule_blocks_have_the_published_sizes() {
    // 11 blocks, 5 of them, at either end: 22 forward and 2 backward actions, 11^5 objects.
    let blocks = (0..11).map(|block| format!("block{block}")).collect();
    let strings = Sequence::over_vocabulary(blocks, Length::Length(5)).unwrap();
    let strings = strings.built_by(Construction::PrependAppend).unwrap();
    assert_eq!((strings.forward_actions(), strings.backward_actions()), (22, 2));
    let shorter = (0..5).map(|length| 11u64.pow(length)).sum::<u64>();
    assert_eq!(strings.enumeration().unwrap().states() - shorter, 161_051);
}

#[test]
fn bit_sequences_have_the_published_sizes() {
    // 120 bits, any position: (n/k) 2^k actions, n/k steps, and for a uniform P_B
    // sum of log P_B = -log((n/k)!).
    for (word_bits, length, actions, log_p) in [(8, 15, 3840, -27.899), (4, 30, 480, -74.658)] {
        let strings = Sequence::over_bits(word_bits, Length::Length(length)).unwrap();
        let strings = strings.built_by(Construction::AnyPosition).unwrap();
        assert_eq!(strings.forward_actions(), actions);
        assert_eq!(strings.max_steps(), length);
        let mut stream = Stream::new(1, Purpose::Walk, 0, 0);
        let mut state = vec![0; strings.state_width()];
        let (mut legal, mut sum, mut steps) = (Vec::new(), 0.0, 0);
        while !strings.can_stop(&state) {
            legal.clear();
            strings.legal_forward(&state, &mut legal);
            strings.step(&mut state, legal[stream.below(legal.len())]);
            legal.clear();
            strings.legal_backward(&state, &mut legal);
            sum -= (legal.len() as f64).ln();
            steps += 1;
        }
        assert_eq!(steps, length);
        assert!((sum - log_p).abs() < 1e-3, "{word_bits}: {sum}");
        legal.clear();
        strings.legal_forward(&state, &mut legal);
        assert!(legal.is_empty(), "a full string must stop");
    }
}
