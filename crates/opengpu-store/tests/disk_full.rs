//! A full disk: one clear error, nothing half written, and all is well again once there is room.
#![allow(clippy::unwrap_used)]

mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use opengpu_store::dag::{self, Scope};
use opengpu_store::{
    BlockStore, CarError, CarFrames, ExportError, ImportError, Limits, StoreError, TransferError, export, fetch,
    import_car, import_path, raw_cid, trustless_router,
};
use tree::Entry;

/// A file system of 4 MiB; unmounted when dropped.
struct TinyDisk(PathBuf);

impl TinyDisk {
    /// `None`, with a loud line, where mounting is not allowed.
    fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        match mount(Some("tmpfs"), &at, Some("tmpfs"), MsFlags::empty(), Some("size=4m")) {
            Ok(()) => Some(Self(at)),
            Err(errno) => {
                eprintln!("SKIPPED: a tiny disk cannot be mounted ({errno}); run as root");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn is_full(error: &StoreError, disk: &TinyDisk) -> bool {
    matches!(error, StoreError::DiskFull { path, bytes } if path.starts_with(disk.path()) && *bytes > 0)
}

#[tokio::test]
async fn a_full_disk_is_named_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = TinyDisk::mount(dir.path().join("disk")) else {
        return;
    };
    let limits = Limits::default();
    let tiny = BlockStore::open(disk.path().join("store")).unwrap();
    let kept = raw_cid(b"kept");
    tiny.put(&kept, b"kept").unwrap();
    let path = dir.path().join("six-megabytes");
    tree::lay_out(&path, &[Entry::file("data", 6 << 20, 1)]);

    let refused = import_path(&tiny, &path, &limits).unwrap_err();
    assert!(
        matches!(&refused, ImportError::Store(error) if is_full(error, &disk)),
        "{refused}"
    );
    assert!(
        refused
            .to_string()
            .starts_with("disk full: no room for 1048576 bytes at "),
        "{refused}"
    );
    assert_eq!(fs::read_dir(disk.path().join("store/tmp")).unwrap().count(), 0);
    assert_eq!(tiny.get(&kept).unwrap(), b"kept");

    let roomy = BlockStore::open(dir.path().join("roomy")).unwrap();
    let root = import_path(&roomy, &path, &limits).unwrap().cid;
    let car = CarFrames::new(&roomy, &root, Scope::All).unwrap();
    let car: Vec<u8> = car.map(Result::unwrap).collect::<Vec<_>>().concat();
    let refused = import_car(&tiny, &car[..], None, &limits).await.unwrap_err();
    assert!(
        matches!(&refused, CarError::Store(error) if is_full(error, &disk)),
        "{refused}"
    );

    // Asking another gateway cannot help, and the error must not read as if the gateways were at fault.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(axum::serve(listener, trustless_router(roomy.clone())).into_future());
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let http = reqwest::Client::new();
    let refused = fetch(&http, &[gateway], &root, &tiny, &limits).await.unwrap_err();
    assert!(
        matches!(&refused, TransferError::Car(CarError::Store(error)) if is_full(error, &disk)),
        "{refused}"
    );

    let out = disk.path().join("out");
    let refused = export(&roomy, &root, &out, &limits).unwrap_err();
    assert!(
        matches!(&refused, ExportError::Write(error) if is_full(error, &disk)),
        "{refused}"
    );
    assert!(!out.exists());
    assert_eq!(
        fs::read_dir(disk.path()).unwrap().count(),
        1,
        "the export left something"
    );

    // Room again: what was written before the disk was full is kept, the rest follows.
    let more = MsFlags::MS_REMOUNT;
    mount(Some("tmpfs"), disk.path(), Some("tmpfs"), more, Some("size=32m")).unwrap();
    assert_eq!(import_path(&tiny, &path, &limits).unwrap().cid, root);
    assert!(dag::missing(&tiny, &root).unwrap().is_empty());
}
