//! The form of the files: torn, damaged, older, newer.

use super::*;

/// Ten records of an epoch in several files.
fn some_files(root: &Path) {
    let mut store = create(root);
    store.push([Entry::Welcomed(epoch(1))]);
    for (from, to) in [(0, 2), (2, 4), (4, 6), (6, 8), (8, 9), (9, 10)] {
        store.push([entry(1, from, to)]);
        store.commit().unwrap();
    }
    assert!(files(root).len() >= 2, "{:?}", files(root));
}

#[test]
fn a_torn_end_is_cut_wherever_it_is_torn() {
    let root = tempfile::tempdir().unwrap();
    some_files(root.path());
    let last = files(root.path()).pop().unwrap();
    let whole = fs::read(&last).unwrap();
    let mut lengths = Vec::new();
    for length in 0..whole.len() {
        fs::write(&last, &whole[..length]).unwrap();
        let found = found(root.path());
        assert_eq!(found.damage, [], "cut at {length}");
        let kept = keys(&found.kept().unwrap());
        assert_eq!(kept, (0..kept.len() as u64).map(|seq| key(1, seq)).collect::<Vec<_>>());
        lengths.push(kept.len());
    }
    assert!(lengths.is_sorted() && lengths[0] < 10, "{lengths:?}");
    let place = lock(root.path());
    drop(Store::new(place, found(root.path()), SEGMENT).unwrap());
    assert!((last.metadata().unwrap().len() as usize) < whole.len() - 1, "it is cut off");
}

#[test]
fn a_damaged_record_is_named_and_the_others_are_kept() {
    let root = tempfile::tempdir().unwrap();
    some_files(root.path());
    let (mut named, mut intact) = (0, 0);
    for file in files(root.path()) {
        let whole = fs::read(&file).unwrap();
        for place in (12..whole.len()).step_by(3) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x10;
            fs::write(&file, &bytes).unwrap();
            let found = found(root.path());
            let kept = found.kept().unwrap();
            let is_sound = |(key, found, _): &&(RecordKey, Record, u64)| *found == record(*key);
            let sound = kept.held.iter().filter(is_sound).count();
            let missing: u64 = found.damage.iter().map(|damage| damage.records).sum();
            let cut = 10 - kept.held.len();
            assert_eq!(sound + missing as usize + cut, 10, "{place}: {:?}", found.damage);
            assert!(missing <= 2 && cut <= 1, "{place}: {:?}", found.damage);
            for stand_in in kept.held.iter().filter(|one| !is_sound(one)) {
                assert!(stand_in.1.raw.iter().all(|raw| raw.is_nan()), "{stand_in:?}");
            }
            let gapless = kept.held.iter().zip(0..).all(|((k, ..), seq)| *k == key(1, seq));
            assert!(gapless, "keys behind a damaged record stay");
            named += u32::from(missing > 0 && found.damage[0].place.is_some());
            intact += u32::from(missing == 0);
        }
        fs::write(&file, &whole).unwrap();
    }
    assert!(named > 100, "{named} damages were named, {intact} hit no record");
}

#[test]
fn the_form_of_a_newer_release_is_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    some_files(root.path());
    let file = files(root.path()).pop().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[8] = 9;
    fs::write(&file, bytes).unwrap();
    let error = read(&folder(root.path())).unwrap_err();
    assert!(matches!(error, ReadError::Schema { .. }), "{error}");
    assert!(error.to_string().contains("a spool has schema 9"), "{error}");
}

#[test]
fn a_spool_that_says_nothing_is_refused() {
    let root = tempfile::tempdir().unwrap();
    drop(create(root.path()));
    let error = read(&folder(root.path())).unwrap_err();
    assert!(matches!(error, ReadError::Illegible { .. }), "{error}");
}

/// `TRIBUTARY_BLESS=1` writes the files that are not there yet; existing ones never change.
#[test]
fn the_golden_spool_is_read() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/spool");
    if std::env::var_os("TRIBUTARY_BLESS").is_some_and(|value| value == "1") && !golden.exists() {
        some_files(&golden);
        fs::remove_file(folder(&golden).join("lock")).unwrap();
    }
    let kept = kept(&golden);
    assert_eq!(keys(&kept), (0..10).map(|seq| key(1, seq)).collect::<Vec<_>>());
    assert_eq!((kept.identity.secret, kept.next), (SECRET, Seq(10)));
}
