//! Content addresses: which CIDs this store speaks, and how bytes are checked against one.
//!
//! Only SHA-256 names are accepted for stored bytes. Identity CIDs (the bytes *are* the name) are readable, because IPFS
//! clients probe gateways with one; they are never written.

use multihash_codetable::{Code, MultihashDigest};

pub use cid::Cid;

/// Multicodec of a raw leaf: the bytes of a file or of a chunk of one.
pub const CODEC_RAW: u64 = 0x55;
/// Multicodec of a dag-pb node: a directory, a symbolic link, the inner node of a long file.
pub const CODEC_DAG_PB: u64 = 0x70;
/// Multicodec of plain JSON: a leaf without links.
pub const CODEC_JSON: u64 = 0x0200;
/// Multihash code of SHA-256, the only hash stored bytes may have.
pub const HASH_SHA2_256: u64 = 0x12;
/// Multihash code of the identity "hash", whose digest is the content.
pub const HASH_IDENTITY: u64 = 0x00;

/// Why a CID cannot be used, or bytes are not what a CID says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The CID's hash is not SHA-256. Never retry: ask for the same content under a SHA-256 name.
    #[error("{cid} uses hash 0x{code:x}; only sha2-256 is supported")]
    UnsupportedHash {
        /// The refused name.
        cid: Box<Cid>,
        /// Its multihash code.
        code: u64,
    },
    /// The CID's codec may hold links this crate cannot follow. Never retry.
    #[error("{cid} has codec 0x{codec:x}; only raw, json and dag-pb are supported")]
    UnsupportedCodec {
        /// The refused name.
        cid: Box<Cid>,
        /// Its multicodec.
        codec: u64,
    },
    /// The bytes do not hash to the CID: damaged or forged. Fetch them again, elsewhere.
    #[error("the bytes are not those of {cid}")]
    Mismatch {
        /// The name the bytes were offered under.
        cid: Box<Cid>,
    },
    /// A digest could not be made into a CID: it is not 32 bytes long.
    #[error("a sha2-256 digest has 32 bytes")]
    Digest,
}

/// The CIDv1 of `bytes` as one raw block: what a file of at most 1 MiB has.
pub fn raw_cid(bytes: &[u8]) -> Cid {
    Cid::new_v1(CODEC_RAW, Code::Sha2_256.digest(bytes))
}

/// The CIDv1 of a raw block whose SHA-256 is `digest`: how a receipt's digest on chain becomes the name to fetch it by.
///
/// # Errors
/// None for 32 bytes; the type of the multihash library forces the `Result`.
pub fn raw_cid_of_digest(digest: &[u8; 32]) -> Result<Cid, AddressError> {
    let hash = Code::Sha2_256.wrap(digest).map_err(|_| AddressError::Digest)?;
    Ok(Cid::new_v1(CODEC_RAW, hash))
}

/// The SHA-256 inside `cid`.
///
/// # Errors
/// [`AddressError::UnsupportedHash`] for any other hash.
pub fn digest_of(cid: &Cid) -> Result<[u8; 32], AddressError> {
    let unsupported = || AddressError::UnsupportedHash {
        cid: Box::new(*cid),
        code: cid.hash().code(),
    };
    if cid.hash().code() != HASH_SHA2_256 {
        return Err(unsupported());
    }
    cid.hash().digest().try_into().map_err(|_| unsupported())
}

/// Checks that `bytes` are the content of `cid`.
///
/// # Errors
/// [`AddressError::UnsupportedHash`], or [`AddressError::Mismatch`].
pub fn verify(cid: &Cid, bytes: &[u8]) -> Result<(), AddressError> {
    let expected = digest_of(cid)?;
    if Code::Sha2_256.digest(bytes).digest() == expected {
        Ok(())
    } else {
        Err(AddressError::Mismatch { cid: Box::new(*cid) })
    }
}

/// The content of an identity CID, which carries its bytes in its name; `None` for every other CID.
pub(crate) fn inline_bytes(cid: &Cid) -> Option<&[u8]> {
    (cid.hash().code() == HASH_IDENTITY).then(|| cid.hash().digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_and_cid_name_the_same_block() {
        let cid = raw_cid(b"receipt");
        let again = raw_cid_of_digest(&digest_of(&cid).unwrap()).unwrap();
        assert_eq!(cid, again);
        assert_eq!(
            raw_cid(b"").to_string(),
            "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
        );
    }

    #[test]
    fn other_bytes_and_other_hashes_are_refused() {
        let cid = raw_cid(b"a");
        assert!(verify(&cid, b"a").is_ok());
        assert!(matches!(verify(&cid, b"b"), Err(AddressError::Mismatch { .. })));
        let identity: Cid = "bafkqaaa".parse().unwrap();
        assert!(matches!(
            verify(&identity, b""),
            Err(AddressError::UnsupportedHash { code: 0, .. })
        ));
        assert_eq!(inline_bytes(&identity), Some(&b""[..]));
    }
}
