//! What a job is made of before it runs: its image pinned by digest, its input named by CID, both in a store of ours.

use std::fs;
use std::path::{Path, PathBuf};

use opengpu_core::ids::{CidText, Sha256Digest};
use opengpu_core::spec::{Artifact, Image, ImageSource};
use opengpu_node::image::{ImageError, ImageReference, resolve_image};
use opengpu_store::{BlockStore, Cid, ImportError, Limits, import_path};

use crate::failure::{Failure, Kind, OrFail, Outcome, with_sources};

/// The bytes a job needs, in a store that goes away with this value.
#[derive(Debug)]
pub(crate) struct Artifacts {
    /// The image as the spec names it.
    pub(crate) image: Image,
    /// The input as the spec names it.
    pub(crate) input: Option<Artifact>,
    /// What the gateway must be given, with a name for progress and its size in bytes.
    pub(crate) uploads: Vec<(&'static str, Cid, u64)>,
    /// Where the blocks are.
    pub(crate) store: BlockStore,
    _folder: tempfile::TempDir,
}

/// Resolves the image and imports what is on this machine.
pub(crate) async fn gather(image: &str, input: Option<&Path>) -> Outcome<Artifacts> {
    let folder = tempfile::tempdir().or_fail("cannot make a temporary folder")?;
    let store = BlockStore::open(folder.path().join("blocks")).or_fail("cannot make a temporary store")?;
    let mut uploads = Vec::new();
    let image = pin(image, folder.path(), &store, &mut uploads).await?;
    let input = match input {
        Some(path) => {
            let folder_to_import = as_folder(path, folder.path())?;
            let (artifact, cid) = import(&store, folder_to_import, "input").await?;
            uploads.push(("input", cid, artifact.bytes));
            Some(artifact)
        }
        None => None,
    };
    Ok(Artifacts {
        image,
        input,
        uploads,
        store,
        _folder: folder,
    })
}

async fn pin(
    text: &str,
    scratch: &Path,
    store: &BlockStore,
    uploads: &mut Vec<(&'static str, Cid, u64)>,
) -> Outcome<Image> {
    let reference: ImageReference = text.parse().map_err(bad_image)?;
    let digest = resolve_image(&reference).await.map_err(bad_image)?;
    let layout = match &reference {
        ImageReference::Registry { name, .. } => {
            return Ok(Image {
                digest: Sha256Digest(digest.hash().into()),
                source: ImageSource::Registry(without_tag(name)),
            });
        }
        ImageReference::Layout { folder, .. } => folder.clone(),
        ImageReference::Archive { file, .. } => {
            let layout = scratch.join("image");
            let opened = fs::File::open(file).or_fail(format_args!("cannot read {}", file.display()))?;
            tar::Archive::new(opened).unpack(&layout).or_fail(format_args!("cannot unpack {}", file.display()))?;
            layout
        }
    };
    let (artifact, cid) = import(store, layout, "image").await?;
    uploads.push(("image", cid, artifact.bytes));
    Ok(Image {
        digest: Sha256Digest(digest.hash().into()),
        source: ImageSource::Artifact(artifact),
    })
}

/// `host:5000/team/image:1.2` → `host:5000/team/image`: the digest says which image, a tag could only disagree.
fn without_tag(name: &str) -> String {
    match name.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => before.to_owned(),
        _ => name.to_owned(),
    }
}

/// The folder the job will see: the one given, or a new one with the one file given in it.
pub(crate) fn as_folder(path: &Path, scratch: &Path) -> Outcome<PathBuf> {
    let no_input = |error: std::io::Error| {
        Failure::usage(format_args!("cannot read the input {}: {error}", path.display()))
            .hint("--input takes a file or a folder on this machine")
    };
    let metadata = fs::metadata(path).map_err(no_input)?;
    if metadata.is_dir() {
        return fs::canonicalize(path).map_err(no_input);
    }
    let name = path.file_name().ok_or_else(|| no_input(std::io::ErrorKind::InvalidInput.into()))?;
    let folder = scratch.join("input");
    fs::create_dir(&folder).or_fail("cannot make a temporary folder")?;
    fs::copy(path, folder.join(name)).map_err(no_input)?;
    Ok(folder)
}

async fn import(store: &BlockStore, path: PathBuf, what: &'static str) -> Outcome<(Artifact, Cid)> {
    let target = store.clone();
    let imported = tokio::task::spawn_blocking(move || import_path(&target, &path, &Limits::default()))
        .await
        .or_fail(format_args!("cannot read the {what}"))?
        .map_err(|error| bad_import(&error, what))?;
    let artifact = Artifact {
        cid: CidText(imported.cid.to_string()),
        bytes: imported.bytes,
    };
    Ok((artifact, imported.cid))
}

fn bad_import(error: &ImportError, what: &str) -> Failure {
    let failure = Failure::error(format_args!("cannot read the {what}: {}", with_sources(error)));
    match error {
        ImportError::Store(opengpu_store::StoreError::DiskFull { .. }) => {
            failure.hint("free some space, or set TMPDIR to a folder on a larger disk")
        }
        _ => failure,
    }
}

/// Turns an image's error into a failure with what to try.
fn bad_image(error: ImageError) -> Failure {
    let kind = if matches!(error, ImageError::BadReference { .. }) { Kind::Usage } else { Kind::Error };
    let failure = Failure::new(kind, with_sources(&error));
    match error {
        ImageError::BadReference { .. } => failure.hint("for example oci:./my-image or 127.0.0.1:5000/team/image:1.0"),
        ImageError::NotFound { .. } => failure.hint("check the name and the tag, or the path"),
        ImageError::WrongPlatform { .. } => failure.hint("build the image for this platform too"),
        ImageError::Registry { .. } => failure.hint("is the registry reachable from here?"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_goes_and_a_port_stays() {
        assert_eq!(without_tag("127.0.0.1:5000/a/b:1.2"), "127.0.0.1:5000/a/b");
        assert_eq!(without_tag("127.0.0.1:5000/a/b"), "127.0.0.1:5000/a/b");
        assert_eq!(without_tag("debian:12"), "debian");
    }

    #[tokio::test]
    async fn a_single_input_file_is_seen_inside_a_folder() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("scene.json");
        fs::write(&file, b"{}").unwrap();
        let folder = as_folder(&file, scratch.path()).unwrap();
        assert_eq!(fs::read(folder.join("scene.json")).unwrap(), b"{}");
    }

    #[test]
    fn a_missing_input_is_a_usage_error_with_its_path() {
        let failure = as_folder(Path::new("/nowhere/at/all"), Path::new("/tmp")).unwrap_err();
        assert!(failure.to_string().contains("/nowhere/at/all"), "{failure}");
        assert_eq!(failure.kind(), Kind::Usage);
    }
}
