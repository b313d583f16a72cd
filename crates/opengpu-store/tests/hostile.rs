//! DAGs made by an enemy: nothing outside the destination is touched, nothing is left behind, nobody waits for ever.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use ipld_dagpb::{PbLink, PbNode};
use multihash_codetable::{Code, MultihashDigest};
use opengpu_store::address::CODEC_DAG_PB;
use opengpu_store::{
    BlockStore, Cid, ExportError, Limits, NodeError, ReadError, StoreError, export, import_bytes, raw_cid,
    read_directory, read_file,
};
use proptest::prelude::*;

/// UnixFS messages by hand: kind, data, stated size, block sizes, fan-out.
fn unixfs(kind: u8, data: &[u8], size: Option<u64>, block_sizes: &[u64], fanout: Option<u64>) -> Vec<u8> {
    fn number(out: &mut Vec<u8>, tag: u8, value: u64) {
        out.push(tag);
        let mut buffer = unsigned_varint::encode::u64_buffer();
        out.extend_from_slice(unsigned_varint::encode::u64(value, &mut buffer));
    }
    let mut out = vec![8, kind];
    if !data.is_empty() {
        number(&mut out, 18, data.len() as u64);
        out.extend_from_slice(data);
    }
    size.iter().for_each(|size| number(&mut out, 24, *size));
    block_sizes.iter().for_each(|size| number(&mut out, 32, *size));
    if let Some(fanout) = fanout {
        number(&mut out, 40, 0x22);
        number(&mut out, 48, fanout);
    }
    out
}

const DIRECTORY: u8 = 1;
const FILE: u8 = 2;
const SYMLINK: u8 = 4;
const SHARD: u8 = 5;

struct Fixture {
    dir: tempfile::TempDir,
    store: BlockStore,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = BlockStore::open(dir.path().join("store")).unwrap();
        Self { dir, store }
    }

    fn node(&self, links: &[(&str, Cid)], data: Vec<u8>) -> Cid {
        let links = links.iter().map(|(name, cid)| PbLink {
            cid: *cid,
            name: Some((*name).to_owned()),
            size: Some(1),
        });
        let node = PbNode {
            links: links.collect(),
            data: Some(data.into()),
        };
        let bytes = node.into_bytes();
        let cid = Cid::new_v1(CODEC_DAG_PB, Code::Sha2_256.digest(&bytes));
        self.store.put(&cid, &bytes).unwrap();
        cid
    }

    fn raw(&self, bytes: &[u8]) -> Cid {
        let cid = raw_cid(bytes);
        self.store.put(&cid, bytes).unwrap();
        cid
    }

    fn directory(&self, links: &[(&str, Cid)]) -> Cid {
        self.node(links, unixfs(DIRECTORY, b"", None, &[], None))
    }

    fn link(&self, target: &str) -> Cid {
        self.node(&[], unixfs(SYMLINK, target.as_bytes(), None, &[], None))
    }

    fn destination(&self) -> PathBuf {
        self.dir.path().join("out/destination")
    }

    /// Exports, and when that fails sees that no trace is left.
    fn export(&self, cid: &Cid) -> Result<(), ExportError> {
        let parent = self.dir.path().join("out");
        fs::create_dir_all(&parent).unwrap();
        let limits = Limits {
            bytes: 1 << 20,
            entries: 1000,
            depth: 20,
        };
        let result = export(&self.store, cid, &self.destination(), &limits).map(|_| ());
        if result.is_err() {
            assert_eq!(fs::read_dir(&parent).unwrap().count(), 0, "something was left behind");
        }
        result
    }
}

