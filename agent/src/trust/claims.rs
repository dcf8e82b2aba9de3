//! All claims of a database in little memory: 56 bytes a path, found by a digest of the path.

use doorward_policy::{DigestAlgorithm, ListedDigest};

/// First half of BLAKE3 over a path: 2^64 tries to find two paths that share one, 2^110 to hit one of a host's packages.
type PathDigest = [u8; 16];

/// One claim.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claimed {
    path: PathDigest,
    digest: [u8; ListedDigest::KEPT_BYTES],
    package: u32,
    /// `None` where the package lists no digest that counts.
    algorithm: Option<DigestAlgorithm>,
}

impl Claimed {
    pub(super) fn new(path: &[u8], package: usize, listed: Option<ListedDigest>) -> Self {
        let bytes = listed.map_or([0; ListedDigest::KEPT_BYTES], |listed| *listed.kept_bytes());
        Self { path: digest(path), digest: bytes, package: package as u32, algorithm: listed.map(|listed| listed.algorithm()) }
    }

    /// Index of the package in its register.
    pub(super) const fn package(&self) -> usize {
        self.package as usize
    }

    pub(super) fn listed(&self) -> Option<ListedDigest> {
        self.algorithm.map(|algorithm| ListedDigest::from_kept(algorithm, self.digest))
    }

    fn order(&self) -> (PathDigest, u32) {
        (self.path, self.package)
    }
}

/// Claims sorted by path digest; a path may have several.
#[derive(Debug, Default)]
pub(super) struct Claims(Vec<Claimed>);

impl Claims {
    pub(super) fn new(mut claims: Vec<Claimed>) -> Self {
        claims.sort_unstable_by_key(Claimed::order);
        claims.dedup_by_key(|claim| claim.order());
        claims.shrink_to_fit();
        Self(claims)
    }

    /// Claims to one path.
    pub(super) fn to(&self, path: &[u8]) -> &[Claimed] {
        let wanted = digest(path);
        let start = self.0.partition_point(|claim| claim.path < wanted);
        let count = self.0[start..].iter().take_while(|claim| claim.path == wanted).count();
        &self.0[start..start + count]
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }
}

fn digest(path: &[u8]) -> PathDigest {
    let digest = blake3::hash(path);
    std::array::from_fn(|at| digest.as_bytes()[at])
}
