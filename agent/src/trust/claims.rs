//! All claims of a database in little memory: 40 bytes a path, found by a digest of the path.

use doorward_policy::Md5;

/// First half of BLAKE3 over a path: 2^64 tries to find two paths that share one, 2^110 to hit one of a host's packages.
type PathDigest = [u8; 16];

const HAS_MD5: u32 = 1 << 31;

/// One claim.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claimed {
    path: PathDigest,
    md5: [u8; Md5::LEN],
    /// Index of the package, and [`HAS_MD5`].
    package: u32,
}

impl Claimed {
    pub(super) fn new(path: &[u8], package: usize, md5: Option<Md5>) -> Self {
        let flag = if md5.is_some() { HAS_MD5 } else { 0 };
        Self { path: digest(path), md5: md5.map_or([0; Md5::LEN], |md5| *md5.as_bytes()), package: package as u32 | flag }
    }

    pub(super) const fn package(&self) -> usize {
        (self.package & !HAS_MD5) as usize
    }

    pub(super) fn md5(&self) -> Option<Md5> {
        (self.package & HAS_MD5 != 0).then_some(Md5::new(self.md5))
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
