//! Trajectories that were tampered with, over every construction: none that cannot have happened is
//! accepted, none that can is refused. What is legal is decided by [`naive`], a second implementation
//! from the pages in `docs/environments`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod naive;
mod raw;
mod tamper;

use std::collections::BTreeMap;
use std::path::Path;

use tributary_common::ids::{PolicyVersion, Seq};
use tributary_common::random::{Purpose, Stream};
use tributary_common::registry::Registry;
use tributary_common::session::books::RejectionReason;
use tributary_common::soak;
use tributary_common::trajectory::{TrajectoryKind, TrajectoryView};

use super::Examiner;
use naive::Rule;
use raw::Raw;
use tamper::Tamper;

/// An environment, what is legal in it, and which raw values its reward can measure.
struct Case {
    environment: &'static str,
    reward: &'static str,
    rule: Rule,
    raw: Raw,
}

const BITS: &str =
    "kind = 'bit_sequence'\nmodes = 4\nseed = 0\ndistance_scale = 'per_bit'\nexponent = 3.0";
const AC: &str = "kind = 'motif'\nmotifs = ['A', 'AC', 'CCC']";

fn cases() -> Vec<Case> {
    let case = |environment, reward, rule, raw| Case { environment, reward, rule, raw };
    let motif = |longest| Raw::Counts(vec![longest, longest - 1, longest - 2]);
    let mut cases = vec![
        case(
            "construction = 'append'\nalphabet = 'AC'\nlength = 5",
            AC,
            Rule::append(2, 5, true),
            motif(5),
        ),
        case(
            "construction = 'append'\nalphabet = 'ACG'\nmax_length = 6",
            AC,
            Rule::append(3, 6, false),
            motif(6),
        ),
        case(
            "construction = 'prepend_append'\nalphabet = 'ACGT'\nlength = 7",
            AC,
            Rule::ends(4, 7, true),
            motif(7),
        ),
        case(
            "construction = 'prepend_append'\nalphabet = 'AC'\nmax_length = 4",
            AC,
            Rule::ends(2, 4, false),
            motif(4),
        ),
        case(
            "construction = 'insert'\nalphabet = 'AC'\nlength = 6",
            AC,
            Rule::insert(2, 6, true),
            motif(6),
        ),
        case(
            "construction = 'insert'\nalphabet = 'ACG'\nmax_length = 9",
            AC,
            Rule::insert(3, 9, false),
            motif(9),
        ),
        case(
            "construction = 'any_position'\nalphabet = 'ACGT'\nlength = 6",
            AC,
            Rule::anywhere(4, 6),
            motif(6),
        ),
        case(
            "construction = 'any_position'\nalphabet = 'AC'\nlength = 12",
            AC,
            Rule::anywhere(2, 12),
            motif(12),
        ),
        case(
            "construction = 'append'\nword_bits = 8\nlength = 3",
            BITS,
            Rule::append(256, 3, true),
            Raw::Distance(24),
        ),
        case("preset = 'bitseq'", BITS, Rule::anywhere(256, 15), Raw::Distance(120)),
        case(
            "preset = 'tfbind8'",
            "kind = 'table'\nfile = 'tfbind8.tsv'",
            Rule::append(4, 8, true),
            Raw::Finite,
        ),
        case(
            "preset = 'qm9_strings'",
            "kind = 'motif'\nmotifs = ['C', 'C O']\nweights = [-1.0, 2.0]",
            Rule::ends(11, 5, true),
            Raw::Counts(vec![5, 4]),
        ),
    ];
    for (keys, reward, dimensions, side) in [
        ("dimensions = 1\nside = 2", "kind = 'original'", 1, 2),
        ("dimensions = 2\nside = 2", "kind = 'cosine'", 2, 2),
        ("dimensions = 2\nside = 8", "kind = 'sparse'", 2, 8),
        ("dimensions = 3\nside = 20", "kind = 'deceptive'", 3, 20),
        ("dimensions = 4\nside = 8", "kind = 'original'", 4, 8),
        ("dimensions = 7\nside = 2", "kind = 'original'", 7, 2),
        ("dimensions = 40\nside = 3", "kind = 'original'", 40, 3),
    ] {
        cases.push(case(keys, reward, Rule::Grid { dimensions, side }, Raw::NotNegative));
    }
    cases
}

