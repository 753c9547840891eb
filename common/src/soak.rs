//! How much a test of something rare does. `TRIBUTARY_SOAK=full` runs the counts that are promised,
//! `share` a fifth of them, as CI does, else a test does what is quick; `TRIBUTARY_SEED` is where its
//! random numbers begin.

/// Of something that is done `full` times where it is promised.
pub fn count(quick: u64, full: u64) -> u64 {
    match std::env::var("TRIBUTARY_SOAK").as_deref() {
        Ok("full") => full,
        Ok("share") => quick.max(full / 5),
        _ => quick,
    }
}

/// The seed that is given, or the usual one.
pub fn seed(usual: u64) -> u64 {
    let given = std::env::var("TRIBUTARY_SEED").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(usual)
}
