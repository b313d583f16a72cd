//! Files in and out: the names must be the reference importer's, and what comes out must be what went in.
#![allow(clippy::unwrap_used)]

mod tree;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use opengpu_store::{
    BlockStore, ImportError, LimitError, Limits, cid_of_path, export, import_bytes, import_path, raw_cid,
    read_directory, read_to_vec,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tree::{Entry, Tree};

fn store(dir: &Path) -> BlockStore {
    BlockStore::open(dir.join("store")).unwrap()
}

#[test]
fn fixed_vectors_have_the_names_the_reference_importer_gave() {
    let vectors: Vec<Tree> = serde_json::from_str(include_str!("vectors/unixfs.json")).unwrap();
    assert!(vectors.len() >= 20);
    for vector in vectors {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tree");
        tree::lay_out(&path, &vector.tree);
        let named = cid_of_path(&path, &Limits::default()).unwrap();
        assert_eq!(named.cid.to_string(), vector.cid, "{}", vector.name);
    }
}

/// A name of at least 190 bytes, so that 1300 of them need shards.
fn long(name: &str) -> String {
    format!("{}{name}", "l".repeat(190))
}

/// Trees of every shape the importer treats differently, small enough that 200 take seconds.
fn random_tree(random: &mut StdRng, number: u32) -> Tree {
    const SIZES: [usize; 6] = [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 2 << 20];
    const PARTS: [&str; 8] = ["a", "B", "0", "data", "ü", "名", "x y", ".z"];
    let mut entries = Vec::new();
    for index in 0..random.random_range(0..12) {
        let depth = random.random_range(0..4);
        let folders: String = (0..depth)
            .map(|_| format!("{}/", PARTS[random.random_range(0..PARTS.len())]))
            .collect();
        // The index keeps a file from having a folder's name.
        let path = format!("{folders}{}{index}", PARTS[random.random_range(0..PARTS.len())]);
        entries.push(match random.random_range(0..20) {
            0..3 => Entry::empty_directory(path),
            3..5 => Entry::link(path, "../".repeat(index) + "target"),
            5 => Entry::file(path, SIZES[random.random_range(0..SIZES.len())], random.random()),
            _ => Entry::file(path, random.random_range(0..3000), random.random()),
        });
    }
    Tree {
        name: format!("random tree {number}"),
        tree: entries,
        ..Tree::default()
    }
}

#[test]
fn two_hundred_random_trees_have_the_names_the_reference_importer_gives() {
    let mut random = StdRng::seed_from_u64(2025);
    let trees: Vec<Tree> = (0..200).map(|number| random_tree(&mut random, number)).collect();
    let Some(named) = tree::ask_the_reference(&trees) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    for (index, one) in named.iter().enumerate() {
        let path = dir.path().join(format!("in{index}"));
        tree::lay_out(&path, &one.tree);
        let named = cid_of_path(&path, &Limits::default()).unwrap();
        assert_eq!(named.cid.to_string(), one.cid, "{}: {:?}", one.name, one.tree);
        // Waiting for the disk 200 times would take longer than all else.
        if index % 8 == 0 {
            let imported = import_path(&store, &path, &Limits::default()).unwrap();
            assert_eq!(imported, named);
            let back = dir.path().join(format!("out{index}"));
            let exported = export(&store, &imported.cid, &back, &Limits::default()).unwrap();
            assert_eq!((exported.bytes, exported.files), (named.bytes, named.files));
            assert_eq!(cid_of_path(&back, &Limits::default()).unwrap(), named);
        }
    }
}

#[test]
fn a_sharded_directory_comes_back_with_every_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let path = dir.path().join("tree");
    let many = Entry {
        count: Some(1300),
        ..Entry::file(long("file-#"), 2, 1)
    };
    tree::lay_out(
        &path,
        &[many, Entry::link("link", "file-1"), Entry::file("sub/inner", 9, 2)],
    );
    let imported = import_path(&store, &path, &Limits::default()).unwrap();
    let names = read_directory(&store, &imported.cid, &Limits::default()).unwrap();
    assert_eq!(names.len(), 1302);
    let back = dir.path().join("back");
    export(&store, &imported.cid, &back, &Limits::default()).unwrap();
    assert_eq!(cid_of_path(&back, &Limits::default()).unwrap(), imported);
    assert_eq!(
        fs::read(back.join(long("file-1299"))).unwrap(),
        tree::content(2, 1 + 1299)
    );
    assert_eq!(fs::read_link(back.join("link")).unwrap(), Path::new("file-1"));
}

/// The reference importer counts the links of subdirectories as nothing; Kubo and IPIP-499 count them. So do we.
#[test]
fn a_directory_of_many_directories_is_sharded_by_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let path = dir.path().join("tree");
    tree::lay_out(
        &path,
        &[Entry {
            count: Some(1300),
            ..Entry::empty_directory(long("directory-#"))
        }],
    );
    let imported = import_path(&store, &path, &Limits::default()).unwrap();
    let root = store.size(&imported.cid).unwrap().unwrap();
    assert!(root < 256 << 10, "{root} bytes in one block");
    assert_eq!(
        read_directory(&store, &imported.cid, &Limits::default()).unwrap().len(),
        1300
    );
}

