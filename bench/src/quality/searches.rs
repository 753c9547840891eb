//! Searches that are no samplers of R: a genetic algorithm, Metropolis-Hastings, random words.
//!
//! Words are indices of [`Landscape`]; their letters are digits to the base 4.

use tributary_common::object::Object;
use tributary_common::random::{Purpose, Stream};

use super::landscape::Landscape;

/// Words of a generation, and those of all seen that may become parents.
const CHILDREN: usize = 100;
const PARENTS: usize = 200;

/// Chains of Metropolis-Hastings, which take turns.
const CHAINS: usize = 16;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Search {
    /// The best words so far are crossed at one point, and a letter is changed on average.
    Genetic,
    /// Chains at R that propose another letter at one place.
    Metropolis,
    /// All words are equally likely.
    Random,
}

impl Search {
    /// Looks at words until `see` says that it is enough.
    pub(super) fn run(
        self,
        landscape: &Landscape,
        seed: u64,
        see: &mut dyn FnMut(&Object) -> bool,
    ) {
        let mut stream = Stream::new(seed, Purpose::Walk, 7, 0);
        match self {
            Self::Genetic => genetic(landscape, &mut stream, see),
            Self::Metropolis => metropolis(landscape, &mut stream, see),
            Self::Random => while see(landscape.object(stream.below(landscape.len()))) {},
        }
    }
}

fn genetic(landscape: &Landscape, stream: &mut Stream, see: &mut dyn FnMut(&Object) -> bool) {
    let mut parents: Vec<usize> = (0..PARENTS).map(|_| stream.below(landscape.len())).collect();
    if !parents.iter().all(|&word| see(landscape.object(word))) {
        return;
    }
    loop {
        for _ in 0..CHILDREN {
            let [a, b] = [(); 2].map(|()| parents[stream.below(parents.len())]);
            let point = 4_usize.pow(stream.below(landscape.length() + 1) as u32);
            let mut child = a % point + b / point * point;
            for place in 0..landscape.length() {
                if stream.below(landscape.length()) == 0 {
                    child = with_other_letter(child, place, stream);
                }
            }
            if !see(landscape.object(child)) {
                return;
            }
            if !parents.contains(&child) {
                parents.push(child);
            }
        }
        parents.sort_by(|&a, &b| landscape.log_reward(b).total_cmp(&landscape.log_reward(a)));
        parents.truncate(PARENTS);
    }
}

fn metropolis(landscape: &Landscape, stream: &mut Stream, see: &mut dyn FnMut(&Object) -> bool) {
    let mut places: Vec<usize> = (0..CHAINS).map(|_| stream.below(landscape.len())).collect();
    if !places.iter().all(|&word| see(landscape.object(word))) {
        return;
    }
    for turn in (0..CHAINS).cycle() {
        let proposed = with_other_letter(places[turn], stream.below(landscape.length()), stream);
        if !see(landscape.object(proposed)) {
            return;
        }
        let ratio = landscape.log_reward(proposed) - landscape.log_reward(places[turn]);
        if stream.uniform().ln() < ratio {
            places[turn] = proposed;
        }
    }
}

/// The word with one of the three other letters there.
fn with_other_letter(word: usize, place: usize, stream: &mut Stream) -> usize {
    let unit = 4_usize.pow(place as u32);
    let letter = word / unit % 4;
    let other = (letter + 1 + stream.below(3)) % 4;
    word - letter * unit + other * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All words of six letters; log R is twice the number of letters that are T.
    fn landscape() -> Landscape {
        let is_t = |index: usize, place: u32| index / 4_usize.pow(place) % 4 == 3;
        let count = |index| (0..6).filter(|&place| is_t(index, place)).count();
        Landscape::of_test((0..4_096).map(|index| 2.0 * count(index) as f64).collect(), 6)
    }

    fn seen(search: Search, count: usize) -> Vec<Object> {
        let mut seen = Vec::new();
        search.run(&landscape(), 1, &mut |word| {
            seen.push(word.clone());
            seen.len() < count
        });
        assert_eq!(seen.len(), count);
        seen
    }

    fn letters(objects: &[Object]) -> usize {
        objects.iter().map(|object| object.to_string().matches('T').count()).sum()
    }

    #[test]
    fn searches_come_to_better_words_than_chance() {
        let last = |search| letters(&seen(search, 4_000)[3_000..]);
        let random = last(Search::Random);
        // A letter in four of 6,000 by chance.
        assert!((1_350..1_650).contains(&random), "{random}");
        for search in [Search::Genetic, Search::Metropolis] {
            let found = last(search);
            assert!(2 * found > 3 * random, "{found} against {random}");
        }
    }

    #[test]
    fn a_changed_letter_is_another_one() {
        let mut stream = Stream::new(1, Purpose::Walk, 0, 0);
        for word in 0..256 {
            let changed = with_other_letter(word, 2, &mut stream);
            assert_ne!(changed / 16 % 4, word / 16 % 4);
            assert_eq!((changed % 16, changed / 64), (word % 16, word / 64));
        }
    }
}
