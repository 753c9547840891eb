//! Data files down, by hash.

use std::sync::Arc;

use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use tributary_proto::code::Code;
use tributary_proto::convert::chunks::{Chunk, Fetch, chunks};
use tributary_proto::v1::assets_server::Assets;
use tributary_proto::v1::{AssetData, FetchRequest};

use super::{RunFacts, ServiceDeps};

pub(super) struct AssetsService(Arc<RunFacts>);

impl AssetsService {
    pub(super) fn new(deps: &ServiceDeps) -> Self {
        Self(Arc::clone(&deps.facts))
    }
}

type Chunks = Box<dyn Stream<Item = Result<AssetData, Status>> + Send + Unpin>;

#[tonic::async_trait]
impl Assets for AssetsService {
    type FetchStream = Chunks;

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<Chunks>, Status> {
        let Fetch { blake3, offset } = request.into_inner().try_into()?;
        let asset = self.0.assets.iter().find(|(asset, _)| asset.blake3 == blake3);
        let Some((asset, bytes)) = asset else {
            return Err(Code::NotFound.status("no data file of this run has that hash"));
        };
        let start = usize::try_from(offset).ok().filter(|start| *start <= bytes.len());
        let Some(start) = start else {
            let size = bytes.len();
            let message =
                format!("offset {offset} is beyond the {size} bytes of \"{}\"", asset.name);
            return Err(Code::Invalid.status(message));
        };
        let chunk =
            move |Chunk { offset, data }| Ok(AssetData { offset: offset + start as u64, data });
        let pieces = chunks(bytes.slice(start..)).map(chunk);
        Ok(Response::new(Box::new(tokio_stream::iter(pieces))))
    }
}
