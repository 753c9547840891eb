//! Every file of a checkpoint is cut short, and a bit of it flipped, at random places: each time it
//! must be seen.

use tributary_common::soak;

use super::*;

#[test]
fn every_damage_is_seen() {
    let (places, seed) = (soak::count(300, 10_000), soak::seed(23));
    let run = tempfile::tempdir().unwrap();
    let path = writer(run.path()).write(&contents(4)).unwrap();
    let mut stream = Stream::new(seed, Purpose::Walk, 0, 0);
    let (mut files, mut damages) = (0, 0);
    for entry in fs::read_dir(&path).unwrap() {
        let file = entry.unwrap().path();
        let whole = fs::read(&file).unwrap();
        for turn in 0..2 * places {
            let place = stream.below(whole.len());
            let damaged = if turn % 2 == 0 {
                whole[..place].to_vec()
            } else {
                let mut flipped = whole.clone();
                flipped[place] ^= 1 << stream.below(8);
                flipped
            };
            fs::write(&file, &damaged).unwrap();
            let error = Checkpoint::read(&path).unwrap_err().to_string();
            // An older one takes its place; it is not taken for that of a newer release.
            assert!(
                error.contains("is damaged"),
                "seed {seed}, {file:?}, {turn}, {place}: {error}"
            );
            damages += 1;
        }
        fs::write(&file, &whole).unwrap();
        files += 1;
    }
    let checkpoint = Checkpoint::read(&path).unwrap();
    assert!(same(&Contents::read(&checkpoint, &network("8")).unwrap(), &contents(4)));
    assert_eq!(files, checkpoint.manifest.files.len() + 2, "manifest and seal too");
    println!("seed {seed}: {damages} of {damages} damages to {files} files seen");
}
