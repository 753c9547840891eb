//! What the selectors that prefer pick, against what they say and against plain models.

use proptest::prelude::*;
use tributary_common::log_space::log_sum_exp;
use tributary_common::run_file::Priority;

use super::*;

const DRAWS: u32 = 20_000;

/// Fails when draws do not follow the probabilities: chi-square, at a level of about 1e-6.
fn assert_follows(seed: u64, selector: &mut dyn Selector, probabilities: &[f64]) {
    let (mut random, mut picked) = (stream(seed), Vec::new());
    let mut counts = vec![0u32; probabilities.len()];
    while picked.len() < DRAWS as usize {
        let count = 1 + random.below(200).min(DRAWS as usize - picked.len() - 1);
        selector.pick(count, &mut random, &mut picked);
    }
    picked.iter().for_each(|&slot| counts[slot] += 1);
    let term = |(&count, p): (&u32, &f64)| {
        let expected = p * f64::from(DRAWS);
        if expected == 0.0 {
            assert_eq!(count, 0, "seed {seed}: {counts:?}");
            return 0.0;
        }
        (f64::from(count) - expected).powi(2) / expected
    };
    let chi_square: f64 = counts.iter().zip(probabilities).map(term).sum();
    let freedom = probabilities.iter().filter(|&&p| p > 0.0).count() as f64 - 1.0;
    // Wilson and Hilferty's approximation of the quantile.
    let ninth = 2.0 / (9.0 * freedom);
    let bound = freedom * (1.0 - ninth + 4.75 * ninth.sqrt()).powi(3);
    println!("seed {seed}: chi-square {chi_square:.2} with bound {bound:.2}");
    assert!(chi_square < bound, "seed {seed}: chi-square {chi_square} > {bound}: {counts:?}");
}

fn insert_all(selector: &mut dyn Selector, log_rewards: &[f64]) {
    for (slot, &log_reward) in log_rewards.iter().enumerate() {
        selector.inserted(slot, 1, log_reward);
    }
}