#[test]
fn bytes_in_memory_have_the_name_of_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    for size in [0, 1, (1 << 20) + 1] {
        let bytes = tree::content(size, 5);
        let path = dir.path().join("file");
        fs::write(&path, &bytes).unwrap();
        let imported = import_bytes(&store, &bytes).unwrap();
        assert_eq!(imported, cid_of_path(&path, &Limits::default()).unwrap());
        assert_eq!(read_to_vec(&store, &imported.cid, 2 << 20).unwrap(), bytes);
    }
    assert_eq!(import_bytes(&store, b"small").unwrap().cid, raw_cid(b"small"));
}

#[test]
fn a_file_larger_than_the_reader_allows_is_refused_unread() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let cid = import_bytes(&store, &tree::content(100, 1)).unwrap().cid;
    assert!(read_to_vec(&store, &cid, 100).is_ok());
    assert!(read_to_vec(&store, &cid, 99).is_err());
}

#[test]
fn only_the_root_is_followed_when_it_is_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, b"secret").unwrap();
    let path = dir.path().join("tree");
    fs::create_dir(&path).unwrap();
    symlink(&secret, path.join("stolen")).unwrap();
    symlink(dir.path(), path.join("climb")).unwrap();
    symlink(&path, dir.path().join("to-tree")).unwrap();
    let limits = Limits::default();
    let named = cid_of_path(&path, &limits).unwrap();
    assert_eq!((named.files, named.bytes), (0, 0), "links inside are stored as links");
    assert_eq!(cid_of_path(&dir.path().join("to-tree"), &limits).unwrap(), named);
}

/// A job that is still running swaps its output for a link to the provider's files while the provider reads it.
#[test]
fn a_file_swapped_for_a_link_meanwhile_is_never_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, spare) = (dir.path().join("tree"), dir.path().join("spare"));
    let secret = dir.path().join("secret");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), b"secret").unwrap();
    let stolen = cid_of_path(&tree, &Limits::default()).unwrap().cid;
    fs::write(tree.join("file"), b"harmless").unwrap();
    fs::write(&secret, b"secret").unwrap();
    symlink(&secret, &spare).unwrap();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                let (from, to) = (&spare, &tree.join("file"));
                renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_EXCHANGE).unwrap();
            }
        });
        let followed = (0..5000)
            .filter_map(|_| cid_of_path(&tree, &Limits::default()).ok())
            .any(|named| named.cid == stolen);
        is_done.store(true, Ordering::Relaxed);
        assert!(!followed);
    });
}

#[test]
fn many_imports_at_once_into_one_store_agree() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tree");
    let many = Entry {
        count: Some(50),
        ..Entry::file("a/#", 20, 1)
    };
    tree::lay_out(&path, &[many, Entry::file("long", (1 << 20) + 1, 2)]);
    let expected = cid_of_path(&path, &Limits::default()).unwrap();
    let store = store(dir.path());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(import_path(&store, &path, &Limits::default()).unwrap(), expected));
        }
    });
    assert!(opengpu_store::dag::missing(&store, &expected.cid).unwrap().is_empty());
}

#[test]
fn names_that_are_not_utf8_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tree");
    fs::create_dir(&path).unwrap();
    let odd = path.join(OsStr::from_bytes(b"odd\xff"));
    fs::write(&odd, b"").unwrap();
    let error = cid_of_path(&path, &Limits::default()).unwrap_err();
    assert!(
        matches!(&error, ImportError::NotUtf8 { path } if *path == odd),
        "{error}"
    );
    fs::remove_file(&odd).unwrap();
    let link = path.join("link");
    symlink(OsStr::from_bytes(b"\xfe"), &link).unwrap();
    let error = cid_of_path(&path, &Limits::default()).unwrap_err();
    assert!(
        matches!(&error, ImportError::NotUtf8 { path } if *path == link),
        "{error}"
    );
}

#[test]
fn a_pipe_is_refused_without_waiting_for_a_writer() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    for path in [dir.path(), &pipe] {
        let error = cid_of_path(path, &Limits::default()).unwrap_err();
        assert!(
            matches!(&error, ImportError::SpecialFile { path } if *path == pipe),
            "{error}"
        );
    }
}

#[test]
fn what_is_not_there_is_named() {
    let path = Path::new("/nowhere/at/all");
    let error = cid_of_path(path, &Limits::default()).unwrap_err();
    assert!(
        error.to_string().starts_with("cannot read /nowhere/at/all: "),
        "{error}"
    );
}

#[test]
fn limits_hold_at_their_exact_value() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tree");
    // 5 entries with the root, 30 bytes, 3 directories deep.
    tree::lay_out(&path, &[Entry::file("a/b/file", 10, 1), Entry::file("a/twenty", 20, 2)]);
    let exact = Limits {
        bytes: 30,
        entries: 5,
        depth: 3,
    };
    let store = store(dir.path());
    let cid = import_path(&store, &path, &exact).unwrap().cid;
    export(&store, &cid, &dir.path().join("back"), &exact).unwrap();

    let too_small = [
        (Limits { bytes: 29, ..exact }, LimitError::Bytes { limit: 29 }),
        (Limits { entries: 4, ..exact }, LimitError::Entries { limit: 4 }),
        (Limits { depth: 2, ..exact }, LimitError::Depth { limit: 2 }),
    ];
    for (limits, expected) in too_small {
        let refused = cid_of_path(&path, &limits).unwrap_err();
        assert!(
            matches!(&refused, ImportError::Limit { source, .. } if *source == expected),
            "{refused}"
        );
        let refused = export(&store, &cid, &dir.path().join("none"), &limits).unwrap_err();
        assert_eq!(refused.to_string(), expected.to_string());
        assert!(!dir.path().join("none").exists());
    }
}
