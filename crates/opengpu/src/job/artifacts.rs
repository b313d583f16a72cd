//! What a job is made of before it runs: its image pinned by digest, its input named by CID, both in a store of ours.

use std::fs;
use std::path::{Path, PathBuf};

use opengpu_core::ids::{CidText, Sha256Digest};
use opengpu_core::spec::{Artifact, Image, ImageSource};
use opengpu_node::image::{ImageError, ImageReference, extract_layout, resolve_image};
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
            let (file, target) = (file.clone(), layout.clone());
            let extracted = tokio::task::spawn_blocking(move || extract_layout(&file, &target)).await;
            extracted.or_fail("cannot read the image")?.map_err(bad_image)?;
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
    let name = path
        .file_name()
        .ok_or_else(|| no_input(std::io::ErrorKind::InvalidInput.into()))?;
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
    let kind = if matches!(error, ImageError::BadReference { .. }) {
        Kind::Usage
    } else {
        Kind::Error
    };
    let failure = Failure::new(kind, with_sources(&error));
    match error {
        ImageError::BadReference { .. } => failure.hint("for example oci:./my-image or 127.0.0.1:5000/team/image:1.0"),
        ImageError::NotFound { .. } => failure.hint("check the name and the tag, or the path"),
        ImageError::WrongPlatform { .. } => failure.hint("build the image for this platform too"),
        ImageError::Registry { .. } => failure.hint("is the registry reachable from here?"),
        ImageError::DigestMismatch { .. } | ImageError::Malformed { .. } => {
            failure.hint("build or copy the image again")
        }
        ImageError::TooLarge { .. } => failure.hint("the image must be smaller; data can come as --input"),
        ImageError::Io { .. } => failure.hint("is there room on the disk? TMPDIR names a folder on a larger one"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opengpu_node::image::{PackedImage, pack_binary};

    #[test]
    fn a_tag_goes_and_a_port_stays() {
        assert_eq!(without_tag("127.0.0.1:5000/a/b:1.2"), "127.0.0.1:5000/a/b");
        assert_eq!(without_tag("127.0.0.1:5000/a/b"), "127.0.0.1:5000/a/b");
        assert_eq!(without_tag("debian:12"), "debian");
    }

    /// An OCI layout of an image with one file in it.
    fn layout(folder: &Path) -> PathBuf {
        let (binary, layout) = (folder.join("program"), folder.join("layout"));
        fs::write(&binary, b"not run here").unwrap();
        let image = PackedImage {
            binary,
            entrypoint: vec!["/program".to_owned()],
            files: Default::default(),
            links: Default::default(),
            env: Vec::new(),
        };
        pack_binary(&image, &layout).unwrap();
        layout
    }

    #[tokio::test]
    async fn an_archive_is_the_same_image_as_its_layout_whatever_else_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let (layout, file) = (layout(folder.path()), folder.path().join("image.tar"));
        let mut archive = tar::Builder::new(fs::File::create(&file).unwrap());
        archive.append_dir_all(".", &layout).unwrap();
        archive
            .append_path_with_name(folder.path().join("program"), "notes.txt")
            .unwrap();
        archive.finish().unwrap();
        let of_archive = gather(&format!("oci-archive:{}", file.display()), None).await.unwrap();
        let of_layout = gather(&format!("oci:{}", layout.display()), None).await.unwrap();
        assert_eq!(of_archive.image, of_layout.image);
    }

    #[tokio::test]
    async fn an_archive_with_a_link_where_a_file_should_be_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image.tar");
        let mut archive = tar::Builder::new(fs::File::create(&file).unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, "index.json", "/etc/passwd").unwrap();
        archive.finish().unwrap();
        let failure = gather(&format!("oci-archive:{}", file.display()), None)
            .await
            .unwrap_err();
        assert!(failure.to_string().contains("index.json is not a file"), "{failure}");
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