impl Case {
    fn examiner(&self) -> Examiner {
        let kind = if matches!(self.rule, Rule::Grid { .. }) { "hypergrid" } else { "sequence" };
        let text = format!(
            "[environment]\nkind = '{kind}'\n{}\n[reward]\n{}\n[learner]\nupdates = 1\n",
            self.environment, self.reward
        );
        let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        let (_, task) = Registry::builtin().read(&text, &[], &files).unwrap();
        Examiner::new(task.environment, task.reward)
    }
}

/// How often each way of tampering was tried, and how often it gave something illegal.
#[derive(Default)]
struct Tally(BTreeMap<String, (u64, u64)>);

impl Tally {
    fn note(&mut self, name: &str, is_illegal: bool) {
        let (tried, illegal) = self.0.entry(name.to_owned()).or_default();
        *tried += 1;
        *illegal += u64::from(is_illegal);
    }
}

fn view<'a>(actions: &'a [u32], raw: &'a [f64]) -> TrajectoryView<'a> {
    TrajectoryView {
        seq: Seq(0),
        actions,
        raw,
        policy: PolicyVersion::default(),
        kind: TrajectoryKind::Forward,
        setting: 0,
        log_mu: 0.0,
        seconds: 0.0,
    }
}

#[test]
fn no_tampered_trajectory_is_accepted_and_no_legal_one_refused() {
    let (count, seed) = (soak::count(50_000, 1_000_000), soak::seed(20_261_125));
    let cases = cases();
    let mut examiners: Vec<Examiner> = cases.iter().map(Case::examiner).collect();
    let (mut tally, mut illegal, mut accepted, mut refused) = (Tally::default(), 0, 0, 0);
    for index in 0..count {
        let mut stream = Stream::new(seed, Purpose::Walk, 0, index);
        let place = stream.below(cases.len());
        let case = &cases[place];
        let mut actions = case.rule.legal_path(&mut stream);
        let tamper = Tamper::ALL[stream.below(Tamper::ALL.len())];
        tamper.apply(&mut actions, &case.rule, &mut stream);
        let (raw_name, raw) = case.raw.draw(&mut stream);
        let (path_is_legal, raw_is_legal) = (case.rule.is_legal(&actions), case.raw.is_legal(&raw));
        tally.note(&format!("actions {tamper:?}"), !path_is_legal);
        tally.note(&format!("raw {raw_name}"), !raw_is_legal);

        let examined = examiners[place].examine(&view(&actions, &raw));
        let said =
            || format!("seed {seed}, number {index}: {} {actions:?} {raw:?}", case.environment);
        match examined {
            Ok(sound) => {
                assert!(path_is_legal && raw_is_legal, "accepted: {}", said());
                assert_eq!(sound.built.to_string(), case.rule.object(&actions), "{}", said());
                assert!(sound.log_reward.get() < f64::INFINITY, "{}", said());
                accepted += 1;
            }
            Err(unsound) => {
                assert!(!path_is_legal || !raw_is_legal, "refused, {unsound:?}: {}", said());
                let of_raw = unsound.reason == RejectionReason::InvalidReward;
                assert_eq!(of_raw, path_is_legal, "{unsound:?}: {}", said());
                refused += 1;
            }
        }
        illegal += u64::from(!path_is_legal || !raw_is_legal);
    }
    println!(
        "seed {seed}: {count} trajectories, {illegal} illegal: {refused} refused, {accepted} accepted"
    );
    for (name, (tried, illegal)) in &tally.0 {
        println!("  {name}: {illegal} illegal of {tried}");
    }
    assert_eq!((refused, accepted), (illegal, count - illegal));
    let untouched = tally.0["actions Nothing"];
    assert_eq!(untouched.1, 0, "the paths to tamper with are legal");
    assert!(illegal > count / 3 && accepted > count / 10, "{illegal} {accepted}");
}
