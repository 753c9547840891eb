//! The data files of a run, fetched by hash from the learner into a cache folder.
//!
//! A file is named by its hash there, so runs with the same data share it, and it appears only when
//! it is whole.

use std::path::{Path, PathBuf};

use tokio::fs;
use tokio::io::AsyncWriteExt;
use tonic::{Status, Streaming};
use tributary_proto::convert::chunks::Chunk;
use tributary_proto::convert::learner::Asset;
use tributary_proto::credentials::Line;
use tributary_proto::limits;
use tributary_proto::v1::assets_client::AssetsClient;
use tributary_proto::v1::{AssetData, FetchRequest};

use crate::error::ActorError;

/// Why a file is not here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The connection; to be tried again.
    #[error("the data files could not be fetched: {0}")]
    Lost(#[from] Status),
    /// Trying again does not help.
    #[error(transparent)]
    Failed(ActorError),
}

/// Puts a file into the cache folder, unless it is there, and returns where it lies.
pub(crate) async fn fetch(
    client: &mut AssetsClient<Line>,
    asset: &Asset,
    cache: &Path,
) -> Result<PathBuf, FetchError> {
    let hash = blake3::Hash::from(asset.blake3);
    let folder = cache.join("data");
    let path = folder.join(hash.to_hex().as_str());
    if matches!(fs::read(&path).await, Ok(bytes) if blake3::hash(&bytes) == hash) {
        return Ok(path);
    }
    fs::create_dir_all(&folder).await.map_err(|error| unwritable(asset, &folder, &error))?;
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let received = receive(client, asset, &part).await?;
    if received != hash {
        let _ = fs::remove_file(&part).await;
        return Err(failed(asset, "the bytes that the learner sent do not have its hash"));
    }
    fs::rename(&part, &path).await.map_err(|error| unwritable(asset, &path, &error))?;
    Ok(path)
}

/// Writes the learner's bytes to a new file; returns their hash.
async fn receive(
    client: &mut AssetsClient<Line>,
    asset: &Asset,
    part: &Path,
) -> Result<blake3::Hash, FetchError> {
    let unwritable = |error| unwritable(asset, part, &error);
    let mut file = fs::File::create(part).await.map_err(unwritable)?;
    let request = FetchRequest { blake3: asset.blake3.to_vec(), offset: 0 };
    let mut pieces = client.fetch(request).await?.into_inner();
    let mut hasher = blake3::Hasher::new();
    while let Some(piece) = next(&mut pieces).await? {
        let piece = Chunk::try_from(piece).map_err(|error| failed(asset, error))?;
        let end = hasher.count().saturating_add(piece.data.len() as u64);
        if piece.offset != hasher.count() || end > asset.size {
            let size = asset.size;
            let reason = format!("the learner sent bytes {}..{end} of {size}", piece.offset);
            return Err(failed(asset, reason));
        }
        hasher.update(&piece.data);
        file.write_all(&piece.data).await.map_err(unwritable)?;
    }
    file.sync_all().await.map_err(unwritable)?;
    Ok(hasher.finalize())
}

/// The next piece. A learner that lives and sends nothing must not hold up the actor for ever.
async fn next(pieces: &mut Streaming<AssetData>) -> Result<Option<AssetData>, Status> {
    let late = |_| Status::deadline_exceeded("the learner sends no more of a data file");
    tokio::time::timeout(limits::RPC_TIMEOUT, pieces.message()).await.map_err(late)?
}

fn unwritable(asset: &Asset, path: &Path, error: &std::io::Error) -> FetchError {
    failed(asset, format!("cannot write {}: {error}", path.display()))
}

fn failed(asset: &Asset, reason: impl ToString) -> FetchError {
    let (name, reason) = (asset.name.clone(), reason.to_string());
    FetchError::Failed(ActorError::DataFile { name, reason })
}
