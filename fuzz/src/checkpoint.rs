//! The manifest of a checkpoint, a folder that claims to be one, and the saved sessions in its state.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use tributary_common::checkpoint::{Checkpoint, MANIFEST, Manifest, SEAL, seal};
use tributary_common::ids::Incarnation;
use tributary_common::session::Secret;
use tributary_common::session::sessions::{SavedSessions, Sessions, SessionsConfig};

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = PathBuf::from("/dev/shm").canonicalize().unwrap_or_else(|_| std::env::temp_dir());
    let folder = folder.join(format!("tributary-fuzz-checkpoint-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("a"), b"content").expect("written");
    folder
});

/// One of the two files; the first byte says which.
pub fn run(data: &[u8]) {
    let Some((&choice, content)) = data.split_first() else { return };
    if choice.is_multiple_of(2) { manifest(content) } else { sessions(content) }
}

fn manifest(content: &[u8]) {
    if serde_json::from_slice::<Manifest>(content).is_err() && content.len() > 1 << 16 {
        return;
    }
    fs::write(FOLDER.join(MANIFEST), content).expect("written");
    // Damage is found by hashes; what is tried here is a manifest that somebody has sealed.
    fs::write(FOLDER.join(SEAL), seal(content)).expect("written");
    match Checkpoint::read(&FOLDER) {
        Ok(checkpoint) => {
            for (name, bytes) in &checkpoint.files {
                assert!(!name.contains('/') && name != "..", "{name:?} is elsewhere");
                assert_eq!(checkpoint.manifest.files[name].bytes, bytes.len() as u64);
            }
        }
        Err(error) => assert!(error.to_string().contains("tributary-fuzz"), "{error}"),
    }
}

fn sessions(content: &[u8]) {
    let Ok(saved) = serde_json::from_slice::<SavedSessions>(content) else { return };
    let config = SessionsConfig {
        incarnation: Incarnation(2),
        durable: false,
        most_sessions: 4,
        most_remembered: 8,
        budget_bytes: 1000,
        window_bytes: 400,
        record_bytes: 100,
    };
    let mut sessions = Sessions::restore(config, saved);
    let _ = sessions.hello(None, Secret([1; 16]));
    let _ = sessions.grants();
    let _ = sessions.books().pending();
    let again = sessions.save();
    let text = serde_json::to_vec(&again).expect("JSON");
    let read: SavedSessions = serde_json::from_slice(&text).expect("its own text is read");
    assert_eq!(read, again);
}
