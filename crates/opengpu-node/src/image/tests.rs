//! Images as attackers and unlucky networks make them, and the caching of good ones.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::unpack::{UnpackLimits, Unpacker};
use super::{Digest, Form, ImageCache, ImageError, ImageReference, PackedImage, pack_binary, resolve_image};

/// One entry of a hostile archive, written without the checks that tar's own builder makes.
struct Raw<'a> {
    path: &'a str,
    kind: tar::EntryType,
    link: &'a str,
    bytes: &'a [u8],
    mode: u32,
}

fn file<'a>(path: &'a str, bytes: &'a [u8]) -> Raw<'a> {
    Raw {
        path,
        kind: tar::EntryType::Regular,
        link: "",
        bytes,
        mode: 0o644,
    }
}

fn special<'a>(path: &'a str, kind: tar::EntryType, link: &'a str) -> Raw<'a> {
    Raw {
        path,
        kind,
        link,
        bytes: b"",
        mode: 0o755,
    }
}

fn archive(entries: &[Raw<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(entry.kind);
        header.set_mode(entry.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(entry.bytes.len() as u64);
        let raw = header.as_gnu_mut().unwrap();
        raw.name[..entry.path.len()].copy_from_slice(entry.path.as_bytes());
        raw.linkname[..entry.link.len()].copy_from_slice(entry.link.as_bytes());
        header.set_cksum();
        tar.append(&header, entry.bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A folder with the image's root in it and a neighbour that nothing may touch.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// `None` after one loud line: giving files to other users needs root.
    fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: unpacking images needs root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        fs::create_dir(folder.path().join("outside")).unwrap();
        fs::write(folder.path().join("outside/secret"), "untouched").unwrap();
        Some(Self { folder })
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn outside(&self) -> PathBuf {
        self.folder.path().join("outside")
    }

    fn apply(&self, layers: &[&[Raw<'_>]]) -> Result<(), ImageError> {
        self.apply_within(layers, UnpackLimits::default())
    }

    fn apply_within(&self, layers: &[&[Raw<'_>]], limits: UnpackLimits) -> Result<(), ImageError> {
        let mut unpacker = Unpacker::new(&self.root(), limits)?;
        for layer in layers {
            unpacker.apply(&mut archive(layer).as_slice())?;
        }
        Ok(())
    }

    fn assert_outside_untouched(&self) {
        let names: Vec<_> = fs::read_dir(self.outside())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["secret"]);
        assert_eq!(fs::read_to_string(self.outside().join("secret")).unwrap(), "untouched");
        assert_eq!(fs::metadata(self.outside().join("secret")).unwrap().nlink(), 1);
        let mut above: Vec<_> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        above.sort();
        assert_eq!(above, ["outside", "root"]);
    }
}

#[test]
fn no_archive_writes_outside_its_folder() {
    let Some(place) = Place::new() else { return };
    let outside = place.outside().display().to_string();
    let absolute = format!("{outside}/secret");
    use tar::EntryType as Kind;
    let hostile: Vec<Vec<Raw<'_>>> = vec![
        vec![file("../outside/secret", b"x")],
        vec![file("a/../../outside/secret", b"x")],
        vec![file("/../../../../outside/secret", b"x")],
        vec![special("../outside/folder/", Kind::Directory, "")],
        vec![special("link", Kind::Symlink, &outside), file("link/new", b"x")],
        vec![special("link", Kind::Symlink, "../outside"), file("link/secret", b"x")],
        vec![special("link", Kind::Symlink, &absolute), file("link", b"x")],
        vec![
            special("a", Kind::Symlink, "b"),
            special("b", Kind::Symlink, "../outside"),
            file("a/new", b"x"),
        ],
        vec![special("loop", Kind::Symlink, "loop"), file("loop/new", b"x")],
        vec![special("hard", Kind::Link, &absolute), file("hard", b"x")],
        vec![special("hard", Kind::Link, "../outside/secret")],
        vec![
            special("link", Kind::Symlink, &outside),
            special("hard", Kind::Link, "link/secret"),
        ],
        vec![special("link", Kind::Symlink, &outside), file("link/.wh.secret", b"")],
        vec![special("link", Kind::Symlink, &outside), file("link/.wh..wh..opq", b"")],
        vec![file("../outside/.wh.secret", b"")],
        vec![file(".wh...", b"")],
        vec![
            special("link", Kind::Symlink, &outside),
            special("link/", Kind::Directory, ""),
        ],
        vec![
            special("proc", Kind::Symlink, "/proc/self/root"),
            file("proc/tmp/new", b"x"),
        ],
    ];
    for (number, entries) in hostile.iter().enumerate() {
        // Refused, or landed inside: both are fine; what counts is what is outside.
        let _ = place.apply(&[entries]);
        place.assert_outside_untouched();
        fs::remove_dir_all(place.root()).unwrap();
        fs::create_dir(place.root()).unwrap_or_else(|error| panic!("{number}: {error}"));
    }
}

#[test]
fn device_nodes_pipes_and_set_user_id_bits_are_left_out() {
    let Some(place) = Place::new() else { return };
    let mut program = file("bin/su", b"program");
    program.mode = 0o6755;
    use tar::EntryType as Kind;
    place
        .apply(&[&[
            special("dev/sda", Kind::Block, ""),
            special("mem", Kind::Char, ""),
            special("pipe", Kind::Fifo, ""),
            program,
        ]])
        .unwrap();
    for path in ["dev/sda", "mem", "pipe"] {
        assert!(fs::symlink_metadata(place.root().join(path)).is_err(), "{path}");
    }
    assert_eq!(
        fs::metadata(place.root().join("bin/su")).unwrap().permissions().mode() & 0o7777,
        0o755
    );
}

#[test]
fn a_bomb_stops_at_the_limits() {
    let Some(place) = Place::new() else { return };
    let limits = UnpackLimits {
        bytes: 1000,
        entries: 5,
    };
    let big = vec![0; 600];
    let result = place.apply_within(&[&[file("a", &big)], &[file("b", &big)]], limits);
    assert!(
        matches!(
            result,
            Err(ImageError::TooLarge {
                what: "unpacked bytes",
                ..
            })
        ),
        "{result:?}"
    );
    let many: Vec<String> = (0..6).map(|number| format!("empty{number}")).collect();
    let many: Vec<Raw<'_>> = many.iter().map(|name| file(name, b"")).collect();
    let result = place.apply_within(&[&many], limits);
    assert!(
        matches!(
            result,
            Err(ImageError::TooLarge {
                what: "number of files",
                ..
            })
        ),
        "{result:?}"
    );
}

#[test]
fn layers_replace_hide_and_keep_as_the_specification_says() {
    let Some(place) = Place::new() else { return };
    let folder = |path| special(path, tar::EntryType::Directory, "");
    place
        .apply(&[
            &[
                folder("etc/"),
                file("etc/keep", b"1"),
                file("etc/hide", b"1"),
                file("etc/change", b"1"),
                file("opaque/old", b"1"),
            ],
            &[
                file("opaque/new", b"2"),
                file("opaque/.wh..wh..opq", b""),
                file("etc/.wh.hide", b""),
                file("etc/change", b"2"),
            ],
            &[
                special("usr-lib", tar::EntryType::Directory, ""),
                special("lib", tar::EntryType::Symlink, "usr-lib"),
                file("lib/so", b"3"),
            ],
            &[special("hard", tar::EntryType::Link, "etc/keep")],
        ])
        .unwrap();
    let root = place.root();
    let text = |path: &str| fs::read_to_string(root.join(path)).ok();
    assert_eq!(text("etc/keep").as_deref(), Some("1"));
    assert_eq!(text("etc/hide"), None);
    assert_eq!(text("etc/change").as_deref(), Some("2"));
    assert_eq!((text("opaque/old"), text("opaque/new").as_deref()), (None, Some("2")));
    assert_eq!(
        text("usr-lib/so").as_deref(),
        Some("3"),
        "a link to a folder is followed inside the image"
    );
    assert_eq!(fs::metadata(root.join("hard")).unwrap().nlink(), 2);
}

fn tiny_layout(folder: &Path) -> (PathBuf, Digest) {
    let program = folder.join("program");
    fs::write(&program, "#!/bin/true\n").unwrap();
    let image = PackedImage {
        binary: program,
        entrypoint: vec!["/bin/program".to_owned(), "--fixed".to_owned()],
        files: BTreeMap::new(),
        links: BTreeMap::from([("/bin/alias".to_owned(), "program".to_owned())]),
        env: vec![("NAME".to_owned(), "value".to_owned())],
    };
    let layout = folder.join("layout");
    let digest = pack_binary(&image, &layout).unwrap();
    assert_eq!(
        pack_binary(&image, &folder.join("again")).unwrap(),
        digest,
        "packing is deterministic"
    );
    (layout, digest)
}

/// A tar of the layout folder with one layer compressed: what other tools write.
fn to_archive(layout: &Path, file: &Path) {
    let mut tar = tar::Builder::new(fs::File::create(file).unwrap());
    tar.append_dir_all(".", layout).unwrap();
    tar.finish().unwrap();
}

#[tokio::test]
async fn layouts_and_archives_of_one_image_are_one_cached_image() {
    let Some(place) = Place::new() else { return };
    let (layout, digest) = tiny_layout(place.folder.path());
    let cache = ImageCache::open(&place.folder.path().join("cache"), Form::RootFolder).unwrap();
    let by_folder = ImageReference::Layout {
        folder: layout.clone(),
        digest: None,
    };
    let image = cache.prepare(&by_folder).await.unwrap();
    assert_eq!(image.digest, digest);
    assert_eq!(image.config.default_argv(), ["/bin/program", "--fixed"]);
    assert_eq!(image.config.env, [("NAME".to_owned(), "value".to_owned())]);
    assert_eq!(
        fs::read_link(image.folder.join("bin/alias")).unwrap(),
        Path::new("program")
    );

    let file = place.folder.path().join("image.tar");
    to_archive(&layout, &file);
    let by_file = ImageReference::Archive { file, digest: None };
    assert_eq!(resolve_image(&by_file).await.unwrap(), digest);
    assert_eq!(cache.prepare(&by_file).await.unwrap(), image);
    fs::remove_dir_all(&layout).unwrap();
    assert_eq!(
        cache.prepare(&by_folder.pinned(digest)).await.unwrap(),
        image,
        "a known digest needs no source"
    );
    assert_eq!(
        fs::read_dir(place.folder.path().join("cache/incoming"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn many_at_a_time_prepare_one_image_once() {
    let Some(place) = Place::new() else { return };
    let (layout, digest) = tiny_layout(place.folder.path());
    let cache = ImageCache::open(&place.folder.path().join("cache"), Form::RootFolder).unwrap();
    let reference = ImageReference::Layout {
        folder: layout,
        digest: None,
    };
    let all = futures::future::join_all((0..8).map(|_| cache.prepare(&reference))).await;
    assert!(all.into_iter().all(|image| image.unwrap().digest == digest));
}

#[tokio::test]
async fn a_changed_byte_anywhere_is_refused() {
    let Some(place) = Place::new() else { return };
    let (layout, digest) = tiny_layout(place.folder.path());
    let blobs: Vec<PathBuf> = fs::read_dir(layout.join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(blobs.len(), 3);
    for (number, blob) in blobs.iter().enumerate() {
        let good = fs::read(blob).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        fs::write(blob, &bad).unwrap();
        let cache = ImageCache::open(&place.folder.path().join(format!("cache{number}")), Form::RootFolder).unwrap();
        let reference = ImageReference::Layout {
            folder: layout.clone(),
            digest: Some(digest.clone()),
        };
        let result = cache.prepare(&reference).await;
        assert!(
            matches!(result, Err(ImageError::DigestMismatch { .. })),
            "{}: {result:?}",
            blob.display()
        );
        fs::write(blob, &good).unwrap();
        cache.prepare(&reference).await.unwrap();
    }
}

#[tokio::test]
async fn compressed_layers_are_unpacked_by_what_they_are() {
    let Some(place) = Place::new() else { return };
    let (layout, _) = tiny_layout(place.folder.path());
    for (number, compress) in [gzip as fn(&[u8]) -> Vec<u8>, zstandard].into_iter().enumerate() {
        let changed = place.folder.path().join(format!("compressed{number}"));
        recompress(&layout, &changed, compress);
        let cache = ImageCache::open(&place.folder.path().join(format!("cache{number}")), Form::RootFolder).unwrap();
        let image = cache
            .prepare(&ImageReference::Layout {
                folder: changed,
                digest: None,
            })
            .await
            .unwrap();
        assert!(image.folder.join("bin/program").is_file());
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// Copies a layout with its one layer compressed, keeping the digests of uncompressed layers.
fn recompress(layout: &Path, target: &Path, compress: fn(&[u8]) -> Vec<u8>) {
    let blobs = target.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let read = |digest: &str| fs::read(layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))).unwrap();
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        serde_json::json!({ "mediaType": "x", "digest": digest, "size": bytes.len() })
    };
    let index: serde_json::Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let manifest = read(index["manifests"][0]["digest"].as_str().unwrap());
    let mut manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    put(&read(manifest["config"]["digest"].as_str().unwrap()));
    manifest["layers"][0] = put(&compress(&read(manifest["layers"][0]["digest"].as_str().unwrap())));
    let descriptor = put(&serde_json::to_vec(&manifest).unwrap());
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [descriptor] });
    fs::write(target.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
}

#[tokio::test]
async fn what_does_not_exist_or_does_not_fit_is_the_jobs_fault() {
    let folder = tempfile::tempdir().unwrap();
    let missing = ImageReference::Layout {
        folder: folder.path().join("no"),
        digest: None,
    };
    let error = resolve_image(&missing).await.unwrap_err();
    assert!(
        matches!(error, ImageError::NotFound { .. }) && error.is_users_fault(),
        "{error}"
    );
    let error = resolve_image(&ImageReference::Archive {
        file: folder.path().join("no.tar"),
        digest: None,
    })
    .await;
    assert!(matches!(error, Err(ImageError::NotFound { .. })), "{error:?}");

    let (layout, _) = tiny_layout(folder.path());
    let index = fs::read_to_string(layout.join("index.json")).unwrap();
    let other = index.replace("\"architecture\":\"", "\"architecture\":\"not-");
    let two = other.replace("\"manifests\":[", &format!("\"manifests\":[{},", entry_of(&other)));
    fs::write(layout.join("index.json"), two).unwrap();
    let error = resolve_image(&ImageReference::Layout {
        folder: layout,
        digest: None,
    })
    .await
    .unwrap_err();
    assert!(matches!(error, ImageError::WrongPlatform { .. }), "{error}");
}

fn entry_of(index: &str) -> String {
    let index: serde_json::Value = serde_json::from_str(index).unwrap();
    index["manifests"][0].to_string()
}

#[tokio::test]
async fn what_a_killed_daemon_left_half_made_goes_when_the_next_opens_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let incoming = folder.path().join("incoming");
    for name in ["image-abandoned", "image-busy"] {
        fs::create_dir_all(incoming.join(name).join("layout")).unwrap();
        fs::write(incoming.join(name).join("lock"), "").unwrap();
    }
    let busy = fs::File::open(incoming.join("image-busy/lock")).unwrap();
    busy.lock().unwrap();
    ImageCache::open(folder.path(), Form::Layout).unwrap();
    assert!(!incoming.join("image-abandoned").exists());
    assert!(incoming.join("image-busy/layout").exists());
}
