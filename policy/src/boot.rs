//! Packages that hosts cannot be booted or managed without, by name: init, loader, shell, remote access, package manager, and the
//! libraries all of them are made of. Names are what both sides can compare; a host finds libraries that stand here under no name by
//! looking into its programs.

use crate::{PackageManager, PathBytes};

/// Packages of Debian and its kin, without architecture; sorted.
const DPKG_PACKAGES: &[&str] = &[
    "apt",
    "base-files",
    "bash",
    "coreutils",
    "dash",
    "doorward-agent",
    "dpkg",
    "init",
    "init-system-helpers",
    "libacl1",
    "libattr1",
    "libaudit1",
    "libblkid1",
    "libbz2-1.0",
    "libc-bin",
    "libc6",
    "libcap-ng0",
    "libcap2",
    "libcom-err2",
    "libcrypt1",
    "libgcc-s1",
    "libgcrypt20",
    "libgmp10",
    "libgpg-error0",
    "libgssapi-krb5-2",
    "libidn2-0",
    "libk5crypto3",
    "libkeyutils1",
    "libkrb5-3",
    "libkrb5support0",
    "liblz4-1",
    "liblzma5",
    "libmd0",
    "libmount1",
    "libp11-kit0",
    "libpam-modules",
    "libpam-runtime",
    "libpam0g",
    "libpcre2-8-0",
    "libseccomp2",
    "libselinux1",
    "libsmartcols1",
    "libstdc++6",
    "libsystemd-shared",
    "libsystemd0",
    "libtasn1-6",
    "libtinfo6",
    "libudev1",
    "libuuid1",
    "libwrap0",
    "libxxhash0",
    "libzstd1",
    "login",
    "mount",
    "openssh-server",
    "perl-base",
    "sudo",
    "systemd",
    "systemd-sysv",
    "sysvinit-core",
    "util-linux",
    "zlib1g",
];

/// Libraries whose package's name tells the version of their interface too: what stands before it; sorted.
const DPKG_PREFIXES: &[&str] = &["libapt-pkg", "libdb5.", "libffi", "libgnutls", "libhogweed", "libnettle", "libssl", "libunistring"];

/// Packages of Red Hat, SUSE and their kin; sorted.
const RPM_PACKAGES: &[&str] = &[
    "audit-libs",
    "bash",
    "bzip2-libs",
    "coreutils",
    "dnf",
    "doorward-agent",
    "elfutils-libelf",
    "filesystem",
    "glibc",
    "glibc-common",
    "kmod",
    "krb5-libs",
    "libacl",
    "libattr",
    "libblkid",
    "libcap",
    "libcap-ng",
    "libcom_err",
    "libdnf",
    "libgcc",
    "libmount",
    "librepo",
    "libselinux",
    "libsolv",
    "libstdc++",
    "libuuid",
    "libxcrypt",
    "libzstd",
    "lua-libs",
    "ncurses-libs",
    "openssh-server",
    "openssl-libs",
    "pam",
    "pcre2",
    "popt",
    "python3-libs",
    "readline",
    "rpm",
    "rpm-libs",
    "sqlite-libs",
    "sudo",
    "systemd",
    "systemd-libs",
    "util-linux",
    "util-linux-core",
    "xz-libs",
    "zlib",
    "zlib-ng-compat",
    "zypper",
];

/// File names of PID 1 and of the agent, and the start of the ELF loader's.
const PROGRAMS: [&[u8]; 3] = [b"systemd", b"init", b"doorward-agent"];
const LOADER_PREFIXES: [&[u8]; 2] = [b"ld-linux", b"ld-musl"];

/// Whether hosts can be neither booted nor managed without this package, whatever its architecture.
#[must_use]
pub fn is_boot_package(manager: PackageManager, name: &str) -> bool {
    match manager {
        PackageManager::Dpkg => {
            // dpkg writes `libc6:amd64` where several architectures can be installed.
            let name = name.split(':').next().unwrap_or(name);
            DPKG_PACKAGES.binary_search(&name).is_ok() || DPKG_PREFIXES.iter().any(|prefix| is_version_of(name, prefix))
        }
        PackageManager::Rpm => RPM_PACKAGES.binary_search(&name).is_ok(),
    }
}

/// `libssl3t64` of `libssl`, and not `libssl-dev`.
fn is_version_of(name: &str, prefix: &str) -> bool {
    let version = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix("t64").or(Some(rest)));
    version.is_some_and(|version| {
        version.starts_with(|first: char| first.is_ascii_digit()) && version.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit())
    })
}

/// Whether a file of this name, wherever it lies, is PID 1, the ELF loader or the agent.
#[must_use]
pub fn is_boot_program(path: &PathBytes) -> bool {
    let name = path.file_name();
    PROGRAMS.contains(&name) || LOADER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_so_that_they_are_found() {
        for names in [DPKG_PACKAGES, DPKG_PREFIXES, RPM_PACKAGES] {
            assert!(names.is_sorted(), "{names:?}");
        }
    }

    #[test]
    fn a_package_is_known_whatever_its_architecture_or_the_version_of_its_interface() {
        use PackageManager::{Dpkg, Rpm};
        for name in ["libc6", "libc6:i386", "zlib1g:amd64", "libapt-pkg6.0", "libapt-pkg6.0t64:arm64", "libssl3t64", "libdb5.3", "apt"] {
            assert!(is_boot_package(Dpkg, name), "{name}");
        }
        for name in ["nmap", "libssl-dev", "libssl", "libffi-tools", "libgnutls-dane0", "glibc", ""] {
            assert!(!is_boot_package(Dpkg, name), "{name}");
        }
        assert!(is_boot_package(Rpm, "glibc") && !is_boot_package(Rpm, "libc6"));
    }
}