fn normalized(weights: &[f64]) -> Vec<f64> {
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

#[test]
fn priorities_by_reward_follow_its_power() {
    let rewards = [0.5f64, 1.0, 2.0, 0.25, 3.0, 1.0, 0.125];
    for (seed, exponent) in [(1, 1.0), (2, 2.0), (3, 0.0)] {
        // Beyond the range of numbers, to the same probabilities.
        for shift in [0.0, -1e4, 1e4] {
            let mut selector = Prioritized::new(Priority::LogReward, exponent);
            insert_all(&mut selector, &rewards.map(|reward| reward.ln() + shift));
            let mut weights = rewards.map(|reward| reward.powf(exponent));
            assert_follows(seed, &mut selector, &normalized(&weights));
            selector.removed(0);
            selector.removed(1);
            weights[..2].fill(0.0);
            assert_follows(seed, &mut selector, &normalized(&weights));
        }
    }
}

#[test]
fn priorities_by_loss_follow_its_power() {
    let mut selector = Prioritized::new(Priority::Loss, 0.5);
    insert_all(&mut selector, &[0.0; 5]);
    assert_follows(4, &mut selector, &[0.2; 5]);
    selector.trained(&mut [(0, 4.0), (1, 100.0), (2, 1.0), (1, 9.0)].into_iter());
    // Those not trained on keep the 1.0 with which they came, the next comes with the largest.
    selector.inserted(5, 1, 0.0);
    assert_follows(5, &mut selector, &normalized(&[2.0, 3.0, 1.0, 1.0, 1.0, 10.0]));
    selector.removed(0);
    selector.trained(&mut [(5, 16.0), (3, f64::NAN)].into_iter());
    assert_follows(6, &mut selector, &normalized(&[0.0, 3.0, 1.0, 1.0, 1.0, 4.0]));
}

#[test]
fn the_best_fraction_gets_its_share() {
    let log_rewards: Vec<f64> = (0..20).map(|i| f64::from(i * 7 % 20)).collect();
    for (seed, share) in [(7, 0.5), (8, 0.9), (9, 0.0), (10, 1.0)] {
        let mut selector = TopFraction::new(0.1, share);
        insert_all(&mut selector, &log_rewards);
        let probability = |log_reward: &f64| {
            if *log_reward >= 18.0 { share / 2.0 } else { (1.0 - share) / 18.0 }
        };
        let probabilities: Vec<f64> = log_rewards.iter().map(probability).collect();
        assert_follows(seed, &mut selector, &probabilities);
    }
}

#[derive(Clone, Debug)]
enum Event {
    Insert(f64),
    /// The resident at this place leaves, modulo how many there are.
    Leave(usize),
    /// Of the resident at this place, modulo how many there are.
    Train(usize, f64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    // Few values, so that many are equal.
    let event = prop_oneof![
        3 => (-3i32..4).prop_map(|reward| Event::Insert(f64::from(reward))),
        2 => any::<usize>().prop_map(Event::Leave),
        1 => (any::<usize>(), 0.0..50f64).prop_map(|(place, loss)| Event::Train(place, loss)),
    ];
    prop::collection::vec(event, 0..200)
}

/// A resident as the plain model has it.
#[derive(Clone, Debug)]
struct Modelled {
    slot: usize,
    log_reward: f64,
    loss: Option<f64>,
}

/// Plays the events to a selector and to a list in the order of arrival. Slots are used again.
fn play(
    selector: &mut impl Selector,
    events: &[Event],
    mut check: impl FnMut(&mut dyn FnMut() -> Option<usize>, &[Modelled]),
) {
    let (mut residents, mut random) = (Vec::<Modelled>::new(), stream(11));
    for event in events {
        match *event {
            Event::Insert(log_reward) => {
                let is_free = |slot: &usize| residents.iter().all(|other| other.slot != *slot);
                let slot = (0..).find(is_free).unwrap();
                selector.inserted(slot, 1, log_reward);
                residents.push(Modelled { slot, log_reward, loss: None });
            }
            Event::Leave(place) if !residents.is_empty() => {
                selector.removed(residents.remove(place % residents.len()).slot);
            }
            Event::Train(place, loss) if !residents.is_empty() => {
                let place = place % residents.len();
                selector.trained(&mut [(residents[place].slot, loss)].into_iter());
                residents[place].loss = Some(loss);
            }
            Event::Leave(_) | Event::Train(..) => {}
        }
        assert_eq!(selector.ready(), residents.len());
        let mut pick = || {
            let mut picked = Vec::new();
            selector.pick(1, &mut random, &mut picked);
            picked.first().copied()
        };
        check(&mut pick, &residents);
    }
}

proptest! {
    #[test]
    fn only_residents_are_picked(events in events(), which in 0..5) {
        let check = |pick: &mut dyn FnMut() -> Option<usize>, residents: &[Modelled]| {
            let picked = pick();
            assert_eq!(picked.is_none(), residents.is_empty());
            let is_resident = |slot| residents.iter().any(|resident| resident.slot == slot);
            assert!(picked.is_none_or(is_resident), "{picked:?} of {residents:?}");
        };
        match which {
            0 => play(&mut Prioritized::new(Priority::LogReward, 1.0), &events, check),
            1 => play(&mut Prioritized::new(Priority::Loss, 1.0), &events, check),
            2 => play(&mut Uniform::default(), &events, check),
            _ => play(&mut TopFraction::new(0.3, 0.5), &events, check),
        }
    }

    #[test]
    fn the_tree_of_priorities_is_that_of_the_residents(events in events()) {
        let mut selector = Prioritized::new(Priority::LogReward, 1.5);
        let mut residents = Vec::new();
        play(&mut selector, &events, |_, all| residents = all.to_vec());
        for resident in &residents {
            prop_assert_eq!(selector.tree.get(resident.slot), 1.5 * resident.log_reward);
        }
        let total = selector.tree.log_total();
        if residents.is_empty() {
            prop_assert_eq!(total, f64::NEG_INFINITY);
        } else {
            let weights = residents.iter().map(|resident| 1.5 * resident.log_reward);
            prop_assert!((total - log_sum_exp(weights)).abs() < 1e-12);
        }
    }

    #[test]
    fn the_best_are_those_of_a_sorted_list(
        events in events(),
        fraction in 0.01..0.99f64,
        barred in prop::collection::vec(any::<usize>(), 0..5),
    ) {
        let mut selector = TopFraction::new(fraction, 0.5);
        let mut residents = Vec::new();
        play(&mut selector, &events, |_, all| residents = all.to_vec());
        let wanted = (fraction * residents.len() as f64).ceil() as usize;
        // Later ones first, so that of equal rewards the later is the better.
        residents.reverse();
        residents.sort_by(|a, b| b.log_reward.total_cmp(&a.log_reward));
        for place in barred {
            if !residents.is_empty() {
                let slot = residents.remove(place % residents.len()).slot;
                selector.barred(slot);
                prop_assert!(!selector.best().contains(&slot));
            }
        }
        let mut best: Vec<usize> = residents.iter().take(wanted).map(|one| one.slot).collect();
        best.sort_unstable();
        prop_assert_eq!(selector.best(), best);
    }
}
