//! Bringing a checked image into Docker, in the one form that all its versions load: the `docker save` archive.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use bollard::Docker;
use bollard::query_parameters::ImportImageOptionsBuilder;
use futures::StreamExt;
use serde_json::json;
use tokio_util::io::ReaderStream;

use crate::image::{Digest, ImageError, PreparedImage, layers_of};
use crate::runtime::RuntimeError;

use super::{engine, has_code};

/// Docker's name for the image with this manifest digest. A name of ours: Docker's own ids are other digests.
pub(super) fn docker_name(digest: &Digest) -> String {
    format!("opengpu/job:{}", digest.hex())
}

/// Loads the image unless Docker has it.
pub(super) async fn ensure_loaded(docker: &Docker, image: &PreparedImage) -> Result<(), RuntimeError> {
    let name = docker_name(&image.digest);
    match docker.inspect_image(&name).await {
        Ok(_) => return Ok(()),
        Err(error) if has_code(&error, 404) => {}
        Err(error) => return Err(engine(&error)),
    }
    let layout = image.folder.clone();
    let digest = image.digest.clone();
    let written = tokio::task::spawn_blocking(move || write_archive(&layout, &digest)).await;
    let archive = written.map_err(|error| failed(&error))??;
    let stream = ReaderStream::new(tokio::fs::File::from_std(archive));
    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    let mut progress = std::pin::pin!(docker.import_image_stream(options, stream, None));
    while let Some(step) = progress.next().await {
        step.map_err(|error| engine(&error))?;
    }
    docker
        .inspect_image(&name)
        .await
        .map(drop)
        .map_err(|error| engine(&error))
}

/// Writes the archive to a nameless file and rewinds it.
fn write_archive(layout: &Path, digest: &Digest) -> Result<File, RuntimeError> {
    let (config, layers) = layers_of(layout, digest)?;
    let io = |error: io::Error| {
        RuntimeError::Image(ImageError::Io {
            action: "pack",
            path: layout.to_owned(),
            source: error,
        })
    };
    let mut tar = tar::Builder::new(tempfile::tempfile_in(layout).map_err(io)?);
    let config_name = format!("{}.json", config.hex());
    let config = fs::read(layout.join("blobs/sha256").join(config.hex())).map_err(io)?;
    append(&mut tar, &config_name, config.len() as u64, &mut config.as_slice()).map_err(io)?;
    let mut names = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let name = format!("{number}.tar");
        // A tar header needs the size first: unpack the layer beside, then copy.
        let mut plain = tempfile::tempfile_in(layout).map_err(io)?;
        let size = io::copy(&mut layer.open()?, &mut plain).map_err(io)?;
        io::Seek::rewind(&mut plain).map_err(io)?;
        append(&mut tar, &name, size, &mut plain).map_err(io)?;
        names.push(name);
    }
    let manifest = json!([{ "Config": config_name, "RepoTags": [docker_name(digest)], "Layers": names }]).to_string();
    append(
        &mut tar,
        "manifest.json",
        manifest.len() as u64,
        &mut manifest.as_bytes(),
    )
    .map_err(io)?;
    let mut file = tar.into_inner().map_err(io)?;
    io::Seek::rewind(&mut file).map_err(io)?;
    Ok(file)
}

fn append(tar: &mut tar::Builder<File>, name: &str, size: u64, bytes: &mut dyn io::Read) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, bytes)
}

fn failed(error: &dyn std::error::Error) -> RuntimeError {
    RuntimeError::Engine {
        engine: "docker",
        reason: error.to_string(),
    }
}