fn node_error(result: Result<(), ExportError>) -> NodeError {
    match result {
        Err(ExportError::Read(ReadError::Node(error))) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_that_climb_or_are_no_names_are_refused() {
    let long = "n".repeat(256);
    for name in [
        "..",
        ".",
        "",
        "/",
        "/etc/passwd",
        "../up",
        "a/b",
        "a/../../b",
        "nul\0",
        &long,
    ] {
        let fixture = Fixture::new();
        let file = fixture.raw(b"evil");
        let flat = fixture.directory(&[(name, file)]);
        assert!(
            matches!(node_error(fixture.export(&flat)), NodeError::ForbiddenName { .. }),
            "{name:?}"
        );
        let shard = unixfs(SHARD, &[1], None, &[], Some(256));
        let shard = fixture.node(&[(&format!("00{name}"), file)], shard);
        // In a shard the empty name is a link to a further shard, which a file is not.
        let refused = fixture.export(&shard);
        assert!(refused.is_err(), "{name:?} in a shard");
        assert!(read_directory(&fixture.store, &shard, &Limits::default()).is_err());
        assert!(!fixture.dir.path().join("up").exists());
    }
}

#[test]
fn a_name_in_a_shard_that_is_cut_inside_a_character_is_refused() {
    let fixture = Fixture::new();
    let file = fixture.raw(b"x");
    for name in ["0é", "é", "a", "名"] {
        let shard = fixture.node(&[(name, file)], unixfs(SHARD, &[1], None, &[], Some(256)));
        assert!(fixture.export(&shard).is_err(), "{name:?}");
    }
}

#[test]
fn nothing_is_written_through_a_link_of_the_same_name() {
    let fixture = Fixture::new();
    let victim = fixture.dir.path().join("victim");
    fs::create_dir(&victim).unwrap();
    let link = fixture.link(victim.to_str().unwrap());
    let inner = fixture.directory(&[("file", fixture.raw(b"evil"))]);
    for (first, second) in [(link, inner), (inner, link)] {
        let twice = fixture.directory(&[("name", first), ("name", second)]);
        assert!(matches!(
            node_error(fixture.export(&twice)),
            NodeError::DuplicateName { .. }
        ));
        let halves = [("00name", first), ("01name", second)];
        let shard = fixture.node(&halves, unixfs(SHARD, &[3], None, &[], Some(256)));
        assert!(matches!(
            node_error(fixture.export(&shard)),
            NodeError::DuplicateName { .. }
        ));
    }
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
}

#[test]
fn links_are_made_as_they_are_and_impossible_ones_refused() {
    let fixture = Fixture::new();
    let tree = fixture.directory(&[("out", fixture.link("/etc/passwd"))]);
    fixture.export(&tree).unwrap();
    assert_eq!(
        fs::read_link(fixture.destination().join("out")).unwrap(),
        Path::new("/etc/passwd")
    );
    for target in ["", "a\0b", &"x".repeat(4096)] {
        let fixture = Fixture::new();
        let refused = fixture.export(&fixture.directory(&[("link", fixture.link(target))]));
        assert!(matches!(refused, Err(ExportError::LinkTarget { .. })), "{target:?}");
    }
}

#[test]
fn what_is_in_the_way_is_left_alone() {
    let fixture = Fixture::new();
    let (file, tree) = (fixture.raw(b"new"), fixture.directory(&[("a", fixture.raw(b"new"))]));
    let destination = fixture.dir.path().join("there");
    let refused = |cid: &Cid| {
        let refused = export(&fixture.store, cid, &destination, &Limits::default());
        assert!(matches!(refused, Err(ExportError::Exists { .. })), "{refused:?}");
    };
    fs::write(&destination, b"old").unwrap();
    refused(&file);
    refused(&tree);
    assert_eq!(fs::read(&destination).unwrap(), b"old");
    fs::remove_file(&destination).unwrap();

    symlink(fixture.dir.path(), &destination).unwrap();
    refused(&file);
    refused(&tree);
    fs::remove_file(&destination).unwrap();

    fs::create_dir(&destination).unwrap();
    refused(&file);
    fs::write(destination.join("kept"), b"old").unwrap();
    refused(&tree);
    fs::remove_file(destination.join("kept")).unwrap();
    export(&fixture.store, &tree, &destination, &Limits::default()).unwrap();
    assert_eq!(fs::read(destination.join("a")).unwrap(), b"new");
}

#[test]
fn files_whose_sizes_lie_are_refused() {
    let fixture = Fixture::new();
    let chunk = fixture.raw(b"12345");
    let two = [("", chunk), ("", chunk)];
    let honest = fixture.node(&two, unixfs(FILE, b"", Some(10), &[5, 5], None));
    fixture.export(&honest).unwrap();
    assert_eq!(fs::read(fixture.destination()).unwrap(), b"1234512345");
    fs::remove_file(fixture.destination()).unwrap();

    let lies: [(Option<u64>, &[u64]); 7] = [
        (Some(11), &[5, 5]),
        (Some(9), &[4, 5]),
        (Some(5), &[5]),
        (Some(15), &[5, 5, 5]),
        (Some(5), &[5, 0]),
        (None, &[u64::MAX, 2]),
        (Some(0), &[]),
    ];
    for (size, block_sizes) in lies {
        let file = fixture.node(&two, unixfs(FILE, b"", size, block_sizes, None));
        assert!(
            matches!(node_error(fixture.export(&file)), NodeError::WrongSize { .. }),
            "{size:?} {block_sizes:?}"
        );
    }
    let empty = [("", fixture.raw(b"")), ("", chunk)];
    let file = fixture.node(&empty, unixfs(FILE, b"", Some(5), &[0, 5], None));
    assert!(
        matches!(node_error(fixture.export(&file)), NodeError::WrongSize { .. }),
        "an empty child"
    );
    let tree = fixture.directory(&[]);
    let file = fixture.node(&[("", tree)], unixfs(FILE, b"", Some(5), &[5], None));
    assert!(fixture.export(&file).is_err(), "a directory inside a file");
}

#[test]
fn a_small_dag_that_unfolds_for_ever_hits_a_limit() {
    let fixture = Fixture::new();
    // Each level links twice to the one below: 2^20 files, and directories 21 deep, from 21 blocks.
    let mut wide = fixture.raw(b"x");
    for _ in 0..15 {
        wide = fixture.directory(&[("a", wide), ("b", wide)]);
    }
    let refused = fixture.export(&wide).unwrap_err();
    assert_eq!(refused.to_string(), "more than 1000 entries");

    let mut deep = fixture.raw(b"x");
    for _ in 0..21 {
        deep = fixture.directory(&[("a", deep)]);
    }
    assert_eq!(
        fixture.export(&deep).unwrap_err().to_string(),
        "directories more than 20 deep"
    );

    let mut shard = fixture.node(&[("00a", fixture.raw(b"x"))], unixfs(SHARD, &[1], None, &[], Some(256)));
    for _ in 0..12 {
        shard = fixture.node(
            &[("00", shard), ("01", shard)],
            unixfs(SHARD, &[3], None, &[], Some(256)),
        );
    }
    assert_eq!(
        fixture.export(&shard).unwrap_err().to_string(),
        "more than 1000 entries"
    );

    // A file that says it is 2^40 bytes is refused before its first byte.
    let (mut file, mut size) = (fixture.raw(&[0; 1024]), 1024_u64);
    for _ in 0..30 {
        size *= 2;
        file = fixture.node(
            &[("", file), ("", file)],
            unixfs(FILE, b"", Some(size), &[size / 2, size / 2], None),
        );
    }
    assert_eq!(
        fixture.export(&file).unwrap_err().to_string(),
        "more than 1048576 bytes"
    );

    let mut chain = fixture.raw(b"12345");
    for _ in 0..20 {
        chain = fixture.node(&[("", chain)], unixfs(FILE, b"", Some(5), &[5], None));
    }
    assert!(matches!(
        node_error(fixture.export(&chain)),
        NodeError::TooManyLevels { .. }
    ));
}

#[test]
fn kinds_nobody_can_write_are_refused() {
    let fixture = Fixture::new();
    for kind in [3, 6, 99] {
        let odd = fixture.node(&[], unixfs(kind, b"", None, &[], None));
        assert!(matches!(
            node_error(fixture.export(&odd)),
            NodeError::UnsupportedKind { .. }
        ));
    }
    let wide = fixture.node(
        &[("000a", fixture.raw(b"x"))],
        unixfs(SHARD, &[1], None, &[], Some(4096)),
    );
    assert!(matches!(node_error(fixture.export(&wide)), NodeError::Malformed { .. }));
    let empty = fixture.node(&[], unixfs(SHARD, &[], None, &[], Some(256)));
    assert!(matches!(
        node_error(fixture.export(&empty)),
        NodeError::Malformed { .. }
    ));
}

#[test]
fn a_missing_or_damaged_block_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let there = fixture.raw(b"there");
    let missing = raw_cid(b"missing");
    let refused = fixture.export(&fixture.directory(&[("a", there), ("b", missing)]));
    let is_missing = |error: &StoreError| matches!(error, StoreError::Missing { cid } if **cid == missing);
    assert!(matches!(refused, Err(ExportError::Read(ReadError::Store(error))) if is_missing(&error)));

    let long = import_bytes(&fixture.store, &[7; 3 << 20]).unwrap().cid;
    let chunk = raw_cid(&[7; 1 << 20]);
    let hex: String = chunk.hash().digest().iter().map(|byte| format!("{byte:02x}")).collect();
    let path = fixture.store.dir().join("blocks").join(&hex[..2]).join(&hex);
    let mut bytes = fs::read(&path).unwrap();
    bytes[500_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let out = fixture.dir.path().join("long");
    let refused = export(&fixture.store, &long, &out, &Limits::default());
    assert!(matches!(
        refused,
        Err(ExportError::Read(ReadError::Store(StoreError::Corrupt { .. })))
    ));
    assert!(!out.exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever bytes a block has, reading it as a file or a directory ends with an answer, not a panic.
    #[test]
    fn arbitrary_blocks_never_panic(noise in prop::collection::vec(any::<u8>(), 0..200), flips in prop::collection::vec((any::<usize>(), any::<u8>()), 0..4)) {
        let fixture = Fixture::new();
        let file = raw_cid(b"12345");
        let nodes = [
            unixfs(FILE, b"", Some(5), &[5], None),
            unixfs(DIRECTORY, b"", None, &[], None),
            unixfs(SHARD, &[1], None, &[], Some(256)),
        ].map(|data| PbNode { links: vec![PbLink { cid: file, name: Some("00é".into()), size: Some(5) }], data: Some(data.into()) }.into_bytes());
        for mut bytes in nodes.into_iter().chain([noise]) {
            for (at, value) in &flips {
                if !bytes.is_empty() {
                    let at = at % bytes.len();
                    bytes[at] = *value;
                }
            }
            let cid = Cid::new_v1(CODEC_DAG_PB, Code::Sha2_256.digest(&bytes));
            fixture.store.put(&cid, &bytes).unwrap();
            let _ = read_directory(&fixture.store, &cid, &Limits::default());
            let _ = read_file(&fixture.store, &cid).map(|chunks| chunks.take(10).count());
            let _ = opengpu_store::dag::missing(&fixture.store, &cid);
        }
    }
}

/// Whoever mounts or opens the destination would follow such a root to the host's own folders.
#[test]
fn a_root_that_is_a_link_is_refused() {
    let fixture = Fixture::new();
    let link = fixture.node(&[], unixfs(SYMLINK, b"/etc", None, &[], None));
    let destination = fixture.dir.path().join("in");
    let refused = export(&fixture.store, &link, &destination, &Limits::default());
    assert!(matches!(refused, Err(ExportError::RootIsLink { .. })), "{refused:?}");
    assert!(fs::symlink_metadata(&destination).is_err());
}
