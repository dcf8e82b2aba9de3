//! What hosts cannot boot or be managed without: PID 1, the ELF loader, the shell, remote access, the package manager and what those are
//! made of. A deny that would hit them is refused with the reason; on a host the unblockable part could not be denied anyway.
//!
//! The CMS knows such files by what hosts proved when they reported them, and such packages by name. A file that no host ever reported
//! (its package settles it there) cannot be recognised here by its digest; the host overrides the deny and says so.
//!
//! One host's word is not enough to take a decision out of a person's hands: see [`HOSTS_BELIEVED_MIN`].

use std::collections::BTreeSet;

use doorward_policy::{Fit, HostId, PackageEvidence, PathBytes, is_boot_package, is_boot_program};

use crate::store::NamedSource;

/// Hosts that must prove the same before they are believed, unless one of them is a reference host or the deny reaches no others.
///
/// SECURITY: a host can claim that a worm is part of the C library, and a person's deny of it would be refused everywhere. Hosts that
/// really run by a file protect themselves: the closure is row 1 of their own judgement.
pub const HOSTS_BELIEVED_MIN: u64 = 2;

/// What the hosts a deny would reach claim of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Hosts the deny would reach, whether they met the file or not.
    pub hosts: u64,
    /// With package evidence, the newest of each host.
    pub claims: Vec<Claim>,
}

/// Where a host met a file, and with what proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The host.
    pub host_id: HostId,
    /// It is its profile's reference host, which a person chose as the example for all others.
    pub is_reference: bool,
    /// The host's name.
    pub host: String,
    /// Where.
    pub path: PathBytes,
    /// The package that claims the path.
    pub package: Option<PackageEvidence>,
}

/// Why a deny is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unblockable {
    /// The file belongs to what hosts cannot do without.
    #[error("{host} cannot do without {path}, which package {package} put there: a deny would keep it from booting or being managed")]
    File {
        /// A host that has it.
        host: String,
        /// Where.
        path: PathBytes,
        /// The package that proves it.
        package: String,
    },
    /// So do files of the package.
    #[error("hosts cannot do without package {name}: a deny would keep them from booting or being managed")]
    Package {
        /// The package.
        name: String,
    },
}

/// What hosts proved and the names of packages, asked.
#[derive(Debug, Clone, Copy)]
pub struct BootClosure;

impl BootClosure {
    /// Refuses to deny a file that hosts proved to be part of it.
    ///
    /// # Errors
    /// The first such claim.
    pub fn refuses_file(self, claims: &Claims) -> Result<(), Unblockable> {
        let needed: Vec<_> = claims.claims.iter().filter_map(|claim| Some((claim, needed(claim)?))).collect();
        let hosts: BTreeSet<HostId> = needed.iter().map(|(claim, _)| claim.host_id).collect();
        let believed = needed.iter().any(|(claim, _)| claim.is_reference) || hosts.len() as u64 >= HOSTS_BELIEVED_MIN.min(claims.hosts);
        match needed.first() {
            Some((claim, package)) if believed => {
                let package = PathBytes::new(package.name.as_bytes()).to_string();
                Err(Unblockable::File { host: claim.host.clone(), path: claim.path.clone(), package })
            }
            _ => Ok(()),
        }
    }

    /// Refuses to deny a source whose files are part of it.
    ///
    /// # Errors
    /// The source.
    pub fn refuses_source(self, source: &NamedSource) -> Result<(), Unblockable> {
        match source {
            NamedSource::Package { manager, name } if is_boot_package(*manager, name) => Err(Unblockable::Package { name: name.clone() }),
            _ => Ok(()),
        }
    }
}

/// The package that makes a claim one about the closure. Changed content proves nothing: a trojan in the place of the shell may be denied.
fn needed(claim: &Claim) -> Option<&PackageEvidence> {
    let package = claim.package.as_ref().filter(|package| package.fit == Fit::Match)?;
    (is_boot_package(package.manager, &package.name) || is_boot_program(&claim.path)).then_some(package)
}

#[cfg(test)]
mod tests {
    use doorward_policy::{Level, PackageManager};

    use super::*;

    fn claim(path: &str, package: &str, fit: Fit) -> Claim {
        let package = PackageEvidence {
            manager: PackageManager::Dpkg,
            name: package.into(),
            version: "1".into(),
            origin: String::new(),
            level: Level::Database,
            fit,
        };
        Claim { host_id: host(1), is_reference: true, host: "web-1".into(), path: PathBytes::new(path), package: Some(package) }
    }

    fn host(number: u8) -> HostId {
        HostId::from_slice(&[number; 16]).unwrap()
    }

    fn claimed(claim: Claim) -> Claims {
        Claims { hosts: 9, claims: vec![claim] }
    }

    #[test]
    fn the_shell_the_loader_and_pid_1_cannot_be_denied() {
        for (path, package) in [
            ("/usr/bin/dash", "dash"),
            ("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "libc6:amd64"),
            ("/opt/vendor/lib/ld-linux-x86-64.so.2", "vendor-runtime"),
            ("/usr/lib/systemd/systemd", "systemd"),
        ] {
            let refused = BootClosure.refuses_file(&claimed(claim(path, package, Fit::Match))).unwrap_err();
            assert!(refused.to_string().contains("web-1"), "{refused}");
        }
    }

    #[test]
    fn a_changed_file_in_the_place_of_the_shell_can_be_denied() {
        assert_eq!(BootClosure.refuses_file(&claimed(claim("/usr/bin/dash", "dash", Fit::Modified))), Ok(()));
        let unowned = Claim { package: None, ..claim("/usr/bin/dash", "dash", Fit::Match) };
        assert_eq!(BootClosure.refuses_file(&claimed(unowned)), Ok(()));
    }

    #[test]
    fn several_hosts_or_a_reference_host_are_believed_and_one_host_only_about_itself() {
        let of = |number, is_reference| Claim { host_id: host(number), is_reference, ..claim("/tmp/worm", "libc6", Fit::Match) };
        for (hosts, claims, refused) in [
            (9, vec![of(1, false)], false),
            (9, vec![of(1, false), of(1, false), of(1, false)], false),
            (9, vec![of(1, false), of(2, false)], true),
            (9, vec![of(1, true)], true),
            (1, vec![of(1, false)], true),
            (2, vec![of(1, false)], false),
            (0, vec![], false),
        ] {
            assert_eq!(BootClosure.refuses_file(&Claims { hosts, claims: claims.clone() }).is_err(), refused, "{hosts}: {claims:?}");
        }
    }

    #[test]
    fn packages_are_known_whatever_their_architecture() {
        let package = |manager, name: &str| NamedSource::Package { manager, name: name.into() };
        assert!(BootClosure.refuses_source(&package(PackageManager::Dpkg, "libc6:i386")).is_err());
        assert!(BootClosure.refuses_source(&package(PackageManager::Rpm, "glibc")).is_err());
        assert_eq!(BootClosure.refuses_source(&package(PackageManager::Dpkg, "nmap")), Ok(()));
    }
}
