//! What the reward wrote down of its calls, held against what the ledger has.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// An actor that was killed.
pub(super) struct Death {
    /// Its process.
    pub(super) who: u32,
    /// When, in microseconds since 1970.
    pub(super) at: u64,
}

/// One call of the reward.
#[derive(Default)]
struct Call {
    objects: Vec<String>,
    began: u64,
    ended: Option<u64>,
}

/// All calls, by process and number.
pub(super) struct Calls(BTreeMap<u32, BTreeMap<u64, Call>>);

/// What an actor did when it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doing {
    /// It had measured nothing yet.
    Starting,
    /// In the middle of a call of the reward.
    Measuring,
    /// A call had ended within the last 20 ms.
    Sending,
    /// None of these.
    Waiting,
}

/// What became of everything that was measured.
#[derive(Default)]
pub(super) struct Audit {
    pub(super) calls: u64,
    pub(super) objects: u64,
    /// Evaluations in the ledger.
    pub(super) kept: u64,
    /// Objects whose measuring was never finished.
    pub(super) died_in_the_middle: u64,
    /// Objects that were measured in the last calls before a kill and that no disk had yet.
    pub(super) died_unsaved: u64,
    /// The longest time between the end of such a call and the kill, in microseconds.
    pub(super) longest_unsaved: u64,
    /// Measured, and in the ledger less often than that: lost, or measured again and sent once.
    pub(super) lost: u64,
    /// In the ledger more often than it was measured.
    pub(super) counted_twice: u64,
}

/// Between the end of a call and the moment at which the spool's disk has what it said.
const UNSAVED: u64 = 250_000;
/// Behind the end of a call its record is being sent.
const SENDING: u64 = 20_000;

impl Calls {
    /// Reads the file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let mut calls: BTreeMap<u32, BTreeMap<u64, Call>> = BTreeMap::new();
        for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
            let mut words = line.splitn(5, ' ');
            let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
            let (who, call, at) = (number(), number(), number());
            let (Some(who), Some(call), Some(at)) = (who, call, at) else { bail!("line: {line}") };
            let call = calls.entry(u32::try_from(who)?).or_default().entry(call).or_default();
            match (words.next(), words.next()) {
                (Some("began"), Some(object)) => {
                    call.began = at;
                    call.objects.push(object.to_owned());
                }
                (Some("ended"), None) => call.ended = Some(at),
                _ => bail!("a line of the calls: {line}"),
            }
        }
        Ok(Self(calls))
    }

    /// Whether a process has measured anything.
    pub(super) fn has(&self, who: u32) -> bool {
        self.0.contains_key(&who)
    }

    /// What a process did when it was killed.
    pub(super) fn doing(&self, death: &Death) -> Doing {
        let last = self.0.get(&death.who).and_then(|calls| calls.values().next_back());
        match last.map(|call| call.ended) {
            None => Doing::Starting,
            Some(None) => Doing::Measuring,
            Some(Some(at)) if death.at.saturating_sub(at) < SENDING => Doing::Sending,
            Some(Some(_)) => Doing::Waiting,
        }
    }

    /// Explains every difference to the ledger's evaluations, which are counted by object.
    pub(super) fn audit(&self, deaths: &[Death], kept: &BTreeMap<String, u64>) -> Result<Audit> {
        let mut audit = Audit { kept: kept.values().sum(), ..Audit::default() };
        // Measured and not in the ledger, by object.
        let mut missing: BTreeMap<&str, i64> = BTreeMap::new();
        for (object, &count) in kept {
            missing.insert(object, -i64::try_from(count)?);
        }
        let mut unfinished = Vec::new();
        let calls = self.0.iter().flat_map(|(&who, calls)| calls.values().map(move |c| (who, c)));
        for (who, call) in calls.clone() {
            audit.calls += 1;
            audit.objects += call.objects.len() as u64;
            let death = deaths.iter().find(|death| death.who == who);
            if call.ended.is_none() {
                let death = death.with_context(|| format!("{who} left a call and lives"))?;
                ensure!(call.began <= death.at, "{who} called the reward after its death");
                audit.died_in_the_middle += call.objects.len() as u64;
                continue;
            }
            for object in &call.objects {
                *missing.entry(object).or_default() += 1;
            }
            if let (Some(death), Some(ended)) = (death, call.ended) {
                let ago = death.at.saturating_sub(ended);
                unfinished.extend(call.objects.iter().filter(|_| ago < UNSAVED).map(|o| (ago, o)));
            }
        }
        unfinished.sort();
        for (ago, object) in unfinished {
            let Some(missing) = missing.get_mut(&object[..]).filter(|count| **count > 0) else {
                continue;
            };
            *missing -= 1;
            audit.died_unsaved += 1;
            audit.longest_unsaved = audit.longest_unsaved.max(ago);
        }
        audit.lost = missing.values().map(|&count| count.max(0).unsigned_abs()).sum();
        audit.counted_twice = missing.values().map(|&count| count.min(0).unsigned_abs()).sum();
        Ok(audit)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn calls(text: &str) -> Calls {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Calls::read(file.path()).unwrap()
    }

    fn audit(text: &str, deaths: &[(u32, u64)], kept: &[(&str, u64)]) -> Audit {
        let deaths: Vec<Death> = deaths.iter().map(|&(who, at)| Death { who, at }).collect();
        let kept = kept.iter().map(|&(object, count)| (object.to_owned(), count)).collect();
        calls(text).audit(&deaths, &kept).unwrap()
    }

    const TWO: &str = "7 0 100 began [1]\n7 0 200 ended\n8 0 150 began [1]\n8 0 151 began [2]\n";

    #[test]
    fn what_dies_in_the_middle_is_neither_lost_nor_counted() {
        let found = audit(TWO, &[(8, 300)], &[("[1]", 1)]);
        assert_eq!((found.calls, found.objects, found.died_in_the_middle), (2, 3, 2));
        assert_eq!((found.lost, found.counted_twice, found.died_unsaved), (0, 0, 0));
    }

    #[test]
    fn what_the_ledger_has_too_often_or_too_rarely_is_seen() {
        let found = audit(TWO, &[(8, 300)], &[("[1]", 1), ("[2]", 1)]);
        assert_eq!((found.lost, found.counted_twice), (0, 1));
        let found = audit(TWO, &[(8, 300)], &[]);
        assert_eq!((found.lost, found.counted_twice), (1, 0));
        // Process 7 died much later, or just behind the call.
        let found = audit(TWO, &[(7, 2_000_000), (8, 300)], &[]);
        assert_eq!((found.lost, found.died_unsaved), (1, 0));
        let found = audit(TWO, &[(7, 250), (8, 300)], &[]);
        assert_eq!((found.lost, found.died_unsaved, found.longest_unsaved), (0, 1, 50));
    }

    #[test]
    fn a_call_without_an_end_is_of_a_process_that_was_killed() {
        assert!(calls(TWO).audit(&[], &BTreeMap::new()).is_err());
    }

    #[test]
    fn what_an_actor_did_when_it_was_killed() {
        let doing = |who, at| calls(TWO).doing(&Death { who, at });
        assert_eq!((doing(7, 300), doing(7, 90_000)), (Doing::Sending, Doing::Waiting));
        assert_eq!((doing(8, 300), doing(9, 300)), (Doing::Measuring, Doing::Starting));
    }
}
